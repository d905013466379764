/* verb.h - the verbs of `drover queue` and `drover job`: what they share.
 * A verb is a row of command.h whose `run` is cli_run_verb: this reads its options, connects to the
 * Redis of its queue and calls `act`, which does one thing and returns an exit code. What goes
 * wrong is told on stderr, once. */
#pragma once

#include "common/queue/get.h"
#include "supervisor/cli/connect.h"

/* The values of all options; each verb's table has those that it takes. */
struct verb_values {
    struct cli_where where;
    const char *queue;             /* --queue, of `drover job` */
    struct cli_list states, types; /* filters (select.h) */
    const char *error, *older, *newer, *order;
    const char *from, *metrics; /* events, metrics */
    struct cli_number limit, rate, batch;
    struct cli_number start, depth, children, keep, timeout;
    bool dry_run, yes, json, ids, full, off;
    bool delayed, force, with_children, reset, lifo, follow;
    bool repair, remove, unprocessed;
    struct cli_number every, scheduler_limit; /* of schedulers */
    const char *cron, *zone, *from_time, *until_time, *name, *data;
    struct cli_number attempts, priority;
    bool immediately;
};

struct verb {
    const struct cli_command *command;
    struct verb_values values;
    const char **words; /* those that are no options */
    size_t words_count;
    struct cli_target target;
    struct cli_session session;
    struct queue *queue; /* of the queue that it is about; NULL before */
    const char *queue_name;
    struct buf out; /* flushed at the end, when the code is 0 */

    /* Of the call under way; see verb_finish. */
    bool answered;
    int code;
    void *state; /* of the verb's own */
};

/* `run` of every verb. */
int cli_run_verb(int argc, char **argv);

/* Tells a wrong word on the command line; EXIT_CODE_USAGE. */
int verb_usage_error(const struct verb *verb, const char *format, ...) PRINTF_LIKE(2, 3);

/* Opens the queue of that name with its Redis: 0, or an exit code. */
int verb_open_queue(struct verb *verb, const char *name);
/* Another queue of the same connection. */
int verb_change_queue(struct verb *verb, const char *name);
/* The queue of a job: that of --queue, else the only one that has the job. 0, or an exit code. */
int verb_open_job(struct verb *verb, const char *id);
void verb_close(struct verb *verb);

/* `r` is what the call returned; runs the loop until a callback has set `answered`, and returns
 * `code`. `what` is for the message: "read the jobs of the queue". */
int verb_finish(struct verb *verb, int r, const struct error *err, const char *what);
/* For callbacks: notes that the answer is there; false when it is none, which was told. */
bool verb_answered(struct verb *verb, const struct call_result *call, const char *what);
/* A queue_done_cb, `arg` the verb; the number is in *(int64_t *)verb->state when that is set. */
void verb_on_done(struct queue *queue, const struct call_result *call, int64_t value, void *arg);

/* A whole number among the words. 0, or EXIT_CODE_USAGE. */
int verb_parse_number(const struct verb *verb, const char *what, const char *text, uint64_t *out);
int verb_parse_duration(const struct verb *verb, const char *what, const char *text, uint64_t *out);
/* JSON of a word: text, @FILE, or - for standard input, into `out`. 0, or an exit code. */
int verb_read_json(const struct verb *verb, const char *word, struct buf *out);
/* The same for any text. */
int verb_read_text(const struct verb *verb, const char *word, struct buf *out);

/* ---- rows of options ---- */

#define VERB_AT(member) .at = offsetof(struct verb_values, member)

#define VERB_QUEUE                                                             \
    {                                                                          \
        .name = "queue", .letter = 'q', .kind = CLI_TEXT, .arg = "QUEUE",      \
        .value = CLI_VALUE_QUEUE, VERB_AT(queue),                              \
        .help = "its queue; without it the one that has the job is looked for" \
    }
#define VERB_JSON                                                               \
    {                                                                           \
        .name = "json", .kind = CLI_FLAG, VERB_AT(json), .help = "for programs" \
    }
#define VERB_DRY_RUN                                                          \
    {                                                                         \
        .name = "dry-run", .letter = 'n', .kind = CLI_FLAG, VERB_AT(dry_run), \
        .help = "says what it would do, and changes nothing"                  \
    }
#define VERB_YES                                                                \
    {                                                                           \
        .name = "yes", .letter = 'y', .kind = CLI_FLAG, VERB_AT(yes),           \
        .help = "does it without asking; needed where no terminal can be asked" \
    }
#define VERB_PACE                                                                \
    { .name = "batch",                                                           \
      .kind = CLI_NUMBER,                                                        \
      .arg = "N",                                                                \
      VERB_AT(batch),                                                            \
      .help = "jobs of one step, 1 to 500; 100 unless given" },                  \
    {                                                                            \
        .name = "rate", .kind = CLI_NUMBER, .arg = "N", VERB_AT(rate),           \
        .help = "at most so many jobs a second; as fast as it goes unless given" \
    }
#define VERB_STATE                                                                   \
    {                                                                                \
        .name = "state", .kind = CLI_LIST, .arg = "STATE", .value = CLI_VALUE_WORDS, \
        .words = VERB_STATES, VERB_AT(states),                                       \
        .help = "only jobs in this state; may be given again"                        \
    }
#define VERB_STATES "waiting paused active prioritized delayed waiting-children completed failed"
#define VERB_MATCH                                                                            \
    { .name = "type",                                                                         \
      .kind = CLI_LIST,                                                                       \
      .arg = "NAME",                                                                          \
      VERB_AT(types),                                                                         \
      .help = "only jobs of this type (the NAME of drover add); may be given again" },        \
        { .name = "error",                                                                    \
          .kind = CLI_TEXT,                                                                   \
          .arg = "TEXT",                                                                      \
          VERB_AT(error),                                                                     \
          .help = "only jobs whose reason of failure has this text in it" },                  \
        { .name = "older-than",                                                               \
          .kind = CLI_TEXT,                                                                   \
          .arg = "TIME",                                                                      \
          VERB_AT(older),                                                                     \
          .help = "only jobs that ended (or, not ended, were added) before that: an age as\n" \
                  "in 2h or 7d, or a time as in 2026-11-22T10:00" },                          \
    {                                                                                         \
        .name = "newer-than", .kind = CLI_TEXT, .arg = "TIME", VERB_AT(newer),                \
        .help = "only those that ended (or were added) after that"                            \
    }
#define VERB_LIMIT                                                                      \
    {                                                                                   \
        .name = "limit", .letter = 'l', .kind = CLI_NUMBER, .arg = "N", VERB_AT(limit), \
        .help = "at most N jobs"                                                        \
    }
