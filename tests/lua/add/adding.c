#include "tests/lua/add/adding.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

struct queue *adding_queue;
struct added added;

void adding_setup(void)
{
    struct error err;

    queue_rig_start();
    cr_assert(queue_new("bull", "q", queue_rig_redis(), &adding_queue, &err) == 0);
}

void adding_teardown(void)
{
    queue_free(adding_queue);
    queue_rig_stop();
}

void adding_on_added(struct queue *from, const struct call_result *call,
                     const struct add_result *results, size_t count, void *arg)
{
    (void)arg;
    cr_assert(from == adding_queue);
    added.calls++;
    added.call = *call;
    (void)snprintf(added.why, sizeof(added.why), "%s", call->why);
    added.count = count;
    for (size_t i = 0; i < count; i++) {
        const struct add_result *result = &results[i];

        cr_assert(result->why && (result->code == ADD_OK || !result->id));
        (void)snprintf(added.ids[i], sizeof(added.ids[i]), "%s",
                       result->id ? result->id : result->why);
        added.code[i] = result->code;
        added.duplicate[i] = result->duplicate;
        added.deduplicated[i] = result->deduplicated;
        added.next[i] = result->kept_as_next;
        added.refused[i] = !result->id;
    }
}

struct bytes text(const char *from)
{
    return (struct bytes){ .data = from, .len = strlen(from) };
}

struct job_spec plain(const char *name)
{
    struct job_spec spec = JOB_SPEC_INIT;

    spec.name = text(name);
    spec.timestamp_ms = AT_MS;
    return spec;
}

static void await(int calls)
{
    cr_assert(added.calls == calls, "the callback ran inside the call");
    (void)queue_rig_run();
    cr_assert(added.calls == calls + 1);
}

void add(const struct job_spec *specs, size_t count)
{
    struct error err = { 0 };
    int calls = added.calls;

    cr_assert(queue_add_jobs(adding_queue, specs, count, adding_on_added, NULL, &err) == 0, "%s",
              err.text);
    await(calls);
}

void add_flow(const struct flow_node *root)
{
    struct error err = { 0 };
    int calls = added.calls;

    cr_assert(queue_add_flow(adding_queue, root, adding_on_added, NULL, &err) == 0, "%s", err.text);
    await(calls);
}

const char *events(const char *name)
{
    static char out[65536];
    char *from = strdup(redis_says("XRANGE bull:%s:events - +", name));
    size_t len = 0;

    out[0] = '\0';
    /* An id is a word of digits with one hyphen, 13 digits in front. */
    for (char *word = strtok(from, " "); word; word = strtok(NULL, " ")) {
        if (strspn(word, "0123456789") == 13 && word[13] == '-')
            len += (size_t)snprintf(out + len, sizeof(out) - len, "|");
        else
            len += (size_t)snprintf(out + len, sizeof(out) - len, "%s ", word);
    }
    free(from);
    return out;
}
