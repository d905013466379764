/* cron_times - for tests that compare common/cron with other readers of the dialect. Each line of
 * standard input is "<ms>\t<zone>\t<expression>"; each gets a line: the next time in ms, "none", or
 * "bad <why>". */
#include <inttypes.h>
#include <string.h>

#include "common/cron/cron.h"

static void answer(char *line)
{
    char *zone_name = strchr(line, '\t');
    char *text = zone_name ? strchr(zone_name + 1, '\t') : NULL;
    const struct zone *zone;
    struct cron cron;
    struct error err;
    int64_t next_ms;

    if (!text) {
        puts("bad line");
        return;
    }
    *zone_name++ = '\0';
    *text++ = '\0';
    if (zone_find(zone_name, strlen(zone_name), &zone, &err) < 0 ||
        cron_parse(text, strlen(text), &cron, &err) < 0)
        printf("bad %s\n", err.text);
    else if (cron_next(&cron, strtoll(line, NULL, 10), zone, &next_ms, &err) < 0)
        puts("none");
    else
        printf("%" PRId64 "\n", next_ms);
}

int main(void)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t len;

    while ((len = getline(&line, &size, stdin)) > 0) {
        if (line[len - 1] == '\n')
            line[len - 1] = '\0';
        answer(line);
    }
    free(line);
    zones_done();
    return 0;
}
