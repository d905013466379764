#include "supervisor/cli/verb.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "common/base/exit_code.h"
#include "common/base/fd.h"
#include "common/base/json_text.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "supervisor/cli/output.h"
#include "supervisor/cli/queues.h"

#define OUTPUT_BYTES_MAX ((size_t)512 * 1024 * 1024)
#define INPUT_BYTES_MAX  ((size_t)64 * 1024 * 1024)
#define FOUND_MAX        16 /* queues with a job of one id that are named */

/* ---- telling ---- */

int verb_usage_error(const struct verb *verb, const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args); /* may be cut */
    va_end(args);
    return cli_usage_error(verb->command->name, "%s", text);
}

int verb_finish(struct verb *verb, int r, const struct error *err, const char *what)
{
    if (r < 0 && err->code == -EINVAL)
        return verb_usage_error(verb, "%s", err->text);
    if (r < 0)
        return cli_call_refused(&verb->session, err, what);
    cli_session_wait(&verb->session, &verb->answered);
    verb->answered = false;
    return verb->code;
}

bool verb_answered(struct verb *verb, const struct call_result *call, const char *what)
{
    verb->answered = true;
    if (call->outcome == REDIS_REPLY)
        return true;
    verb->code = cli_call_failed(&verb->session, call, what);
    return false;
}

void verb_on_done(struct queue *queue, const struct call_result *call, int64_t value, void *arg)
{
    struct verb *verb = arg;

    (void)queue;
    if (verb_answered(verb, call, verb->command->summary) && verb->state)
        *(int64_t *)verb->state = value;
}

/* ---- words ---- */

int verb_parse_number(const struct verb *verb, const char *what, const char *text, uint64_t *out)
{
    if (text_parse_uint(text, strlen(text), out) < 0)
        return verb_usage_error(verb, "%s needs a whole number, not \"%s\"", what, text);
    return 0;
}

int verb_parse_duration(const struct verb *verb, const char *what, const char *text, uint64_t *out)
{
    struct error err = { 0 };

    if (units_parse_duration(text, out, &err) < 0)
        return verb_usage_error(verb, "%s: %s", what, err.text);
    return 0;
}

int verb_read_text(const struct verb *verb, const char *word, struct buf *out)
{
    struct error err = { 0 };

    (void)verb;
    *out = BUF_INIT(INPUT_BYTES_MAX);
    if (strcmp(word, "-") != 0 && *word != '@')
        return buf_append_text(out, word) < 0 ? EXIT_CODE_FAILED : 0;
    if ((*word == '@' ? fd_read_file(word + 1, out, &err) : fd_read_all(STDIN_FILENO, out, &err)) >=
        0)
        return 0;
    output_error("%s", err.text);
    return EXIT_CODE_FAILED;
}

int verb_read_json(const struct verb *verb, const char *word, struct buf *out)
{
    int code = verb_read_text(verb, word, out);

    if (code == 0 && !json_text_is_valid(buf_text(out), out->len)) {
        output_error("%s is not valid JSON", *word == '@' || strcmp(word, "-") == 0 ? word : "it");
        code = EXIT_CODE_FAILED;
    }
    return code;
}

/* ---- queues ---- */

int verb_change_queue(struct verb *verb, const char *name)
{
    struct error err = { 0 };

    queue_free(TAKE_PTR(verb->queue));
    if (queue_new(verb->session.endpoint->prefix, name, verb->session.redis, &verb->queue, &err) <
        0)
        return verb_usage_error(verb, "%s", err.text);
    verb->queue_name = name;
    return 0;
}

int verb_open_queue(struct verb *verb, const char *name)
{
    const struct config_redis *endpoint;
    const struct config_queue *queue;
    struct error err = { 0 };
    struct queue *checked = NULL;
    int code = cli_target_find(&verb->target, name, &endpoint, &queue);

    if (code != 0)
        return code;
    /* A wrong name is told before anything is connected. */
    if (queue_new(endpoint->prefix, name, NULL, &checked, &err) < 0)
        return verb_usage_error(verb, "%s", err.text);
    queue_free(checked);
    code = cli_session_open(&verb->session, &verb->target, endpoint);
    if (code == 0)
        code = verb_change_queue(verb, name);
    if (code == 0 && queue && queue->wait_replicas > 0)
        queue_set_wait(verb->queue,
                       &(struct redis_wait){ queue->wait_replicas, queue->wait_timeout_ms });
    return code;
}

void verb_close(struct verb *verb)
{
    queue_free(TAKE_PTR(verb->queue));
    cli_session_close(&verb->session);
}

/* ---- the queue of a job ---- */

struct finder {
    char *queues[FOUND_MAX];
    const struct config_redis *endpoints[FOUND_MAX];
    size_t count;
};

static void on_finished(struct queue *queue, const struct call_result *call,
                        enum job_finished finished, struct bytes value, void *arg)
{
    struct verb *verb = arg;

    (void)queue;
    (void)value;
    if (verb_answered(verb, call, "look for the job"))
        *(bool *)verb->state = finished != JOB_GONE;
}

static int look_into(struct verb *verb, const char *name, const char *id, struct finder *finder)
{
    struct error err = { 0 };
    bool found = false;
    int code = verb_change_queue(verb, name);

    if (code != 0)
        return code;
    verb->state = &found;
    code = verb_finish(verb, queue_is_finished(verb->queue, id, on_finished, verb, &err), &err,
                       "look for the job");
    verb->state = NULL;
    if (code != 0 || !found || finder->count == FOUND_MAX)
        return code;
    finder->endpoints[finder->count] = verb->session.endpoint;
    finder->queues[finder->count] = strdup(name);
    return finder->queues[finder->count++] ? 0 : EXIT_CODE_FAILED;
}

static int look_through(struct verb *verb, const struct config_redis *endpoint, const char *id,
                        struct finder *finder)
{
    struct cli_names names = { 0 };
    int code = cli_session_open(&verb->session, &verb->target, endpoint);

    if (code == 0)
        code = cli_find_queues(&verb->session, &names);
    for (size_t i = 0; code == 0 && i < names.count; i++)
        code = look_into(verb, names.items[i], id, finder);
    verb_close(verb);
    cli_names_done(&names);
    return code;
}

/* Exactly one is good. */
static int judge(const struct finder *finder, const char *id)
{
    struct buf names = BUF_INIT(4096);

    if (finder->count == 1)
        return 0;
    if (finder->count == 0) {
        output_error("there is no job %s in any queue\nit may have been removed after it ended "
                     "(keep rules)",
                     id);
        return EXIT_CODE_FAILED;
    }
    for (size_t i = 0; i < finder->count; i++)
        (void)buf_printf(&names, "%s%s", i > 0 ? ", " : "", finder->queues[i]);
    output_error("there is a job %s in more than one queue: %s\nsay which is meant with --queue",
                 id, buf_text(&names));
    buf_done(&names);
    return EXIT_CODE_FAILED;
}

int verb_open_job(struct verb *verb, const char *id)
{
    const struct config *config = verb->target.config;
    struct finder finder = { 0 };
    int code = 0;

    if (verb->values.queue)
        return verb_open_queue(verb, verb->values.queue);
    if (config && config->queues_count == 1)
        return verb_open_queue(verb, config->queues[0].name);
    if (!config)
        code = look_through(verb, &verb->target.own, id, &finder);
    for (size_t i = 0; config && code == 0 && i < config->redis_count; i++)
        code = look_through(verb, &config->redis[i], id, &finder);
    if (code == 0)
        code = judge(&finder, id);
    if (code == 0)
        code = cli_session_open(&verb->session, &verb->target, finder.endpoints[0]);
    if (code == 0)
        code = verb_change_queue(verb, finder.queues[0]);
    /* The name is borrowed from here on: the queue's own copy lives as long. */
    if (code == 0)
        verb->queue_name = queue_name(verb->queue);
    for (size_t i = 0; i < finder.count; i++)
        free(finder.queues[i]);
    return code;
}

/* ---- running ---- */

static int check_words(const struct verb *verb)
{
    const struct cli_command *command = verb->command;

    if (verb->words_count < command->words_min) {
        const char *usage = strchr(command->usage, '\n');

        return verb_usage_error(
            verb, "something is missing: %.*s",
            (int)(usage ? usage - command->usage : (ptrdiff_t)strlen(command->usage)),
            command->usage);
    }
    if (verb->words_count > command->words_max)
        return verb_usage_error(verb, "\"%s\" is one word too many",
                                verb->words[command->words_max]);
    for (size_t i = 0; i < verb->words_count && i < command->words_min; i++) {
        if (!*verb->words[i])
            return verb_usage_error(verb, "word %zu is empty", i + 1);
    }
    return 0;
}

static int act(struct verb *verb)
{
    int code = cli_target_init(&verb->target, verb->command->name, &verb->values.where);

    if (code == 0)
        code = verb->command->act(verb);
    if (verb->out.len > 0 && !output_flush(&verb->out) && code == 0)
        code = EXIT_CODE_FAILED;
    verb_close(verb);
    cli_target_done(&verb->target);
    return code;
}

int cli_run_verb(int argc, char **argv)
{
    struct verb verb = { .command = cli_find_command(argv[0]), .out = BUF_INIT(OUTPUT_BYTES_MAX) };
    _cleanup_(freep) const char **words = calloc((size_t)argc, sizeof(*words));
    enum cli_parsed parsed;
    int code;

    if (!words)
        return EXIT_CODE_FAILED;
    parsed = cli_parse(argv[0], argc, argv, &verb.values, words, &verb.words_count);
    if (parsed != CLI_PARSED_GO_ON)
        return parsed == CLI_PARSED_HELP ? EXIT_CODE_OK : EXIT_CODE_USAGE;
    verb.words = words;
    code = check_words(&verb);
    if (code == 0)
        code = act(&verb);
    buf_done(&verb.out);
    return code;
}
