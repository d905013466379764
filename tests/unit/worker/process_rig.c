#include "tests/unit/worker/process_rig.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/log.h"

static char text[4 << 20];

void process_rig_init(void)
{
    char path[128];
    int fd;

    rig_init();
    rig.config.kind = CONFIG_HANDLER_PROCESS;
    (void)snprintf(path, sizeof(path), "%s/log", rig.folder);
    fd = open(path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    cr_assert(ge(int, fd, 0));
    log_open(fd, LOG_FORMAT_JSON, LOG_LEVEL_DEBUG);
}

void open_talker(const char *mode)
{
    static char python[] = "/usr/bin/python3", program[] = TALKER, mode_copy[32];
    static char *argv[] = { python, program, mode_copy, rig.folder, NULL };

    (void)snprintf(mode_copy, sizeof(mode_copy), "%s", mode);
    rig_open_argv(argv);
}

void wait_ready(void)
{
    rig_wait(handler_find(CONFIG_HANDLER_PROCESS)->is_ready(rig.handler));
}

void open_ready(const char *mode)
{
    open_talker(mode);
    wait_ready();
}

const char *read_trace(const char *name)
{
    char path[128];
    ssize_t got = 0;
    int fd;

    (void)snprintf(path, sizeof(path), "%s/%s", rig.folder, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        got = read(fd, text, sizeof(text) - 1);
        (void)close(fd);
    }
    text[got > 0 ? got : 0] = '\0';
    return text;
}

size_t count_lines(const char *lines)
{
    size_t count = 0;

    for (; *lines; lines++)
        count += *lines == '\n';
    return count;
}

const char *wait_trace(const char *name, size_t lines)
{
    rig_wait(count_lines(read_trace(name)) >= lines);
    return text;
}

/* A line of the log with all words; NULL. */
static const char *find_line(const char *const *words, size_t count)
{
    char *save = NULL;

    (void)read_trace("log");
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        size_t found = 0;

        while (found < count && strstr(line, words[found]))
            found++;
        if (found == count)
            return line;
    }
    return NULL;
}

const char *wait_logged(const char *first, ...)
{
    const char *words[8] = { first }, *line = NULL;
    size_t count = 1;
    va_list args;

    va_start(args, first);
    while ((words[count] = va_arg(args, const char *)))
        count++;
    va_end(args);
    rig_wait((line = find_line(words, count)));
    return line;
}

size_t count_logged(const char *word)
{
    size_t count = 0;

    for (const char *at = read_trace("log"); (at = strstr(at, word)); at++)
        count++;
    return count;
}

void expect(const struct result *result, enum handler_outcome_kind kind, const char *wanted)
{
    const char *got = kind == HANDLER_COMPLETED ? result->value : result->reason;

    cr_assert(eq(uint, result->outcomes, 1));
    cr_assert(eq(int, (int)result->kind, (int)kind), "%s", result->reason);
    cr_assert(eq(str, (char *)(uintptr_t)got, (char *)(uintptr_t)wanted));
}
