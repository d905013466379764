/* config.h - the checked configuration of one generation.
 * Invariant: a `struct config` that a caller holds has passed every check; nothing in it needs
 * checking again. The YAML file is read by droverd and by the `drover` command only; workers get
 * the same values as JSON in a sealed memfd (config_print_json with secrets, config_from_json).
 * Every key is one row of the schema table (schema.h), and code, help, reference page,
 * conf/drover.yaml's test and JSON form all read that table. */
#pragma once

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/base/error.h"
#include "common/base/resources.h"

enum config_tier { CONFIG_TIER_IMPORTANT, CONFIG_TIER_EPHEMERAL, CONFIG_TIER_COUNT };

enum config_handler_kind {
    CONFIG_HANDLER_NONE,
    CONFIG_HANDLER_NOOP,
    CONFIG_HANDLER_EXEC,
    CONFIG_HANDLER_PROCESS,
};

enum config_backoff_kind { CONFIG_BACKOFF_NONE, CONFIG_BACKOFF_FIXED, CONFIG_BACKOFF_EXPONENTIAL };

/* What to do with a handler when its job's lock cannot be proven any more (design 2). */
enum config_on_lock_lost { CONFIG_LOCK_LOST_STOP, CONFIG_LOCK_LOST_FINISH };

/* What to do with a job whose name has no handler. */
enum config_orphans { CONFIG_ORPHANS_OFF, CONFIG_ORPHANS_REPORT, CONFIG_ORPHANS_REPAIR };
enum config_unknown { CONFIG_UNKNOWN_DELAY, CONFIG_UNKNOWN_FAIL };

/* What the log says of single jobs. */
enum config_log_jobs { CONFIG_LOG_JOBS_NONE, CONFIG_LOG_JOBS_FAILURES, CONFIG_LOG_JOBS_ALL };

/* What answers at an endpoint. */
enum config_redis_kind { CONFIG_REDIS_SERVER, CONFIG_REDIS_SENTINEL, CONFIG_REDIS_CLUSTER };

#define CONFIG_REDIS_NODES_MAX 32

struct config_node {
    char *host;
    uint16_t port;
};

struct config_redis {
    char *name; /* key under `redis:` */
    char *url;  /* as written (config_parse_redis_url); never holds a password */
    enum config_redis_kind kind;
    char *host;                /* NULL unless CONFIG_REDIS_SERVER over TCP */
    uint16_t port;             /* likewise 0 */
    char *path;                /* unix socket path, else NULL */
    struct config_node *nodes; /* the Sentinels, or nodes of the cluster; else NULL */
    size_t nodes_count;
    char *master;                                /* the Sentinels' name of it, else NULL */
    char *sentinel_username, *sentinel_password; /* of the Sentinels themselves; NULL for none */
    unsigned int db;                             /* 0 … 15 and up; SELECTed when not 0 */
    char *prefix;                                /* BullMQ key prefix, default "bull" */
    char *username;                              /* ACL user, NULL for the default user */
    char *password; /* resolved secret, NULL for none; never printed, never logged */
    uint64_t connect_timeout_ms;
    uint64_t command_timeout_ms; /* a reply later than this means: connection is lost */
};

struct config_keep {
    int64_t count;   /* newest so many stay; -1 all, 0 none */
    uint64_t age_ms; /* older ones go; 0 no limit */
};

struct config_backoff {
    enum config_backoff_kind kind;
    uint64_t delay_ms;
    uint64_t max_ms; /* cap of one wait; 0 none */
    double jitter;   /* 0 … 1, BullMQ's meaning */
};

/* A user, as the process that read the file found it in the user database; children get the
 * numbers. What a reload finds changed there (another group, another home) is a change of the
 * value. */
struct config_user {
    char *name;       /* as written: a name or a number */
    uint32_t uid;     /* never 0: jobs do not run as root */
    uint32_t gid;     /* primary group; CONFIG_NO_GROUP when it is a number without an entry */
    uint32_t *groups; /* all its groups, the primary one too; owned */
    size_t groups_count;
    char *home; /* "/" without an entry */
};
#define CONFIG_NO_GROUP   UINT32_MAX
#define CONFIG_GROUPS_MAX 1024 /* of one user, or in one list */

struct config_group {
    char *name; /* as written */
    uint32_t gid;
};

/* A list of groups, which may be empty. */
struct config_groups {
    struct config_group *rows;
    size_t count;
};

#define CONFIG_UMASK_INHERIT (-1)
#define CONFIG_NICE_INHERIT  100 /* outside -20 … 19 */

struct config_handler {
    enum config_handler_kind kind;
    uint64_t noop_duration_ms; /* noop: how long a job takes */
    char **argv;               /* exec, process: NULL-terminated, argv[0] an absolute path */
    char **env; /* exec, process: NULL-terminated NAME=value list added to a clean environment */
    char *directory;           /* exec, process: working directory, absolute; "/" unless set */
    uint64_t max_output_bytes; /* exec: stdout beyond this fails the job; process: longest line */
    unsigned int children;     /* process: programs at once on this host; 0: concurrency / parallel,
                                  rounded up. When not 0, children * parallel is the concurrency. */
    unsigned int parallel;     /* process: jobs at once in one program, >= 1 */
    uint64_t heartbeat_ms;     /* process: a job that is silent for so long is ended; 0 never */
    /* exec, process: as whom and within which limits the program runs. Without a user it runs as
     * the worker does; `group` and `groups` are there with a user only. */
    struct config_user *user;
    struct config_groups *group;     /* one row; NULL: the user's primary group */
    struct config_groups *groups;    /* supplementary; NULL: all of the user's */
    int umask;                       /* CONFIG_UMASK_INHERIT, or 0 … 0777 */
    int nice;                        /* CONFIG_NICE_INHERIT, or -20 … 19 */
    uint64_t limits[RESOURCE_COUNT]; /* RESOURCE_INHERIT, RESOURCE_UNLIMITED, or a number */
};

/* What is known of a job by its name. Values absent in YAML are inherited: type, queue, defaults,
 * built in. */
struct config_type {
    char *name; /* job name; NULL in the queue's own (fallback) type */
    struct config_handler handler;
    unsigned int attempts; /* >= 1 */
    struct config_backoff backoff;
    uint64_t timeout_ms;    /* of one attempt; 0 none */
    uint64_t kill_grace_ms; /* between SIGTERM and SIGKILL */
    struct config_keep keep_completed;
    struct config_keep keep_failed;
};

/* Worker processes of all queues together: twice as many, while all are being replaced, fit into
 * the master's scoreboard. */
#define CONFIG_PROCESSES_MAX 2048

struct config_queue {
    char *name;
    enum config_tier tier;
    const struct config_redis *redis; /* borrowed from the same config; the tier's endpoint */
    unsigned int concurrency;         /* jobs at once on this host, over all processes */
    unsigned int processes;           /* 1 … concurrency */
    unsigned int cluster_concurrency; /* of all hosts; 0: not ours to say */
    unsigned int limiter_max;         /* jobs in limiter_ms; 0: no limiter, both or none are 0 */
    uint64_t limiter_ms;
    uint64_t lock_ms; /* >= 5000: a lock must outlive its renewals */
    uint64_t stalled_interval_ms;
    unsigned int max_stalled;    /* stalls after which a job fails */
    unsigned int max_givebacks;  /* deaths of its worker after which a job fails, >= 1 */
    unsigned int max_started;    /* starts after which a job fails; 0 no limit */
    unsigned int metrics_points; /* minutes kept in the metrics lists; 0: none are written */
    unsigned int batch_max;      /* jobs settled or fetched by one call, 1 … 64 */
    unsigned int wait_replicas;  /* that must have what was written; 0 none */
    uint64_t wait_timeout_ms;    /* … within this, > 0 */
    enum config_on_lock_lost on_lock_lost;
    enum config_log_jobs log_jobs;
    enum config_unknown unknown;
    enum config_orphans orphans;
    uint64_t unknown_delay_ms;
    bool enforce; /* YAML wins over the job's own options */
    struct config_type
        fallback; /* the queue's own handler and options; handler NONE when it has none */
    struct config_type *types; /* by job name */
    size_t types_count;
};

struct config {
    struct config_redis *redis;
    size_t redis_count;
    const struct config_redis *tiers[CONFIG_TIER_COUNT]; /* borrowed */
    struct config_queue *queues;
    size_t queues_count;
    int log_level;             /* enum log_level */
    int log_format;            /* enum log_format */
    unsigned int log_burst;    /* lines of an event in log_interval_ms; 0 no limit */
    uint64_t log_interval_ms;  /* > 0 */
    char **log_redact;         /* NULL-terminated regular expressions; NULL none */
    uint64_t drain_timeout_ms; /* stop: how long running jobs may go on */
    uint64_t start_timeout_ms; /* a worker must say ready within */
    uint64_t restart_first_ms; /* back-off of deaths before ready */
    uint64_t restart_max_ms;
    char *control_path;       /* of the master's socket, absolute */
    struct config_user *user; /* whom workers become when droverd is root; NULL: nobody else; it has
                                 a primary group */
    /* Where each value came from ("file:line:column", "--set"; NULL: built in), in the order of
     * config_each_value (each.h). Empty in a child: JSON does not carry it. */
    char **origins;
    size_t origins_count;
};

/* One thing found wrong (or odd) in a file. */
struct config_finding {
    bool warning;              /* odd, but the configuration is usable */
    char *file;                /* "--set" for a value from the command line */
    unsigned int line, column; /* from 1; 0 when the place is not in a file (--set), or the file
                                  could not be read */
    char *key;                 /* dotted path: queues.money.concurrency */
    char *text;                /* what is wrong, with the value, and what to do */
};

struct config_report {
    struct config_finding *findings; /* in the order of the file */
    size_t count;
    size_t errors;      /* findings that are not warnings */
    char **credentials; /* names of the systemd credentials that the file asks for, each once */
    size_t credentials_count;
};

void config_report_done(struct config_report *report);
/* Adds an error that was found after the file had been accepted as such; `origin` is one of
 * config->origins (NULL: built in). The same one at the same place is kept once. -ENOMEM. */
MUST_CHECK int config_report_add(struct config_report *report, const char *origin, const char *key,
                                 const char *text);

/* A value given outside the file (`--set KEY=VALUE`): goes through the same checks, wins over the
 * file. */
struct config_override {
    const char *key;   /* dotted path */
    const char *value; /* YAML scalar */
};

/* Reads `path` and queues.d/ *.yaml beside it, checks everything, reports all findings in one run.
 * It reads files and may wait for a slow disk, so the master calls it in a thread of its own
 * (uv_queue_work): it keeps no state between calls, logs nothing, and needs the current directory
 * only to find a relative `path`. It reads the environment (env:, CREDENTIALS_DIRECTORY), which
 * nobody may change meanwhile. `path` and overrides are borrowed until it returns; config and
 * report may be used and freed by another thread than made them.
 * Returns 0 and a config (owned by the caller), or -EINVAL with report->errors > 0 and no config.
 * `report` is initialised by the call and belongs to the caller in all cases. -ENOMEM: no config,
 * and the report may be incomplete or empty. */
MUST_CHECK int config_load(const char *path, const struct config_override *overrides,
                           size_t overrides_count, struct config **out_config,
                           struct config_report *report);

/* The same for commands that look at a configuration from outside of the service, where systemd's
 * credentials cannot be read: `cred:NAME` is a warning then, and the secret that it stands for is
 * not in the config. For looking only: nobody can log in with it. */
MUST_CHECK int config_inspect(const char *path, const struct config_override *overrides,
                              size_t overrides_count, struct config **out_config,
                              struct config_report *report);

/* How long a stop may take from the first signal to the end of droverd, when nothing that it
 * started obeys: stop.drain_timeout and the graces after it. UINT64_MAX: as long as jobs take. A
 * service manager that waits for less kills what still runs. */
uint64_t config_stop_budget_ms(uint64_t drain_timeout_ms);
/* The parts of it, in ms, in their order: what a worker may take after the drain's end to stop what
 * runs and give it back; how long its master waits then until it kills; until it kills again; until
 * it is no longer waited for. */
#define CONFIG_STOP_MARGIN_MS 6000
#define CONFIG_STOP_GRACE_MS  7000 /* a worker needs at most 6.5 s (workers/worker/worker.c) */
#define CONFIG_STOP_KILL_MS   5000
#define CONFIG_STOP_SWEEP_MS  1000

/* Parses redis://[user@]host[:port][/db], unix:///path[?db=N],
 * redis+sentinel://[user@]host[:port],…/master[/db] and redis+cluster://[user@]host[:port],… into
 * url, kind, host, port, path, nodes, master, db and
 * (when the URL has one) username of `endpoint`, replacing what was there; the endpoint must be
 * initialised. -EINVAL with what to write instead; a password in a URL is refused, and the text
 * never repeats the URL. */
MUST_CHECK int config_parse_redis_url(const char *url, struct config_redis *endpoint,
                                      struct error *err);

/* An endpoint outside any file (`--redis URL`): built-in defaults, then the URL. Free it with
 * config_redis_done, which also wipes the password. */
MUST_CHECK int config_redis_init(struct config_redis *redis, const char *name, const char *url,
                                 struct error *err);
void config_redis_done(struct config_redis *redis);
/* Frees what a URL says of the place: url, host, path, nodes, master. */
void config_redis_forget_place(struct config_redis *endpoint);

void config_free(struct config *config);
void config_freep(struct config **config);

/* The queue of that name, or NULL. */
const struct config_queue *config_find_queue(const struct config *config, const char *name);

/* The type that rules a job of this name: its own row, else the queue's fallback. Never NULL; its
 * handler may be CONFIG_HANDLER_NONE (then `unknown` applies). */
const struct config_type *config_find_type(const struct config_queue *queue, const char *job_name,
                                           size_t name_len);

/* The group that a handler's program runs with; its user is there. */
uint32_t config_handler_gid(const struct config_handler *handler);
/* Its supplementary groups, at most CONFIG_GROUPS_MAX of them in `out`; returns how many. */
size_t config_handler_groups(const struct config_handler *handler, uint32_t *out);

enum config_secrets { CONFIG_SECRETS_MASKED, CONFIG_SECRETS_KEPT };

/* The whole configuration as one JSON object, defaults filled in. Secrets only for a child's memfd.
 */
MUST_CHECK int config_print_json(const struct config *config, enum config_secrets secrets,
                                 struct buf *out, struct error *err);

/* The inverse, for children. Refuses a document of another format version by name. */
MUST_CHECK int config_from_json(const char *text, size_t len, struct config **out_config,
                                struct error *err);

/* `drover check --effective`: every value, one per line, with where it came from (file:line,
 * default, --set). */
MUST_CHECK int config_print_effective(const struct config *config, struct buf *out,
                                      struct error *err);
/* The same as JSON: {"queues.money.concurrency": {"value": …, "from": "file:line:column"}, …}. */
MUST_CHECK int config_print_effective_json(const struct config *config, struct buf *out,
                                           struct error *err);

/* `drover check --explain KEY`: what the key means, type, default, range, what a change takes; `*`
 * matches names. -ENOENT with a did-you-mean when there is no such key. KEY NULL lists all keys. */
MUST_CHECK int config_explain(const char *key, struct buf *out, struct error *err);

/* `drover check --list`, one a line: names of the queues; KEY= of every value that could be set
 * here, and KEY=VALUE for each value where there are only some; the keys' patterns. A failed append
 * marks `out`. */
enum config_list { CONFIG_LIST_QUEUES, CONFIG_LIST_SETTINGS };
MUST_CHECK int config_list(const struct config *config, enum config_list what, struct buf *out,
                           struct error *err);
void config_list_keys(struct buf *out);
