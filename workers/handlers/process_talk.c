#include "workers/handlers/process_talk.h"

#include <errno.h>
#include <poll.h>

#include "common/base/clock.h"
#include "workers/handlers/process_jobs.h"
#include "workers/handlers/process_outcome.h"
#include "workers/handlers/process_wire.h"

#define OUT_MAX_BYTES    (1U << 30) /* the longest line of a job there may be */
#define OUT_KEPT_BYTES   262144     /* the memory of more is given back when it is written */
#define ANSWERS_PENDING  131072     /* who asks so much and does not read is not answered */
#define COMPACT_BYTES    65536      /* written bytes at the front that are worth to be moved over */
#define REQUEST_ID_BYTES 128        /* of a request's id that is sent back */

/* ---- writing */

size_t talk_behind(const struct child *child)
{
    return child->out.len - child->out_at;
}

static void forget_written(struct child *child)
{
    if (child->out.cap > OUT_KEPT_BYTES)
        buf_done(&child->out);
    buf_reset(&child->out);
    child->out_at = 0;
}

static void on_input_closed(struct child *child)
{
    program_close_input(&child->program);
    forget_written(child);
    if (!child->shuts_down)
        child_end_closed(child, "closed its standard input");
}

/* Writes what the pipe takes. */
void talk_flush(struct child *child)
{
    struct program_pipe *pipe = &child->program.input;

    while (pipe->fd >= 0 && talk_behind(child) > 0) {
        ssize_t put = write(pipe->fd, child->out.data + child->out_at, talk_behind(child));

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && errno == EAGAIN) {
            program_watch_input(&child->program, /* wanted= */ true);
            return;
        }
        if (put < 0) {
            on_input_closed(child);
            return;
        }
        child->out_at += (size_t)put;
        child->written += (uint64_t)put;
    }
    if (pipe->fd < 0)
        return;
    forget_written(child);
    if (child->shuts_down)
        program_close_input(&child->program);
    else
        program_watch_input(&child->program, /* wanted= */ false);
}

static bool is_broken(int fd)
{
    struct pollfd look = { .fd = fd };

    return poll(&look, 1, 0) > 0 && (look.revents & POLLERR);
}

/* Also called when the other end is closed and nothing waits to be written. */
void talk_on_writable(struct program_pipe *pipe)
{
    struct child *child = pipe->program->owner;

    if (is_broken(pipe->fd)) {
        on_input_closed(child);
        return;
    }
    talk_flush(child);
    if (child->handler->queue.count > 0)
        process_touch(child->handler);
}

struct buf *talk_out(struct child *child)
{
    if (child->out_at >= COMPACT_BYTES && child->out_at >= talk_behind(child)) {
        buf_consume(&child->out, child->out_at);
        child->out_at = 0;
    }
    return &child->out;
}

/* A line that does not matter when there is no memory for it. */
void talk_built(struct child *child)
{
    child->out.failed = false;
    process_touch(child->handler);
}

/* ---- reading: messages of the program */

/* The job that a line without an id is about: the only one. */
static const struct handler_input *only_job(const struct child *child)
{
    return child->runs.count == 1 ? child->runs.first->input : NULL;
}

static void on_hello(struct child *child, const struct wire_message *message)
{
    struct buf why = BUF_INIT(1024), name_text = BUF_INIT(256);
    struct json_value name;

    if (message->id != WIRE_INITIALIZE_ID) {
        program_log_dropped(&child->log, "an answer to a request that was never sent");
        return;
    }
    if (!wire_read_hello(message, &name, &child->protocol, &why)) {
        child_end_at_once(child, buf_text(&why));
        buf_done(&why);
        return;
    }
    if (name.kind == JSON_KIND_STRING)
        (void)wire_append_text(&name_text, &name);
    child_became_ready(child, buf_text(&name_text));
    buf_done(&name_text);
}

/* The run that the message is about; NULL, and noted, when there is none. */
static struct handler_run *run_of(struct child *child, uint64_t id)
{
    struct handler_run *run = id > WIRE_ID_MAX ? NULL : jobs_find(child, id);

    if (!run && id < child->next_id)
        program_log_dropped(&child->log,
                            "about a job that has ended: a second answer, or a late one");
    else if (!run)
        program_log_dropped(&child->log, "about an id that was never given");
    return run;
}

static void on_answer(struct child *child, const struct wire_message *message)
{
    struct handler_run *run = run_of(child, message->id);
    struct process_verdict verdict;

    if (!run)
        return;
    process_judge_answer(message, child->protocol, run->cancelled, jobs_silent_ms(child, run),
                         &verdict);
    jobs_finish(child, run, &verdict);
}

static void on_report(struct child *child, const struct wire_message *message)
{
    struct handler_run *run = run_of(child, message->id);
    struct buf *text = &child->handler->text;

    if (!run)
        return;
    run->heard_ms = clock_now_ms();
    if (message->kind == WIRE_PROGRESS && run->events->on_progress)
        run->events->on_progress(run, message->value.text, message->value.len, run->arg);
    if (message->kind == WIRE_LOG && run->events->on_log) {
        buf_reset(text);
        if (wire_append_text(text, &message->value) == 0)
            run->events->on_log(run, buf_text(text), text->len, run->arg);
    }
}

static void on_said(struct child *child, const struct wire_message *message)
{
    struct buf *text = &child->handler->text;

    buf_reset(text);
    if (wire_append_text(text, &message->value) == 0)
        program_log_line(&child->log, message->level, only_job(child), buf_text(text), text->len);
}

/* JSON-RPC wants every request answered. */
static void on_request(struct child *child, const struct wire_message *message)
{
    program_log_dropped(&child->log, "a request: a worker has no methods");
    if (message->value.len > REQUEST_ID_BYTES || talk_behind(child) > ANSWERS_PENDING ||
        child->program.input.fd < 0 || child->shuts_down)
        return;
    wire_no_such_method(talk_out(child), &message->value);
    talk_built(child);
}

static void on_dropped(struct child *child, enum wire_kind kind)
{
    static const char *const reasons[WIRE_KIND_COUNT] = {
        [WIRE_GARBAGE] = "no JSON",
        [WIRE_BATCH] = "a JSON array: one message a line, no batches",
        [WIRE_NO_RPC] = "JSON, but no JSON-RPC 2.0 message",
        [WIRE_UNKNOWN_METHOD] = "a notification that this drover does not know",
        [WIRE_BAD_PARAMS] = "a notification without the params that it needs",
    };

    if (kind < WIRE_KIND_COUNT && reasons[kind])
        program_log_dropped(&child->log, reasons[kind]);
}

static void on_message(struct child *child, const struct wire_message *message)
{
    bool greets = child->state == CHILD_STARTING;

    switch (message->kind) {
    case WIRE_RESULT:
    case WIRE_ERROR:
        if (greets)
            on_hello(child, message);
        else
            on_answer(child, message);
        break;
    case WIRE_PROGRESS:
    case WIRE_LOG:
    case WIRE_HEARTBEAT:
        on_report(child, message);
        break;
    case WIRE_SAID:
        on_said(child, message);
        break;
    case WIRE_REQUEST:
        on_request(child, message);
        break;
    case WIRE_BLANK:
    case WIRE_GARBAGE:
    case WIRE_BATCH:
    case WIRE_NO_RPC:
    case WIRE_UNKNOWN_METHOD:
    case WIRE_BAD_PARAMS:
    case WIRE_KIND_COUNT:
    default:
        on_dropped(child, message->kind);
        break;
    }
}

/* A job fails by it only when the answer is certainly its own: when it is not known which one of
 * several it is, the program ends, and its jobs with it. */
static void on_long_line(struct child *child, const char *beginning, size_t len)
{
    uint64_t id;
    enum wire_beginning what = wire_look_at_beginning(beginning, len, &id);
    bool known = what == WIRE_BEGINS_ANSWER && id != UINT64_MAX;
    struct handler_run *run = NULL;
    struct process_verdict verdict;

    if (what == WIRE_BEGINS_OTHER || child->runs.count == 0) {
        program_log_dropped(&child->log, "a line longer than max_output");
        return;
    }
    if (known)
        run = run_of(child, id);
    else if (child->runs.count == 1)
        run = child->runs.first;
    if (known && !run)
        return; /* it is noted, and nobody waits for it */
    process_judge_too_long(child->handler->setup.config->max_output_bytes, &verdict);
    if (run) {
        jobs_finish(child, run, &verdict);
    } else {
        child_end_at_once(child, buf_text(&verdict.reason));
        process_verdict_done(&verdict);
    }
}

static void on_line(const char *line, size_t len, bool whole, void *arg)
{
    struct child *child = arg;
    struct wire_message message;

    if (!whole) {
        on_long_line(child, line, len);
        return;
    }
    wire_parse(line, len, &message);
    on_message(child, &message);
}

static void on_error_line(const char *line, size_t len, bool whole, void *arg)
{
    struct child *child = arg;

    (void)whole; /* a cut line shows as one of the greatest length */
    program_log_line(&child->log, LOG_LEVEL_INFO, only_job(child), line, len);
}

static void take_output(struct program_pipe *pipe, const char *bytes, size_t len)
{
    struct child *child = pipe->program->owner;

    lines_take(&child->output, bytes, len);
}

static void take_errors(struct program_pipe *pipe, const char *bytes, size_t len)
{
    struct child *child = pipe->program->owner;

    program_keep_errors(&child->errors, bytes, len);
    lines_take(&child->error_lines, bytes, len);
}

static void read_pipe(struct program_pipe *pipe, int rounds)
{
    struct child *child = pipe->program->owner;

    program_read(pipe, child->handler->tools.scratch, rounds,
                 pipe == &child->program.output ? take_output : take_errors);
}

void talk_on_readable(struct program_pipe *pipe)
{
    struct child *child = pipe->program->owner;

    read_pipe(pipe, PROGRAM_READS_PER_TURN);
    if (pipe == &child->program.output && pipe->fd < 0)
        child_end_closed(child, "closed its standard output");
}

void talk_read_to_end(struct child *child)
{
    read_pipe(&child->program.output, PROGRAM_READS_AFTER_EXIT);
    lines_end(&child->output);
    read_pipe(&child->program.errors, PROGRAM_READS_AFTER_EXIT);
    lines_end(&child->error_lines);
}

/* ---- the conversation as a whole */

void talk_begin(struct child *child)
{
    child->errors = BUF_INIT((size_t)2 * PROGRAM_ERRORS_KEPT_BYTES);
    lines_init(&child->output, child->handler->setup.config->max_output_bytes, on_line, child);
    lines_init(&child->error_lines, PROGRAM_LOG_LINE_BYTES, on_error_line, child);
    child->out = BUF_INIT(OUT_MAX_BYTES);
    child->out_at = 0;
    child->written = 0;
}

void talk_end(struct child *child)
{
    buf_done(&child->errors);
    lines_done(&child->output);
    lines_done(&child->error_lines);
    buf_done(&child->out);
    child->out_at = 0;
}
