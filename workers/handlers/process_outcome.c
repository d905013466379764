#include "workers/handlers/process_outcome.h"

#include "common/base/text.h"
#include "common/base/units.h"

#define REASON_BYTES 65536 /* of an error's message; more is cut */
#define STACK_BYTES  65536

static void begin(struct process_verdict *verdict, enum handler_outcome_kind kind)
{
    *verdict = (struct process_verdict){ .outcome = { .kind = kind, .retry_after_ms = -1 },
                                         .reason = BUF_INIT(REASON_BYTES),
                                         .stack = BUF_INIT(STACK_BYTES) };
}

static struct bytes as_bytes(const struct buf *buf)
{
    return (struct bytes){ buf_text(buf), buf->len };
}

/* Points the outcome at what was written. */
static void finish(struct process_verdict *verdict)
{
    static const char no_memory[] = "out of memory while reading the program's answer";

    verdict->outcome.reason = as_bytes(&verdict->reason);
    if (verdict->stack.len > 0)
        verdict->outcome.stack = as_bytes(&verdict->stack);
    if (verdict->reason.failed && verdict->reason.len == 0)
        verdict->outcome.reason = (struct bytes){ no_memory, sizeof(no_memory) - 1 };
}

void process_verdict_done(struct process_verdict *verdict)
{
    buf_done(&verdict->reason);
    buf_done(&verdict->stack);
}

/* What a JSON string means; a long text is cut where a character begins. */
static void append_cut(struct buf *out, const struct json_value *string)
{
    struct buf whole = BUF_INIT(string->len);
    size_t len = out->max;

    if (!string->text)
        return;
    if (wire_append_text(&whole, string) < 0)
        out->failed = true;
    if (whole.len < len)
        len = whole.len;
    (void)buf_append(out, buf_text(&whole), text_utf8_prefix(buf_text(&whole), len));
    buf_done(&whole);
}

static void judge_silent(uint64_t silent_ms, struct process_verdict *verdict)
{
    char text[UNITS_TEXT_BYTES];

    verdict->outcome.kind = HANDLER_FAILED;
    (void)buf_printf(&verdict->reason, "silent for %s", units_print_duration(silent_ms, text));
}

/* In an older protocol the codes of a later one mean nothing. */
static enum handler_outcome_kind kind_of_code(int64_t code, unsigned int protocol)
{
    if (protocol < WIRE_MOVES_FROM && code <= WIRE_CODE_DELAY && code >= WIRE_CODE_LIMITED)
        return HANDLER_FAILED;
    switch (code) {
    case WIRE_CODE_PERMANENT:
        return HANDLER_FAILED_FINAL;
    case WIRE_CODE_NOT_NOW:
        return HANDLER_PUT_BACK;
    case WIRE_CODE_DELAY:
        return HANDLER_DELAYED;
    case WIRE_CODE_WAIT:
        return HANDLER_WAITING;
    case WIRE_CODE_WAIT_CHILDREN:
        return HANDLER_WAITING_CHILDREN;
    case WIRE_CODE_LIMITED:
        return HANDLER_LIMITED;
    default: /* WIRE_CODE_CANCELLED too: nobody had asked for it */
        return HANDLER_FAILED;
    }
}

static void judge_error(const struct wire_message *message, unsigned int protocol,
                        struct process_verdict *verdict)
{
    verdict->outcome.kind = kind_of_code(message->code, protocol);
    verdict->outcome.retry_after_ms = message->retry_after_ms;
    verdict->outcome.retry_at_ms = message->retry_at_ms;
    append_cut(&verdict->reason, &message->value);
    append_cut(&verdict->stack, &message->stack);
    if (verdict->reason.len > 0)
        return;
    (void)buf_printf(&verdict->reason, "the program answered with error %lld and no message",
                     (long long)message->code);
}

void process_judge_answer(const struct wire_message *message, unsigned int protocol, bool cancelled,
                          uint64_t silent_ms, struct process_verdict *verdict)
{
    begin(verdict, HANDLER_COMPLETED);
    if (message->kind == WIRE_RESULT)
        verdict->outcome.value = (struct bytes){ message->value.text, message->value.len };
    else if (cancelled)
        verdict->outcome.kind = HANDLER_CANCELLED;
    else if (silent_ms > 0)
        judge_silent(silent_ms, verdict);
    else
        judge_error(message, protocol, verdict);
    finish(verdict);
}

void process_judge_too_long(uint64_t max_output_bytes, struct process_verdict *verdict)
{
    char limit[UNITS_TEXT_BYTES];

    begin(verdict, HANDLER_FAILED);
    (void)buf_printf(&verdict->reason, "answer exceeds max_output (%s)",
                     units_print_size(max_output_bytes, limit));
    finish(verdict);
}

void process_print_death(struct buf *out, const struct program_end *end, const char *cause)
{
    if (cause && *cause)
        (void)buf_append_text(out, cause);
    else
        program_end_print(out, end);
}

static void print_death_and_words(const struct process_death *death, struct buf *out)
{
    struct buf words = BUF_INIT((size_t)4 * PROGRAM_WORDS_BYTES);

    process_print_death(out, death->end, death->cause);
    program_print_words(&words, death->errors);
    if (words.len > 0)
        (void)buf_printf(out, ": %s", buf_text(&words));
    buf_done(&words);
}

void process_judge_death(const struct process_death *death, bool cancelled, uint64_t silent_ms,
                         struct process_verdict *verdict)
{
    begin(verdict, HANDLER_FAILED);
    if (cancelled) {
        verdict->outcome.kind = HANDLER_CANCELLED;
    } else if (silent_ms > 0) {
        judge_silent(silent_ms, verdict);
    } else if (death->killed_for_one) {
        verdict->outcome.kind = HANDLER_INNOCENT;
    } else {
        if (death->jobs_count > 1)
            verdict->outcome.kind = HANDLER_DIED_IN_COMPANY;
        print_death_and_words(death, &verdict->reason);
    }
    finish(verdict);
}
