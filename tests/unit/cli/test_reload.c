/* drover reload and drover scale: what they ask, what they print, how they end. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <string.h>

#include "common/base/attr.h"
#include "common/base/exit_code.h"
#include "tests/unit/cli/fake_droverd.h"

#define OK "{\"end\":true,\"ok\":true,\"code\":0"

static void redirect(void)
{
    cr_redirect_stdout();
    cr_redirect_stderr();
}

TestSuite(reload, .init = redirect, .timeout = 30);
TestSuite(scale, .init = redirect, .timeout = 30);

Test(reload, a_line_for_each_queue)
{
    cr_expect(
        FAKE_RUN("reload",
                 "{\"row\":{\"queue\":\"money\",\"kind\":\"replace\",\"outcome\":\"replaced\","
                 "\"workers\":2,\"changes\":\"timeout: 30s -> 1m\",\"why\":\"\"}}",
                 "{\"row\":{\"queue\":\"mail\",\"kind\":\"live\",\"outcome\":\"resized\","
                 "\"workers\":1,\"changes\":\"concurrency: 5 -> 10\",\"why\":\"\"}}",
                 "{\"row\":{\"queue\":\"old\",\"kind\":\"removed\",\"outcome\":\"draining\","
                 "\"workers\":1,\"changes\":\"\",\"why\":\"3 jobs running\"}}",
                 "{\"row\":{\"queue\":\"new\",\"kind\":\"added\",\"outcome\":\"started\","
                 "\"workers\":1,\"changes\":\"\",\"why\":\"\"}}",
                 "{\"row\":{\"queue\":\"thumbs\",\"kind\":\"same\",\"outcome\":\"unchanged\"}}",
                 "{\"row\":{\"queue\":\"less\",\"outcome\":\"resized\",\"changes\":\"\"}}",
                 "{\"row\":{\"queue\":\"later\",\"outcome\":\"of a newer one\"}}",
                 OK ",\"generation\":4,\"top\":\"log.level: info -> debug\","
                    "\"restart\":\"control: /a -> /b\",\"findings\":[]}") == 0);
    cr_expect_str_eq(fake_request(), "{\"verb\":\"reload\",\"version\":1}");
    cr_expect_stdout_eq_str("money: replaced 2 workers (timeout: 30s -> 1m)\n"
                            "mail: live, concurrency: 5 -> 10\n"
                            "old: draining, 3 jobs running\n"
                            "new: started 1 worker\n"
                            "thumbs: unchanged\n"
                            "less: live, no longer scaled\n"
                            "later: of a newer one\n"
                            "droverd: log.level: info -> debug\n"
                            "droverd, from its next start on: control: /a -> /b\n"
                            "generation 4 is in force\n");
}

Test(reload, a_refused_file_tells_all_that_is_wrong)
{
    cr_expect(FAKE_RUN("reload",
                       "{\"end\":true,\"ok\":false,\"code\":1,\"error\":\"/etc/x.yaml: 1 error: "
                       "nothing was changed\",\"generation\":3,\"cut\":true,\"findings\":["
                       "{\"file\":\"/etc/x.yaml\",\"line\":3,\"column\":5,\"key\":\"queues.q\","
                       "\"text\":\"is\\u001b wrong\",\"warning\":false},"
                       "{\"file\":\"/etc/x.yaml\",\"line\":7,\"column\":1,\"key\":\"\","
                       "\"text\":\"odd\",\"warning\":true}]}") == EXIT_CODE_FAILED);
    cr_expect_stderr_eq_str("/etc/x.yaml:3:5: error: queues.q: is\\x1b wrong\n"
                            "/etc/x.yaml:7:1: warning: odd\n"
                            "and more: drover check shows all\n"
                            "drover: /etc/x.yaml: 1 error: nothing was changed\n"
                            "generation 3 goes on, unchanged\n");
}

Test(reload, a_pool_that_could_not_be_replaced)
{
    cr_expect(FAKE_RUN("reload",
                       "{\"row\":{\"queue\":\"q\",\"kind\":\"replace\",\"outcome\":\"failed\","
                       "\"workers\":1,\"changes\":\"lock: 30s -> 1m\",\"why\":\"not ready\"}}",
                       "{\"end\":true,\"ok\":false,\"code\":1,\"error\":\"q was not replaced\","
                       "\"generation\":5}") == EXIT_CODE_FAILED);
    cr_expect_stdout_eq_str("q: failed (lock: 30s -> 1m): not ready\n");
    cr_expect_stderr_eq_str("drover: q was not replaced\n");
}

Test(reload, json_is_one_object)
{
    cr_expect(FAKE_RUN("reload --json", "{\"row\":{\"queue\":\"q\",\"outcome\":\"unchanged\"}}",
                       OK ",\"generation\":4}") == 0);
    cr_expect_stdout_eq_str("{\"ok\":true,\"code\":0,\"generation\":4,"
                            "\"queues\":[{\"queue\":\"q\",\"outcome\":\"unchanged\"}]}\n");
}

Test(reload, json_of_a_refusal)
{
    cr_expect(
        FAKE_RUN("reload --json", "{\"end\":true,\"ok\":false,\"code\":1,\"error\":\"no\"}") ==
        EXIT_CODE_FAILED);
    cr_expect_stdout_eq_str("{\"ok\":false,\"code\":1,\"error\":\"no\",\"queues\":[]}\n");
    cr_expect_stderr_eq_str("");
}

Test(reload, waits_no_longer_than_told)
{
    fake_start(&(struct fake_answer){ .silent = 1 });
    cr_expect(fake_run("reload --timeout 50ms") == EXIT_CODE_FAILED);
    (void)fake_finish();
}

Test(reload, lines_that_are_wrong)
{
    cr_expect(fake_run("reload q") == EXIT_CODE_USAGE);
    cr_expect(fake_run("reload --timeout 0s") == EXIT_CODE_USAGE);
    cr_expect(fake_run("reload --socket /no/such/socket") == EXIT_CODE_UNAVAILABLE);
}

Test(scale, tells_before_and_after)
{
    cr_expect(FAKE_RUN("scale mail 10",
                       OK ",\"queue\":\"mail\",\"from\":5,\"to\":10,\"kept\":false}") == 0);
    cr_expect_str_eq(fake_request(), "{\"verb\":\"scale\",\"queue\":\"mail\",\"concurrency\":10,"
                                     "\"keep\":false,\"version\":1}");
    cr_expect_stdout_eq_str("mail: concurrency 5 -> 10, until the next reload\n");
}

Test(scale, to_nothing_and_kept)
{
    cr_expect(FAKE_RUN("scale mail 0 --keep",
                       OK ",\"queue\":\"mail\",\"from\":5,\"to\":0,\"kept\":true}") == 0);
    cr_expect(strstr(fake_request(), "\"concurrency\":0,\"keep\":true"));
    cr_expect_stdout_eq_str("mail: concurrency 5 -> 0, kept over reloads\n");
}

Test(scale, json)
{
    cr_expect(FAKE_RUN("scale mail 10 --json",
                       OK ",\"queue\":\"mail\",\"from\":5,\"to\":10,\"kept\":false}") == 0);
    cr_expect_stdout_eq_str("{\"queue\":\"mail\",\"from\":5,\"to\":10,\"kept\":false}\n");
}

Test(scale, a_refusal)
{
    cr_expect(FAKE_RUN("scale mial 10",
                       "{\"end\":true,\"ok\":false,\"code\":1,\"error\":\"queue mial "
                       "is not configured\"}") == EXIT_CODE_FAILED);
    cr_expect_stderr_eq_str("drover: queue mial is not configured\n");
}

Test(scale, lines_that_are_wrong)
{
    static const char *const lines[] = { "scale",       "scale q",
                                         "scale q 1 2", "scale q x",
                                         "scale q 1.5", "scale q -",
                                         "scale 3 q",   "scale q 99999999999" };

    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        cr_expect(fake_run(lines[i]) == EXIT_CODE_USAGE, "%s", lines[i]);
}
