#include "workers/handlers/program_log.h"

#include <string.h>

#include "common/base/clock.h"

#define WINDOW_MS        1000
#define LINES_PER_WINDOW 50
#define DROPPED_EVERY_MS 60000

void program_log_init(struct program_log *log, pid_t pid, const char *job_type)
{
    *log = (struct program_log){ .pid = pid, .job_type = job_type };
}

static void say_left_out(struct program_log *log)
{
    if (log->left_out > 0)
        log_warn("program.lines_left_out", LOG_INT("pid", log->pid),
                 LOG_STR("job_type", log->job_type), LOG_UINT("count", log->left_out));
    log->left_out = 0;
}

static bool may_say(struct program_log *log)
{
    uint64_t now_ms = clock_now_ms();

    if (now_ms - log->window_ms >= WINDOW_MS) {
        say_left_out(log);
        log->window_ms = now_ms;
        log->said = 0;
    }
    if (log->said >= LINES_PER_WINDOW) {
        log->left_out++;
        return false;
    }
    log->said++;
    return true;
}

void program_log_line(struct program_log *log, enum log_level level, const char *line, size_t len)
{
    char text[PROGRAM_LOG_LINE_BYTES + 1];

    if (len > 0 && line[len - 1] == '\r')
        len--;
    if (len == 0 || !log_is_on(level) || !may_say(log))
        return;
    if (len > PROGRAM_LOG_LINE_BYTES)
        len = PROGRAM_LOG_LINE_BYTES;
    for (size_t i = 0; i < len; i++)
        text[i] = (char)(line[i] ? line[i] : ' ');
    text[len] = '\0';
    log_at(level, "program.said", LOG_INT("pid", log->pid), LOG_STR("job_type", log->job_type),
           LOG_STR("text", text));
}

static void say_dropped(struct program_log *log, const char *why, uint64_t now_ms)
{
    log_warn("program.lines_dropped", LOG_INT("pid", log->pid), LOG_STR("job_type", log->job_type),
             LOG_STR("why", why), LOG_UINT("count", log->dropped),
             LOG_STR("hint", "stdout is for the protocol: print everything else to stderr"));
    log->dropped = 0;
    log->noted_ms = now_ms;
}

void program_log_dropped(struct program_log *log, const char *why)
{
    uint64_t now_ms = clock_now_ms();

    log->dropped++;
    if (log->noted_ms == 0 || now_ms - log->noted_ms >= DROPPED_EVERY_MS)
        say_dropped(log, why, now_ms);
}

void program_log_end(struct program_log *log)
{
    say_left_out(log);
    if (log->dropped > 0)
        say_dropped(log, "the same or other lines before its end", clock_now_ms());
}
