/* The checks of a stock client before it sends (wire format 1.3, 2.4). */
#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/queue/add.h"

static struct bytes text(const char *from)
{
    return (struct bytes){ from, strlen(from) };
}

static struct job_spec named(void)
{
    struct job_spec spec = JOB_SPEC_INIT;

    spec.name = text("job");
    return spec;
}

Test(spec, ids)
{
    static const struct {
        const char *id;
        bool good;
    } rows[] = {
        { "", true },
        { "abc", true },
        { "007", true },
        { "1.5", true },
        { "1e3", true },
        { "-x", true },
        { "-0", true },
        { "-", true },
        { "+5", true },
        { " 5", true },
        { "a:b:c", true },
        { "::", true },
        { "\xc3\xa9", true },
        { "12a", true },
        { "-012", true },
        { "1234567890123456789012", true }, /* parseInt prints it as 1.2345678901234568e+21 */
        { "12", false },
        { "-3", false },
        { "0", false },
        { "a:b", false },
        { ":", false },
        { "a:b:c:d", false },
        { "0:", false },
        { "0:1:2", false },
        { "\xff", false },
        { "wait", false },
        { "stalled-check", false },
        { "repeat", false },
        { "waiting", true },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct job_spec spec = named();
        struct error err = { 0 };

        spec.id = text(rows[i].id);
        cr_expect((job_spec_check(&spec, &err) == 0) == rows[i].good, "\"%s\": %s", rows[i].id,
                  err.text);
        cr_expect(rows[i].good || strstr(err.text, "id "), "\"%s\": %s", rows[i].id, err.text);
    }
}

#define EXPECT_REFUSED(spec, words)                                           \
    do {                                                                      \
        struct error err_ = { 0 };                                            \
        cr_expect(job_spec_check(&(spec), &err_) == -EINVAL, "%s", words);    \
        cr_expect(strstr(err_.text, words), "%s, not: %s", words, err_.text); \
    } while (0)

Test(spec, bounds)
{
    struct job_spec spec = named();
    struct error err = { 0 };

    cr_expect(job_spec_check(&spec, &err) == 0);
    spec.priority = 2097151;
    cr_expect(job_spec_check(&spec, &err) == 0);
    spec.priority++;
    EXPECT_REFUSED(spec, "priority 2097152");
    spec = named();
    spec.name = text("");
    cr_expect(job_spec_check(&spec, &err) == 0); /* a name is free text */
    spec.name.data = NULL;
    EXPECT_REFUSED(spec, "name");
    spec.name = text("\xff");
    EXPECT_REFUSED(spec, "name");
    spec = named();
    spec.delay_ms = 8640000000000001ULL;
    EXPECT_REFUSED(spec, "delay");
    spec.delay_ms = 5;
    spec.timestamp_ms = 8640000000000000ULL;
    EXPECT_REFUSED(spec, "delay");
    spec.timestamp_ms = UINT64_MAX;
    EXPECT_REFUSED(spec, "delay");
    spec = named();
    spec.attempts = UINT64_MAX;
    EXPECT_REFUSED(spec, "attempts");
}

Test(spec, data)
{
    struct job_spec spec = named();
    struct error err = { 0 };

    spec.data = text("{\"a\":\"\xc3\xa9\"}");
    spec.size_limit = 10;
    cr_expect(job_spec_check(&spec, &err) == 0);
    spec.size_limit = 9;
    EXPECT_REFUSED(spec, "size limit");
    spec.size_limit = 0;
    spec.data = text("{a:1}");
    EXPECT_REFUSED(spec, "JSON");
    spec.data = text("");
    EXPECT_REFUSED(spec, "JSON");
}

Test(spec, backoff_and_keep)
{
    struct job_spec spec = named();
    struct error err = { 0 };

    spec.backoff = (struct job_backoff){ JOB_BACKOFF_EXPONENTIAL, 100, 1 };
    cr_expect(job_spec_check(&spec, &err) == 0);
    spec.backoff.jitter = 1.01;
    EXPECT_REFUSED(spec, "jitter");
    spec.backoff.jitter = -0.1;
    EXPECT_REFUSED(spec, "jitter");
    spec.backoff.jitter = NAN;
    EXPECT_REFUSED(spec, "jitter");
    spec.backoff = (struct job_backoff){ JOB_BACKOFF_CUSTOM, 0, 0 };
    EXPECT_REFUSED(spec, "backoff");
    spec = named();
    spec.keep_failed = (struct job_keep){ .present = true, .count = 1, .age_s = INFINITY };
    EXPECT_REFUSED(spec, "removeOnFail");
}
