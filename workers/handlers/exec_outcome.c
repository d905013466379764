#include "workers/handlers/exec_outcome.h"

#include <stdlib.h>

#include "common/base/json_text.h"
#include "common/base/units.h"
#include "workers/handlers/sysexits.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
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
    verdict->outcome.kind = HANDLER_FAILED;
    program_end_print_unstarted(&verdict->reason, &end->program, end->config);
}

static void judge_failure(const struct exec_end *end, struct exec_verdict *verdict)
{
    const struct program_end *program = &end->program;
    const struct sysexit *row = program->signal > 0 ? NULL : sysexit_find(program->exit_code);
    char limit[UNITS_TEXT_BYTES];

    verdict->outcome.kind = row && row->permanent ? HANDLER_FAILED_FINAL : HANDLER_FAILED;
    if (end->too_much) {
        verdict->outcome.kind = HANDLER_FAILED;
        (void)buf_printf(&verdict->reason, "output exceeds max_output (%s)",
                         units_print_size(end->max_output_bytes, limit));
        return;
    }
    if (program->signal > 0) { /* a crash names its signal, whatever else was printed */
        program_end_print(&verdict->reason, program);
        if (end->errors->len > 0)
            (void)buf_append_text(&verdict->reason, ": ");
    }
    program_print_words(&verdict->reason, end->errors);
    if (verdict->reason.len == 0)
        program_end_print(&verdict->reason, program);
}

/* Like a stack trace: the error's line, then where it comes from. */
static void write_stack(const struct exec_end *end, struct exec_verdict *verdict)
{
    (void)buf_append_text(&verdict->stack, verdict->outcome.kind == HANDLER_FAILED_FINAL
                                               ? "UnrecoverableError: "
                                               : "Error: ");
    (void)buf_append(&verdict->stack, buf_text(&verdict->reason), verdict->reason.len);
    (void)buf_printf(&verdict->stack, "\n    at %s (", end->config->argv[0]);
    if (program_end_was_started(&end->program))
        program_end_print(&verdict->stack, &end->program);
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
        .reason = BUF_INIT(PROGRAM_WORDS_BYTES * 4),
        .stack = BUF_INIT(PROGRAM_WORDS_BYTES * 5),
    };
    if (end->cancelled)
        return;
    if (!program_end_was_started(&end->program))
        judge_not_started(end, verdict);
    else if (end->program.exit_code == 0 && end->program.signal == 0 && !end->too_much)
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
