/* schema.h - the table of every configuration key: one row is one key.
 * Invariant: nothing about a key is written anywhere else. The checks, the JSON form, --effective,
 * --explain, the reference page and the test of conf/drover.yaml all read these rows.
 *
 * A key is named by its section ("queues.*") and its path inside it ("backoff.delay"); `*` stands
 * for a name the operator chose. A row that may stand in several sections (a job option in
 * defaults, in a queue, in a type) is still one row: the narrowest section that has it wins. */
#pragma once

#include <stdbool.h>

#include "common/config/config.h"

#define SCHEMA_PATTERN_BYTES 160 /* longest pattern of the table and its NUL; a test checks it */
#define SCHEMA_CHILDREN_MAX  48  /* most keys that one map of the file can have */

enum schema_section {
    SCHEMA_TOP = 1 << 0,      /* the file itself */
    SCHEMA_REDIS = 1 << 1,    /* redis.* */
    SCHEMA_DEFAULTS = 1 << 2, /* defaults */
    SCHEMA_QUEUE = 1 << 3,    /* queues.* */
    SCHEMA_TYPE = 1 << 4,     /* queues.*.types.* */
};
#define SCHEMA_SECTION_COUNT 5

/* Which struct a value lands in. In the sections `defaults` and `queues.*` a value of a type lands
 * in the queue's fallback type. */
enum schema_home { SCHEMA_HOME_CONFIG, SCHEMA_HOME_REDIS, SCHEMA_HOME_QUEUE, SCHEMA_HOME_TYPE };

enum schema_type {
    SCHEMA_DURATION, /* uint64_t, ms */
    SCHEMA_SIZE,     /* uint64_t, bytes */
    SCHEMA_UINT,     /* unsigned int */
    SCHEMA_COUNT,    /* int64_t; `all` is -1, `none` is 0 */
    SCHEMA_REAL,     /* double */
    SCHEMA_BOOL,     /* bool */
    SCHEMA_WORD,     /* int or an enum, one of `words` */
    SCHEMA_TEXT,     /* char *, not empty */
    SCHEMA_PATH,     /* char *, absolute; of a directory unless SCHEMA_SOCKET */
    SCHEMA_URL,      /* char *, config_parse_redis_url takes it */
    SCHEMA_SECRET,   /* char *, resolved from file:, cred: or env: */
    SCHEMA_PROGRAM,  /* char **, NULL-terminated; the first is an absolute path */
    SCHEMA_ENV,      /* char **, NULL-terminated NAME=value, written as a map */
    SCHEMA_ENDPOINT, /* const struct config_redis *, written as its name */
    SCHEMA_KEEP,     /* group: one number is short for its `count` */
    SCHEMA_HANDLER,  /* group: enum config_handler_kind, from which keys it has */
    SCHEMA_USER,     /* struct config_user *, written as a name or number; `none` is NULL */
    SCHEMA_GROUP,    /* struct config_groups * of one row, likewise; `auto` is NULL */
    SCHEMA_GROUPS,   /* struct config_groups *, a list of such; `auto` is NULL */
    SCHEMA_UMASK,    /* int, octal; `inherit` is CONFIG_UMASK_INHERIT */
    SCHEMA_NICE,     /* int; `inherit` is CONFIG_NICE_INHERIT */
    SCHEMA_LIMIT,    /* uint64_t; `inherit`, `unlimited` (common/base/resources.h) */
    SCHEMA_TYPE_COUNT,
};

/* What a change of the value takes. */
enum schema_change { SCHEMA_LIVE, SCHEMA_NEW_WORKERS, SCHEMA_RESTART };

struct schema_word {
    const char *name; /* NULL ends the list */
    int value;
    const char *help;
    const char *refused; /* not NULL: known, but cannot be used, and why */
};

enum schema_flag {
    SCHEMA_ZERO_IS_NONE = 1 << 0, /* `none` may be written for 0 */
    SCHEMA_ZERO_IS_AUTO = 1 << 1, /* `auto` is written for 0 */
    SCHEMA_SHORT = 1 << 2,        /* a bare value at the group's key means this part */
    SCHEMA_SOCKET = 1 << 3,       /* path of a unix socket */
    SCHEMA_OF_BYTES = 1 << 4,     /* a limit that is a size; without this and the next: a number */
    SCHEMA_OF_SECONDS = 1 << 5,   /* a limit that is a duration, of whole seconds */
    SCHEMA_NO_UNLIMITED = 1 << 6, /* a limit that must be a number */
};

#define SCHEMA_KIND(handler_kind) (1u << (handler_kind))

/* sun_path of sockaddr_un has 108 bytes, the last of them is NUL. */
#define SCHEMA_SOCKET_PATH_BYTES_MAX 107

struct schema_row {
    unsigned int sections; /* where it may stand: enum schema_section, or'ed */
    const char *path;      /* inside the section, dotted */
    enum schema_type type;
    enum schema_home home;
    size_t offset;      /* of the field in its home */
    const char *preset; /* built-in default as it would be written; NULL: absent */
    double min, max;    /* of numbers, in ms or bytes where the type has a unit; both inclusive.
                           Of texts and sockets `max` is the most bytes */
    unsigned int flags; /* enum schema_flag */
    const struct schema_word *words;
    const char *group;     /* path of the group that is inherited as a whole, or NULL */
    unsigned int handlers; /* only with these kinds of handler: SCHEMA_KIND, or'ed; 0: always */
    enum schema_change change;
    const char *help; /* sentences for people; what it does, and when to change it */
};

extern const struct schema_row schema_rows[];
extern const size_t schema_rows_count;

/* "", "redis.*", "defaults", …; index is the bit number of the section. */
const char *schema_section_prefix(size_t section_index);

/* Row with this pattern (names replaced by `*`), or NULL. */
const struct schema_row *schema_find(const char *pattern);

/* Row of one section by its path; NULL when that section has no such key. */
const struct schema_row *schema_find_in(enum schema_section section, const char *path);

/* True when keys can stand below this pattern ("" is the file). */
bool schema_has_below(const char *pattern);

/* Names that can stand directly below `pattern`, each once, in table order; "*" where the operator
 * chooses. `storage` holds the texts. Returns how many (<= SCHEMA_CHILDREN_MAX). */
struct schema_children {
    const char *names[SCHEMA_CHILDREN_MAX];
    char storage[SCHEMA_CHILDREN_MAX][48];
    size_t count;
};
void schema_list_below(const char *pattern, struct schema_children *out);

/* Writes the full pattern of a row in one section; returns `out`. */
const char *schema_pattern(const struct schema_row *row, size_t section_index,
                           char out[SCHEMA_PATTERN_BYTES]);

/* "duration", "whole number", … */
const char *schema_type_name(enum schema_type type);
/* "live", "new workers", "restart" */
const char *schema_change_name(enum schema_change change);
/* True for rows that hold no value of their own in the JSON form (groups). */
bool schema_is_group(const struct schema_row *row);
/* "1 … 64", "at least 5s", "" - as a person writes the values. */
void schema_print_range(const struct schema_row *row, struct buf *out);
