/* drover queue: what changes how a queue runs: paused or not, how many jobs at once and in a time,
 * how many events are kept, who owns a deduplication id. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "common/base/exit_code.h"
#include "common/queue/bulk.h"
#include "common/queue/settings.h"
#include "supervisor/cli/long_work.h"
#include "supervisor/cli/output.h"
#include "supervisor/cli/queue_verbs.h"
#include "supervisor/cli/verb.h"

static const struct cli_option plain_options[] = {
    VERB_JSON,
    CLI_WHERE_OPTIONS(struct verb_values),
};
static const struct cli_operand queues_operand[] = {
    { .name = "QUEUE", .value = CLI_VALUE_QUEUE, .many = true },
};

/* {"queue":"mail","paused":true} */
static void begin_json(struct verb *verb)
{
    (void)buf_append_char(&verb->out, '{');
    output_member_text(&verb->out, true, "queue", verb->queue_name, strlen(verb->queue_name));
}

static void print_line(struct verb *verb, const char *format, ...) PRINTF_LIKE(2, 3);

static void print_line(struct verb *verb, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args); /* may be cut */
    va_end(args);
    (void)buf_append_text(&verb->out, "queue ");
    output_text(&verb->out, verb->queue_name, strlen(verb->queue_name));
    (void)buf_printf(&verb->out, ": %s\n", text);
}

/* ---- pause, resume ---- */

typedef int steer_call(struct queue *queue, queue_done_cb *on_done, void *arg, struct error *err);

static int steer_each(struct verb *verb, steer_call *call, bool paused)
{
    int code = 0;

    for (size_t i = 0; i < verb->words_count && code == 0; i++) {
        struct error err = { 0 };

        code = verb_open_queue(verb, verb->words[i]);
        if (code == 0)
            code = verb_finish(verb, call(verb->queue, verb_on_done, verb, &err), &err,
                               paused ? "pause the queue" : "resume the queue");
        if (code == 0 && verb->values.json) {
            begin_json(verb);
            (void)buf_printf(&verb->out, ",\"paused\":%s}\n", paused ? "true" : "false");
        } else if (code == 0) {
            print_line(verb, "%s", paused ? "paused; what runs goes on" : "resumed");
        }
        verb_close(verb);
    }
    return code;
}

static int act_pause(struct verb *verb)
{
    return steer_each(verb, queue_pause, /* paused= */ true);
}

static int act_resume(struct verb *verb)
{
    return steer_each(verb, queue_resume, /* paused= */ false);
}

const struct cli_command cli_queue_pause_verb =
    VERB_ROW("queue pause", "pauses queues: no job is started until they are resumed",
             "drover queue pause [OPTION...] QUEUE...",
             "For all workers, stock BullMQ ones included. What runs goes on; what is added waits.",
             "before a deployment\ndrover queue pause mail\n", plain_options, queues_operand, 1, 64,
             act_pause);
const struct cli_command cli_queue_resume_verb =
    VERB_ROW("queue resume", "resumes paused queues", "drover queue resume [OPTION...] QUEUE...",
             "", "two at once\ndrover queue resume mail money\n", plain_options, queues_operand, 1,
             64, act_resume);

/* ---- settings ---- */

static void on_meta(struct queue *queue, const struct call_result *call,
                    const struct queue_meta *meta, void *arg)
{
    struct verb *verb = arg;

    (void)queue;
    if (!verb_answered(verb, call, "read the settings"))
        return;
    *(struct queue_meta *)verb->state = *meta;
    ((struct queue_meta *)verb->state)->version = ""; /* borrowed */
}

static int read_meta(struct verb *verb, struct queue_meta *out)
{
    struct error err = { 0 };
    int code;

    verb->state = out;
    code = verb_finish(verb, queue_get_meta(verb->queue, on_meta, verb, &err), &err,
                       "read the settings");
    verb->state = NULL;
    return code;
}

static bool is_off(const struct verb *verb)
{
    return verb->words_count == 2 && strcmp(verb->words[1], "off") == 0;
}

static const struct cli_operand concurrency_operands[] = {
    { .name = "QUEUE", .value = CLI_VALUE_QUEUE },
    { .name = "N", .value = CLI_VALUE_WORDS, .words = "off" },
};

static int change_concurrency(struct verb *verb, uint64_t concurrency)
{
    struct error err = { 0 };
    int r = 0;

    if (verb->words_count == 1)
        return 0;
    r = is_off(verb)
            ? queue_remove_global_concurrency(verb->queue, verb_on_done, verb, &err)
            : queue_set_global_concurrency(verb->queue, concurrency, verb_on_done, verb, &err);
    return verb_finish(verb, r, &err, "set how many jobs run at once");
}

static int act_concurrency(struct verb *verb)
{
    struct queue_meta meta = { 0 };
    uint64_t concurrency = 0;
    int code = 0;

    if (verb->words_count == 2 && !is_off(verb))
        code = verb_parse_number(verb, "N", verb->words[1], &concurrency);
    if (code == 0)
        code = verb_open_queue(verb, verb->words[0]);
    if (code == 0)
        code = change_concurrency(verb, concurrency);
    if (code == 0)
        code = read_meta(verb, &meta);
    if (code != 0)
        return code;
    if (verb->values.json) {
        begin_json(verb);
        output_member_number(&verb->out, false, "concurrency", meta.concurrency);
        (void)buf_append_text(&verb->out, "}\n");
    } else if (meta.concurrency > 0) {
        print_line(verb, "at most %" PRIu64 " jobs at once, all workers together",
                   meta.concurrency);
    } else {
        print_line(verb, "as many jobs at once as its workers take");
    }
    return 0;
}

const struct cli_command cli_queue_concurrency_verb =
    VERB_ROW("queue concurrency", "shows or sets how many jobs run at once, all workers together",
             "drover queue concurrency [OPTION...] QUEUE [N | off]",
             "It holds for every worker of the queue, wherever it runs. Jobs that run already are\n"
             "not stopped. The configuration's cluster_concurrency is the same setting.",
             "one at a time\ndrover queue concurrency mail 1\n"
             "no limit any more\ndrover queue concurrency mail off\n",
             plain_options, concurrency_operands, 1, 2, act_concurrency);

static const struct cli_operand limit_operands[] = {
    { .name = "QUEUE", .value = CLI_VALUE_QUEUE },
    { .name = "N", .value = CLI_VALUE_WORDS, .words = "off" },
    { .name = "TIME" },
};

static int change_limit(struct verb *verb, uint64_t max, uint64_t duration_ms)
{
    struct error err = { 0 };
    int r;

    if (verb->words_count == 1)
        return 0;
    r = is_off(verb)
            ? queue_remove_global_rate_limit(verb->queue, verb_on_done, verb, &err)
            : queue_set_global_rate_limit(verb->queue, max, duration_ms, verb_on_done, verb, &err);
    return verb_finish(verb, r, &err, "set the rate limit");
}

static int act_limit(struct verb *verb)
{
    struct queue_meta meta = { 0 };
    uint64_t max = 0, duration_ms = 0;
    char age[OUTPUT_AGE_BYTES];
    int code = 0;

    if (verb->words_count == 2 && !is_off(verb))
        return verb_usage_error(verb, "N needs a TIME: so many jobs in which time?");
    if (verb->words_count == 3)
        code = verb_parse_number(verb, "N", verb->words[1], &max);
    if (verb->words_count == 3 && code == 0)
        code = verb_parse_duration(verb, "TIME", verb->words[2], &duration_ms);
    if (code == 0)
        code = verb_open_queue(verb, verb->words[0]);
    if (code == 0)
        code = change_limit(verb, max, duration_ms);
    if (code == 0)
        code = read_meta(verb, &meta);
    if (code != 0)
        return code;
    if (verb->values.json) {
        begin_json(verb);
        output_member_number(&verb->out, false, "limit_max", meta.limit_max);
        output_member_number(&verb->out, false, "limit_duration_ms", meta.limit_duration_ms);
        (void)buf_append_text(&verb->out, "}\n");
    } else if (meta.limit_max > 0) {
        print_line(verb, "at most %" PRIu64 " jobs start in %s, all workers together",
                   meta.limit_max, output_age(meta.limit_duration_ms, age));
    } else {
        print_line(verb, "no rate limit");
    }
    return 0;
}

const struct cli_command cli_queue_limit_verb =
    VERB_ROW("queue limit", "shows or sets how many jobs start in a time, all workers together",
             "drover queue limit [OPTION...] QUEUE [N TIME | off]",
             "It holds for every worker of the queue, wherever it runs.",
             "a hundred a minute\ndrover queue limit mail 100 1m\n"
             "no limit any more\ndrover queue limit mail off\n",
             plain_options, limit_operands, 1, 3, act_limit);

/* ---- hold ---- */

static const struct cli_operand hold_operands[] = {
    { .name = "QUEUE", .value = CLI_VALUE_QUEUE },
    { .name = "TIME", .value = CLI_VALUE_WORDS, .words = "off" },
};

static int change_hold(struct verb *verb, uint64_t duration_ms)
{
    struct error err = { 0 };
    int r;

    if (verb->words_count == 1)
        return 0;
    r = is_off(verb) ? queue_remove_rate_limit(verb->queue, verb_on_done, verb, &err)
                     : queue_limit_rate_now(verb->queue, duration_ms, verb_on_done, verb, &err);
    return verb_finish(verb, r, &err, "hold the queue");
}

static int act_hold(struct verb *verb)
{
    uint64_t duration_ms = 0;
    int64_t ttl_ms = 0;
    struct error err = { 0 };
    char age[OUTPUT_AGE_BYTES];
    int code = 0;

    if (verb->words_count == 2 && !is_off(verb))
        code = verb_parse_duration(verb, "TIME", verb->words[1], &duration_ms);
    if (code == 0)
        code = verb_open_queue(verb, verb->words[0]);
    if (code == 0)
        code = change_hold(verb, duration_ms);
    verb->state = &ttl_ms;
    if (code == 0)
        code = verb_finish(verb, queue_get_rate_limit_ttl(verb->queue, 0, verb_on_done, verb, &err),
                           &err, "read the rate limit");
    verb->state = NULL;
    if (code != 0)
        return code;
    if (verb->values.json) {
        begin_json(verb);
        output_member_number(&verb->out, false, "held_for_ms", ttl_ms > 0 ? (uint64_t)ttl_ms : 0);
        (void)buf_append_text(&verb->out, "}\n");
    } else if (ttl_ms > 0) {
        print_line(verb, "workers with a rate limit start nothing for %s",
                   output_age((uint64_t)ttl_ms, age));
    } else {
        print_line(verb, "not held");
    }
    return 0;
}

const struct cli_command cli_queue_hold_verb = VERB_ROW(
    "queue hold", "holds the workers that have a rate limit for a time",
    "drover queue hold [OPTION...] QUEUE [TIME | off]",
    "For when the service behind the jobs says \"not before\". Workers without a limit of\n"
    "their own heed it when the queue has one (drover queue limit); to stop all of them\n"
    "there is drover queue pause.",
    "for a minute\ndrover queue hold mail 1m\n"
    "go on now\ndrover queue hold mail off\n",
    plain_options, hold_operands, 1, 2, act_hold);

/* ---- events ---- */

static const struct cli_option trim_options[] = {
    VERB_DRY_RUN,
    VERB_YES,
    VERB_JSON,
    CLI_WHERE_OPTIONS(struct verb_values),
};
static const struct cli_operand trim_operands[] = {
    { .name = "QUEUE", .value = CLI_VALUE_QUEUE },
    { .name = "N" },
};

static int act_trim_events(struct verb *verb)
{
    char question[256];
    uint64_t keep = 0;
    int64_t removed = 0;
    struct error err = { 0 };
    int code = verb_parse_number(verb, "N", verb->words[1], &keep);

    if (code != 0)
        return code;
    if (verb->values.dry_run) {
        (void)buf_printf(&verb->out, "would remove all but about %" PRIu64 " events\n", keep);
        return 0;
    }
    (void)snprintf(question, sizeof(question),
                   "Remove all but about the newest %" PRIu64 " events of queue %s", keep,
                   verb->words[0]);
    code = verb_open_queue(verb, verb->words[0]);
    if (code == 0)
        code = long_work_ask(verb, question);
    verb->state = &removed;
    if (code == 0)
        code = verb_finish(verb, queue_trim_events(verb->queue, keep, verb_on_done, verb, &err),
                           &err, "trim the events");
    verb->state = NULL;
    if (code != 0)
        return code;
    if (verb->values.json) {
        begin_json(verb);
        output_member_number(&verb->out, false, "removed", (uint64_t)removed);
        (void)buf_append_text(&verb->out, "}\n");
    } else {
        print_line(verb, "%" PRId64 " events removed", removed);
    }
    return 0;
}

const struct cli_command cli_queue_trim_events_verb =
    VERB_ROW("queue trim-events", "removes old events of a queue",
             "drover queue trim-events [OPTION...] QUEUE N",
             "About the newest N stay: Redis removes whole nodes of its stream.",
             "all but a thousand\ndrover queue trim-events mail 1000 --yes\n", trim_options,
             trim_operands, 2, 2, act_trim_events);

/* ---- deduplication ---- */

static const struct cli_operand dedup_operands[] = {
    { .name = "QUEUE", .value = CLI_VALUE_QUEUE },
    { .name = "ID" },
    { .name = "release", .value = CLI_VALUE_WORDS, .words = "release" },
};

static void on_owner(struct queue *queue, const struct call_result *call, struct bytes text,
                     void *arg)
{
    struct verb *verb = arg;

    (void)queue;
    if (!verb_answered(verb, call, "read who owns the deduplication id"))
        return;
    if (verb->values.json) {
        begin_json(verb);
        output_member_text(&verb->out, false, "deduplication_id", verb->words[1],
                           strlen(verb->words[1]));
        if (text.data)
            output_member_text(&verb->out, false, "job", text.data, text.len);
        else
            (void)buf_append_text(&verb->out, ",\"job\":null");
        (void)buf_append_text(&verb->out, "}\n");
        return;
    }
    if (text.data)
        print_line(verb, "%s is owned by job %s", verb->words[1], text.data);
    else
        print_line(verb, "%s is free", verb->words[1]);
}

static int act_deduplication(struct verb *verb)
{
    struct error err = { 0 };
    int code;

    if (verb->words_count == 3 && strcmp(verb->words[2], "release") != 0)
        return verb_usage_error(verb, "\"%s\" is not `release`", verb->words[2]);
    code = verb_open_queue(verb, verb->words[0]);
    if (code == 0 && verb->words_count == 3)
        code = verb_finish(
            verb,
            queue_remove_deduplication_key(verb->queue, verb->words[1], verb_on_done, verb, &err),
            &err, "release the deduplication id");
    return code ? code
                : verb_finish(verb,
                              queue_get_deduplication_owner(verb->queue, verb->words[1], on_owner,
                                                            verb, &err),
                              &err, "read who owns the deduplication id");
}

const struct cli_command cli_queue_deduplication_verb =
    VERB_ROW("queue deduplication", "shows or releases the owner of a deduplication id",
             "drover queue deduplication [OPTION...] QUEUE ID [release]",
             "While a job owns the id, jobs that are added with it are not added. `release` lets\n"
             "the next one in.",
             "why is my job not added?\ndrover queue deduplication mail welcome-ann\n"
             "let the next one in\ndrover queue deduplication mail welcome-ann release\n",
             plain_options, dedup_operands, 2, 3, act_deduplication);
