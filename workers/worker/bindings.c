#include "workers/worker/bindings.h"

#include <errno.h>

struct bindings {
    size_t count, closing;
    struct engine_binding rows[];
};

static int open_row(uv_loop_t *loop, const struct config_type *type, struct engine_binding *row,
                    struct error *err)
{
    const struct handler_kind *kind = handler_find(type->handler.kind);

    if (!kind)
        return 0; /* no handler: the queue's `unknown` rule holds */
    if (kind->open(loop, &type->handler, &row->handler, err) < 0)
        return error_wrap(err, "open handler %s of %s", kind->name,
                          type->name ? type->name : "the queue");
    row->kind = kind;
    return 0;
}

int bindings_open(uv_loop_t *loop, const struct config_queue *queue, struct bindings **out_bindings,
                  struct error *err)
{
    size_t count = queue->types_count + 1;
    struct bindings *bindings = calloc(1, sizeof(*bindings) + count * sizeof(bindings->rows[0]));
    int r = 0;

    if (!bindings)
        return error_set(err, -ENOMEM, "allocate handlers");
    bindings->count = count;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = open_row(loop, i < queue->types_count ? &queue->types[i] : &queue->fallback,
                     &bindings->rows[i], err);
    if (r < 0) {
        bindings_close(bindings);
        return r;
    }
    *out_bindings = bindings;
    return 0;
}

const struct engine_binding *bindings_rows(const struct bindings *bindings)
{
    return bindings->rows;
}

static void on_closed(void *arg)
{
    struct bindings *bindings = arg;

    if (--bindings->closing == 0)
        free(bindings);
}

void bindings_close(struct bindings *bindings)
{
    bindings->closing = 1; /* ours, until all have been asked */
    for (size_t i = 0; i < bindings->count; i++) {
        if (!bindings->rows[i].kind)
            continue;
        bindings->closing++;
        bindings->rows[i].kind->close(bindings->rows[i].handler, on_closed, bindings);
    }
    on_closed(bindings);
}
