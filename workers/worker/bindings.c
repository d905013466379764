#include "workers/worker/bindings.h"

#include <errno.h>

struct bindings {
    size_t count, closing;
    struct handler_setup *setups; /* one per row; borrowed by the handlers */
    void (*on_closed)(void *arg);
    void *closed_arg;
    struct engine_binding rows[];
};

static struct handler_setup make_setup(const struct bindings_options *options,
                                       const struct config_type *type)
{
    return (struct handler_setup){
        .loop = options->loop,
        .config = &type->handler,
        .queue = options->queue->name,
        .worker = options->worker,
        .type = type->name,
        .slots = options->slots,
        .start_timeout_ms = options->start_timeout_ms,
        .restart_first_ms = options->restart_first_ms,
        .restart_max_ms = options->restart_max_ms,
        .kill_grace_ms = type->kill_grace_ms,
        .on_ready = options->on_ready,
        .arg = options->arg,
    };
}

static int open_row(const struct config_type *type, const struct handler_setup *setup,
                    struct engine_binding *row, struct error *err)
{
    const struct handler_kind *kind = handler_find(type->handler.kind);

    if (!kind)
        return 0; /* no handler: the queue's `unknown` rule holds */
    if (kind->open(setup, &row->handler, err) < 0)
        return error_wrap(err, "open handler %s of %s", kind->name,
                          type->name ? type->name : "the queue");
    row->kind = kind;
    return 0;
}

int bindings_open(const struct bindings_options *options, struct bindings **out_bindings,
                  struct error *err)
{
    const struct config_queue *queue = options->queue;
    size_t count = queue->types_count + 1;
    struct bindings *bindings = calloc(1, sizeof(*bindings) + count * sizeof(bindings->rows[0]));
    int r = 0;

    if (bindings)
        bindings->setups = calloc(count, sizeof(*bindings->setups));
    if (!bindings || !bindings->setups) {
        free(bindings);
        return error_set(err, -ENOMEM, "allocate handlers");
    }
    bindings->count = count;
    for (size_t i = 0; r == 0 && i < count; i++) {
        const struct config_type *type =
            i < queue->types_count ? &queue->types[i] : &queue->fallback;

        bindings->setups[i] = make_setup(options, type);
        r = open_row(type, &bindings->setups[i], &bindings->rows[i], err);
    }
    if (r < 0) {
        bindings_close(bindings, NULL, NULL);
        return r;
    }
    *out_bindings = bindings;
    return 0;
}

const struct engine_binding *bindings_rows(const struct bindings *bindings)
{
    return bindings->rows;
}

bool bindings_are_ready(const struct bindings *bindings)
{
    for (size_t i = 0; i < bindings->count; i++) {
        const struct engine_binding *row = &bindings->rows[i];

        if (row->kind && row->kind->is_ready && !row->kind->is_ready(row->handler))
            return false;
    }
    return true;
}

static void on_row_closed(void *arg)
{
    struct bindings *bindings = arg;
    void (*on_closed)(void *arg) = bindings->on_closed;
    void *closed_arg = bindings->closed_arg;

    if (--bindings->closing > 0)
        return;
    free(bindings->setups);
    free(bindings);
    if (on_closed)
        on_closed(closed_arg);
}

void bindings_close(struct bindings *bindings, void (*on_closed)(void *arg), void *arg)
{
    bindings->on_closed = on_closed;
    bindings->closed_arg = arg;
    bindings->closing = 1; /* ours, until all have been asked */
    for (size_t i = 0; i < bindings->count; i++) {
        if (!bindings->rows[i].kind)
            continue;
        bindings->closing++;
        bindings->rows[i].kind->close(bindings->rows[i].handler, on_row_closed, bindings);
    }
    on_row_closed(bindings);
}
