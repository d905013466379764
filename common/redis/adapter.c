#include "common/redis/adapter.h"

#include <errno.h>
#include <stdbool.h>

/* Reads of 16 KiB that a dying connection still gets, for replies that had arrived before. */
#define LAST_READS 64

struct redis_adapter {
    uv_poll_t poll;
    uv_prepare_t flush;         /* active while a write is wanted that need not wait for the poll */
    redisAsyncContext *context; /* NULL once hiredis has let go of it */
    redis_adapter_gone_cb *on_gone;
    int events; /* UV_READABLE | UV_WRITABLE as given to the poll handle */
    int handles_open;
    uint64_t reads;
};

static void on_poll(uv_poll_t *handle, int status, int events);

/* Restarting a poll handle costs an epoll_ctl: only real changes reach libuv. */
static void set_events(struct redis_adapter *adapter, int events)
{
    if (adapter->events == events)
        return;
    adapter->events = events;
    if (events)
        (void)uv_poll_start(&adapter->poll, events, on_poll); /* fails only on closing handles */
    else
        (void)uv_poll_stop(&adapter->poll); /* always 0 */
}

/* libuv reports POLLERR as a status and has stopped the handle. Reading tells hiredis the reason,
 * after the replies that had arrived; writing finds errors that reading does not see. */
static void finish_broken(struct redis_adapter *adapter)
{
    adapter->events = 0;
    for (int i = 0; adapter->context && i < LAST_READS; i++)
        redisAsyncHandleRead(adapter->context);
    if (adapter->context)
        redisAsyncHandleWrite(adapter->context);
    if (adapter->context)
        redisAsyncFree(adapter->context);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct redis_adapter *adapter = handle->data;

    if (status < 0) {
        finish_broken(adapter);
        return;
    }
    if (adapter->context && (events & UV_READABLE)) {
        adapter->reads++;
        redisAsyncHandleRead(adapter->context);
    }
    if (adapter->context && (events & UV_WRITABLE))
        redisAsyncHandleWrite(adapter->context);
}

/* Runs just before the loop sleeps: all commands of one turn leave in one write, without asking
 * epoll whether the socket is writable. hiredis asks for a write again when something is left, and
 * then the poll handle waits for room. */
static void on_flush(uv_prepare_t *handle)
{
    struct redis_adapter *adapter = handle->data;

    if (adapter->context)
        redisAsyncHandleWrite(adapter->context);
    (void)uv_prepare_stop(handle); /* always 0 */
}

static void add_read(void *privdata)
{
    struct redis_adapter *adapter = privdata;

    set_events(adapter, adapter->events | UV_READABLE);
}

static void del_read(void *privdata)
{
    struct redis_adapter *adapter = privdata;

    set_events(adapter, adapter->events & ~UV_READABLE);
}

static void add_write(void *privdata)
{
    struct redis_adapter *adapter = privdata;
    bool connected = (adapter->context->c.flags & REDIS_CONNECTED) != 0;

    if (adapter->events & UV_WRITABLE)
        return;
    /* While connecting, and when a flush has left something, only the poll can tell. */
    if (!connected || uv_is_active((const uv_handle_t *)&adapter->flush))
        set_events(adapter, adapter->events | UV_WRITABLE);
    else
        (void)uv_prepare_start(&adapter->flush, on_flush); /* fails only without a callback */
}

static void del_write(void *privdata)
{
    struct redis_adapter *adapter = privdata;

    set_events(adapter, adapter->events & ~UV_WRITABLE);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct redis_adapter *adapter = handle->data;

    if (--adapter->handles_open == 0)
        free(adapter);
}

static void cleanup(void *privdata)
{
    struct redis_adapter *adapter = privdata;
    redisAsyncContext *context = TAKE_PTR(adapter->context);

    uv_close((uv_handle_t *)&adapter->poll, on_handle_closed);
    uv_close((uv_handle_t *)&adapter->flush, on_handle_closed);
    adapter->on_gone(context);
}

int redis_adapter_attach(redisAsyncContext *context, uv_loop_t *loop,
                         redis_adapter_gone_cb *on_gone, struct redis_adapter **out,
                         struct error *err)
{
    struct redis_adapter *adapter = calloc(1, sizeof(*adapter));
    int r = 0;

    if (!adapter)
        return error_set(err, -ENOMEM, "allocate a connection's adapter");
    r = uv_poll_init(loop, &adapter->poll, context->c.fd);
    if (r < 0) {
        free(adapter);
        return error_set(err, r, "watch the socket: %s", uv_strerror(r));
    }
    (void)uv_prepare_init(loop, &adapter->flush); /* always 0 */
    adapter->poll.data = adapter;
    adapter->flush.data = adapter;
    adapter->handles_open = 2;
    adapter->context = context;
    adapter->on_gone = on_gone;

    context->ev.data = adapter;
    context->ev.addRead = add_read;
    context->ev.delRead = del_read;
    context->ev.addWrite = add_write;
    context->ev.delWrite = del_write;
    context->ev.cleanup = cleanup;
    *out = adapter;
    return 0;
}

uint64_t redis_adapter_reads(const struct redis_adapter *adapter)
{
    return adapter->reads;
}
