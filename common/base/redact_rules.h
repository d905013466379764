/* redact_rules.h - the rules of redact.c, each for one kind of secret: pure functions on a text and
 * a place in it. Not for others.
 * Invariant: what a rule reads beyond the span that it reports is bounded by a constant, or is told
 * to the caller so that it is not read again: together they are linear. */
#pragma once

#include "common/base/redact.h"

struct redact_text {
    const char *bytes;
    size_t len;
};

struct redact_span {
    size_t from, to;
};

/* Letters, digits, `_` and `-`: what keys and tokens are made of. */
bool redact_is_word(char c);
size_t redact_word_end(const struct redact_text *text, size_t at);

/* The password of a URL whose authority begins at `at` (after "://"). False without one; then
 * `*out_seen` is how far it was looked for. */
bool redact_find_password(const struct redact_text *text, size_t at, struct redact_span *out,
                          size_t *out_seen);

/* A card number at `at`, all but its last four digits. */
bool redact_find_card(const struct redact_text *text, size_t at, struct redact_span *out);

/* The next three are given a word, [at, end). */
/* It is the first part of a JSON web token. */
bool redact_find_token(const struct redact_text *text, size_t at, size_t end,
                       struct redact_span *out);
/* It is Bearer, Basic, … and credentials follow. */
bool redact_find_credential(const struct redact_text *text, size_t at, size_t end,
                            struct redact_span *out);
/* It is a key that is named like a secret, and a value follows. An empty span: the value needs no
 * hiding, go on behind it. */
bool redact_find_value(const struct redact_text *text, size_t at, size_t end,
                       struct redact_span *out);

/* redact_patterns.c: the operator's own, on what the rules above made of the text: `result` says
 * whether that lies in `out` from `begin` on, or is the text itself. */
enum redact_result redact_apply_patterns(const struct redact_patterns *patterns, const char *text,
                                         size_t len, enum redact_result result, size_t begin,
                                         struct buf *out);
