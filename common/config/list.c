/* `drover check --list`: names that scripts and the completion of shells ask for, one a line. */
#include <errno.h>
#include <string.h>

#include "common/config/each.h"

/* KEY= where any value may stand, else a line for each value that there is. */
static bool print_setting(const struct each_value *value, void *arg)
{
    const struct schema_word *word = value->row->words;
    struct buf *out = arg;
    struct buf key = BUF_INIT(4096);

    each_print_key(value, &key);
    if (value->row->type == SCHEMA_BOOL)
        (void)buf_printf(out, "%s=true\n%s=false\n", buf_text(&key), buf_text(&key));
    else if (value->row->type != SCHEMA_WORD)
        (void)buf_printf(out, "%s=\n", buf_text(&key));
    for (; value->row->type == SCHEMA_WORD && word && word->name; word++) {
        if (!word->refused)
            (void)buf_printf(out, "%s=%s\n", buf_text(&key), word->name);
    }
    if (key.failed)
        out->failed = true;
    buf_done(&key);
    return !out->failed;
}

static void print_queues(const struct config *config, struct buf *out)
{
    for (size_t i = 0; i < config->queues_count; i++)
        (void)buf_printf(out, "%s\n", config->queues[i].name);
}

int config_list(const struct config *config, enum config_list what, struct buf *out,
                struct error *err)
{
    if (what == CONFIG_LIST_QUEUES)
        print_queues(config, out);
    else
        (void)config_each_value(config, print_setting, out);
    return out->failed ? error_set(err, -ENOMEM, "no room for the list") : 0;
}

void config_list_keys(struct buf *out)
{
    char pattern[SCHEMA_PATTERN_BYTES];

    for (size_t s = 0; s < SCHEMA_SECTION_COUNT; s++) {
        for (size_t i = 0; i < schema_rows_count; i++) {
            if (schema_rows[i].sections & (1u << s))
                (void)buf_printf(out, "%s\n", schema_pattern(&schema_rows[i], s, pattern));
        }
    }
}
