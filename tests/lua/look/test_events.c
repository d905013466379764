/* The followers of events.h against a real Redis (wire format 11). */
#include <inttypes.h>
#include <stdlib.h>

#include "common/queue/events.h"
#include "tests/lua/look/get_case.h"

TestSuite(events, .init = setup, .fini = teardown, .timeout = 60);

/* ---- events ---- */

static size_t events_wanted; /* the callback stops when so many were told */
static size_t events_told;

static bool on_events(struct queue *from, const struct queue_event *events, size_t count,
                      uint64_t lost, void *arg)
{
    (void)from;
    (void)arg;
    if (lost == QUEUE_EVENTS_LOST_UNKNOWN)
        (void)buf_append_text(&seen, "-some ");
    else if (lost > 0)
        (void)buf_printf(&seen, "-%" PRIu64 " ", lost);
    if (count == 0)
        (void)buf_append_text(&seen, "quiet ");
    for (size_t i = 0; i < count; i++) {
        put(events[i].event);
        (void)buf_append_char(&seen, ':');
        put(events[i].job_id);
        (void)buf_append_char(&seen, ' ');
    }
    events_told += count;
    return events_told < events_wanted;
}

static void on_end(struct queue *from, const struct call_result *call, void *arg)
{
    (void)from;
    (void)arg;
    if (is_reply(call))
        (void)buf_append_text(&seen, "end");
}

static int follow(const char *id, size_t batch, size_t wanted, struct error *err)
{
    const struct events_from from = { .id = id, .batch = batch };
    struct queue_follow *ignored;

    events_told = 0;
    events_wanted = wanted;
    return queue_follow_events(queue, queue_rig_redis(), &from, on_events, on_end, NULL, &ignored,
                               err);
}

static void add_event(unsigned int at, const char *what, const char *job)
{
    redis_says("XADD bull:q:events %u-0 event %s jobId %s", at, what, job);
}

Test(events, events_from_the_oldest_in_batches)
{
    for (unsigned int i = 1; i <= 5; i++)
        add_event(i, "added", "x");
    tells("added:x added:x added:x added:x added:x end", follow("0", 2, 5, &err));
    tells("added:x added:x end", follow("3-0", 2, 2, &err));
    refuses("no id of an event", follow("x", 2, 5, &err));
    refuses("1 to 1000", follow("0", 0, 5, &err));
}

static void add_in_between(void)
{
    queue_rig_between(NULL);
    add_event(7, "completed", "y");
}

Test(events, events_from_now_on_miss_nothing)
{
    add_event(1, "added", "x");
    queue_rig_between(add_in_between); /* after the end was looked for */
    tells("quiet completed:y end", follow("$", 10, 1, &err));
}

static int in_between;

static void trim_in_between(void)
{
    if (++in_between != 1)
        return;
    for (unsigned int i = 11; i <= 16; i++)
        add_event(i, "added", "z");
    redis_says("XTRIM bull:q:events MAXLEN 2");
}

Test(events, events_that_were_trimmed_away_are_told)
{
    for (unsigned int i = 1; i <= 4; i++)
        add_event(i, "added", "x");
    queue_rig_between(trim_in_between); /* 1 and 2 are read; 3, 4, 11 to 14 go; 15, 16 stay */
    tells("added:x added:x -6 added:z added:z end", follow("0", 2, 4, &err));
    queue_rig_between(NULL);
    tells("-some added:z added:z end", follow("3-0", 2, 2, &err)); /* how many nobody knows */
    tells("added:z end", follow("15-0", 2, 1, &err));
}

Test(events, events_of_a_queue_without_any_and_of_a_wrong_key)
{
    tells("quiet end", follow("0", 10, 0, &err));
    redis_says("SET bull:q:events x");
    {
        struct error err = { 0 };

        buf_reset(&seen);
        cr_assert(follow("0", 10, 0, &err) == 0);
        (void)queue_rig_run();
        cr_expect(strstr(buf_text(&seen), "WRONGTYPE") != NULL, "%s", buf_text(&seen));
    }
}

/* ---- waiting ---- */

#define wait_for(timeout) \
    queue_wait_job(queue, queue_rig_redis(), "1", timeout, on_finished, NULL, &err)

Test(events, wait_for_a_job_that_has_ended)
{
    redis_says("HSET bull:q:1 returnvalue 5");
    redis_says("ZADD bull:q:completed 1 1");
    tells("1 5", wait_for(0));
    redis_says("DEL bull:q:completed");
    redis_says("ZADD bull:q:failed 1 1");
    redis_says("HSET bull:q:1 failedReason boom");
    tells("2 boom", wait_for(0));
}

Test(events, wait_for_a_job_that_is_gone)
{
    tells("-1 (absent)", wait_for(100));
    redis_says("XADD bull:q:events 1-0 event completed jobId 1 returnvalue {\"a\":1} prev active");
    redis_says("XADD bull:q:events 2-0 event drained");
    tells("1 {\"a\":1}", wait_for(100)); /* removed as it completed: the stream still knows */
}

static void end_in_between(void)
{
    queue_rig_between(NULL);
    redis_says("DEL bull:q:1");
    redis_says("XADD bull:q:events 5-0 event completed jobId other returnvalue 7");
    redis_says("XADD bull:q:events 6-0 event completed jobId 1 returnvalue 8");
}

Test(events, wait_for_a_job_that_ends_meanwhile_and_is_removed)
{
    redis_says("HSET bull:q:1 name a");
    queue_rig_between(end_in_between);
    tells("1 8", wait_for(0));
}

Test(events, wait_no_longer_than_wanted)
{
    redis_says("HSET bull:q:1 name a");
    tells("0 (absent)", wait_for(30));
}
