#include "common/config/schema_words.h"

#include "common/base/log.h"

/* Words are stored through an int whatever enum the field has. */
_Static_assert(sizeof(enum config_tier) == sizeof(int), "enums are stored as int");
_Static_assert(sizeof(enum config_backoff_kind) == sizeof(int), "enums are stored as int");
_Static_assert(sizeof(enum config_on_lock_lost) == sizeof(int), "enums are stored as int");
_Static_assert(sizeof(enum config_log_jobs) == sizeof(int), "enums are stored as int");
_Static_assert(sizeof(enum config_orphans) == sizeof(int), "enums are stored as int");
_Static_assert(sizeof(enum config_unknown) == sizeof(int), "enums are stored as int");

#define CRITICAL_REFUSED \
    "tier critical keeps jobs in PostgreSQL, which this version cannot do; use important"

const struct schema_word schema_tier_words[] = {
    { "important", CONFIG_TIER_IMPORTANT, "a Redis with its own persistence", NULL },
    { "ephemeral", CONFIG_TIER_EPHEMERAL, "a Redis that may forget", NULL },
    { "critical", -1, NULL, CRITICAL_REFUSED },
    { NULL, 0, NULL, NULL },
};

const struct schema_word schema_log_level_words[] = {
    { "debug", LOG_LEVEL_DEBUG, "every step", NULL },
    { "info", LOG_LEVEL_INFO, "life cycle", NULL },
    { "warn", LOG_LEVEL_WARN, "odd, but handled", NULL },
    { "error", LOG_LEVEL_ERROR, "only what somebody must act on", NULL },
    { NULL, 0, NULL, NULL },
};

const struct schema_word schema_log_format_words[] = {
    { "auto", LOG_FORMAT_AUTO, "journal under systemd, plain on a terminal, else json", NULL },
    { "journal", LOG_FORMAT_JOURNAL, "systemd's journal, with fields", NULL },
    { "json", LOG_FORMAT_JSON, "one JSON object a line", NULL },
    { "plain", LOG_FORMAT_PLAIN, "key=value", NULL },
    { NULL, 0, NULL, NULL },
};

const struct schema_word schema_log_jobs_words[] = {
    { "none", CONFIG_LOG_JOBS_NONE, "nothing of single jobs but what drover itself finds odd",
      NULL },
    { "failures", CONFIG_LOG_JOBS_FAILURES, "failed, tried again, given back, put back", NULL },
    { "all", CONFIG_LOG_JOBS_ALL, "every start and end, and what programs report of a job", NULL },
    { NULL, 0, NULL, NULL },
};

const struct schema_word schema_backoff_words[] = {
    { "none", CONFIG_BACKOFF_NONE, "again at once", NULL },
    { "fixed", CONFIG_BACKOFF_FIXED, "the same delay each time", NULL },
    { "exponential", CONFIG_BACKOFF_EXPONENTIAL, "the delay doubles each time", NULL },
    { NULL, 0, NULL, NULL },
};

const struct schema_word schema_lock_lost_words[] = {
    { "stop", CONFIG_LOCK_LOST_STOP, "end the handler: another worker may run the job", NULL },
    { "finish", CONFIG_LOCK_LOST_FINISH, "let it end, its result is dropped", NULL },
    { NULL, 0, NULL, NULL },
};

const struct schema_word schema_unknown_words[] = {
    { "delay", CONFIG_UNKNOWN_DELAY, "back after unknown.delay, no attempt is used", NULL },
    { "fail", CONFIG_UNKNOWN_FAIL, "into failed, for good", NULL },
    { NULL, 0, NULL, NULL },
};

const struct schema_word schema_orphans_words[] = {
    { "off", CONFIG_ORPHANS_OFF, "nobody looks for them", NULL },
    { "report", CONFIG_ORPHANS_REPORT, "found, and told in the log", NULL },
    { "repair", CONFIG_ORPHANS_REPAIR, "told, and put back when two looks have seen the same",
      NULL },
    { NULL, 0, NULL, NULL },
};
