/* queue-ops SOCKET PREFIX QUEUE VERB [ARGUMENT...]: one operation of change.h, bulk.h, settings.h
 * or orphans.h, as a program that links the engine does it. Prints its answer as one line: numbers
 * and ids joined by blanks. Exit 1: refused, with the reason; 2: not understood. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/queue/bulk.h"
#include "common/queue/orphans.h"
#include "common/queue/settings.h"
#include "tests/lua/add/queue_rig.h"

static struct queue *queue;
static struct error error;
static int failed;

static bool note(const struct call_result *call)
{
    if (call->outcome == REDIS_REPLY)
        return true;
    (void)fprintf(stderr, "%s\n", call->why);
    failed = 1;
    return false;
}

static void on_done(struct queue *from, const struct call_result *call, int64_t value, void *arg)
{
    (void)from;
    (void)arg;
    if (note(call))
        (void)printf("%lld\n", (long long)value);
}

static void on_removed(struct queue *from, const struct call_result *call,
                       const struct remove_result *result, void *arg)
{
    (void)from;
    (void)arg;
    if (note(call))
        (void)printf("%d %llu\n", (int)result->code, (unsigned long long)result->removed);
}

static void on_bulk(struct queue *from, const struct call_result *call,
                    const struct bulk_result *result, void *arg)
{
    (void)from;
    (void)arg;
    if (note(call))
        (void)printf("%llu %llu %d\n", (unsigned long long)result->done,
                     (unsigned long long)result->passed, (int)result->refusal);
}

static struct orphans_result orphans;

static void on_piece(struct queue *from, const struct call_result *call,
                     const struct orphans_result *result, void *arg)
{
    (void)from;
    (void)arg;
    (void)note(call);
    orphans = *result;
}

static int look_for_orphans(enum orphan_action action)
{
    const struct orphans_spec spec = { action, NULL };
    struct orphan_look *look = NULL;
    int r = orphan_look_new(queue, &spec, &look, &error);

    while (r == 0 && !failed && !orphans.complete) {
        r = orphan_look_step(look, on_piece, NULL, &error);
        (void)queue_rig_run();
    }
    orphan_look_free(look);
    if (r == 0 && !failed)
        (void)printf("%llu %llu %llu\n", (unsigned long long)orphans.found,
                     (unsigned long long)orphans.settled, (unsigned long long)orphans.changed);
    return r;
}

/* ---- verbs ---- */

struct words {
    const char *at[64];
    size_t count;
};

static bool has(const struct words *words, const char *word)
{
    for (size_t i = 0; i < words->count; i++) {
        if (strcmp(words->at[i], word) == 0)
            return true;
    }
    return false;
}

static uint64_t number(const struct words *words, size_t i)
{
    return i < words->count ? strtoull(words->at[i], NULL, 10) : 0;
}

static struct retry_spec retry_of(const struct words *words)
{
    return (struct retry_spec){ has(words, "completed") ? RETRY_COMPLETED : RETRY_FAILED,
                                has(words, "made"), has(words, "started") };
}

static int do_job(const char *verb, const char *id, const struct words *words)
{
    const struct retry_spec retry = retry_of(words);
    const char *text = words->count > 0 ? words->at[0] : "";

    if (strcmp(verb, "promote") == 0)
        return queue_promote_job(queue, id, on_done, NULL, &error);
    if (strcmp(verb, "retry") == 0)
        return queue_retry_job(queue, id, &retry, on_done, NULL, &error);
    if (strcmp(verb, "priority") == 0)
        return queue_change_priority(queue, id, number(words, 0), has(words, "lifo"), on_done, NULL,
                                     &error);
    if (strcmp(verb, "delay") == 0)
        return queue_change_delay(queue, id, number(words, 0), on_done, NULL, &error);
    if (strcmp(verb, "data") == 0)
        return queue_update_data(queue, id, text, strlen(text), on_done, NULL, &error);
    if (strcmp(verb, "progress") == 0)
        return queue_update_progress(queue, id, text, strlen(text), on_done, NULL, &error);
    if (strcmp(verb, "log") == 0)
        return queue_add_log(queue, id, text, strlen(text), -1, on_done, NULL, &error);
    if (strcmp(verb, "clear-logs") == 0)
        return queue_clear_logs(queue, id, number(words, 0), on_done, NULL, &error);
    if (strcmp(verb, "remove") == 0)
        return queue_remove_job(queue, id, has(words, "children"), on_removed, NULL, &error);
    if (strcmp(verb, "remove-unprocessed") == 0)
        return queue_remove_unprocessed_children(queue, id, on_removed, NULL, &error);
    if (strcmp(verb, "detach") == 0)
        return queue_remove_child_dependency(queue, id, on_done, NULL, &error);
    if (strcmp(verb, "undedup") == 0)
        return queue_remove_deduplication_key(queue, id, on_done, NULL, &error);
    if (strcmp(verb, "release") == 0)
        return queue_release_deduplication(queue, id, on_done, NULL, &error);
    return error_set(&error, -EINVAL, "no verb %s", verb);
}

static int do_queue(const char *verb, const struct words *words)
{
    struct bulk_run run = { .piece = 7, .on_done = on_bulk };
    struct clean_spec clean = { .grace_ms = number(words, 1) };
    const struct retry_spec retry = retry_of(words);

    if (strcmp(verb, "pause") == 0)
        return queue_pause(queue, on_done, NULL, &error);
    if (strcmp(verb, "resume") == 0)
        return queue_resume(queue, on_done, NULL, &error);
    if (strcmp(verb, "drain") == 0)
        return queue_drain(queue, has(words, "delayed"), &run, &error);
    if (strcmp(verb, "clean") == 0) {
        run.limit = number(words, 2);
        if (queue_state_parse(words->at[0], &clean.state, &error) < 0)
            return -EINVAL;
        return queue_clean(queue, &clean, &run, &error);
    }
    if (strcmp(verb, "obliterate") == 0)
        return queue_obliterate(queue, has(words, "force"), &run, &error);
    if (strcmp(verb, "retry-many") == 0)
        return queue_retry_jobs(queue, &retry, 0, &run, &error);
    if (strcmp(verb, "promote-many") == 0)
        return queue_promote_jobs(queue, &run, &error);
    if (strcmp(verb, "concurrency") == 0)
        return words->count > 0
                   ? queue_set_global_concurrency(queue, number(words, 0), on_done, NULL, &error)
                   : queue_remove_global_concurrency(queue, on_done, NULL, &error);
    if (strcmp(verb, "rate-limit") == 0)
        return words->count > 0
                   ? queue_set_global_rate_limit(queue, number(words, 0), number(words, 1), on_done,
                                                 NULL, &error)
                   : queue_remove_global_rate_limit(queue, on_done, NULL, &error);
    if (strcmp(verb, "limit-now") == 0)
        return queue_limit_rate_now(queue, number(words, 0), on_done, NULL, &error);
    if (strcmp(verb, "limit-end") == 0)
        return queue_remove_rate_limit(queue, on_done, NULL, &error);
    if (strcmp(verb, "limit-ttl") == 0)
        return queue_get_rate_limit_ttl(queue, number(words, 0), on_done, NULL, &error);
    if (strcmp(verb, "trim") == 0)
        return queue_trim_events(queue, number(words, 0), on_done, NULL, &error);
    if (strcmp(verb, "orphans") == 0)
        return look_for_orphans(has(words, "repair")   ? ORPHANS_REPAIR
                                : has(words, "remove") ? ORPHANS_REMOVE
                                                       : ORPHANS_REPORT);
    return do_job(verb, words->count > 0 ? words->at[0] : "",
                  &(struct words){ .count = words->count > 1 ? words->count - 1 : 0,
                                   .at = { words->count > 1 ? words->at[1] : NULL,
                                           words->count > 2 ? words->at[2] : NULL,
                                           words->count > 3 ? words->at[3] : NULL } });
}

int main(int argc, char **argv)
{
    struct words words = { 0 };
    int r;

    if (argc < 5)
        return 2;
    for (int i = 5; i < argc && words.count < 64; i++)
        words.at[words.count++] = argv[i];
    queue_rig_attach(argv[1]);
    r = queue_new(argv[2], argv[3], queue_rig_redis(), &queue, &error);
    if (r == 0)
        r = do_queue(argv[4], &words);
    (void)queue_rig_run();
    if (r < 0) {
        (void)fprintf(stderr, "%s\n", error.text);
        return 2;
    }
    return failed;
}
