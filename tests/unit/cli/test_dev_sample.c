/* The sample of `drover dev`: every size holds every kind, and exactly one job that fails for good.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/cli/dev_sample.h"

static size_t count_name(const struct dev_job *jobs, size_t count, const char *name)
{
    size_t found = 0;

    for (size_t i = 0; i < count; i++)
        found += strncmp(jobs[i].spec.name.data, name, jobs[i].spec.name.len) == 0;
    return found;
}

static void check_sample(size_t count)
{
    struct dev_job *jobs = dev_sample_make(count);
    size_t delayed = 0, prioritised = 0;

    cr_assert(jobs);
    for (size_t i = 0; i < count; i++) {
        cr_assert(jobs[i].queue, "%zu of %zu is empty", i, count);
        cr_assert(job_spec_check(&jobs[i].spec, NULL) == 0, "%zu of %zu", i, count);
        delayed += jobs[i].spec.delay_ms > 0;
        prioritised += jobs[i].spec.priority > 0;
    }
    cr_expect(count_name(jobs, count, "hopeless") == DEV_SAMPLE_FAILING, "of %zu", count);
    cr_expect(count_name(jobs, count, "flaky") >= 2, "of %zu", count);
    cr_expect(delayed >= 4 && prioritised >= 4, "of %zu", count);
    cr_expect(count_name(jobs, count, "tick") > delayed / 2, "of %zu", count);
    free(jobs);
}

Test(dev_sample, every_size_holds_every_kind)
{
    static const size_t others[] = { 595, 995, 1000, 7918, 7919, 7920, 15838, 100000 };

    for (size_t count = DEV_SAMPLE_MIN / 2; count < 200; count++)
        check_sample(count);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        check_sample(others[i]);
}

Test(dev_sample, commands_hold_the_job_whose_story_is_told)
{
    size_t found = 0;

    for (size_t i = 0; i < dev_sample_commands_count; i++)
        for (size_t at = 0; dev_sample_commands[i][at]; at++)
            found += strcmp(dev_sample_commands[i][at], DEV_STORY_ID) == 0;
    cr_expect(found == 1);
    cr_expect(strcmp(dev_sample_commands[0][0], DEV_STORY_QUEUE) == 0);
}
