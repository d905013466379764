/* drover/queue.h on a Redis Cluster: a tree and a child over queues of one slot are added, over
 * several they are refused and nothing is left of them. */
#include <criterion/criterion.h>
#include <drover/queue.h>
#include <signal.h>

#include "tests/support/redis_sets.h"

static struct redis_nodes nodes;
static uv_loop_t loop;
static struct drover_connection *connection;
static struct drover_queue *queue;
static bool ready, closed;

static void on_state(struct drover_connection *from, enum drover_state state, const char *why,
                     void *arg)
{
    (void)from;
    (void)why;
    (void)arg;
    ready |= state == DROVER_READY;
    closed |= state == DROVER_CLOSED;
}

static void run_until(const bool *done)
{
    while (!*done && uv_run(&loop, UV_RUN_ONCE))
        ;
    cr_assert(*done, "the loop has nothing left to do");
}

static void open_queue(const char *prefix)
{
    struct drover_error error;

    drover_queue_free(queue);
    cr_assert(drover_queue_new(connection, prefix, "q", &queue, &error) == 0, "%s", error.text);
}

static void setup(void)
{
    struct drover_connection_options options = { .on_state = on_state };
    struct drover_error error;
    char url[128];

    (void)signal(SIGPIPE, SIG_IGN);
    redis_nodes_start(&nodes, 3, /* replicas= */ false);
    (void)snprintf(url, sizeof(url), "redis+cluster://127.0.0.1:%u", nodes.servers[0].port);
    options.url = url;
    cr_assert(uv_loop_init(&loop) == 0);
    cr_assert(drover_connect(&loop, &options, &connection, &error) == 0, "%s", error.text);
    run_until(&ready);
    open_queue("{bull}");
}

static void teardown(void)
{
    drover_queue_free(queue);
    drover_disconnect(connection);
    cr_expect(uv_run(&loop, UV_RUN_DEFAULT) == 0);
    cr_expect(closed && uv_loop_close(&loop) == 0);
    redis_nodes_stop(&nodes);
}

TestSuite(library_cluster, .init = setup, .fini = teardown, .timeout = 120);

static struct {
    bool done;
    enum drover_outcome outcome;
    enum drover_add_code code;
    char why[256]; /* of the call, or of the first job */
} last;

static void on_added(struct drover_queue *from, const struct drover_answer *answer,
                     const struct drover_added *results, size_t count, void *arg)
{
    (void)from;
    (void)arg;
    last.done = true;
    last.outcome = answer->outcome;
    last.code = count > 0 ? results[0].code : DROVER_ADDED;
    (void)snprintf(last.why, sizeof(last.why), "%s", count > 0 ? results[0].why : answer->why);
}

static long long keys_in_all(void)
{
    long long all = 0;

    for (size_t i = 0; i < nodes.masters; i++)
        all += redis_server_number(&nodes.servers[i], "DBSIZE");
    return all;
}

static size_t owner_of(const char *key)
{
    return redis_nodes_owner(
        &nodes, (unsigned int)redis_server_number(&nodes.servers[0], "CLUSTER KEYSLOT %s", key));
}

static int add_flow(const char *one, const char *other, struct drover_error *error)
{
    struct drover_flow_node kids[2] = { { .queue = one, .job = drover_job("a", NULL) },
                                        { .queue = other, .job = drover_job("b", NULL) } };
    struct drover_flow_node root = { .job = drover_job("r", NULL),
                                     .children = kids,
                                     .children_count = 2 };

    last.done = false;
    return drover_add_flow(queue, &root, on_added, NULL, error);
}

Test(library_cluster, flow_of_one_slot)
{
    struct drover_error error;

    cr_assert(add_flow("p", "r", &error) == 0, "%s", error.text);
    run_until(&last.done);
    cr_expect(last.outcome == DROVER_DONE && last.code == DROVER_ADDED, "%s", last.why);
    cr_expect(redis_server_number(&nodes.servers[owner_of("{bull}:q:id")], "LLEN {bull}:p:wait") ==
              1);
}

Test(library_cluster, flow_of_several_slots_is_refused_whole)
{
    struct drover_error error = { 0 };

    open_queue("bull");
    if (add_flow("one", "two", &error) == 0) {
        run_until(&last.done);
        cr_expect(last.outcome == DROVER_REFUSED, "%s", last.why);
        (void)snprintf(error.text, sizeof(error.text), "%s", last.why);
    }
    cr_expect(strstr(error.text, "slot"), "%s", error.text);
    cr_expect(keys_in_all() == 0);
}

Test(library_cluster, child_of_a_parent_elsewhere_is_refused_alone)
{
    struct drover_job jobs[2] = { drover_job("kid", NULL), drover_job("other", NULL) };
    struct drover_error error;
    char place[32], key[48];

    for (int i = 0;; i++) { /* one that another node has */
        (void)snprintf(place, sizeof(place), "{%d}:p", i);
        (void)snprintf(key, sizeof(key), "%s:dad", place);
        if (owner_of(key) != owner_of("{bull}:q:id"))
            break;
    }
    redis_server_do(&nodes.servers[owner_of(key)], "HSET %s name dad", key);
    jobs[0].parent_id = drover_text("dad");
    jobs[0].parent_queue = drover_text(place);
    last.done = false;
    cr_assert(drover_add(queue, jobs, 2, on_added, NULL, &error) == 0);
    run_until(&last.done);
    cr_expect(last.outcome == DROVER_DONE && last.code == DROVER_ADD_UNSTORED);
    cr_expect(strstr(last.why, "can not be reached"), "%s", last.why);
    cr_expect(redis_server_number(&nodes.servers[owner_of("{bull}:q:id")], "LLEN {bull}:q:wait") ==
              1);
}
