/* The table. What is done with its rows is in schema_lookup.c. */
#include "common/config/schema.h"

#include <stddef.h>

#include "common/config/schema_words.h"

#define SECONDS 1000.0
#define MINUTES (60 * SECONDS)
#define HOURS   (60 * MINUTES)
#define DAYS    (24 * HOURS)
#define KIB     1024.0
#define GIB     (1024 * 1024 * KIB)
#define PIB     (1024 * 1024 * GIB)

#define OF_CONFIG(field) .home = SCHEMA_HOME_CONFIG, .offset = offsetof(struct config, field)
#define OF_REDIS(field)  .home = SCHEMA_HOME_REDIS, .offset = offsetof(struct config_redis, field)
#define OF_QUEUE(field)  .home = SCHEMA_HOME_QUEUE, .offset = offsetof(struct config_queue, field)
#define OF_TYPE(field)   .home = SCHEMA_HOME_TYPE, .offset = offsetof(struct config_type, field)

#define JOB_OPTION     (SCHEMA_DEFAULTS | SCHEMA_QUEUE | SCHEMA_TYPE)
#define QUEUE_OPTION   (SCHEMA_DEFAULTS | SCHEMA_QUEUE)
#define HANDLER_OPTION (SCHEMA_QUEUE | SCHEMA_TYPE)

/* Kinds of handler that start a program. */
#define PROGRAM_KINDS (SCHEMA_KIND(CONFIG_HANDLER_EXEC) | SCHEMA_KIND(CONFIG_HANDLER_PROCESS))

/* A limit of the programs of exec and process. The help of `open_files` says what all have in
 * common. */
#define HANDLER_LIMIT(limit_name, resource)                                                 \
    .sections = HANDLER_OPTION, .path = "handler.limits." limit_name, .type = SCHEMA_LIMIT, \
    OF_TYPE(handler.limits[resource]), .group = "handler", .handlers = PROGRAM_KINDS,       \
    .preset = "inherit", .change = SCHEMA_NEW_WORKERS

const struct schema_row schema_rows[] = {
    { .sections = SCHEMA_TOP,
      .path = "log.level",
      .type = SCHEMA_WORD,
      .words = schema_log_level_words,
      OF_CONFIG(log_level),
      .preset = "info",
      .change = SCHEMA_LIVE,
      .help = "Least important lines that are still written." },
    { .sections = SCHEMA_TOP,
      .path = "log.format",
      .type = SCHEMA_WORD,
      .words = schema_log_format_words,
      OF_CONFIG(log_format),
      .preset = "auto",
      .change = SCHEMA_RESTART,
      .help = "How a line looks. auto: when systemd has connected standard error to its journal, "
              "entries of the journal, whose fields can be searched for (`journalctl QUEUE=money "
              "JOB_ID=42`); plain lines on a terminal; JSON otherwise. What the journal does not "
              "take goes to standard error." },
    { .sections = SCHEMA_TOP,
      .path = "log.burst",
      .type = SCHEMA_UINT,
      OF_CONFIG(log_burst),
      .preset = "100",
      .min = 1,
      .max = 1000000,
      .flags = SCHEMA_ZERO_IS_NONE,
      .change = SCHEMA_RESTART,
      .help = "How many lines of one event a process may write for a queue within log.interval; "
              "what comes more is left out and counted, and log.suppressed tells the count. Lines "
              "of level debug and those that `log_jobs: all` asks for are not limited, and what "
              "programs say may be ten times as much. none: no "
              "limit. journald has a limit of its own for a whole service (RateLimitBurst= in "
              "journald.conf)." },
    { .sections = SCHEMA_TOP,
      .path = "log.interval",
      .type = SCHEMA_DURATION,
      OF_CONFIG(log_interval_ms),
      .preset = "10s",
      .min = 100,
      .max = 1 * HOURS,
      .change = SCHEMA_RESTART,
      .help = "The time that log.burst is about; it begins with the first line of an event." },
    { .sections = SCHEMA_TOP,
      .path = "log.redact",
      .type = SCHEMA_PATTERNS,
      OF_CONFIG(log_redact),
      .change = SCHEMA_RESTART,
      .help = "Regular expressions (POSIX extended) of what must not stand in the log, at most 32: "
              "what they match is written as `[redacted]`. Passwords in URLs, credentials after "
              "`Authorization:` and `Bearer`, values of keys named like a secret, JSON web tokens, "
              "card numbers and private keys are hidden without being named here." },
    { .sections = SCHEMA_TOP,
      .path = "stop.drain_timeout",
      .type = SCHEMA_DURATION,
      OF_CONFIG(drain_timeout_ms),
      .preset = "30s",
      .min = 0,
      .max = 1 * DAYS,
      .flags = SCHEMA_ZERO_IS_NONE,
      .change = SCHEMA_LIVE,
      .help = "How long running jobs may go on after SIGTERM. Jobs still running then are ended "
              "and go back to the front of their queue without using an attempt. none: as long as "
              "they need, until a second SIGTERM. Keep the unit's TimeoutStopSec longer than "
              "this." },
    { .sections = SCHEMA_TOP,
      .path = "start.timeout",
      .type = SCHEMA_DURATION,
      OF_CONFIG(start_timeout_ms),
      .preset = "10s",
      .min = 100,
      .max = 10 * MINUTES,
      .change = SCHEMA_LIVE,
      .help = "A new worker process must say that it is ready within this time; otherwise it is "
              "killed and started again after a wait." },
    { .sections = SCHEMA_TOP,
      .path = "start.restart_first",
      .type = SCHEMA_DURATION,
      OF_CONFIG(restart_first_ms),
      .preset = "100ms",
      .min = 1,
      .max = 1 * HOURS,
      .change = SCHEMA_LIVE,
      .help = "Wait before a worker that died before it was ready is started again. It doubles "
              "with each such death in a row." },
    { .sections = SCHEMA_TOP,
      .path = "start.restart_max",
      .type = SCHEMA_DURATION,
      OF_CONFIG(restart_max_ms),
      .preset = "30s",
      .min = 1,
      .max = 1 * HOURS,
      .change = SCHEMA_LIVE,
      .help = "Longest such wait." },
    { .sections = SCHEMA_TOP,
      .path = "control",
      .type = SCHEMA_PATH,
      OF_CONFIG(control_path),
      .preset = "/run/drover/control",
      .max = SCHEMA_SOCKET_PATH_BYTES_MAX,
      .flags = SCHEMA_SOCKET,
      .change = SCHEMA_RESTART,
      .help = "The master's socket for drover ps, reload, scale: droverd listens there, drover "
              "connects to it. Members of its group may look, root may change things. Each droverd "
              "of a host needs one of its own. At most 107 bytes: a unix socket's path cannot be "
              "longer." },
    { .sections = SCHEMA_TOP,
      .path = "user",
      .type = SCHEMA_USER,
      OF_CONFIG(user),
      .preset = "none",
      .change = SCHEMA_NEW_WORKERS,
      .help = "Whom worker processes become when droverd was started as root, with all of the "
              "user's groups, before they read anything. They keep only the capabilities that "
              "their handlers take, mostly none. The drop-in users.conf starts droverd with --set "
              "user=drover. none: they stay what droverd is; when that is root the log says so "
              "(droverd.runs_as_root). Root is refused here." },
    { .sections = SCHEMA_TOP,
      .path = "tiers.important.redis",
      .type = SCHEMA_ENDPOINT,
      OF_CONFIG(tiers[CONFIG_TIER_IMPORTANT]),
      .preset = "default",
      .change = SCHEMA_NEW_WORKERS,
      .help = "Endpoint (a name under `redis`) of queues of tier important. Give it persistence "
              "(AOF) and maxmemory-policy noeviction. When there is one endpoint only, it is the "
              "default whatever its name." },
    { .sections = SCHEMA_TOP,
      .path = "tiers.ephemeral.redis",
      .type = SCHEMA_ENDPOINT,
      OF_CONFIG(tiers[CONFIG_TIER_EPHEMERAL]),
      .preset = "default",
      .change = SCHEMA_NEW_WORKERS,
      .help = "Endpoint of queues of tier ephemeral, whose jobs may be lost with the server." },

    { .sections = SCHEMA_REDIS,
      .path = "url",
      .type = SCHEMA_URL,
      OF_REDIS(url),
      .preset = "redis://127.0.0.1:6379/0",
      .change = SCHEMA_NEW_WORKERS,
      .help = "redis://HOST:PORT/DB or unix:///PATH?db=DB. With Sentinels, which know the master: "
              "redis+sentinel://HOST:PORT,HOST:PORT/MASTER/DB. Some nodes of a cluster: "
              "redis+cluster://HOST:PORT,HOST:PORT. A user may stand in it (redis://USER@HOST), a "
              "password never: it would show in process lists and logs. Needed for every endpoint "
              "but `default`." },
    { .sections = SCHEMA_REDIS,
      .path = "prefix",
      .type = SCHEMA_TEXT,
      OF_REDIS(prefix),
      .preset = "bull",
      .max = 128,
      .change = SCHEMA_NEW_WORKERS,
      .help = "First part of every key, as in BullMQ's `prefix` option. It must be the one that "
              "your producers use. On a cluster write it as '{bull}': the text in braces puts all "
              "keys of all queues into one hash slot; or put braces into the names of queues, and "
              "each has a slot of its own." },
    { .sections = SCHEMA_REDIS,
      .path = "username",
      .type = SCHEMA_TEXT,
      OF_REDIS(username),
      .max = 256,
      .change = SCHEMA_NEW_WORKERS,
      .help = "ACL user. Without it the default user is meant." },
    { .sections = SCHEMA_REDIS,
      .path = "password",
      .type = SCHEMA_SECRET,
      OF_REDIS(password),
      .change = SCHEMA_NEW_WORKERS,
      .help = "Where the password is: file:/PATH, cred:NAME (a systemd credential, "
              "LoadCredential=NAME:/PATH in the unit) or env:NAME. The password itself is refused "
              "here. One line, one trailing newline is cut." },
    { .sections = SCHEMA_REDIS,
      .path = "sentinel_username",
      .type = SCHEMA_TEXT,
      OF_REDIS(sentinel_username),
      .max = 256,
      .change = SCHEMA_NEW_WORKERS,
      .help = "ACL user at the Sentinels, which know nothing of the master's users. Without it "
              "their default user is meant." },
    { .sections = SCHEMA_REDIS,
      .path = "sentinel_password",
      .type = SCHEMA_SECRET,
      OF_REDIS(sentinel_password),
      .change = SCHEMA_NEW_WORKERS,
      .help = "Where the password for the Sentinels themselves is, written as `password`. Without "
              "it they are asked without one." },
    { .sections = SCHEMA_REDIS,
      .path = "connect_timeout",
      .type = SCHEMA_DURATION,
      OF_REDIS(connect_timeout_ms),
      .preset = "5s",
      .min = 100,
      .max = 10 * MINUTES,
      .change = SCHEMA_NEW_WORKERS,
      .help = "Name resolution, connecting, authenticating and loading scripts together may take "
              "this long." },
    { .sections = SCHEMA_REDIS,
      .path = "command_timeout",
      .type = SCHEMA_DURATION,
      OF_REDIS(command_timeout_ms),
      .preset = "10s",
      .min = 100,
      .max = 10 * MINUTES,
      .change = SCHEMA_NEW_WORKERS,
      .help =
          "A command without a reply for so long means that the connection is lost. Keep it "
          "well below `lock`, so that a dead connection is noticed while jobs are still ours." },

    { .sections = SCHEMA_QUEUE,
      .path = "tier",
      .type = SCHEMA_WORD,
      .words = schema_tier_words,
      OF_QUEUE(tier),
      .preset = "important",
      .change = SCHEMA_NEW_WORKERS,
      .help = "How well the queue's jobs are kept, which chooses its Redis." },
    { .sections = SCHEMA_QUEUE,
      .path = "concurrency",
      .type = SCHEMA_UINT,
      OF_QUEUE(concurrency),
      .preset = "1",
      .min = 1,
      .max = 100000,
      .change = SCHEMA_LIVE,
      .help = "Jobs at once on this host, over all processes of the queue, split as evenly as "
              "possible." },
    { .sections = SCHEMA_QUEUE,
      .path = "processes",
      .type = SCHEMA_UINT,
      OF_QUEUE(processes),
      .preset = "1",
      .min = 1,
      .max = 1024,
      .change = SCHEMA_LIVE,
      .help =
          "Worker processes of the queue; at most `concurrency`, and at most 2048 of all queues "
          "together. One is enough for most queues: "
          "handlers run beside it, not in it. More spread the work over processor cores when "
          "thousands of jobs a second pass." },
    { .sections = SCHEMA_QUEUE,
      .path = "cluster_concurrency",
      .type = SCHEMA_UINT,
      OF_QUEUE(cluster_concurrency),
      .preset = "none",
      .min = 1,
      .max = 1000000,
      .flags = SCHEMA_ZERO_IS_NONE,
      .change = SCHEMA_NEW_WORKERS,
      .help = "Jobs of the queue at once on all hosts together, stock workers included. It lies in "
              "Redis, where BullMQ's setGlobalConcurrency has it: each worker that starts writes "
              "it when it differs, so that the last one to start wins, and the log says so "
              "(queue.concurrency_applied). none: what was written for this key is taken back; a "
              "number that somebody else has put there stays and counts." },
    { .sections = SCHEMA_QUEUE,
      .path = "limiter.max",
      .type = SCHEMA_UINT,
      OF_QUEUE(limiter_max),
      .preset = "none",
      .min = 1,
      .max = 1000000000,
      .flags = SCHEMA_ZERO_IS_NONE,
      .change = SCHEMA_NEW_WORKERS,
      .help = "Jobs that may start within limiter.duration, of all workers that have a limiter "
              "together, on all hosts, stock ones (option `limiter`) included; give all the same. "
              "A global rate limit of the queue (setGlobalRateLimit) goes before. A queue whose "
              "handlers ask for a rest (docs/protocols/handler.md) needs one for all of its "
              "workers to rest." },
    { .sections = SCHEMA_QUEUE,
      .path = "limiter.duration",
      .type = SCHEMA_DURATION,
      OF_QUEUE(limiter_ms),
      .preset = "none",
      .min = 0,
      .max = 365 * DAYS,
      .flags = SCHEMA_ZERO_IS_NONE,
      .change = SCHEMA_NEW_WORKERS,
      .help = "The time that limiter.max is about; it begins with the first job that starts." },
    { .sections = SCHEMA_QUEUE,
      .path = "enforce",
      .type = SCHEMA_BOOL,
      OF_QUEUE(enforce),
      .preset = "false",
      .change = SCHEMA_NEW_WORKERS,
      .help = "Who wins when a job brings options of its own (attempts, backoff, what to keep): "
              "false, the job, and this file fills what is absent; true, this file." },
    { .sections = QUEUE_OPTION,
      .path = "lock",
      .type = SCHEMA_DURATION,
      OF_QUEUE(lock_ms),
      .preset = "30s",
      .min = 5 * SECONDS,
      .max = 1 * DAYS,
      .change = SCHEMA_NEW_WORKERS,
      .help = "How long a job stays ours without a sign of life from its worker; renewed at a "
              "third of it. Short: jobs of a lost host come back soon. Long: a slow network or "
              "server takes no job away." },
    { .sections = QUEUE_OPTION,
      .path = "stalled_interval",
      .type = SCHEMA_DURATION,
      OF_QUEUE(stalled_interval_ms),
      .preset = "30s",
      .min = 1 * SECONDS,
      .max = 1 * DAYS,
      .change = SCHEMA_NEW_WORKERS,
      .help = "How often jobs whose lock ran out are looked for. All workers of a queue, stock "
              "ones too, share one check an interval." },
    { .sections = QUEUE_OPTION,
      .path = "max_stalled",
      .type = SCHEMA_UINT,
      OF_QUEUE(max_stalled),
      .preset = "1",
      .min = 0,
      .max = 1000,
      .change = SCHEMA_NEW_WORKERS,
      .help = "How often a job may stall (its worker was lost) and still be run again; after that "
              "it fails." },
    { .sections = QUEUE_OPTION,
      .path = "max_givebacks",
      .type = SCHEMA_UINT,
      OF_QUEUE(max_givebacks),
      .preset = "3",
      .min = 1,
      .max = 1000,
      .change = SCHEMA_NEW_WORKERS,
      .help = "After so many deaths of the process that ran it a job fails, with the history of "
              "those deaths. Until then each death gives it back to the front of its queue without "
              "using an attempt, and from the second on it runs alone in its process, so that it "
              "takes no other job with it." },
    { .sections = QUEUE_OPTION,
      .path = "max_started",
      .type = SCHEMA_UINT,
      OF_QUEUE(max_started),
      .preset = "none",
      .min = 1,
      .max = 1000000,
      .flags = SCHEMA_ZERO_IS_NONE,
      .change = SCHEMA_NEW_WORKERS,
      .help = "How often a job may be started at all, for whatever reason it came back; the next "
              "time it fails instead (BullMQ's maxStartedAttempts). It ends jobs that are put "
              "back for ever without using an attempt." },
    { .sections = QUEUE_OPTION,
      .path = "metrics.max_data_points",
      .type = SCHEMA_UINT,
      OF_QUEUE(metrics_points),
      .preset = "none",
      .min = 1,
      .max = 100000,
      .flags = SCHEMA_ZERO_IS_NONE,
      .change = SCHEMA_NEW_WORKERS,
      .help = "Minutes for which BullMQ's metrics lists (Queue.getMetrics) keep how many jobs "
              "completed and failed; 20160 are two weeks. It costs about three commands in Redis "
              "per call. Give all workers of a queue the same. none: drover writes none." },
    { .sections = QUEUE_OPTION,
      .path = "batch",
      .type = SCHEMA_UINT,
      OF_QUEUE(batch_max),
      .preset = "50",
      .min = 1,
      .max = 64,
      .change = SCHEMA_NEW_WORKERS,
      .help = "Most jobs that one call to Redis finishes or fetches. Smaller calls keep Redis free "
              "for others, larger ones move more jobs a second." },
    { .sections = QUEUE_OPTION,
      .path = "wait_replicas",
      .type = SCHEMA_UINT,
      OF_QUEUE(wait_replicas),
      .preset = "none",
      .min = 0,
      .max = 100,
      .flags = SCHEMA_ZERO_IS_NONE,
      .change = SCHEMA_NEW_WORKERS,
      .help = "So many replicas must have a job that drover adds, before the add counts as done, "
              "and the fetch of a job, before it starts: a failover to one of them forgets "
              "neither. One wait (WAIT) per call, not per job. While too few answer, workers "
              "settle what they have, fetch nothing more and say so." },
    { .sections = QUEUE_OPTION,
      .path = "wait_timeout",
      .type = SCHEMA_DURATION,
      OF_QUEUE(wait_timeout_ms),
      .preset = "1s",
      .min = 1,
      .max = 1 * MINUTES,
      .change = SCHEMA_NEW_WORKERS,
      .help = "How long a call waits for replicas, at most a sixth of `lock`." },
    { .sections = QUEUE_OPTION,
      .path = "on_lock_lost",
      .type = SCHEMA_WORD,
      .words = schema_lock_lost_words,
      OF_QUEUE(on_lock_lost),
      .preset = "stop",
      .change = SCHEMA_NEW_WORKERS,
      .help = "What happens to a running handler when its job's lock cannot be proven any more, as "
              "after a long loss of Redis. Its result cannot count in either case." },
    { .sections = QUEUE_OPTION,
      .path = "log_jobs",
      .type = SCHEMA_WORD,
      .words = schema_log_jobs_words,
      OF_QUEUE(log_jobs),
      .preset = "failures",
      .change = SCHEMA_NEW_WORKERS,
      .help = "What the log says of single jobs. failures: those that failed for good, failed and "
              "are tried again, or were given or put back, with the reason. all: each start and "
              "completion too, and what programs report of a job; these lines are not limited by "
              "log.burst. Never a job's data or result." },
    { .sections = QUEUE_OPTION,
      .path = "orphans",
      .type = SCHEMA_WORD,
      .words = schema_orphans_words,
      OF_QUEUE(orphans),
      .preset = "report",
      .change = SCHEMA_NEW_WORKERS,
      .help =
          "What to do about jobs that are stored and in no state, so that nobody would ever run "
          "them: a resume by BullMQ 5 after BullMQ 6 has added to the paused queue makes such. "
          "One worker of a queue goes through the keys of the server, a few at a time and once "
          "a minute at most; what two looks have found unchanged is an orphan." },
    { .sections = QUEUE_OPTION,
      .path = "unknown.action",
      .type = SCHEMA_WORD,
      .words = schema_unknown_words,
      OF_QUEUE(unknown),
      .preset = "delay",
      .change = SCHEMA_NEW_WORKERS,
      .help = "What to do with a job whose name has no handler here. `delay` gives you time to "
              "roll a new type out; the log says so once a minute." },
    { .sections = QUEUE_OPTION,
      .path = "unknown.delay",
      .type = SCHEMA_DURATION,
      OF_QUEUE(unknown_delay_ms),
      .preset = "60s",
      .min = 1 * SECONDS,
      .max = 30 * DAYS,
      .change = SCHEMA_NEW_WORKERS,
      .help = "When such a job comes back." },

    { .sections = JOB_OPTION,
      .path = "attempts",
      .type = SCHEMA_UINT,
      OF_TYPE(attempts),
      .preset = "1",
      .min = 1,
      .max = 1000000,
      .change = SCHEMA_NEW_WORKERS,
      .help = "How often a job is run at most, the first time included. 1 means no retry." },
    { .sections = JOB_OPTION,
      .path = "backoff.type",
      .type = SCHEMA_WORD,
      .words = schema_backoff_words,
      OF_TYPE(backoff.kind),
      .preset = "none",
      .change = SCHEMA_NEW_WORKERS,
      .help = "How the wait before the next attempt grows." },
    { .sections = JOB_OPTION,
      .path = "backoff.delay",
      .type = SCHEMA_DURATION,
      OF_TYPE(backoff.delay_ms),
      .preset = "0s",
      .min = 0,
      .max = 365 * DAYS,
      .change = SCHEMA_NEW_WORKERS,
      .help = "Wait after the first failed attempt. Needed with fixed and exponential." },
    { .sections = JOB_OPTION,
      .path = "backoff.max",
      .type = SCHEMA_DURATION,
      OF_TYPE(backoff.max_ms),
      .preset = "none",
      .min = 0,
      .max = 365 * DAYS,
      .flags = SCHEMA_ZERO_IS_NONE,
      .change = SCHEMA_NEW_WORKERS,
      .help = "Longest wait. BullMQ has no such cap: a stock worker on the same queue waits "
              "longer." },
    { .sections = JOB_OPTION,
      .path = "backoff.jitter",
      .type = SCHEMA_REAL,
      OF_TYPE(backoff.jitter),
      .preset = "0",
      .min = 0,
      .max = 1,
      .change = SCHEMA_NEW_WORKERS,
      .help = "Share of the wait that is random, so that jobs that failed together do not come "
              "back together: with 0.2 a wait of 10s becomes one between 8s and 10s." },
    { .sections = JOB_OPTION,
      .path = "timeout",
      .type = SCHEMA_DURATION,
      OF_TYPE(timeout_ms),
      .preset = "none",
      .min = 0,
      .max = 30 * DAYS,
      .flags = SCHEMA_ZERO_IS_NONE,
      .change = SCHEMA_NEW_WORKERS,
      .help = "How long one attempt may run. Then its whole process group gets SIGTERM, after "
              "kill_grace SIGKILL, and the attempt counts as failed." },
    { .sections = JOB_OPTION,
      .path = "kill_grace",
      .type = SCHEMA_DURATION,
      OF_TYPE(kill_grace_ms),
      .preset = "5s",
      .min = 0,
      .max = 1 * HOURS,
      .change = SCHEMA_NEW_WORKERS,
      .help = "Time between SIGTERM and SIGKILL for a handler that must end." },
    { .sections = JOB_OPTION,
      .path = "keep.completed",
      .type = SCHEMA_KEEP,
      .home = SCHEMA_HOME_TYPE,
      .group = "keep.completed",
      .preset = "all",
      .change = SCHEMA_NEW_WORKERS,
      .help = "Which completed jobs stay in Redis: a number (the newest so many), all, none, or a "
              "map of count and age. Set it: `all`, which is what stock workers do, fills Redis." },
    { .sections = JOB_OPTION,
      .path = "keep.completed.count",
      .type = SCHEMA_COUNT,
      OF_TYPE(keep_completed.count),
      .group = "keep.completed",
      .flags = SCHEMA_SHORT,
      .preset = "all",
      .min = 0,
      .max = 1000000000,
      .change = SCHEMA_NEW_WORKERS,
      .help = "The newest so many stay." },
    { .sections = JOB_OPTION,
      .path = "keep.completed.age",
      .type = SCHEMA_DURATION,
      OF_TYPE(keep_completed.age_ms),
      .group = "keep.completed",
      .flags = SCHEMA_ZERO_IS_NONE,
      .preset = "none",
      .min = 0,
      .max = 3650 * DAYS,
      .change = SCHEMA_NEW_WORKERS,
      .help = "Older ones go, whatever the count. They go when a later job finishes, not by a "
              "clock." },
    { .sections = JOB_OPTION,
      .path = "keep.failed",
      .type = SCHEMA_KEEP,
      .home = SCHEMA_HOME_TYPE,
      .group = "keep.failed",
      .preset = "all",
      .change = SCHEMA_NEW_WORKERS,
      .help = "Which failed jobs stay in Redis; written like keep.completed." },
    { .sections = JOB_OPTION,
      .path = "keep.failed.count",
      .type = SCHEMA_COUNT,
      OF_TYPE(keep_failed.count),
      .group = "keep.failed",
      .flags = SCHEMA_SHORT,
      .preset = "all",
      .min = 0,
      .max = 1000000000,
      .change = SCHEMA_NEW_WORKERS,
      .help = "The newest so many stay." },
    { .sections = JOB_OPTION,
      .path = "keep.failed.age",
      .type = SCHEMA_DURATION,
      OF_TYPE(keep_failed.age_ms),
      .group = "keep.failed",
      .flags = SCHEMA_ZERO_IS_NONE,
      .preset = "none",
      .min = 0,
      .max = 3650 * DAYS,
      .change = SCHEMA_NEW_WORKERS,
      .help = "Older ones go, whatever the count." },

    { .sections = HANDLER_OPTION,
      .path = "handler",
      .type = SCHEMA_HANDLER,
      OF_TYPE(handler.kind),
      .group = "handler",
      .change = SCHEMA_NEW_WORKERS,
      .help = "How a job is run: `noop`, {noop: {duration: 5ms}}, {exec: [/path, argument]} or "
              "{process: [/path, argument]}. A queue's handler runs every job name that has none "
              "of its own under `types`. A handler is inherited as a whole, never in parts." },
    { .sections = HANDLER_OPTION,
      .path = "handler.noop.duration",
      .type = SCHEMA_DURATION,
      OF_TYPE(handler.noop_duration_ms),
      .group = "handler",
      .handlers = SCHEMA_KIND(CONFIG_HANDLER_NOOP),
      .preset = "0s",
      .min = 0,
      .max = 1 * DAYS,
      .change = SCHEMA_NEW_WORKERS,
      .help = "Does nothing for so long, then completes the job: for trials and measurements." },
    { .sections = HANDLER_OPTION,
      .path = "handler.exec",
      .type = SCHEMA_PROGRAM,
      OF_TYPE(handler.argv),
      .group = "handler",
      .handlers = SCHEMA_KIND(CONFIG_HANDLER_EXEC),
      .change = SCHEMA_NEW_WORKERS,
      .help =
          "Program and arguments, run once a job without a shell: payload on standard input, "
          "result from standard output. Exit code 0 completes the job, 64-68, 77 and 78 fail it "
          "for good, all others fail the attempt. No exit code puts a job elsewhere (to a time, to "
          "its children) or lets the queue rest: programs give codes meanings of their own, and a "
          "job that comes back without an attempt may do so for ever. A `process` program can." },
    { .sections = HANDLER_OPTION,
      .path = "handler.process",
      .type = SCHEMA_PROGRAM,
      OF_TYPE(handler.argv),
      .group = "handler",
      .handlers = SCHEMA_KIND(CONFIG_HANDLER_PROCESS),
      .change = SCHEMA_NEW_WORKERS,
      .help =
          "Program and arguments, started without a shell and kept: it takes one job after the "
          "other as lines of JSON-RPC 2.0 on standard input and answers on standard output. One "
          "that ends is started again. Use it where starting a program for every job costs too "
          "much." },
    { .sections = HANDLER_OPTION,
      .path = "handler.children",
      .type = SCHEMA_UINT,
      OF_TYPE(handler.children),
      .group = "handler",
      .handlers = SCHEMA_KIND(CONFIG_HANDLER_PROCESS),
      .preset = "auto",
      .min = 1,
      .max = 10000,
      .flags = SCHEMA_ZERO_IS_AUTO,
      .change = SCHEMA_NEW_WORKERS,
      .help = "Programs at once on this host, over all processes of the queue. A number times "
              "parallel must be the queue's concurrency. auto: as many as concurrency needs, which "
              "also follows a change of concurrency." },
    { .sections = HANDLER_OPTION,
      .path = "handler.parallel",
      .type = SCHEMA_UINT,
      OF_TYPE(handler.parallel),
      .group = "handler",
      .handlers = SCHEMA_KIND(CONFIG_HANDLER_PROCESS),
      .preset = "1",
      .min = 1,
      .max = 10000,
      .change = SCHEMA_NEW_WORKERS,
      .help = "Jobs at once in one program. More than 1 only when the program can do that: it is "
              "sent a job while others are not answered yet, and its death takes all of them "
              "along." },
    { .sections = HANDLER_OPTION,
      .path = "handler.heartbeat",
      .type = SCHEMA_DURATION,
      OF_TYPE(handler.heartbeat_ms),
      .group = "handler",
      .handlers = SCHEMA_KIND(CONFIG_HANDLER_PROCESS),
      .preset = "none",
      .min = 100,
      .max = 1 * DAYS,
      .flags = SCHEMA_ZERO_IS_NONE,
      .change = SCHEMA_NEW_WORKERS,
      .help = "A job of which the program says nothing for so long (no progress, log line or "
              "heartbeat) is ended and its attempt counts as failed. It finds a program that hangs "
              "sooner than timeout does; the program must send heartbeats while it works. none: "
              "silence is fine." },
    { .sections = HANDLER_OPTION,
      .path = "handler.env",
      .type = SCHEMA_ENV,
      OF_TYPE(handler.env),
      .group = "handler",
      .handlers = PROGRAM_KINDS,
      .change = SCHEMA_NEW_WORKERS,
      .help = "Variables added to the program's clean environment (PATH, LANG, HOME and DROVER_*). "
              "Values are masked wherever drover prints them." },
    { .sections = HANDLER_OPTION,
      .path = "handler.directory",
      .type = SCHEMA_PATH,
      OF_TYPE(handler.directory),
      .group = "handler",
      .handlers = PROGRAM_KINDS,
      .preset = "/",
      .change = SCHEMA_NEW_WORKERS,
      .help = "Working directory of the program." },
    { .sections = HANDLER_OPTION,
      .path = "handler.max_output",
      .type = SCHEMA_SIZE,
      OF_TYPE(handler.max_output_bytes),
      .group = "handler",
      .handlers = PROGRAM_KINDS,
      .preset = "1MiB",
      .min = 1 * KIB,
      .max = 1 * GIB,
      .change = SCHEMA_NEW_WORKERS,
      .help = "exec: a result longer than this fails the job. process: the longest line that the "
              "program may write." },
    { .sections = HANDLER_OPTION,
      .path = "handler.user",
      .type = SCHEMA_USER,
      OF_TYPE(handler.user),
      .group = "handler",
      .handlers = PROGRAM_KINDS,
      .preset = "none",
      .change = SCHEMA_NEW_WORKERS,
      .help = "User that the program runs as, by name or number, with the user's HOME and no "
              "capability. Takes a droverd that may switch users (the drop-in users.conf); "
              "otherwise the configuration is refused. Looked up when the file is read, so a "
              "reload sees a changed group. Root is always refused: whoever can add a job would "
              "have the host. none: the worker's own user." },
    { .sections = HANDLER_OPTION,
      .path = "handler.group",
      .type = SCHEMA_GROUP,
      OF_TYPE(handler.group),
      .group = "handler",
      .handlers = PROGRAM_KINDS,
      .preset = "auto",
      .change = SCHEMA_NEW_WORKERS,
      .help = "Group that the program runs with; needs `user`. auto: the user's primary group." },
    { .sections = HANDLER_OPTION,
      .path = "handler.groups",
      .type = SCHEMA_GROUPS,
      OF_TYPE(handler.groups),
      .group = "handler",
      .handlers = PROGRAM_KINDS,
      .preset = "auto",
      .change = SCHEMA_NEW_WORKERS,
      .help = "Supplementary groups of the program; needs `user`. [] is none. auto: those that the "
              "user database has the user in." },
    { .sections = HANDLER_OPTION,
      .path = "handler.umask",
      .type = SCHEMA_UMASK,
      OF_TYPE(handler.umask),
      .group = "handler",
      .handlers = PROGRAM_KINDS,
      .preset = "inherit",
      .change = SCHEMA_NEW_WORKERS,
      .help = "Rights that files made by the program do not get, in octal: 027 keeps others out. "
              "inherit: droverd's own, which the unit's UMask sets." },
    { .sections = HANDLER_OPTION,
      .path = "handler.nice",
      .type = SCHEMA_NICE,
      OF_TYPE(handler.nice),
      .group = "handler",
      .handlers = PROGRAM_KINDS,
      .preset = "inherit",
      .min = -20,
      .max = 19,
      .change = SCHEMA_NEW_WORKERS,
      .help = "How much the program stands back for others when processors are scarce; 19 most. A "
              "lower number than droverd's own takes rights that the drop-in users.conf gives." },
    { HANDLER_LIMIT("open_files", RESOURCE_OPEN_FILES), .flags = SCHEMA_NO_UNLIMITED, .min = 16,
      .max = 1048576,
      .help = "Most open descriptors of one process of the program. This and all other limits are "
              "the kernel's (setrlimit), soft and hard at once, and hold for each process that the "
              "program starts. More than droverd's own hard limit takes rights that the drop-in "
              "users.conf gives; the unit's LimitNOFILE and its like are the other way. inherit: "
              "droverd's own." },
    { HANDLER_LIMIT("processes", RESOURCE_PROCESSES), .min = 1, .max = 4194304,
      .help =
          "Most processes and threads of its *user* on the whole host, those of other handlers "
          "with the same user included: above it the program can start none. Give the handler a "
          "user of its own." },
    { HANDLER_LIMIT("file_size", RESOURCE_FILE_SIZE), .flags = SCHEMA_OF_BYTES, .min = 0,
      .max = PIB, .help = "Largest file that it may write; beyond it SIGXFSZ." },
    { HANDLER_LIMIT("core", RESOURCE_CORE), .flags = SCHEMA_OF_BYTES, .min = 0, .max = PIB,
      .help = "Largest core file; 0 makes none." },
    { HANDLER_LIMIT("memory", RESOURCE_MEMORY), .flags = SCHEMA_OF_BYTES, .min = 1024 * KIB,
      .max = PIB,
      .help = "Address space of one process: what it maps, used or not. Programs with a garbage "
              "collector (Node.js, Java) map far more than they use." },
    { HANDLER_LIMIT("cpu", RESOURCE_CPU), .flags = SCHEMA_OF_SECONDS, .min = 1 * SECONDS,
      .max = 365 * DAYS,
      .help = "Processor time of one process, in whole seconds; then SIGXCPU, which names the "
              "reason, and SIGKILL a second of it later. For exec that is the job's time, for "
              "process that of all its jobs." },
    { HANDLER_LIMIT("stack", RESOURCE_STACK), .flags = SCHEMA_OF_BYTES, .min = 128 * KIB,
      .max = PIB,
      .help = "Stack of the main thread; arguments and environment may take a quarter of it." },
    { HANDLER_LIMIT("locked_memory", RESOURCE_LOCKED_MEMORY), .flags = SCHEMA_OF_BYTES, .min = 0,
      .max = PIB, .help = "Memory that it may lock against swapping." },
};
const size_t schema_rows_count = ARRAY_SIZE(schema_rows);
