/* drover add: one job, the same job many times, or one job per line of a file. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/base/exit_code.h"
#include "common/base/fd.h"
#include "common/base/json_text.h"
#include "common/base/text.h"
#include "supervisor/cli/add_flow.h"
#include "supervisor/cli/add_parse.h"
#include "supervisor/cli/add_values.h"
#include "supervisor/cli/connect.h"
#include "supervisor/cli/output.h"

#define DATA_BYTES_MAX ((size_t)64 * 1024 * 1024) /* of one job */
#define CHUNK_BYTES_MAX                                                      \
    ((size_t)1024 * 1024) /* of data in one script, unless one job is bigger \
                           */
static const struct cli_operand operands[] = {
    { .name = "QUEUE", .value = CLI_VALUE_QUEUE },
    { .name = "NAME" },
    { .name = "DATA", .value = CLI_VALUE_DATA },
};

static int cli_add(int argc, char **argv);

const struct cli_command cli_add_command = {
    .name = "add",
    .summary = "adds jobs to a queue",
    .usage = "drover add [OPTION...] QUEUE NAME [DATA | - | @FILE]\n"
             "drover add [OPTION...] QUEUE NAME --lines FILE\n"
             "drover add [OPTION...] --flow FILE",
    .about =
        "NAME is the job's type: the configuration says by it what runs.\n"
        "With a configuration, attempts, backoff and keep of that type are written into the\n"
        "job where they are not given here. Up to 500 jobs go in one step: all of them or none.",
    .examples = "a mail, tried up to 5 times\n"
                "drover add mail welcome '{\"to\":\"ann@example.org\"}' --attempts 5 --backoff "
                "exponential:2s\n"
                "tomorrow, and only once however often this is called\n"
                "drover add reports daily --delay 1d --id daily-2026-11-22\n"
                "search again for what was typed last, half a second after the last key\n"
                "drover add search run '{\"text\":\"dro\"}' --delay 500ms --dedup user-7 "
                "--dedup-replace --dedup-ttl 5s --dedup-extend\n"
                "a job that waits for two others\n"
                "echo '{\"name\":\"page\",\"queueName\":\"reports\",\"children\":["
                "{\"name\":\"text\",\"queueName\":\"reports\"},"
                "{\"name\":\"image\",\"queueName\":\"thumbs\"}]}' | drover add --flow -\n"
                "a job per line, from a program\n"
                "my-export | drover add import row --lines -\n"
                "without a configuration\n"
                "drover add mail welcome --redis redis://localhost:6379 --data @letter.json\n",
    .options = add_options,
    .options_count = ADD_OPTIONS_COUNT,
    .operands = operands,
    .operands_count = ARRAY_SIZE(operands),
    .run = cli_add,
};

/* One run of the command. */
struct adder {
    const struct add_values *values;
    struct cli_session session;
    struct queue *queue;
    struct job_spec model; /* all but the data */
    char *parent;          /* "<queue>", then "<prefix>:<queue>", of the parent */
    struct buf out;

    /* The chunk being gathered. */
    struct job_spec specs[QUEUE_ADD_MAX];
    char *owned[QUEUE_ADD_MAX];    /* data of lines; freed after the call */
    uint64_t lines[QUEUE_ADD_MAX]; /* their numbers; 0 without */
    size_t count, bytes;

    bool answered;
    int code; /* of what failed so far */
    uint64_t added, duplicates, deduplicated, bad;
    char first_id[128], last_id[128];
};

static void remember_id(struct adder *adder, const char *id)
{
    if (!*adder->first_id)
        (void)snprintf(adder->first_id, sizeof(adder->first_id), "%s", id); /* may be cut */
    (void)snprintf(adder->last_id, sizeof(adder->last_id), "%s", id);
}

/* Line `line` (0: the command's own job) was not added. */
static void tell_bad(struct adder *adder, uint64_t line, const char *why)
{
    adder->bad++;
    adder->code = EXIT_CODE_FAILED;
    if (line > 0)
        output_error("line %" PRIu64 ": %s", line, why);
    else
        output_error("%s", why);
    if (!adder->values->json)
        return;
    (void)buf_append_char(&adder->out, '{');
    if (line > 0)
        output_member_number(&adder->out, true, "line", line);
    output_member_text(&adder->out, line == 0, "error", why, strlen(why));
    (void)buf_append_text(&adder->out, "}\n");
}

static void take_result(struct adder *adder, const struct add_result *result, uint64_t line)
{
    if (!result->id) {
        tell_bad(adder, line, result->why);
        return;
    }
    if (result->duplicate)
        adder->duplicates++;
    else if (result->deduplicated)
        adder->deduplicated++;
    else
        adder->added++;
    remember_id(adder, result->id);
    if (!adder->values->json)
        return;
    (void)buf_append_char(&adder->out, '{');
    output_member_text(&adder->out, true, "id", result->id, strlen(result->id));
    (void)buf_printf(&adder->out, ",\"duplicate\":%s", result->duplicate ? "true" : "false");
    if (adder->values->dedup)
        (void)buf_printf(&adder->out, ",\"deduplicated\":%s,\"next\":%s",
                         result->deduplicated ? "true" : "false",
                         result->kept_as_next ? "true" : "false");
    (void)buf_append_text(&adder->out, "}\n");
}

static void on_added(struct queue *queue, const struct call_result *call,
                     const struct add_result *results, size_t count, void *arg)
{
    struct adder *adder = arg;

    (void)queue;
    adder->answered = true;
    if (call->outcome != REDIS_REPLY)
        adder->code = cli_call_failed(&adder->session, call, "add jobs");
    if (call->outcome != REDIS_REPLY && call->outcome != REDIS_UNREPLICATED)
        return;
    for (size_t i = 0; i < count; i++)
        take_result(adder, &results[i], adder->lines[i]);
}

/* Adds what is gathered. False when there is no use in going on. */
static bool flush_chunk(struct adder *adder)
{
    struct error err = { 0 };
    int code_before = adder->code;
    bool go_on = true;

    if (adder->count == 0)
        return true;
    adder->answered = false;
    adder->code = EXIT_CODE_OK;
    queue_set_redis(adder->queue, adder->session.redis); /* gone when the connection was lost */
    if (queue_add_jobs(adder->queue, adder->specs, adder->count, on_added, adder, &err) < 0) {
        adder->code = cli_call_refused(&adder->session, &err, "add jobs");
        go_on = false;
    } else {
        cli_session_wait(&adder->session, &adder->answered);
        go_on = adder->code == EXIT_CODE_OK || adder->code == EXIT_CODE_FAILED;
    }
    if (adder->code == EXIT_CODE_OK)
        adder->code = code_before;
    for (size_t i = 0; i < adder->count; i++)
        free(TAKE_PTR(adder->owned[i]));
    adder->count = adder->bytes = 0;
    return output_flush(&adder->out) && go_on;
}

/* Puts one job into the chunk. Takes `owned` (may be NULL). False when there is no use in going on.
 */
static bool put_job(struct adder *adder, struct bytes data, char *owned, uint64_t line)
{
    struct job_spec spec = adder->model;
    struct error err = { 0 };

    spec.data = data;
    if (job_spec_check(&spec, &err) < 0) {
        tell_bad(adder, line, err.text);
        free(owned);
        return true;
    }
    if (adder->count > 0 && adder->bytes + data.len > CHUNK_BYTES_MAX && !flush_chunk(adder)) {
        free(owned);
        return false;
    }
    adder->specs[adder->count] = spec;
    adder->owned[adder->count] = owned;
    adder->lines[adder->count] = line;
    adder->bytes += data.len;
    adder->count++;
    return adder->count < QUEUE_ADD_MAX || flush_chunk(adder);
}

/* ---- where the data comes from ---- */

/* Reads one line without its end into `out` (emptied). False at the end of the file. `*too_long`
 * when it did not fit. */
static bool read_line(FILE *file, struct buf *out, bool *too_long)
{
    bool any = false;
    int c;

    buf_reset(out);
    *too_long = false;
    while ((c = getc_unlocked(file)) != EOF) {
        any = true;
        if (c == '\n')
            break;
        if (!*too_long && buf_append_char(out, (char)c) < 0)
            *too_long = true;
    }
    return any;
}

static bool is_blank(const struct buf *line)
{
    return strspn(buf_text(line), " \t\r") == line->len;
}

static void add_lines(struct adder *adder, FILE *file)
{
    struct buf line = BUF_INIT(DATA_BYTES_MAX);
    bool too_long, go_on = true;
    uint64_t number = 0;

    while (go_on && read_line(file, &line, &too_long)) {
        size_t len = line.len;
        char *owned;

        number++;
        if (too_long) {
            tell_bad(adder, number, "longer than 64 MiB, or memory ran out");
            continue;
        }
        if (is_blank(&line))
            continue;
        owned = buf_take(&line);
        buf_init(&line, DATA_BYTES_MAX);
        if (!owned) {
            tell_bad(adder, number, "memory ran out");
            break;
        }
        go_on = put_job(adder, (struct bytes){ owned, len }, owned, number);
    }
    if (go_on)
        (void)flush_chunk(adder); /* its failure is in adder->code */
    if (ferror(file)) {
        output_error("read %s: %s", adder->values->lines, strerror(errno));
        adder->code = EXIT_CODE_FAILED;
    }
    buf_done(&line);
}

static void add_file(struct adder *adder)
{
    const char *path = adder->values->lines;
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");

    if (!file) {
        output_error("open %s: %s", path, strerror(errno));
        adder->code = EXIT_CODE_FAILED;
        return;
    }
    add_lines(adder, file);
    if (file != stdin)
        (void)fclose(file); /* was only read */
}

/* Reads DATA, - or @FILE. False (told) when it cannot be read or is not JSON. */
static bool read_data(const char *given, struct buf *out)
{
    struct error err = { 0 };
    int r;

    if (strcmp(given, "-") == 0)
        r = fd_read_all(STDIN_FILENO, out, &err);
    else if (*given == '@')
        r = fd_read_file(given + 1, out, &err);
    else
        r = buf_append_text(out, given) < 0 ? error_set(&err, -ENOMEM, "DATA is too long") : 0;
    if (r < 0) {
        output_error("data: %s", err.text);
        return false;
    }
    if (json_text_is_valid(buf_text(out), out->len))
        return true;
    output_error("the data is not JSON: %.60s%s\nJSON text needs its quotes, as in '\"text\"' or "
                 "'{\"key\": 1}'",
                 buf_text(out), out->len > 60 ? "..." : "");
    return false;
}

static void add_same(struct adder *adder)
{
    const struct add_values *values = adder->values;
    struct buf data = BUF_INIT(DATA_BYTES_MAX);
    uint64_t count = values->count.given ? values->count.value : 1;
    bool go_on = true;

    if (!read_data(values->data ? values->data : "{}", &data)) {
        adder->code = EXIT_CODE_FAILED;
        buf_done(&data);
        return;
    }
    for (uint64_t i = 0; go_on && i < count && adder->bad == 0; i++)
        go_on = put_job(adder, (struct bytes){ buf_text(&data), data.len }, NULL, 0);
    if (go_on)
        (void)flush_chunk(adder); /* its failure is in adder->code */
    buf_done(&data);
}

/* ---- the command ---- */

static void print_sum(const struct adder *adder, struct buf *out)
{
    const char *queue = queue_name(adder->queue);

    if (adder->added == 1)
        (void)buf_printf(out, "added job %s to queue ", adder->last_id);
    else if (adder->added > 1)
        (void)buf_printf(out, "added %" PRIu64 " jobs (%s to %s) to queue ", adder->added,
                         adder->first_id, adder->last_id);
    else if (adder->deduplicated == 1 && adder->duplicates == 0)
        (void)buf_printf(out, "job %s has that deduplication id, no other was added, in queue ",
                         adder->last_id);
    else if (adder->duplicates == 1 && adder->deduplicated == 0)
        (void)buf_printf(out, "job %s is there already, nothing was changed, in queue ",
                         adder->last_id);
    else
        (void)buf_append_text(out, "added no job to queue ");
    output_text(out, queue, strlen(queue));
    if (adder->added > 0 && adder->duplicates > 0)
        (void)buf_printf(out, "; %" PRIu64 " were there already", adder->duplicates);
    if (adder->deduplicated > (adder->added > 0 ? 0 : 1))
        (void)buf_printf(out, "; %" PRIu64 " were not, by their deduplication id",
                         adder->deduplicated);
    if (adder->bad > 0)
        (void)buf_printf(out, "; %" PRIu64 " bad", adder->bad);
    (void)buf_append_char(out, '\n');
}

/* The parent's key, where this queue lies. */
static int fill_parent(struct adder *adder, const struct cli_target *target,
                       const struct config_redis *endpoint, const char *queue_name_given)
{
    _cleanup_(freep) char *queue = NULL;
    struct error err = { 0 };
    const char *id;
    int code;

    if (!adder->values->parent)
        return 0;
    if (add_parse_parent(adder->values->parent, &queue, &id, &err) < 0)
        return cli_usage_error("add", "--parent: %s", err.text);
    code = cli_target_same(target, endpoint, queue_name_given, queue);
    if (code != 0)
        return code;
    adder->parent = text_format("%s:%s", endpoint->prefix, queue);
    adder->model.parent.id = add_bytes_of(id);
    adder->model.parent.queue = add_bytes_of(adder->parent);
    if (job_spec_check(&adder->model, &err) < 0)
        return cli_usage_error("add", "%s", err.text);
    return 0;
}

static int run(struct adder *adder, const struct cli_target *target, const char *queue_name_given)
{
    const struct config_redis *endpoint;
    const struct config_queue *known;
    struct error err = { 0 };
    int code = cli_target_find(target, queue_name_given, &endpoint, &known);

    if (code != 0)
        return code;
    if (known)
        add_fill_from_config(config_find_type(known, adder->model.name.data, adder->model.name.len),
                             &adder->model);
    code = fill_parent(adder, target, endpoint, queue_name_given);
    if (code == 0)
        code = cli_session_open(&adder->session, target, endpoint);
    if (code != 0)
        return code;
    if (queue_new(endpoint->prefix, queue_name_given, adder->session.redis, &adder->queue, &err) <
        0) {
        output_error("%s", err.text);
        return EXIT_CODE_FAILED;
    }
    if (known && known->wait_replicas > 0)
        queue_set_wait(adder->queue,
                       &(struct redis_wait){ known->wait_replicas, known->wait_timeout_ms });
    if (adder->values->lines)
        add_file(adder);
    else
        add_same(adder);
    if (!adder->values->json && (adder->code == EXIT_CODE_OK || adder->added > 0))
        print_sum(adder, &adder->out);
    if (!output_flush(&adder->out) && adder->code == EXIT_CODE_OK)
        adder->code = EXIT_CODE_FAILED;
    return adder->code;
}

static int cli_add(int argc, char **argv)
{
    struct add_values values = { 0 };
    struct cli_target target = { 0 };
    _cleanup_(freep) const char **words = calloc((size_t)argc, sizeof(*words));
    _cleanup_(freep) struct adder *adder = calloc(1, sizeof(*adder));
    size_t words_count = 0;
    enum cli_parsed parsed;
    int code;

    if (!words || !adder)
        return EXIT_CODE_FAILED;
    parsed = cli_parse("add", argc, argv, &values, words, &words_count);
    if (parsed != CLI_PARSED_GO_ON)
        return parsed == CLI_PARSED_HELP ? EXIT_CODE_OK : EXIT_CODE_USAGE;
    if (values.flow) {
        code = add_check_flow_values(&values, words_count);
        return code != 0 ? code : add_flow(&values.where, values.flow, values.json);
    }
    code = add_check_values(&values, words, words_count);
    if (code != 0)
        return code;
    adder->values = &values;
    adder->model = JOB_SPEC_INIT;
    adder->model.name = (struct bytes){ words[1], strlen(words[1]) };
    buf_init(&adder->out, (size_t)4 * 1024 * 1024);
    code = add_fill_model(&values, &adder->model);
    if (code == 0)
        code = cli_target_init(&target, "add", &values.where);
    if (code == 0)
        code = run(adder, &target, words[0]);
    cli_session_close(&adder->session);
    queue_free(adder->queue);
    free(adder->parent);
    cli_target_done(&target);
    buf_done(&adder->out);
    return code;
}
