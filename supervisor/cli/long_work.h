/* long_work.h - work on many jobs: asked for first, shown as it goes, ended between two steps.
 * Every step leaves the queue consistent. The first ^C (or SIGTERM) ends the work after the step
 * that is under way and says how far it came; the second one ends the program at once. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct verb;

struct long_work {
    struct verb *verb;
    const char *did; /* "removed": what was done to a job */
    uint64_t total;  /* 0: not known */
    uint64_t rate;   /* jobs a second; 0: no limit */
    bool bar;        /* a bar on a terminal is shown; else lines now and then */
    bool is_shown;   /* there is a bar on the line */
    uint64_t started_ms, shown_ms, shown_done;
};

/* Whether it may be done: --yes, or the answer on a terminal to "<question>? [y/N]". 0, or an exit
 * code after it was told what to do. */
int long_work_ask(const struct verb *verb, const char *question);

void long_work_begin(struct long_work *work, struct verb *verb, const char *did, uint64_t total);
/* After a step; `done`: jobs in all. Waits as the rate wants it. False: it is to end now. */
bool long_work_step(struct long_work *work, uint64_t done);
void long_work_end(struct long_work *work);
/* Whether it was ended by a signal. */
bool long_work_interrupted(void);
/* Tells how far it came, and what to do: EXIT_CODE_FAILED. */
int long_work_tell_interrupted(const struct long_work *work, uint64_t done);
