/* redact.h - hides secrets in text that people will read: log lines, reasons of failures.
 *
 * Hidden are passwords in URLs, Authorization and Bearer credentials, values of keys that are named
 * like a secret (password=…, "token": "…", --api-key …), JSON web tokens, card numbers (the last
 * four digits stay), PEM private keys, and what the operator's own patterns match. In their place
 * stands `[redacted]`. What is not written like a secret is not found: this is a second line of
 * defence, the first is not to log secrets.
 *
 * Invariants: one pass, linear in the length of the text whatever it holds; a text with nothing to
 * hide is not copied and costs no memory; a mark is no secret, so a text may be redacted again. */
#pragma once

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/base/error.h"

#define REDACT_MARK "[redacted]"

/* Of the operator's patterns (POSIX extended regular expressions). */
#define REDACT_PATTERNS_MAX      32
#define REDACT_PATTERN_BYTES_MAX 256

struct redact_patterns; /* compiled */

/* Refuses, naming the reason: a pattern that is no regular expression, is too long, refers back
 * (\1: the time it takes has no bound), repeats too often ({n} of more than 1000 in all: so does
 * the memory), or matches the empty text. */
MUST_CHECK int redact_check_pattern(const char *pattern, struct error *err);

/* `list` is NULL-terminated, or NULL for none. */
MUST_CHECK int redact_patterns_new(char *const *list, struct redact_patterns **out_patterns,
                                   struct error *err);
void redact_patterns_free(struct redact_patterns *patterns); /* NULL is fine */

enum redact_result {
    REDACT_SAME,    /* nothing to hide: use the text itself; `out` is as it was */
    REDACT_CHANGED, /* `out` has the text with marks in it appended */
    REDACT_FAILED,  /* no memory, or out->max is too little: show nothing of the text */
};

/* `text` is any bytes. `patterns` may be NULL; when not, a NUL must follow somewhere after `len`
 * bytes: regexec(3) takes texts. */
enum redact_result redact_text(const struct redact_patterns *patterns, const char *text, size_t len,
                               struct buf *out);

/* A private key that comes line by line: true while `line` is within one, of which the first and
 * the last line are part. `*inside` is false before the first line. */
bool redact_line_of_key(const char *line, size_t len, bool *inside);
