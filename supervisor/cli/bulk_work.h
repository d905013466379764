/* bulk_work.h - what the verbs of `drover queue` that work on many jobs share: the pace, asking,
 * the end of a work, and work by ids. All of a state goes by the queue's own bulk scripts; what is
 * filtered is gathered first (select.h) and then done by id. */
#pragma once

#include "common/queue/bulk.h"
#include "supervisor/cli/long_work.h"
#include "supervisor/cli/select.h"

struct verb;

/* One work of many steps. */
struct bulk {
    struct verb *verb;
    const char *did;  /* "removed" */
    const char *what; /* "remove jobs", for messages */
    struct long_work work;
    uint64_t total, done, passed;
    enum bulk_refusal refusal;
    bool cancelled;
    /* Of work by ids. */
    const struct selection *selection;
    int (*send)(struct bulk *bulk, const char *const *ids, size_t count, struct error *err);
    uint64_t counts_by_code[4]; /* gone, not there, locked or of a scheduler, damaged */
};

/* --batch and --rate: 0, or EXIT_CODE_USAGE. */
int bulk_check_pace(const struct verb *verb);
/* "<doing> 3 jobs<which> of queue q (Redis at ...)": whether it may be done; *code when not. */
bool bulk_ask(struct verb *verb, const char *doing, uint64_t count, const char *which, int *code);
/* Opens the queue of the first word and counts its jobs. */
int bulk_open_and_count(struct verb *verb, struct queue_counts *out);
void bulk_print_dry_run(struct bulk *bulk);

/* How the queue's own bulk works run; after long_work_begin, and bulk_end is next. */
struct bulk_run bulk_run_of(struct bulk *bulk);
/* Tells the result, or how far it came. Returns the exit code. */
int bulk_end(struct bulk *bulk, int code);

/* Gathers the jobs of the first word's queue, asks when `doing` is given, and calls bulk->send with
 * their ids, whose callback is bulk_on_codes. */
int bulk_run_filtered(struct bulk *bulk, const struct job_filter *filter, const char *doing);
queue_codes_cb bulk_on_codes;
