/* The handlers of a queue as a whole: what they are opened with, when all are ready, how all close.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <string.h>

#include "workers/worker/bindings.h"

/* ---- fakes: a kind that tells, and one without the optional operations */

struct handler {
    const struct handler_setup *setup;
    bool ready;
    void (*on_closed)(void *arg);
    void *arg;
};

static struct handler opened[8];
static size_t opened_count, closing_count;
static bool refuse_open;

static int fake_open(const struct handler_setup *setup, struct handler **out_handler,
                     struct error *err)
{
    if (refuse_open && opened_count > 0)
        return error_set(err, -ENOENT, "no such program");
    opened[opened_count] = (struct handler){ .setup = setup };
    *out_handler = &opened[opened_count++];
    return 0;
}

static bool fake_is_ready(const struct handler *handler)
{
    return handler->ready;
}

static void fake_close(struct handler *handler, void (*on_closed)(void *arg), void *arg)
{
    handler->on_closed = on_closed;
    handler->arg = arg;
    closing_count++;
}

static const struct handler_kind slow_kind = {
    .name = "slow", .open = fake_open, .is_ready = fake_is_ready, .close = fake_close
};
static const struct handler_kind plain_kind = { .name = "plain",
                                                .open = fake_open,
                                                .close = fake_close };

const struct handler_kind *handler_find(enum config_handler_kind kind)
{
    if (kind == CONFIG_HANDLER_NONE)
        return NULL;
    return kind == CONFIG_HANDLER_PROCESS ? &slow_kind : &plain_kind;
}

/* ---- the rig */

static char pool_name[] = "q", slow_name[] = "slow", plain_name[] = "plain";
static struct config_type types[3];
static struct config_queue queue = { .name = pool_name, .types = types, .types_count = 3 };
static struct bindings *bindings;
static unsigned int readies, closes;

static void on_ready(void *arg)
{
    (void)arg;
    readies++;
}

static void on_closed(void *arg)
{
    cr_assert(arg == &closes);
    closes++;
}

static int open_all(struct error *err)
{
    struct bindings_options options = {
        .queue = &queue,
        .worker = "w",
        .slots = 7,
        .start_timeout_ms = 1,
        .restart_first_ms = 2,
        .restart_max_ms = 3,
        .on_ready = on_ready,
    };

    types[0] = (struct config_type){ .name = slow_name,
                                     .handler.kind = CONFIG_HANDLER_PROCESS,
                                     .kill_grace_ms = 4 };
    types[1] = (struct config_type){ .name = plain_name, .handler.kind = CONFIG_HANDLER_NOOP };
    types[2] = (struct config_type){ .name = plain_name, .handler.kind = CONFIG_HANDLER_NONE };
    queue.fallback = (struct config_type){ .handler.kind = CONFIG_HANDLER_PROCESS };
    return bindings_open(&options, &bindings, err);
}

static void end_close(size_t at)
{
    opened[at].on_closed(opened[at].arg);
}

static void close_all(void)
{
    bindings_close(bindings, on_closed, &closes);
    for (size_t i = 0; i < opened_count; i++)
        end_close(i);
}

/* ---- tests */

Test(bindings, rows_are_those_of_the_types_and_the_queue)
{
    cr_assert(eq(int, open_all(NULL), 0));
    cr_assert(bindings_rows(bindings)[0].kind == &slow_kind);
    cr_assert(bindings_rows(bindings)[1].kind == &plain_kind);
    cr_assert(bindings_rows(bindings)[2].kind == NULL);
    cr_assert(bindings_rows(bindings)[3].kind == &slow_kind);
    cr_assert(bindings_rows(bindings)[3].handler == &opened[2]);
    close_all();
}

/* The setup stays where it is until the handler has closed. */
Test(bindings, handlers_are_told_what_they_need)
{
    cr_assert(eq(int, open_all(NULL), 0));
    cr_assert(eq(str, (char *)opened[0].setup->type, slow_name));
    cr_assert(eq(str, (char *)opened[0].setup->queue, pool_name));
    cr_assert(eq(str, (char *)opened[0].setup->worker, (char *)"w"));
    cr_assert(eq(sz, opened[0].setup->slots, 7));
    cr_assert(eq(u64, opened[0].setup->start_timeout_ms, 1));
    cr_assert(eq(u64, opened[0].setup->restart_first_ms, 2));
    cr_assert(eq(u64, opened[0].setup->restart_max_ms, 3));
    cr_assert(eq(u64, opened[0].setup->kill_grace_ms, 4));
    cr_assert(opened[0].setup->config == &types[0].handler);
    cr_assert(opened[2].setup->type == NULL);
    opened[0].setup->on_ready(opened[0].setup->arg);
    cr_assert(eq(uint, readies, 1));
    close_all();
}

Test(bindings, ready_is_when_all_are)
{
    cr_assert(eq(int, open_all(NULL), 0));
    cr_assert(not(bindings_are_ready(bindings)));
    opened[0].ready = true;
    cr_assert(not(bindings_are_ready(bindings)));
    opened[2].ready = true;
    cr_assert(bindings_are_ready(bindings));
    opened[0].ready = false;
    cr_assert(not(bindings_are_ready(bindings)), "its programs are restarted");
    close_all();
}

Test(bindings, closed_is_said_once_by_the_last)
{
    cr_assert(eq(int, open_all(NULL), 0));
    bindings_close(bindings, on_closed, &closes);
    cr_assert(eq(sz, closing_count, 3), "all at the same time");
    end_close(1);
    end_close(0);
    cr_assert(eq(uint, closes, 0));
    end_close(2);
    cr_assert(eq(uint, closes, 1));
}

Test(bindings, one_that_cannot_be_opened_closes_the_others)
{
    struct error err = { 0 };

    refuse_open = true;
    cr_assert(eq(int, open_all(&err), -ENOENT));
    cr_assert(eq(str, err.text, (char *)"open handler plain of plain: no such program"));
    cr_assert(eq(sz, closing_count, 1));
    end_close(0);
}
