/* drover-events: prints what is generated from the table of events; part of the build, never
 * installed. */
#include <stdio.h>
#include <string.h>

#include "common/base/exit_code.h"
#include "common/base/log_events.h"

#define WIDTH 100 /* columns of the catalogue, where a line end is a space */

static const char nothing[] = "Nothing needs to be done.";

static const char *remedy_of(const struct log_event *event)
{
    return event->remedy ? event->remedy : nothing;
}

static void print_wrapped(const char *text)
{
    size_t column = 0;

    while (*text) {
        size_t word = strcspn(text, " ");

        if (column > 0 && column + 1 + word > WIDTH) {
            (void)putchar('\n'); /* main looks at the stream */
            column = 0;
        } else if (column > 0) {
            (void)putchar(' ');
            column++;
        }
        (void)fwrite(text, 1, word, stdout);
        column += word;
        text += word;
        text += strspn(text, " ");
    }
    (void)putchar('\n');
}

/* systemd.io/CATALOG */
static void print_catalog_entry(const struct log_event *event)
{
    (void)printf("\n-- %s\nSubject: %s\nDefined-By: drover\nDocumentation: man:droverd(8)\n\n",
                 event->id, event->subject);
    print_wrapped(event->what);
    (void)putchar('\n');
    print_wrapped(remedy_of(event));
}

/* @QUEUE@ is a field of the entry: here it is named as one. */
static void print_markdown_text(const char *text)
{
    for (; *text; text++)
        (void)putchar(*text == '@' ? '`' : *text);
}

static void print_markdown_entry(const struct log_event *event)
{
    (void)printf("\n### `%s`\n\n**%s.** ", event->name, event->subject);
    print_markdown_text(event->what);
    (void)printf("\n\n");
    print_markdown_text(remedy_of(event));
    (void)printf("\n\n`MESSAGE_ID=%s`\n", event->id);
}

static void print_catalog(void)
{
    (void)printf("# drover.catalog - what drover's log lines mean, for `journalctl -x`.\n"
                 "# Generated from common/base/log_events_*.c.\n");
    for (size_t i = 0; i < LOG_EVENT_TABLES; i++)
        for (size_t row = 0; row < *log_event_tables[i].count; row++)
            print_catalog_entry(&log_event_tables[i].rows[row]);
}

static void print_markdown(void)
{
    (void)printf(
        "# Events\n\n"
        "Every event that drover logs: what has happened, what drover does about it, and what you "
        "should do. `journalctl -x` shows the same beside each line, and `journalctl "
        "MESSAGE_ID=…` finds all lines of an event, whatever version wrote them. Names in "
        "capitals are fields of the journal; in JSON and plain lines they are `queue`, `job`, … "
        "(see [operations.md](operations.md)).\n\n"
        "This page is generated from `common/base/log_events_*.c`: `drover-events markdown > "
        "docs/events.md`.\n");
    for (size_t i = 0; i < LOG_EVENT_TABLES; i++) {
        (void)printf("\n## %s\n", log_event_tables[i].title);
        for (size_t row = 0; row < *log_event_tables[i].count; row++)
            print_markdown_entry(&log_event_tables[i].rows[row]);
    }
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "catalog") == 0) {
        print_catalog();
    } else if (argc == 2 && strcmp(argv[1], "markdown") == 0) {
        print_markdown();
    } else {
        (void)fputs("usage: drover-events catalog|markdown\n", stderr);
        return EXIT_CODE_USAGE;
    }
    return fflush(stdout) == EOF || ferror(stdout) ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}
