#include "workers/handlers/program_end.h"

#include <string.h>

#include "common/base/text.h"
#include "workers/handlers/sysexits.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

static const char *const step_names[EXEC_STEP_COUNT] = {
    [EXEC_STEP_ARGUMENTS] = "read the arguments of drover-exec",
    [EXEC_STEP_GROUP] = "make a process group",
    [EXEC_STEP_DEATH_SIGNAL] = "tie it to the worker",
    [EXEC_STEP_PRIVILEGES] = "forbid new privileges",
    [EXEC_STEP_SIGNALS] = "reset signals",
    [EXEC_STEP_DESCRIPTORS] = "close descriptors",
    [EXEC_STEP_DIRECTORY] = "enter its directory",
    [EXEC_STEP_EXEC] = "execute it",
    [EXEC_STEP_LIMIT] = "set limits.",
    [EXEC_STEP_NICE] = "set nice to ",
    [EXEC_STEP_USER_GROUPS] = "take the groups of user ",
    [EXEC_STEP_USER] = "become user ",
    [EXEC_STEP_CAPABILITIES] = "give up all capabilities",
};

bool program_end_was_started(const struct program_end *end)
{
    return end->start_error == 0 && end->status.step == 0;
}

void program_end_print(struct buf *out, const struct program_end *end)
{
    const struct sysexit *row = sysexit_find(end->exit_code);
    const char *name = sigabbrev_np(end->signal);

    if (end->signal > 0 && name)
        (void)buf_printf(out, "killed by signal %d (SIG%s)", end->signal, name);
    else if (end->signal > 0)
        (void)buf_printf(out, "killed by signal %d", end->signal);
    else if (row)
        (void)buf_printf(out, "exit code %d (%s)", end->exit_code, row->name);
    else
        (void)buf_printf(out, "exit code %d", end->exit_code);
}

/* What the step was about; its name ends where this goes on. */
static void print_object(struct buf *out, const struct exec_status *status,
                         const struct config_handler *config)
{
    const char *user = config->user ? config->user->name : "?";

    switch (status->step) {
    case EXEC_STEP_DIRECTORY:
        (void)buf_printf(out, " %s", config->directory ? config->directory : "/");
        break;
    case EXEC_STEP_LIMIT:
        if (status->detail >= 0 && status->detail < RESOURCE_COUNT)
            (void)buf_append_text(out, resource_name((enum resource)status->detail));
        break;
    case EXEC_STEP_NICE:
        (void)buf_printf(out, "%d", config->nice);
        break;
    case EXEC_STEP_USER_GROUPS:
    case EXEC_STEP_USER:
        (void)buf_append_text(out, user);
        break;
    default:
        break;
    }
}

void program_end_print_unstarted(struct buf *out, const struct program_end *end,
                                 const struct config_handler *config)
{
    int code = end->start_error < 0 ? -end->start_error : end->status.code;
    int step = end->status.step;
    const char *doing = step > 0 && step < EXEC_STEP_COUNT ? step_names[step] : "fork";

    (void)buf_printf(out, "cannot start %s: %s", config->argv[0], doing);
    print_object(out, &end->status, config);
    (void)buf_printf(out, ": %s", strerror(code));
}

void program_print_text(struct buf *out, const char *bytes, size_t len)
{
    while (len > 0) {
        size_t valid = text_utf8_prefix(bytes, len);
        const char *nul = memchr(bytes, '\0', valid);

        if (nul)
            valid = (size_t)(nul - bytes);
        (void)buf_append(out, bytes, valid);
        bytes += valid;
        len -= valid;
        if (len == 0)
            return;
        (void)buf_append_text(out, REPLACEMENT);
        bytes++;
        len--;
    }
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

void program_print_words(struct buf *out, const struct buf *errors)
{
    const char *text = buf_text(errors), *line;
    size_t len = errors->len;

    while (len > 0 && (is_space(text[len - 1]) || text[len - 1] == '\0'))
        len--;
    if (len > PROGRAM_WORDS_BYTES) {
        text += len - PROGRAM_WORDS_BYTES;
        len = PROGRAM_WORDS_BYTES;
        line = memchr(text, '\n', len);
        if (line) {
            len -= (size_t)(line + 1 - text);
            text = line + 1;
        }
    }
    while (len > 0 && is_space(*text)) {
        text++;
        len--;
    }
    program_print_text(out, text, len);
}
