/* scenario_internal.h - what the two files of the scenarios share: the row that is being run.
 * scenario.c reads the lines and looks at Redis, scenario_calls.c calls the scripts. */
#pragma once

#include <setjmp.h>

#include "common/base/attr.h"
#include "tests/lua/turn/scenario.h"

#define PREFIX    "bull:q:"
#define PRIVATE   "drover:{bull:q}:"
#define WORDS_MAX 600
#define WALKS     2 /* recover-piece a and b */
#define ANCHORS   16

struct walk {
    char anchors[ANCHORS][64];
    size_t count;
};

struct run {
    const struct scenario *row;
    size_t line; /* from 1 */
    redisContext *redis;
    redisReply *reply; /* of the last call; owned */
    bool by_turn;      /* that call was a turn */
    char told[4096];   /* what a call that was put together out of pieces answered, else "" */
    struct walk walks[WALKS];
    char words[WORDS_MAX][256];
    size_t words_count;
    char now[256];
    unsigned calls;
    char last_event[64];
    bool loose;
    bool good;    /* all lines were right */
    jmp_buf left; /* where a broken row goes */
};

/* Says what is wrong and leaves the row; the others still run. */
void __attribute__((noreturn, format(printf, 2, 3)))
broken(struct run *run, const char *format, ...);
/* A command that must succeed. */
void tell(struct run *run, const char *format, ...);
/* The word of that number; "" past the end. */
const char *word(struct run *run, size_t at);

/* Runs a line that calls a script; false when its verb is none of those. */
bool scenario_call(struct run *run);
