/* drover queue workers: who is connected for a queue. */
#include <string.h>

#include "supervisor/cli/output.h"
#include "supervisor/cli/queue_verbs.h"
#include "supervisor/cli/verb.h"

static const struct cli_operand queue_operand[] = {
    { .name = "QUEUE", .value = CLI_VALUE_QUEUE },
};
static const struct cli_option plain_options[] = {
    VERB_JSON,
    CLI_WHERE_OPTIONS(struct verb_values),
};

struct workers {
    struct verb *verb;
    struct output_table table;
    size_t count;
};

static void print_client(struct workers *workers, const struct client_entry *client,
                         const char *kind)
{
    struct buf *out = &workers->verb->out;
    char text[OUTPUT_AGE_BYTES];

    if (workers->verb->values.json) {
        (void)buf_append_text(out, workers->count++ > 0 ? ",{" : "{");
        output_member_text(out, true, "kind", kind, strlen(kind));
        output_member_text(out, false, "name", client->name, strlen(client->name));
        output_member_text(out, false, "address", client->address, strlen(client->address));
        output_member_text(out, false, "raw_name", client->raw_name, strlen(client->raw_name));
        output_member_number(out, false, "age_ms", client->age_s * 1000);
        output_member_number(out, false, "idle_ms", client->idle_s * 1000);
        (void)buf_append_char(out, '}');
        return;
    }
    workers->count++;
    output_table_cell(&workers->table, kind);
    output_table_cell(&workers->table, *client->name ? client->name : "-");
    output_table_cell(&workers->table, client->address);
    output_table_cell(&workers->table, output_age(client->age_s * 1000, text));
    output_table_cell(&workers->table, output_age(client->idle_s * 1000, text));
}

static void on_worker_clients(struct queue *queue, const struct call_result *call,
                              const struct client_entry *clients, size_t count, void *arg)
{
    struct workers *workers = arg;

    (void)queue;
    if (!verb_answered(workers->verb, call, "list the workers"))
        return;
    for (size_t i = 0; i < count; i++)
        print_client(workers, &clients[i], "worker");
}

static void on_listener_clients(struct queue *queue, const struct call_result *call,
                                const struct client_entry *clients, size_t count, void *arg)
{
    struct workers *workers = arg;

    (void)queue;
    if (!verb_answered(workers->verb, call, "list who listens"))
        return;
    for (size_t i = 0; i < count; i++)
        print_client(workers, &clients[i], "listener");
}

static int list_clients(struct workers *workers)
{
    struct verb *verb = workers->verb;
    struct error err = { 0 };
    int code = verb_finish(
        verb, queue_list_clients(verb->queue, CLIENT_WORKERS, on_worker_clients, workers, &err),
        &err, "list the workers");

    if (code == 0)
        code = verb_finish(verb,
                           queue_list_clients(verb->queue, CLIENT_QUEUE_EVENTS, on_listener_clients,
                                              workers, &err),
                           &err, "list who listens");
    return code;
}

static int act_workers(struct verb *verb)
{
    static const bool right[] = { false, false, false, true, true };
    static const char *const heads[] = { "KIND", "NAME", "ADDRESS", "CONNECTED", "IDLE" };
    struct workers workers = { .verb = verb };
    int code = verb_open_queue(verb, verb->words[0]);

    if (code != 0)
        return code;
    output_table_init(&workers.table, ARRAY_SIZE(right), right);
    for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
        output_table_cell(&workers.table, heads[i]);
    (void)buf_append_text(&verb->out, verb->values.json ? "{\"clients\":[" : "");
    code = list_clients(&workers);
    if (verb->values.json)
        (void)buf_append_text(&verb->out, "]}\n");
    else if (workers.count > 0)
        output_table_print(&workers.table, &verb->out);
    else
        (void)buf_append_text(&verb->out, "no worker and no listener is connected\n");
    if (code != 0)
        buf_reset(&verb->out);
    output_table_done(&workers.table);
    return code;
}

const struct cli_command cli_queue_workers_verb = VERB_ROW(
    "queue workers", "lists who is connected for a queue: workers and listeners",
    "drover queue workers [OPTION...] QUEUE",
    "By the names of their connections, stock BullMQ workers and QueueEvents included.\n"
    "drover ps tells more of drover's own processes.",
    "an example\ndrover queue workers mail\n", plain_options, queue_operand, 1, 1, act_workers);
