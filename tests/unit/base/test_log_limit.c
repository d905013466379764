/* What is written, left out and told adds up. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log_limit.h"

static struct log_limit limit;
static char told[4096];
static uint64_t told_count;

static void on_tell(const struct log_limit_row *row, uint64_t left_out)
{
    size_t len = strlen(told);

    (void)snprintf(told + len, sizeof told - len, "%s/%s=%llu ", row->event, row->queue,
                   (unsigned long long)left_out);
    told_count += left_out;
}

static void init(void)
{
    limit.interval_ms = 1000;
}

TestSuite(log_limit, .init = init);

static size_t ask(const char *event, const char *queue, size_t times, uint64_t now_ms)
{
    size_t allowed = 0;

    for (size_t i = 0; i < times; i++)
        allowed += log_limit_allows(&limit, event, queue, 3, now_ms, on_tell);
    return allowed;
}

Test(log_limit, the_first_ones_pass_and_the_rest_is_told_when_the_interval_is_over)
{
    cr_expect(ask("a.b", NULL, 10, 5000) == 3);
    cr_expect(ask("a.b", NULL, 10, 5999) == 0);
    cr_expect_str_eq(told, "");
    cr_expect(log_limit_next_ms(&limit) == 6000);
    cr_expect(ask("a.b", NULL, 1, 6000) == 1, "the next interval has begun");
    cr_expect_str_eq(told, "a.b/=17 ");
    cr_expect(log_limit_next_ms(&limit) == 0, "nothing is left out in it");
}

Test(log_limit, events_and_queues_are_counted_apart)
{
    cr_expect(ask("a.b", "x", 4, 1) == 3);
    cr_expect(ask("a.b", "y", 4, 1) == 3);
    cr_expect(ask("a.c", "x", 4, 1) == 3);
    cr_expect(ask("a.b", NULL, 4, 1) == 3);
    log_limit_end(&limit, 1001, false, on_tell);
    cr_expect(told_count == 4);
    cr_expect(strstr(told, "a.b/x=1 ") && strstr(told, "a.b/y=1 ") && strstr(told, "a.c/x=1 ") &&
                  strstr(told, "a.b/=1 "),
              "%s", told);
}

Test(log_limit, an_interval_that_goes_on_is_not_told)
{
    (void)ask("a.b", NULL, 5, 100);
    log_limit_end(&limit, 1099, false, on_tell);
    cr_expect_str_eq(told, "");
    log_limit_end(&limit, 1099, true, on_tell);
    cr_expect_str_eq(told, "a.b/=2 ");
    log_limit_end(&limit, 9000, true, on_tell);
    cr_expect(told_count == 2, "told once");
}

Test(log_limit, a_full_table_loses_no_count)
{
    size_t rows = (size_t)3 * LOG_LIMIT_ROWS, allowed = 0;
    char queue[200];

    memset(queue, 'q', sizeof queue);
    for (size_t i = 0; i < rows; i++) {
        (void)snprintf(queue + 150, sizeof queue - 150, "%zu", i);
        allowed += ask("a.b", queue, 5, 10 + i % 7);
    }
    told[0] = '\0';
    log_limit_end(&limit, 0, true, on_tell);
    cr_expect(allowed == 3 * rows && told_count == 2 * rows, "%zu %llu", allowed,
              (unsigned long long)told_count);
}
