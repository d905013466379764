/* get_case.h - what the tests of looking share: a queue on a real Redis, and what the callbacks
 * were told as text that is compared with what they should be told. */
#pragma once

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/queue/get.h"
#include "tests/lua/add/queue_rig.h"

static struct queue *queue;
static struct buf seen; /* what the callbacks were told, as text */

static void setup(void)
{
    struct error err;

    queue_rig_start();
    seen = BUF_INIT((size_t)16 * 1024 * 1024);
    cr_assert(queue_new("bull", "q", queue_rig_redis(), &queue, &err) == 0);
}

static void teardown(void)
{
    buf_done(&seen);
    queue_free(queue);
    queue_rig_stop();
}

/* Runs the call and compares what its callback wrote. */
#define tells(expected, call)                                                          \
    do {                                                                               \
        struct error err = { 0 };                                                      \
        buf_reset(&seen);                                                              \
        cr_assert((call) == 0, "%s", err.text);                                        \
        (void)queue_rig_run();                                                         \
        cr_expect_str_eq(buf_text(&seen), expected, "%s: %s", #call, buf_text(&seen)); \
    } while (0)
#define refuses(expected, call)                                        \
    do {                                                               \
        struct error err = { 0 };                                      \
        cr_assert((call) == -EINVAL, "%s", #call);                     \
        cr_expect(strstr(err.text, expected) != NULL, "%s", err.text); \
    } while (0)

static void put(struct bytes text)
{
    if (text.data)
        (void)buf_append(&seen, text.data, text.len);
    else
        (void)buf_append_text(&seen, "(absent)");
}

static bool is_reply(const struct call_result *call)
{
    if (call->outcome != REDIS_REPLY)
        (void)buf_printf(&seen, "refused: %s", call->why);
    return call->outcome == REDIS_REPLY;
}

static void on_finished(struct queue *from, const struct call_result *call,
                        enum job_finished finished, struct bytes value, void *arg)
{
    (void)from;
    (void)arg;
    if (!is_reply(call))
        return;
    (void)buf_printf(&seen, "%d ", (int)finished);
    put(value);
}
