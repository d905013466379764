/* drover queue events, and drover job wait: what reads the stream of events over a connection of
 * its own. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/exit_code.h"
#include "common/base/json_text.h"
#include "common/queue/events.h"
#include "supervisor/cli/output.h"
#include "supervisor/cli/queue_verbs.h"
#include "supervisor/cli/verb.h"

#define BATCH 500

/* ---- the second connection ---- */

struct blocking {
    struct redis *redis; /* NULL once closed */
    bool ready;
    char why[512];
};

static void on_state(struct redis *redis, enum redis_state state, const char *why, void *arg)
{
    struct blocking *blocking = arg;

    (void)redis;
    blocking->ready = state == REDIS_READY;
    if (*why)
        (void)snprintf(blocking->why, sizeof(blocking->why), "%s", why); /* may be cut */
    if (state == REDIS_CLOSED)
        blocking->redis = NULL;
}

static int open_blocking(struct verb *verb, const char *client_name, struct blocking *out)
{
    const struct redis_options options = { .endpoint = verb->session.endpoint,
                                           .client_name = client_name,
                                           .blocking = true,
                                           .once = true,
                                           .on_state = on_state,
                                           .arg = out };
    struct error err = { 0 };

    if (redis_open(&verb->session.loop, &options, &out->redis, &err) < 0) {
        out->redis = NULL;
        (void)snprintf(out->why, sizeof(out->why), "%.500s", err.text);
    }
    while (out->redis && !out->ready)
        (void)uv_run(&verb->session.loop, UV_RUN_ONCE);
    if (out->ready)
        return 0;
    output_error("open a second connection to Redis: %s", out->why);
    return EXIT_CODE_UNAVAILABLE;
}

static void close_blocking(struct verb *verb, struct blocking *blocking)
{
    if (blocking->redis)
        redis_close(blocking->redis);
    while (blocking->redis)
        (void)uv_run(&verb->session.loop, UV_RUN_ONCE);
}

/* ---- queue events ---- */

static const struct cli_option events_options[] = {
    { .name = "from",
      .kind = CLI_TEXT,
      .arg = "ID",
      VERB_AT(from),
      .help = "after the event with this id; 0 (unless given): from the oldest one" },
    { .name = "follow",
      .letter = 'f',
      .kind = CLI_FLAG,
      VERB_AT(follow),
      .help =
          "goes on as events come, until ^C; starts with those to come unless --from is given" },
    { .name = "limit",
      .letter = 'l',
      .kind = CLI_NUMBER,
      .arg = "N",
      VERB_AT(limit),
      .help = "ends after N events" },
    { .name = "json",
      .kind = CLI_FLAG,
      VERB_AT(json),
      .help = "a line of JSON per event; {\"lost\":N} where some were trimmed away unread" },
    CLI_WHERE_OPTIONS(struct verb_values),
};
static const struct cli_operand queue_operand[] = {
    { .name = "QUEUE", .value = CLI_VALUE_QUEUE },
};

struct follower {
    struct verb *verb;
    uint64_t shown, limit;
    bool follow;
    bool write_failed;
};

static void print_event_json(const struct queue_event *event, struct buf *out)
{
    (void)buf_append_char(out, '{');
    output_member_text(out, true, "id", event->id, strlen(event->id));
    output_member_number(out, false, "at_ms", event->at_ms);
    for (size_t i = 0; i < event->fields_count; i++) {
        struct buf name = BUF_INIT(64UL * 1024);

        /* A field of that name would make the member twice. */
        if (strcmp(event->names[i].data, "id") == 0 || strcmp(event->names[i].data, "at_ms") == 0)
            (void)buf_append_char(&name, '_');
        (void)buf_append(&name, event->names[i].data, event->names[i].len);
        (void)buf_append_char(out, ',');
        (void)json_text_quote(out, buf_text(&name), name.len);
        (void)buf_append_char(out, ':');
        (void)json_text_quote(out, event->values[i].data ? event->values[i].data : "",
                              event->values[i].len);
        buf_done(&name);
    }
    (void)buf_append_text(out, "}\n");
}

static void print_event(const struct queue_event *event, struct buf *out)
{
    char time[OUTPUT_TIME_BYTES];

    (void)buf_printf(out, "%s  ", output_time(event->at_ms, time));
    output_text(out, event->event.data ? event->event.data : "?", event->event.len);
    if (event->job_id.data) {
        (void)buf_append_char(out, ' ');
        output_text(out, event->job_id.data, event->job_id.len);
    }
    for (size_t i = 0; i < event->fields_count; i++) {
        const char *name = event->names[i].data ? event->names[i].data : "";

        if (strcmp(name, "event") == 0 || strcmp(name, "jobId") == 0)
            continue;
        (void)buf_append_text(out, ", ");
        output_text(out, name, strlen(name));
        (void)buf_append_char(out, ' ');
        output_text(out, event->values[i].data ? event->values[i].data : "", event->values[i].len);
    }
    (void)buf_append_char(out, '\n');
}

static void print_lost(uint64_t lost, bool json, struct buf *out)
{
    if (lost == 0)
        return;
    if (lost == QUEUE_EVENTS_LOST_UNKNOWN)
        (void)buf_append_text(out, json ? "{\"lost\":null}\n"
                                        : "... events were trimmed away before they were read\n");
    else
        (void)buf_printf(out,
                         json ? "{\"lost\":%" PRIu64 "}\n"
                              : "... %" PRIu64 " events were trimmed away before they were read\n",
                         lost);
}

static bool on_events(struct queue *queue, const struct queue_event *events, size_t count,
                      uint64_t lost, void *arg)
{
    struct follower *follower = arg;
    struct buf *out = &follower->verb->out;

    (void)queue;
    print_lost(lost, follower->verb->values.json, out);
    for (size_t i = 0; i < count && (follower->limit == 0 || follower->shown < follower->limit);
         i++) {
        if (follower->verb->values.json)
            print_event_json(&events[i], out);
        else
            print_event(&events[i], out);
        follower->shown++;
    }
    if (out->len > 0 && !output_flush(out)) {
        follower->write_failed = true;
        return false;
    }
    if (follower->limit > 0 && follower->shown == follower->limit)
        return false;
    return follower->follow || count == BATCH; /* fewer: that was the end */
}

static void on_end(struct queue *queue, const struct call_result *call, void *arg)
{
    struct follower *follower = arg;

    (void)queue;
    (void)verb_answered(follower->verb, call, "read the events");
}

static int act_events(struct verb *verb)
{
    struct follower follower = { .verb = verb,
                                 .limit = verb->values.limit.value,
                                 .follow = verb->values.follow };
    const struct events_from from = {
        .id = verb->values.from     ? verb->values.from
              : verb->values.follow ? "$"
                                    : "0",
        .batch = BATCH,
    };
    struct blocking blocking = { 0 };
    struct queue_follow *follow;
    struct error err = { 0 };
    int code = verb_open_queue(verb, verb->words[0]);

    if (code == 0)
        code = open_blocking(verb, NULL, &blocking);
    if (code == 0)
        code = verb_finish(verb,
                           queue_follow_events(verb->queue, blocking.redis, &from, on_events,
                                               on_end, &follower, &follow, &err),
                           &err, "read the events");
    close_blocking(verb, &blocking);
    return code == 0 && follower.write_failed ? EXIT_CODE_FAILED : code;
}

const struct cli_command cli_queue_events_verb = VERB_ROW(
    "queue events", "shows the events of a queue, also as they come",
    "drover queue events [OPTION...] QUEUE",
    "The stream of events is short (10,000 unless set otherwise) and trimmed as it grows:\n"
    "what was trimmed away before it was read is said.",
    "as they come\ndrover queue events mail --follow\n"
    "all that there are, for a program\ndrover queue events mail --json\n",
    events_options, queue_operand, 1, 1, act_events);

/* ---- job wait ---- */

static const struct cli_option wait_options[] = {
    VERB_QUEUE,
    { .name = "timeout",
      .letter = 't',
      .kind = CLI_DURATION,
      .arg = "TIME",
      VERB_AT(timeout),
      .help = "waits at most so long; without it until the job has ended" },
    VERB_JSON,
    CLI_WHERE_OPTIONS(struct verb_values),
};
static const struct cli_operand job_operand[] = { { .name = "ID" } };

static void print_finished(struct verb *verb, enum job_finished finished, struct bytes value)
{
    struct buf *out = &verb->out;
    const char *text = value.data ? value.data : "";
    const char *state = finished == JOB_COMPLETED ? "completed" : "failed";

    if (!verb->values.json) {
        (void)buf_printf(out, "%s: ", state);
        output_lines(out, text, value.len, 2);
        (void)buf_append_char(out, '\n');
        return;
    }
    (void)buf_append_char(out, '{');
    output_member_text(out, true, "state", state, strlen(state));
    if (finished == JOB_COMPLETED)
        (void)buf_printf(out, ",\"returnvalue\":%s}\n", value.len > 0 ? text : "null");
    else {
        output_member_text(out, false, "failed_reason", text, value.len);
        (void)buf_append_text(out, "}\n");
    }
}

static void on_finished(struct queue *queue, const struct call_result *call,
                        enum job_finished finished, struct bytes value, void *arg)
{
    struct verb *verb = arg;

    (void)queue;
    if (!verb_answered(verb, call, "wait for the job"))
        return;
    if (finished == JOB_COMPLETED || finished == JOB_FAILED)
        print_finished(verb, finished, value);
    if (finished == JOB_GONE)
        output_error("there is no job %s in queue %s, or it was removed", verb->words[0],
                     verb->queue_name);
    if (finished == JOB_UNFINISHED)
        output_error("job %s has not ended in time", verb->words[0]);
    verb->code = finished == JOB_COMPLETED ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}

static int act_wait(struct verb *verb)
{
    struct blocking blocking = { 0 };
    struct error err = { 0 };
    int code;

    if (verb->values.timeout.given && verb->values.timeout.value == 0)
        return verb_usage_error(verb, "--timeout needs a time of at least 1ms");
    code = verb_open_job(verb, verb->words[0]);
    if (code == 0)
        code = open_blocking(verb, NULL, &blocking);
    if (code == 0)
        code = verb_finish(verb,
                           queue_wait_job(verb->queue, blocking.redis, verb->words[0],
                                          verb->values.timeout.value, on_finished, verb, &err),
                           &err, "wait for the job");
    close_blocking(verb, &blocking);
    return code;
}

const struct cli_command cli_job_wait_verb = VERB_ROW(
    "job wait", "waits until a job has ended, and shows its result",
    "drover job wait [OPTION...] ID",
    "Ends with 0 when the job completed, and with 1 when it failed, is gone, or did not end\n"
    "in time. Without --queue the job must be there already.",
    "a job, and what became of it\n"
    "drover job wait report-7 -q reports --timeout 10m --json\n",
    wait_options, job_operand, 1, 1, act_wait);
