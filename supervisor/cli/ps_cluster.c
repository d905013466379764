/* drover ps --cluster: the registry of worker processes in Redis. */
#include <string.h>

#include "common/base/exit_code.h"
#include "common/base/text.h"
#include "supervisor/cli/output.h"
#include "supervisor/cli/ps.h"
#include "supervisor/cli/queues.h"

struct look {
    struct cli_session *session;
    const char *queue;
    json_t *processes;
    char what[256];
    bool answered;
    int code;
};

/* What a process wrote of itself; up to the first byte that is not UTF-8. */
static json_t *text_of(const char *text)
{
    return json_stringn(text ? text : "", text ? text_utf8_prefix(text, strlen(text)) : 0);
}

json_t *ps_cluster_row(const char *queue, const struct worker_entry *entry)
{
    const struct worker_identity *who = &entry->identity;

#define NUMBER(value) (json_int_t)(value)
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o,"
        " s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}",
        "host", text_of(who->host), "machine", text_of(who->machine), "boot", text_of(who->boot),
        "queue", text_of(queue), "uuid", text_of(entry->uuid), "master", text_of(who->master),
        "version", text_of(who->version), "pid_space", NUMBER(who->pid_space), "pid",
        NUMBER(who->pid), "start_ticks", NUMBER(who->start_ticks), "slot", NUMBER(who->slot),
        "slots", NUMBER(who->slots), "generation", NUMBER(who->generation), "started_at_ms",
        NUMBER(who->started_at_ms), "running", NUMBER(who->running), "completed",
        NUMBER(who->completed), "failed", NUMBER(who->failed), "beat", NUMBER(entry->beat),
        "beat_age_ms", NUMBER(entry->beat_age_ms), "silent", entry->beat_age_ms > PS_SILENT_MS);
#undef NUMBER
}

static void on_workers(struct queue *queue, const struct call_result *call,
                       const struct worker_entry *entries, size_t count, void *arg)
{
    struct look *look = arg;

    (void)queue;
    look->answered = true;
    if (call->outcome != REDIS_REPLY) {
        look->code = cli_call_failed(look->session, call, look->what);
        return;
    }
    for (size_t i = 0; look->code == 0 && i < count; i++) {
        if (json_array_append_new(look->processes, ps_cluster_row(look->queue, &entries[i])) < 0) {
            output_error("memory ran out");
            look->code = EXIT_CODE_FAILED;
        }
    }
}

static int look_at_queue(struct cli_session *session, const char *name, json_t *processes)
{
    struct look look = { .session = session, .queue = name, .processes = processes };
    struct queue *queue = NULL;
    struct error err = { 0 };

    if (queue_new(session->endpoint->prefix, name, session->redis, &queue, &err) < 0)
        return cli_usage_error("ps", "%s", err.text);
    (void)snprintf(look.what, sizeof(look.what), "list the workers of queue %.200s", name);
    if (queue_list_workers(queue, on_workers, &look, &err) < 0)
        look.code = cli_call_refused(session, &err, look.what);
    else
        cli_session_wait(session, &look.answered);
    queue_free(queue);
    return look.code;
}

static int look_at_endpoint(const struct cli_target *target, const struct config_redis *endpoint,
                            const char *const *names, size_t names_count, json_t *processes)
{
    struct cli_names queues = { 0 };
    struct cli_session session;
    int code = cli_session_open(&session, target, endpoint);

    if (code == 0)
        code = cli_pick_queues(&session, names, names_count, &queues);
    for (size_t i = 0; code == 0 && i < queues.count; i++)
        code = look_at_queue(&session, queues.items[i], processes);
    cli_names_done(&queues);
    cli_session_close(&session);
    return code;
}

int ps_look_at_cluster(const struct cli_target *target, const char *const *names,
                       size_t names_count, json_t *processes)
{
    int code = cli_check_names(target, names, names_count);

    if (code == 0 && !target->config)
        return look_at_endpoint(target, &target->own, names, names_count, processes);
    for (size_t i = 0; code == 0 && i < target->config->redis_count; i++) {
        const struct config_redis *endpoint = &target->config->redis[i];

        if (cli_is_wanted(target, names, names_count, endpoint))
            code = look_at_endpoint(target, endpoint, names, names_count, processes);
    }
    return code;
}
