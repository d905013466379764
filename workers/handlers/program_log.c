#include "workers/handlers/program_log.h"

#include "common/base/clock.h"
#include "common/base/redact.h"

#define DROPPED_EVERY_MS 60000

void program_log_init(struct program_log *log, pid_t pid, const char *job_type)
{
    *log = (struct program_log){ .pid = pid, .job_type = job_type };
}

/* The line as text: without a carriage return at its end, cut, no NUL inside. */
static const char *make_text(struct program_log *log, const char *line, size_t len,
                             char text[PROGRAM_LOG_LINE_BYTES + 1])
{
    if (redact_line_of_key(line, len, &log->inside_key))
        return REDACT_MARK;
    if (len > 0 && line[len - 1] == '\r')
        len--;
    if (len > PROGRAM_LOG_LINE_BYTES)
        len = PROGRAM_LOG_LINE_BYTES;
    for (size_t i = 0; i < len; i++)
        text[i] = (char)(line[i] ? line[i] : ' ');
    text[len] = '\0';
    return text;
}

void program_log_line(struct program_log *log, enum log_level level,
                      const struct handler_input *job, const char *line, size_t len)
{
    char storage[PROGRAM_LOG_LINE_BYTES + 1];
    const char *text = make_text(log, line, len, storage);

    if (!*text)
        return;
    if (job)
        log_words(level, "program.said", LOG_INT("pid", log->pid),
                  LOG_STR("job", job->job->id.data), LOG_STR("job_type", job->job->name.data),
                  LOG_STR("correlation", job->correlation_id), LOG_STR("text", text));
    else
        log_words(level, "program.said", LOG_INT("pid", log->pid),
                  LOG_STR("job_type", log->job_type), LOG_STR("text", text));
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
    if (log->dropped > 0)
        say_dropped(log, "the same or other lines before its end", clock_now_ms());
}
