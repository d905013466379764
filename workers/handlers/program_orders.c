#include "workers/handlers/program_orders.h"

#include <inttypes.h>

#include "common/base/buf.h"
#include "common/base/text.h"
#include "workers/exec/exec_order.h"

#define ORDERS_MAX   (5 + RESOURCE_COUNT + 1) /* uid, gid, groups, umask, nice; the end */
#define GROUPS_BYTES (11 * EXEC_GROUPS_MAX + 16)

_Static_assert(CONFIG_GROUPS_MAX <= EXEC_GROUPS_MAX,
               "all groups of a configuration can be ordered");

/* The list is filled from the front; one that found no memory is seen at the end. */
struct orders {
    char **rows;
    size_t count;
    bool failed;
};

static void add(struct orders *orders, char *row)
{
    orders->failed |= row == NULL;
    if (row)
        orders->rows[orders->count++] = row;
}

static char *print_groups(const struct config_handler *config)
{
    uint32_t groups[CONFIG_GROUPS_MAX];
    size_t count = config_handler_groups(config, groups);
    struct buf text = BUF_INIT(GROUPS_BYTES);

    (void)buf_append_text(&text, "groups=");
    for (size_t i = 0; i < count; i++)
        (void)buf_printf(&text, "%s%" PRIu32, i ? "," : "", groups[i]);
    if (text.failed) {
        buf_done(&text);
        return NULL;
    }
    return buf_take(&text);
}

static void add_user(struct orders *orders, const struct config_handler *config)
{
    add(orders, text_format("uid=%" PRIu32, config->user->uid));
    add(orders, text_format("gid=%" PRIu32, config_handler_gid(config)));
    add(orders, print_groups(config));
}

/* Soft and hard are one, so that a program cannot help itself to more. Only of processor time the
 * hard limit comes a second later: it kills without a word, the soft one says SIGXCPU. */
static void add_limit(struct orders *orders, enum resource resource, uint64_t limit)
{
    const char *name = resource_name(resource);
    uint64_t hard = limit + (resource == RESOURCE_CPU ? 1 : 0);

    if (limit == RESOURCE_UNLIMITED)
        add(orders, text_format("%s=unlimited:unlimited", name));
    else if (limit != RESOURCE_INHERIT)
        add(orders, text_format("%s=%" PRIu64 ":%" PRIu64, name, limit, hard));
}

char **program_orders_new(const struct config_handler *config)
{
    struct orders orders = { .rows = calloc(ORDERS_MAX + 1, sizeof(*orders.rows)) };

    if (!orders.rows)
        return NULL;
    if (config->user)
        add_user(&orders, config);
    if (config->umask != CONFIG_UMASK_INHERIT)
        add(&orders, text_format("umask=%04o", (unsigned int)config->umask));
    if (config->nice != CONFIG_NICE_INHERIT)
        add(&orders, text_format("nice=%d", config->nice));
    for (int i = 0; i < RESOURCE_COUNT; i++)
        add_limit(&orders, (enum resource)i, config->limits[i]);
    add(&orders, text_format("%s", EXEC_END));
    if (!orders.failed)
        return orders.rows;
    program_orders_free(orders.rows);
    return NULL;
}

void program_orders_free(char **orders)
{
    for (char **order = orders; order && *order; order++)
        free(*order);
    free(orders);
}
