/* A job's life in the log, as far as log_jobs asks for it. */
#include "tests/unit/worker/engine_rig.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/log.h"

#define ADDED_AT_MS 1700000000123

static int log_fd = -1;
static struct buf text = BUF_INIT(1 << 20);

static void done(void)
{
    buf_done(&text);
    rig_done();
}

TestSuite(job_log, .init = rig_init, .fini = done, .timeout = 20);

static void start(enum config_log_jobs jobs)
{
    log_fd = memfd_create("log", MFD_CLOEXEC);
    rig.config.log_jobs = jobs;
    rig.types[0].attempts = 2;
    rig_start(10);
    log_open(log_fd, LOG_FORMAT_PLAIN, LOG_LEVEL_INFO);
}

/* All that was logged; valid until the next call. */
static const char *logged(void)
{
    buf_reset(&text);
    cr_assert(lseek(log_fd, 0, SEEK_SET) == 0);
    cr_assert(fd_read_all(log_fd, &text, NULL) == 0);
    return buf_text(&text);
}

static size_t count_of(const char *word)
{
    size_t count = 0;

    for (const char *at = strstr(logged(), word); at; at = strstr(at + 1, word))
        count++;
    return count;
}

static struct job *added_job(unsigned int id, const char *name)
{
    static const char data[] = "{\"correlationId\":\"order-9\",\"iban\":\"DE89\"}";
    struct job *job = make_job_named(id, name);

    job->timestamp_ms = ADDED_AT_MS;
    job->data = (struct bytes){ data, sizeof(data) - 1 };
    return job;
}

/* Four jobs: one completes, one fails and is retried, one fails for good, one is given back. */
static void live(void)
{
    struct job *jobs[] = { added_job(1, "known"), added_job(2, "known"), added_job(3, "known"),
                           added_job(4, "known") };

    jobs[2]->attempts_made = 1;
    answer_turn(open_call(FAKE_TURN), NULL, jobs, 4, NULL);
    complete(1);
    fail_run(2, "card 4111111111111111 declined");
    fail_run(3, "password=hunter2 refused\nat line 2");
    end_run(4, HANDLER_INNOCENT);
    step();
    if (open_calls(FAKE_TURN) > 0)
        answer_turn(open_call(FAKE_TURN), NULL, NULL, 0, NULL);
}

Test(job_log, failures_are_what_is_logged_without_a_word)
{
    start(CONFIG_LOG_JOBS_FAILURES);
    live();
    cr_assert(eq(sz, count_of("job.started"), 0));
    cr_assert(eq(sz, count_of("job.completed"), 0));
    cr_assert(eq(sz,
                 count_of(" warn  job.retried job=2 correlation=order-9 job_type=known "
                          "attempt=1 attempts_max=2 took_ms="),
                 1),
              "%s", logged());
    cr_assert(eq(sz, count_of(" again_at=2"), 1));
    cr_assert(eq(sz,
                 count_of(" error job.failed job=3 correlation=order-9 job_type=known "
                          "attempt=2 took_ms="),
                 1),
              "%s", logged());
    cr_assert(eq(sz,
                 count_of(" info  job.given_back job=4 correlation=order-9 job_type=known "
                          "attempt=1 was_started=true counted=false"),
                 1),
              "%s", logged());
}

Test(job_log, reasons_are_redacted_and_data_is_not_there)
{
    start(CONFIG_LOG_JOBS_ALL);
    live();
    cr_assert(eq(sz, count_of("reason=\"card [redacted]1111 declined\""), 1), "%s", logged());
    cr_assert(eq(sz, count_of("reason=\"password=[redacted] refused\\nat line 2\""), 1));
    cr_assert(eq(sz, count_of("hunter2"), 0));
    cr_assert(eq(sz, count_of("DE89"), 0));
}

Test(job_log, all_adds_starts_and_completions)
{
    start(CONFIG_LOG_JOBS_ALL);
    live();
    cr_assert(eq(sz, count_of("job.started job="), 4), "%s", logged());
    cr_assert(eq(sz,
                 count_of("job.started job=1 correlation=order-9 job_type=known attempt=1 "
                          "attempts_max=2 added_at=2023-11-14T22:13:20.123Z age_ms="),
                 1),
              "%s", logged());
    cr_assert(eq(sz,
                 count_of("job.completed job=1 correlation=order-9 job_type=known attempt=1 "
                          "took_ms="),
                 1),
              "%s", logged());
    cr_assert(eq(sz, count_of("job.failed"), 1));
    cr_assert(eq(sz, count_of("job.retried"), 1));
}

Test(job_log, none_is_silent)
{
    start(CONFIG_LOG_JOBS_NONE);
    live();
    cr_assert(eq(str, (char *)(uintptr_t)logged(), (char *)""));
}

/* What was not settled has not happened: the lock was another's. */
Test(job_log, only_what_redis_took_is_told)
{
    static const enum settle_code codes[] = { SETTLE_LOCK_OF_OTHER };
    struct job *job;

    start(CONFIG_LOG_JOBS_ALL);
    job = added_job(1, "known");
    answer_turn(open_call(FAKE_TURN), NULL, &job, 1, NULL);
    complete(1);
    step();
    answer_turn(open_call(FAKE_TURN), codes, NULL, 0, NULL);
    cr_assert(eq(sz, count_of("job.completed"), 0), "%s", logged());
    cr_assert(eq(sz, count_of("jobs.lost"), 1));
}

Test(job_log, the_limit_is_for_failures_not_for_what_was_asked_for)
{
    struct job *jobs[10];

    start(CONFIG_LOG_JOBS_ALL);
    log_set_limit(2, 10000);
    for (unsigned int i = 0; i < 10; i++)
        jobs[i] = added_job(i + 1, "known");
    answer_turn(open_call(FAKE_TURN), NULL, jobs, 10, NULL);
    for (unsigned int i = 1; i <= 5; i++)
        fail_run(i, "no");
    complete_all();
    step();
    answer_turn(open_call(FAKE_TURN), NULL, NULL, 0, NULL);
    cr_assert(eq(sz, count_of("job.started"), 10));
    cr_assert(eq(sz, count_of("job.completed"), 5));
    cr_assert(eq(sz, count_of("job.retried"), 2));
    log_close();
    cr_assert(eq(sz, count_of("log.suppressed repeated=job.retried count=3 "), 1), "%s", logged());
}

Test(job_log, put_backs_are_one_line_a_minute_unless_all_are_asked_for)
{
    static const struct {
        enum config_log_jobs jobs;
        size_t lines;
    } rows[] = { { CONFIG_LOG_JOBS_NONE, 1 },
                 { CONFIG_LOG_JOBS_FAILURES, 1 },
                 { CONFIG_LOG_JOBS_ALL, 3 } };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct job *jobs[] = { added_job(1, "strange"), added_job(2, "strange"),
                               added_job(3, "strange") };

        if (i > 0) {
            rig_done();
            rig_init();
        }
        start(rows[i].jobs);
        answer_turn(open_call(FAKE_TURN), NULL, jobs, 3, NULL);
        cr_assert(eq(sz, count_of("job.put_back job="), rows[i].lines), "%s", logged());
        cr_assert(
            eq(sz, count_of("why=\"no handler is configured for this job name\""), rows[i].lines));
    }
}

Test(job_log, what_a_program_reports_of_a_job_is_told_when_all_is_asked_for)
{
    static const struct {
        enum config_log_jobs jobs;
        size_t lines;
    } rows[] = { { CONFIG_LOG_JOBS_FAILURES, 0 }, { CONFIG_LOG_JOBS_ALL, 1 } };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct job *job = added_job(1, "known");
        struct fake_run *run;

        if (i > 0) {
            rig_done();
            rig_init();
        }
        start(rows[i].jobs);
        answer_turn(open_call(FAKE_TURN), NULL, &job, 1, NULL);
        run = running(1);
        run->events->on_log(run->run, "half way, token=abc", 19, run->arg);
        cr_assert(eq(sz,
                     count_of("job.said job=1 correlation=order-9 job_type=known "
                              "text=\"half way, token=[redacted]\""),
                     rows[i].lines),
                  "%s", logged());
        complete_all();
    }
}
