/* process_rig.h - what the suites of the process handler share on top of program_rig.h: the talker
 * (talker.py), what it traced, and what the handler logged. */
#pragma once

#include "tests/unit/worker/program_rig.h"

/* rig_init for the process handler; the log goes to a file of the rig's folder. */
void process_rig_init(void);

/* Opens the handler for `talker.py mode folder`. */
void open_talker(const char *mode);
/* Until every program of the first start has shaken hands. */
void wait_ready(void);
/* Both. */
void open_ready(const char *mode);

/* Waits until the trace `name` has that many lines; its text, valid until the next call. */
const char *wait_trace(const char *name, size_t lines);
/* The same at once, whatever is there. */
const char *read_trace(const char *name);
size_t count_lines(const char *text);

/* Waits until the log has a line with all the words (NULL-terminated); the line. */
const char *wait_logged(const char *first, ...);
/* How many lines of the log have the word now. */
size_t count_logged(const char *word);

void expect(const struct result *result, enum handler_outcome_kind kind, const char *text);
