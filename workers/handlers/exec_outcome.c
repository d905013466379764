#include "workers/handlers/exec_outcome.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/json_text.h"
#include "common/base/text.h"
#include "common/base/units.h"
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
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Appends `bytes` as text: valid UTF-8, no NUL. Errors stay in out->failed. */
static void append_text(struct buf *out, const char *bytes, size_t len)
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

/* The last lines of stderr: without trailing blanks, at most EXEC_REASON_BYTES, cut at a line when
 * there is one. */
static void append_errors(struct buf *out, const struct buf *errors)
{
    const char *text = buf_text(errors), *line;
    size_t len = errors->len;

    while (len > 0 && (is_space(text[len - 1]) || text[len - 1] == '\0'))
        len--;
    if (len > EXEC_REASON_BYTES) {
        text += len - EXEC_REASON_BYTES;
        len = EXEC_REASON_BYTES;
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
    append_text(out, text, len);
}

/* "exit code 75 (EX_TEMPFAIL)" or "killed by signal 9 (SIGKILL)". */
static void append_end(struct buf *out, const struct exec_end *end)
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

static void judge_success(const struct exec_end *end, struct exec_verdict *verdict)
{
    const char *text = buf_text(end->output);
    size_t len = end->output->len;

    verdict->outcome.kind = HANDLER_COMPLETED;
    if (len == 0) {
        (void)buf_append_text(&verdict->value, "null");
        return;
    }
    if (!json_text_is_valid(text, len)) {
        (void)json_text_quote(&verdict->value, text, text[len - 1] == '\n' ? len - 1 : len);
        return;
    }
    while (len > 0 && is_space(text[len - 1]))
        len--;
    while (len > 0 && is_space(*text)) {
        text++;
        len--;
    }
    (void)buf_append(&verdict->value, text, len);
}

static void judge_not_started(const struct exec_end *end, struct exec_verdict *verdict)
{
    int code = end->start_error < 0 ? -end->start_error : end->status.code;
    int step = end->status.step;
    const char *doing = step > 0 && step < EXEC_STEP_COUNT ? step_names[step] : "fork";

    verdict->outcome.kind = HANDLER_FAILED;
    (void)buf_printf(&verdict->reason, "cannot start %s: %s", end->program, doing);
    if (step == EXEC_STEP_DIRECTORY)
        (void)buf_printf(&verdict->reason, " %s", end->directory);
    (void)buf_printf(&verdict->reason, ": %s", strerror(code));
}

static void judge_failure(const struct exec_end *end, struct exec_verdict *verdict)
{
    const struct sysexit *row = end->signal > 0 ? NULL : sysexit_find(end->exit_code);
    char limit[UNITS_TEXT_BYTES];

    verdict->outcome.kind = row && row->permanent ? HANDLER_FAILED_FINAL : HANDLER_FAILED;
    if (end->too_much) {
        verdict->outcome.kind = HANDLER_FAILED;
        (void)buf_printf(&verdict->reason, "output exceeds max_output (%s)",
                         units_print_size(end->max_output_bytes, limit));
        return;
    }
    if (end->signal > 0) { /* a crash names its signal, whatever else was printed */
        append_end(&verdict->reason, end);
        if (end->errors->len > 0)
            (void)buf_append_text(&verdict->reason, ": ");
    }
    append_errors(&verdict->reason, end->errors);
    if (verdict->reason.len == 0)
        append_end(&verdict->reason, end);
}

/* Like a stack trace: the error's line, then where it comes from. */
static void write_stack(const struct exec_end *end, struct exec_verdict *verdict)
{
    (void)buf_append_text(&verdict->stack, verdict->outcome.kind == HANDLER_FAILED_FINAL
                                               ? "UnrecoverableError: "
                                               : "Error: ");
    (void)buf_append(&verdict->stack, buf_text(&verdict->reason), verdict->reason.len);
    (void)buf_printf(&verdict->stack, "\n    at %s (", end->program);
    if (end->start_error == 0 && end->status.step == 0)
        append_end(&verdict->stack, end);
    else
        (void)buf_append_text(&verdict->stack, "not started");
    (void)buf_append_char(&verdict->stack, ')');
}

static struct bytes as_bytes(const struct buf *buf)
{
    return (struct bytes){ buf_text(buf), buf->len };
}

void exec_judge(const struct exec_end *end, struct exec_verdict *verdict)
{
    static const char no_memory[] = "out of memory while reading the program's end";

    *verdict = (struct exec_verdict){
        .outcome = { .kind = HANDLER_CANCELLED, .retry_after_ms = -1 },
        .value = BUF_INIT(end->output->len * 6 + 64), /* a byte is quoted by at most six */
        .reason = BUF_INIT(EXEC_REASON_BYTES * 4),
        .stack = BUF_INIT(EXEC_REASON_BYTES * 5),
    };
    if (end->cancelled)
        return;
    if (end->start_error < 0 || end->status.step != 0)
        judge_not_started(end, verdict);
    else if (end->exit_code == 0 && end->signal == 0 && !end->too_much)
        judge_success(end, verdict);
    else
        judge_failure(end, verdict);
    if (verdict->outcome.kind != HANDLER_COMPLETED)
        write_stack(end, verdict);
    verdict->outcome.value = as_bytes(&verdict->value);
    verdict->outcome.reason = as_bytes(&verdict->reason);
    verdict->outcome.stack = as_bytes(&verdict->stack);
    if (verdict->value.failed || verdict->reason.failed || verdict->stack.failed)
        verdict->outcome = (struct handler_outcome){ .kind = HANDLER_FAILED,
                                                     .reason = { no_memory, sizeof(no_memory) - 1 },
                                                     .retry_after_ms = -1 };
}

void exec_verdict_done(struct exec_verdict *verdict)
{
    buf_done(&verdict->value);
    buf_done(&verdict->reason);
    buf_done(&verdict->stack);
}
