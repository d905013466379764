/* The table of events, and what is generated from it. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/base/fd.h"
#include "common/base/log_events.h"

#define EVENTS_MAX 1000

static size_t all_rows(const struct log_event *out[EVENTS_MAX])
{
    size_t count = 0;

    for (size_t i = 0; i < LOG_EVENT_TABLES; i++)
        for (size_t row = 0; row < *log_event_tables[i].count; row++) {
            cr_assert(count < EVENTS_MAX);
            out[count++] = &log_event_tables[i].rows[row];
        }
    return count;
}

Test(log_events, tables_are_sorted_and_each_event_is_found)
{
    for (size_t i = 0; i < LOG_EVENT_TABLES; i++) {
        const struct log_event *rows = log_event_tables[i].rows;

        for (size_t row = 0; row < *log_event_tables[i].count; row++) {
            if (row > 0)
                cr_expect(strcmp(rows[row - 1].name, rows[row].name) < 0, "%s", rows[row].name);
            cr_expect(log_event_find(rows[row].name) == &rows[row], "%s stands twice, or unsorted",
                      rows[row].name);
        }
    }
    cr_expect(!log_event_find("no.such"));
    cr_expect(!log_event_find(""));
}

Test(log_events, ids_are_unique_128_bit_numbers)
{
    const struct log_event *rows[EVENTS_MAX];
    size_t count = all_rows(rows);

    cr_assert(count > 100);
    for (size_t i = 0; i < count; i++) {
        cr_expect(strlen(rows[i]->id) == 32 && strspn(rows[i]->id, "0123456789abcdef") == 32, "%s",
                  rows[i]->name);
        for (size_t other = 0; other < i; other++)
            cr_expect(strcmp(rows[i]->id, rows[other]->id) != 0, "%s and %s", rows[i]->name,
                      rows[other]->name);
    }
}

/* Those that operators search for: a changed id would make old and new lines two events. */
Test(log_events, ids_do_not_change)
{
    static const struct {
        const char *name, *id;
    } known[] = {
        { "droverd.ready", "733b50844fb8e4f20cbe4af05effa800" },
        { "job.completed", "a05fe1378da15af8f0b1ae18ec850cb6" },
        { "job.failed", "a62b892b055bbe67c3381f8a7cb1898a" },
        { "job.retried", "efae6d6dc3513518d87d8a585d4e18aa" },
        { "job.started", "8dd14f2240d7f7b3d2cf915651685241" },
        { "log.suppressed", "b06acb61279236fef738e6e030102b78" },
        { "redis.lost", "e577a5dc1d0b67419e7ace6d7cfa0377" },
        { "reload.refused", "dcee4d578b33855ee214e21bcb931143" },
        { "worker.exited", "1ae629ab0826689742c023e8ead8386d" },
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        cr_expect_str_eq(log_event_find(known[i].name)->id, known[i].id);
}

/* Whole sentences: what is shown in a terminal, beside the line. */
Test(log_events, texts_are_whole)
{
    const struct log_event *rows[EVENTS_MAX];
    size_t count = all_rows(rows);

    for (size_t i = 0; i < count; i++) {
        const char *texts[] = { rows[i]->what, rows[i]->remedy ? rows[i]->remedy : "None." };

        cr_expect(rows[i]->subject[0] && !strchr(rows[i]->subject, '\n') &&
                      rows[i]->subject[strlen(rows[i]->subject) - 1] != '.',
                  "%s", rows[i]->name);
        for (size_t t = 0; t < 2; t++) {
            cr_expect(texts[t][strlen(texts[t]) - 1] == '.', "%s: %s", rows[i]->name, texts[t]);
            cr_expect(!strstr(texts[t], "  ") && !strchr(texts[t], '\n'), "%s", rows[i]->name);
        }
    }
}

/* Fields that every line of the event has; others would be shown as their name. What is about a job
 * has its id. */
Test(log_events, placeholders_are_of_fields_that_are_there)
{
    const struct log_event *rows[EVENTS_MAX];
    size_t count = all_rows(rows);

    for (size_t i = 0; i < count; i++)
        for (const char *at = strchr(rows[i]->what, '@'); at; at = strchr(at + 1, '@')) {
            bool job =
                strncmp(at, "@JOB_ID@", 8) == 0 && (strncmp(rows[i]->name, "job.", 4) == 0 ||
                                                    strncmp(rows[i]->name, "schedule.", 9) == 0);

            cr_expect(strncmp(at, "@QUEUE@", 7) == 0 || job, "%s: %s", rows[i]->name, at);
            at = strchr(at + 1, '@');
            cr_assert(at);
        }
}

static struct buf output_of(const char *form)
{
    struct buf text = BUF_INIT(1 << 20);
    char command[512];
    FILE *pipe;

    (void)snprintf(command, sizeof command, "%s %s", EVENTS_PROGRAM, form);
    pipe = popen(command, "re");
    cr_assert(pipe);
    cr_assert(fd_read_all(fileno(pipe), &text, NULL) == 0);
    cr_assert(pclose(pipe) == 0);
    return text;
}

Test(log_events, the_page_is_the_table)
{
    struct buf page = BUF_INIT(1 << 20), made = output_of("markdown");

    cr_assert(fd_read_file(SOURCE_DIR "/docs/events.md", &page, NULL) == 0);
    cr_expect(strcmp(buf_text(&page), buf_text(&made)) == 0,
              "docs/events.md is old: drover-events markdown > docs/events.md");
    buf_done(&page);
    buf_done(&made);
}

Test(log_events, the_catalogue_has_each_event)
{
    const struct log_event *rows[EVENTS_MAX];
    size_t count = all_rows(rows);
    struct buf made = output_of("catalog");

    for (size_t i = 0; i < count; i++) {
        char head[512];

        (void)snprintf(head, sizeof head, "\n-- %s\nSubject: %s\n", rows[i]->id, rows[i]->subject);
        cr_expect(strstr(buf_text(&made), head), "%s", rows[i]->name);
    }
    buf_done(&made);
}
