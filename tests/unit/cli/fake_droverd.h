/* fake_droverd.h - a control socket that answers one request with given packets, in a thread. */
#pragma once

#include <stddef.h>

struct fake_answer {
    const char *const *packets;
    size_t count;
    int silent; /* after the packets the connection stays open until the client has left */
};

/* Listens, and sets DROVER_CONTROL. */
void fake_start(const struct fake_answer *answer);
/* Waits for its end; the request that it got, "" for none. */
const char *fake_finish(void);
const char *fake_path(void);

/* Runs a command line, words separated by blanks; returns its exit code. */
int fake_run(const char *line);

/* Starts with these packets, runs the line, finishes. */
#define FAKE_RUN(line, ...)                             \
    fake_run_with((const char *const[]){ __VA_ARGS__ }, \
                  sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *), (line))
int fake_run_with(const char *const *packets, size_t count, const char *line);
/* Of the last FAKE_RUN. */
const char *fake_request(void);
