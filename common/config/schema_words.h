/* schema_words.h - the words that can stand for a value, of every key of type SCHEMA_WORD; inside
 * common/config only. Each list ends with a row without a name. */
#pragma once

#include "common/config/schema.h"

extern const struct schema_word schema_tier_words[], schema_log_level_words[],
    schema_log_format_words[], schema_log_jobs_words[], schema_backoff_words[],
    schema_lock_lost_words[], schema_unknown_words[], schema_orphans_words[];
