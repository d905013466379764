#include "supervisor/cli/long_work.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/exit_code.h"
#include "supervisor/cli/output.h"
#include "supervisor/cli/verb.h"

#define BAR_WIDTH     30
#define BAR_EVERY_MS  100  /* on a terminal */
#define LINE_EVERY_MS 5000 /* elsewhere */

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

bool long_work_interrupted(void)
{
    return interrupted != 0;
}

/* ---- asking ---- */

int long_work_ask(const struct verb *verb, const char *question)
{
    struct buf shown = BUF_INIT(4096);
    char answer[16] = "";

    if (verb->values.yes)
        return 0;
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return verb_usage_error(verb,
                                "%s?\nthere is no terminal to ask on: give --yes to do it, or "
                                "--dry-run to see what it would do",
                                question);
    output_text(&shown, question, strlen(question));
    (void)fprintf(stderr, "%s? [y/N] ", buf_text(&shown));
    buf_done(&shown);
    if (fgets(answer, sizeof(answer), stdin) &&
        (strcmp(answer, "y\n") == 0 || strcmp(answer, "yes\n") == 0))
        return 0;
    output_error("nothing was done");
    return EXIT_CODE_FAILED;
}

/* ---- showing ---- */

static void show_bar(const struct long_work *work, uint64_t done, uint64_t per_second)
{
    char bar[BAR_WIDTH + 1], age[OUTPUT_AGE_BYTES];
    uint64_t part = work->total && done < work->total ? done : work->total;
    int filled = work->total ? (int)(part * BAR_WIDTH / work->total) : 0;

    if (work->total == 0) {
        (void)fprintf(stderr, "\r%" PRIu64 " jobs %s, %" PRIu64 "/s\033[K", done, work->did,
                      per_second);
        return;
    }
    for (int i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < filled ? '#' : '.';
    bar[BAR_WIDTH] = '\0';
    (void)fprintf(stderr, "\r[%s] %" PRIu64 " of %" PRIu64 " jobs %s, %" PRIu64 "/s", bar, done,
                  work->total, work->did, per_second);
    if (per_second > 0 && part < work->total)
        (void)fprintf(stderr, ", %s left",
                      output_age((work->total - part) * 1000 / per_second, age));
    (void)fputs("\033[K", stderr);
}

static void show(struct long_work *work, uint64_t done, uint64_t now_ms)
{
    uint64_t took_ms = now_ms - work->started_ms;
    uint64_t per_second = took_ms ? done * 1000 / took_ms : 0;

    if (work->bar) {
        show_bar(work, done, per_second);
        work->is_shown = true;
    } else if (work->total) {
        (void)fprintf(stderr, "drover: %" PRIu64 " of %" PRIu64 " jobs %s\n", done, work->total,
                      work->did);
    } else {
        (void)fprintf(stderr, "drover: %" PRIu64 " jobs %s\n", done, work->did);
    }
    (void)fflush(stderr);
    work->shown_ms = now_ms;
    work->shown_done = done;
}

/* ---- working ---- */

void long_work_begin(struct long_work *work, struct verb *verb, const char *did, uint64_t total)
{
    /* The second signal has its usual effect. */
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };

    *work = (struct long_work){ .verb = verb,
                                .did = did,
                                .total = total,
                                .rate = verb->values.rate.value,
                                .bar = isatty(STDERR_FILENO) != 0,
                                .started_ms = clock_now_ms(),
                                .shown_ms = clock_now_ms() };
    interrupted = 0;
    (void)sigaction(SIGINT, &action, NULL); /* both are signals that can be handled */
    (void)sigaction(SIGTERM, &action, NULL);
}

/* Waits until so many jobs may have been done by now. */
static void keep_pace(const struct long_work *work, uint64_t done)
{
    uint64_t due_ms = work->started_ms + (work->rate ? done * 1000 / work->rate : 0);

    while (!interrupted && work->verb->session.redis) {
        uint64_t now_ms = clock_now_ms();

        if (now_ms >= due_ms)
            return;
        /* In pieces, so that a signal is seen soon. */
        cli_session_sleep(&work->verb->session, due_ms - now_ms < 100 ? due_ms - now_ms : 100);
    }
}

bool long_work_step(struct long_work *work, uint64_t done)
{
    uint64_t now_ms = clock_now_ms();
    uint64_t every_ms = work->bar ? BAR_EVERY_MS : LINE_EVERY_MS;

    if (now_ms - work->shown_ms >= every_ms)
        show(work, done, now_ms);
    if (work->rate)
        keep_pace(work, done);
    return !interrupted;
}

void long_work_end(struct long_work *work)
{
    if (work->is_shown)
        (void)fputs("\r\033[K", stderr);
    work->is_shown = false;
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGTERM, SIG_DFL);
}

int long_work_tell_interrupted(const struct long_work *work, uint64_t done)
{
    char of[40] = "";

    if (work->total)
        (void)snprintf(of, sizeof(of), " of %" PRIu64, work->total);
    output_error("interrupted: %" PRIu64 "%s jobs %s; the queue is consistent, the same command "
                 "goes on from here",
                 done, of, work->did);
    return EXIT_CODE_FAILED;
}
