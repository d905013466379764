/* output.h - what people and programs read from `drover`.
 * Invariant: text that came from outside never reaches a terminal with control characters in it: a
 * job's name must not be able to move the cursor or change colours. */
#pragma once

#include <stdbool.h>

#include "common/base/buf.h"

/* "drover: <text>" on stderr, control characters made visible. */
void output_error(const char *format, ...) PRINTF_LIKE(1, 2);

/* Appends text with control characters, invalid UTF-8 and direction overrides as \n, \t, \x1b,
 * \u202e. */
void output_text(struct buf *out, const char *text, size_t len);
/* The same, but lines stay lines, each further one after `indent` blanks. */
void output_lines(struct buf *out, const char *text, size_t len, size_t indent);

/* Writes the buffer to stdout and empties it. False (told on stderr, once) when stdout does not
 * take it, or the buffer had failed. A closed pipe (`| head`) is not told. */
bool output_flush(struct buf *out);

/* 2026-11-22T00:53:01.123+01:00 in local time; "-" for 0. */
#define OUTPUT_TIME_BYTES 40
const char *output_time(uint64_t at_ms, char out[OUTPUT_TIME_BYTES]);

/* A duration for people, two units at most: 950 ms, 12.3 s, 3 m 20 s, 5 h 2 m, 12 d 3 h. */
#define OUTPUT_AGE_BYTES 32
const char *output_age(uint64_t ms, char out[OUTPUT_AGE_BYTES]);

/* Appends "name":"text" (a JSON member), with a comma in front unless first. */
void output_member_text(struct buf *out, bool first, const char *name, const char *text,
                        size_t len);
void output_member_number(struct buf *out, bool first, const char *name, uint64_t number);

/* Columns of a table: cells are laid out when the table is printed. Texts are copied. */
struct output_table {
    struct buf cells; /* NUL-terminated texts, row by row */
    size_t columns;
    const bool *right; /* by column: aligned to the right (numbers) */
};

void output_table_init(struct output_table *table, size_t columns, const bool *right);
void output_table_done(struct output_table *table);
void output_table_cell(struct output_table *table, const char *text);
void output_table_number(struct output_table *table, uint64_t number);
void output_table_print(const struct output_table *table, struct buf *out);
