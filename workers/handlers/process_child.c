#include "workers/handlers/process_child.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/units.h"
#include "workers/handlers/process_lines.h"
#include "workers/handlers/process_outcome.h"
#include "workers/handlers/process_wire.h"
#include "workers/handlers/program_env.h"
#include "workers/handlers/program_log.h"

#define ENVIRONMENT_ROWS 3          /* that make_environment adds */
#define BEHIND_BYTES     65536      /* not yet written: who is so far behind gets no more jobs */
#define OUT_MAX_BYTES    (1U << 30) /* the longest line of a job there may be */
#define OUT_KEPT_BYTES   262144     /* the memory of more is given back when it is written */
#define ANSWERS_PENDING  (2 * BEHIND_BYTES) /* who asks so much and does not read is not answered \
                                             */
#define REQUEST_ID_BYTES 128                /* of a request's id that is sent back */
#define LEAVE_TERM_MS    500                /* after `shutdown`, and after it closed a pipe */
#define LEAVE_KILL_MS    1000
#define KILL_AGAIN_MS    1000
#define CAUSE_BYTES      1024
#define OF_USE_MS        1000 /* a program that was given no job must live so long to be of use */
#define RESTART_JITTER   0.2

struct child {
    struct child *next;
    struct handler *handler;
    enum child_state state;
    uv_timer_t timer;
    struct backoff backoff;
    uint64_t due_ms; /* when the state's wait is over: handshake, silence, back-off; 0 none */
    bool leaving;    /* not wanted any more */
    bool shaken;     /* was ready at least once */

    /* Of the program that is there now. */
    struct program program;
    uint64_t spawned_ms, ready_ms;   /* when */
    uint64_t term_at_ms, kill_at_ms; /* ending: the next signals; 0: none to come */
    const char *closed;              /* the pipe that it closed; the cause once it is signalled */
    bool was_ready, was_given;       /* it shook hands; it got a job */
    bool asked;                      /* its end is wanted: no failure */
    bool killed_for_one;             /* SIGKILL because of one of its jobs */
    bool shuts_down;                 /* its input is closed when all is written */
    struct buf cause;                /* why drover ends it, "" when it does not */
    struct program_log log;
    struct lines output, error_lines;
    struct buf errors; /* the end of its stderr */

    /* The jobs in it, and what is still to be written. */
    struct run_list runs;       /* in the order in which they were given */
    struct handler_run **by_id; /* where id & by_id_mask is; NULL when free */
    size_t by_id_mask;
    uint64_t next_id; /* ids below it were given to this program */
    struct buf out;
    size_t out_at;    /* bytes of `out` that are written */
    uint64_t written; /* bytes that this program was ever written */
};

static const struct {
    const char *name;
    unsigned int may_become;
} states[] = {
#define TO(state) (1u << (state))
    [CHILD_DOWN] = { "down", TO(CHILD_STARTING) | TO(CHILD_GONE) },
    [CHILD_STARTING] = { "starting", TO(CHILD_READY) | TO(CHILD_ENDING) | TO(CHILD_DEAD) },
    [CHILD_READY] = { "ready", TO(CHILD_ENDING) | TO(CHILD_DEAD) },
    [CHILD_ENDING] = { "ending", TO(CHILD_DEAD) },
    [CHILD_DEAD] = { "dead", TO(CHILD_DOWN) | TO(CHILD_BACKOFF) | TO(CHILD_GONE) },
    [CHILD_BACKOFF] = { "backoff", TO(CHILD_DOWN) | TO(CHILD_GONE) },
    [CHILD_GONE] = { "gone", 0 },
#undef TO
};
_Static_assert(ARRAY_SIZE(states) == CHILD_STATE_COUNT, "a row per state");

static void child_set_state(struct child *child, enum child_state next, const char *why)
{
    assert(states[child->state].may_become & (1u << next));
    log_debug("program.changed", LOG_INT("pid", child->program.pid), LOG_STR("why", why),
              LOG_STR("from", states[child->state].name), LOG_STR("to", states[next].name));
    child->state = next;
    child->due_ms = 0;
    process_touch(child->handler);
}

static bool is_alive(const struct child *child)
{
    return child->state == CHILD_STARTING || child->state == CHILD_READY ||
           child->state == CHILD_ENDING;
}

/* ---- the timer */

static void on_time(uv_timer_t *timer);

/* The earlier of two times of which 0 is none. */
static uint64_t earlier(uint64_t a_ms, uint64_t b_ms)
{
    if (a_ms == 0 || b_ms == 0)
        return a_ms + b_ms;
    return a_ms < b_ms ? a_ms : b_ms;
}

static void arm(struct child *child)
{
    uint64_t now_ms = clock_now_ms(), at_ms = child->due_ms;

    if (child->state == CHILD_ENDING)
        at_ms = earlier(child->term_at_ms, child->kill_at_ms);
    /* Neither can fail on an initialised timer with a callback. */
    if (at_ms == 0)
        (void)uv_timer_stop(&child->timer);
    else
        (void)uv_timer_start(&child->timer, on_time, at_ms > now_ms ? at_ms - now_ms : 0, 0);
}

/* ---- ending a program */

/* Asks it to end, or makes that sooner; the first cause stays. Signals leave from the timer. */
static void end_program(struct child *child, uint64_t term_after_ms, uint64_t kill_after_ms,
                        const char *cause)
{
    uint64_t now_ms = clock_now_ms();

    if (child->state != CHILD_ENDING)
        child_set_state(child, CHILD_ENDING, cause ? cause : child->closed);
    if (cause && child->cause.len == 0)
        (void)buf_append_text(&child->cause, cause);
    child->term_at_ms = earlier(child->term_at_ms, now_ms + term_after_ms);
    child->kill_at_ms = earlier(child->kill_at_ms, now_ms + kill_after_ms);
    arm(child);
}

/* It broke the protocol, or its time is over. */
static void end_at_once(struct child *child, const char *cause)
{
    end_program(child, 0, child->handler->setup.kill_grace_ms, cause);
}

static void kill_for_one(struct child *child, const char *cause)
{
    child->killed_for_one = true;
    end_program(child, 0, 0, cause);
    program_signal(&child->program, SIGKILL);
}

/* It closed a pipe: most likely it is about to end, and then its end has a better name. */
static void end_closed(struct child *child, const char *cause)
{
    if (child->state != CHILD_STARTING && child->state != CHILD_READY)
        return;
    child->closed = cause;
    end_program(child, LEAVE_TERM_MS, LEAVE_TERM_MS + child->handler->setup.kill_grace_ms, NULL);
}

static void end_politely(struct child *child)
{
    child->asked = true;
    wire_shutdown(&child->out);
    child->shuts_down = true;
    end_program(child, LEAVE_TERM_MS, LEAVE_KILL_MS, NULL);
}

static void signal_when_due(struct child *child)
{
    uint64_t now_ms = clock_now_ms();

    if (earlier(child->term_at_ms, child->kill_at_ms) > now_ms)
        return;
    if (child->closed && child->cause.len == 0)
        (void)buf_append_text(&child->cause, child->closed);
    if (child->kill_at_ms <= now_ms) {
        program_signal(&child->program, SIGKILL);
        child->term_at_ms = 0;
        child->kill_at_ms = now_ms + KILL_AGAIN_MS;
    } else {
        program_signal(&child->program, SIGTERM);
        child->term_at_ms = 0;
    }
}

/* ---- writing */

static size_t behind(const struct child *child)
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
        end_closed(child, "closed its standard input");
}

/* Writes what the pipe takes. */
static void flush(struct child *child)
{
    struct program_pipe *pipe = &child->program.input;

    while (pipe->fd >= 0 && behind(child) > 0) {
        ssize_t put = write(pipe->fd, child->out.data + child->out_at, behind(child));

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
static void on_writable(struct program_pipe *pipe)
{
    struct child *child = pipe->program->owner;

    if (is_broken(pipe->fd)) {
        on_input_closed(child);
        return;
    }
    flush(child);
    if (child->handler->queue.count > 0)
        process_touch(child->handler);
}

/* A line that does not matter when there is no memory for it. */
static void built(struct child *child)
{
    child->out.failed = false;
    process_touch(child->handler);
}

/* ---- runs */

static struct handler_run *find_run(const struct child *child, uint64_t id)
{
    struct handler_run *run = child->by_id[id & child->by_id_mask];

    return run && run->id == id ? run : NULL;
}

/* Out of this child; it is in no list then. */
static void take_out(struct child *child, struct handler_run *run)
{
    child->by_id[run->id & child->by_id_mask] = NULL;
    run_remove(run);
    run->child = NULL;
}

static uint64_t silent_ms(const struct child *child, const struct handler_run *run)
{
    return run->silent ? child->handler->setup.config->heartbeat_ms : 0;
}

static void give_verdict(struct child *child, struct handler_run *run,
                         struct process_verdict *verdict)
{
    take_out(child, run);
    run_finish(child->handler, run, &verdict->outcome);
    process_verdict_done(verdict);
    process_touch(child->handler); /* there is room now, or it may leave */
}

/* The table has a free place: it has twice as many as there may be runs. */
static void pick_id(struct child *child, struct handler_run *run)
{
    while (child->by_id[child->next_id & child->by_id_mask])
        child->next_id++;
    run->id = child->next_id++;
}

static void fail_unwritten(struct child *child, struct handler_run *run)
{
    static const char reason[] = "the job does not fit into a line of the protocol";
    struct handler_outcome outcome = { .kind = HANDLER_FAILED,
                                       .reason = { reason, sizeof(reason) - 1 },
                                       .retry_after_ms = -1 };

    child->out.failed = false;
    run_finish(child->handler, run, &outcome);
}

void child_give(struct child *child, struct handler_run *run)
{
    uint64_t now_ms = clock_now_ms();

    assert(child_has_room(child));
    pick_id(child, run);
    run->line_at = child->written + behind(child);
    wire_job_run(&child->out, run->id, run->input, now_ms);
    if (child->out.failed) {
        fail_unwritten(child, run);
        return;
    }
    run->child = child;
    run->heard_ms = now_ms;
    child->was_given = true;
    child->by_id[run->id & child->by_id_mask] = run;
    run_push_back(&child->runs, run);
    if (child->handler->setup.config->heartbeat_ms > 0 && child->due_ms == 0) {
        child->due_ms = now_ms + child->handler->setup.config->heartbeat_ms;
        arm(child);
    }
    if (run->events->on_pid)
        run->events->on_pid(run, (int)child->program.pid, run->arg);
}

void child_cancel(struct handler_run *run, enum handler_cancel how, enum handler_cancel_why why,
                  uint64_t grace_ms)
{
    static const char *const reasons[] = {
        [HANDLER_WHY_STOP] = "stop",
        [HANDLER_WHY_TIMEOUT] = "timeout",
        [HANDLER_WHY_LOST] = "lost",
    };
    struct child *child = run->child;
    bool again = run->cancelled;

    run->cancelled = true;
    if (how == HANDLER_CANCEL_HARD) {
        if (is_alive(child))
            kill_for_one(child, "a job in it was to be ended and did not end");
    } else if (!again && child->program.input.fd >= 0 && !child->shuts_down) {
        wire_job_cancel(&child->out, run->id, reasons[why], grace_ms);
        built(child);
    }
}

/* ---- silence: a job must report every heartbeat_ms */

static void ask_silent(struct child *child, struct handler_run *run, uint64_t now_ms)
{
    uint64_t grace_ms = child->handler->setup.kill_grace_ms;

    log_warn("job.silent", LOG_INT("pid", child->program.pid),
             LOG_STR("job", run->input->job->id.data),
             LOG_UINT("silent_ms", now_ms - run->heard_ms), LOG_UINT("grace_ms", grace_ms));
    run->silent = true;
    run->kill_at_ms = now_ms + grace_ms;
    wire_job_cancel(&child->out, run->id, "silent", grace_ms);
    built(child);
}

static void look_for_silence(struct child *child)
{
    uint64_t heartbeat_ms = child->handler->setup.config->heartbeat_ms, now_ms = clock_now_ms();
    uint64_t next_ms = 0;

    for (struct handler_run *run = child->runs.first; run; run = run->next) {
        if (!run->silent && !run->cancelled && now_ms - run->heard_ms >= heartbeat_ms)
            ask_silent(child, run, now_ms);
        if (run->silent && run->kill_at_ms <= now_ms) {
            kill_for_one(child, "a job in it was silent and did not end");
            return;
        }
        if (run->silent)
            next_ms = earlier(next_ms, run->kill_at_ms);
        else if (!run->cancelled)
            next_ms = earlier(next_ms, run->heard_ms + heartbeat_ms);
    }
    child->due_ms = next_ms;
}

/* ---- reading: messages of the program */

static void on_hello(struct child *child, const struct wire_message *message)
{
    struct buf why = BUF_INIT(1024), name_text = BUF_INIT(256);
    struct json_value name;

    if (message->id != WIRE_INITIALIZE_ID) {
        program_log_dropped(&child->log, "an answer to a request that was never sent");
        return;
    }
    if (!wire_read_hello(message, &name, &why)) {
        end_at_once(child, buf_text(&why));
        buf_done(&why);
        return;
    }
    if (name.kind == JSON_KIND_STRING)
        (void)wire_append_text(&name_text, &name);
    child->shaken = child->was_ready = true;
    child->ready_ms = clock_now_ms();
    log_info("program.ready", LOG_INT("pid", child->program.pid),
             LOG_STR("job_type", child->handler->setup.type), LOG_STR("name", buf_text(&name_text)),
             LOG_UINT("start_ms", child->ready_ms - child->spawned_ms));
    child_set_state(child, CHILD_READY, "it has shaken hands");
    arm(child);
    if (child->handler->draining)
        child_drain(child);
    buf_done(&name_text);
}

/* The run that the message is about; NULL, and noted, when there is none. */
static struct handler_run *run_of(struct child *child, uint64_t id)
{
    struct handler_run *run = id > WIRE_ID_MAX ? NULL : find_run(child, id);

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
    process_judge_answer(message, run->cancelled, silent_ms(child, run), &verdict);
    give_verdict(child, run, &verdict);
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
        program_log_line(&child->log, message->level, buf_text(text), text->len);
}

/* JSON-RPC wants every request answered. */
static void on_request(struct child *child, const struct wire_message *message)
{
    program_log_dropped(&child->log, "a request: a worker has no methods");
    if (message->value.len > REQUEST_ID_BYTES || behind(child) > ANSWERS_PENDING ||
        child->program.input.fd < 0 || child->shuts_down)
        return;
    wire_no_such_method(&child->out, &message->value);
    built(child);
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

    if (reasons[kind])
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

/* Only a job that certainly has no answer fails: when it is not known which one of several it is,
 * the program ends, and its jobs with it. */
static void on_long_line(struct child *child, const char *beginning, size_t len)
{
    uint64_t max_bytes = child->handler->setup.config->max_output_bytes, id;
    enum wire_beginning what = wire_look_at_beginning(beginning, len, &id);
    struct handler_run *run = NULL;
    struct process_verdict verdict;

    if (what == WIRE_BEGINS_OTHER || child->runs.count == 0) {
        program_log_dropped(&child->log, "a line longer than max_output");
        return;
    }
    if (what == WIRE_BEGINS_ANSWER && id != UINT64_MAX)
        run = run_of(child, id);
    else if (child->runs.count == 1)
        run = child->runs.first;
    process_judge_too_long(max_bytes, &verdict);
    if (run)
        give_verdict(child, run, &verdict);
    else if (what != WIRE_BEGINS_ANSWER || id == UINT64_MAX)
        end_at_once(child, buf_text(&verdict.reason));
    if (!run)
        process_verdict_done(&verdict);
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
    program_log_line(&child->log, LOG_LEVEL_INFO, line, len);
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

    program_read(pipe, child->handler->scratch, rounds,
                 pipe == &child->program.output ? take_output : take_errors);
}

static void on_readable(struct program_pipe *pipe)
{
    struct child *child = pipe->program->owner;

    read_pipe(pipe, PROGRAM_READS_PER_TURN);
    if (pipe == &child->program.output && pipe->fd < 0)
        end_closed(child, "closed its standard output");
}

/* ---- the death of a program */

/* Runs of which not a byte was written go back to the front of the queue, in their order. */
static void return_untouched(struct child *child)
{
    struct handler_run *run = child->runs.last;

    while (run && run->line_at >= child->written) {
        struct handler_run *prev = run->prev;

        if (!run->cancelled) {
            take_out(child, run);
            run->silent = false;
            run_push_front(&child->handler->queue, run);
        }
        run = prev;
    }
}

static void end_runs(struct child *child)
{
    struct process_death death = {
        .end = &child->program.end,
        .cause = buf_text(&child->cause),
        .errors = &child->errors,
        .killed_for_one = child->killed_for_one,
    };

    return_untouched(child);
    for (const struct handler_run *run = child->runs.first; run; run = run->next)
        death.jobs_count += run->line_at < child->written;
    while (child->runs.first) {
        struct handler_run *run = child->runs.first;
        struct process_verdict verdict;

        process_judge_death(&death, run->cancelled, silent_ms(child, run), &verdict);
        give_verdict(child, run, &verdict);
    }
}

/* The name of its death into `out`, without its last words. */
static void print_death(const struct child *child, struct buf *out)
{
    const struct handler *handler = child->handler;

    buf_reset(out);
    if (!program_end_was_started(&child->program.end))
        program_end_print_unstarted(out, &child->program.end, handler->setup.config->argv[0],
                                    handler->setup.config->directory);
    else
        process_print_death(out, &child->program.end, buf_text(&child->cause));
}

/* One that ended before its handshake, or soon after it without ever having had a job: to start it
 * again at once would only burn the machine. */
static bool was_of_use(const struct child *child)
{
    return child->was_ready && (child->was_given || clock_now_ms() - child->ready_ms >= OF_USE_MS);
}

static void log_end(const struct child *child, bool of_use, uint64_t wait_ms)
{
    struct buf how = BUF_INIT(256);

    program_end_print(&how, &child->program.end);
    log_at(child->asked ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "program.ended",
           LOG_INT("pid", child->log.pid), LOG_STR("job_type", child->handler->setup.type),
           LOG_STR("cause", buf_text(&child->handler->text)), LOG_STR("end", buf_text(&how)),
           LOG_UINT("lifetime_ms", clock_now_ms() - child->spawned_ms),
           LOG_BOOL("was_ready", child->was_ready), LOG_UINT("jobs", child->runs.count),
           LOG_BOOL("asked", child->asked), LOG_UINT("restart_ms", of_use ? 0 : wait_ms));
    buf_done(&how);
}

static void died(struct child *child)
{
    struct handler *handler = child->handler;
    bool of_use = was_of_use(child) || child->asked;
    uint64_t wait_ms = 0;

    if (of_use)
        backoff_reset(&child->backoff);
    else
        wait_ms = backoff_next_ms(&child->backoff);
    print_death(child, &handler->text);
    log_end(child, of_use, wait_ms);
    if (!child->was_ready) {
        buf_reset(&handler->last_failure);
        (void)buf_append(&handler->last_failure, buf_text(&handler->text), handler->text.len);
    }
    end_runs(child);
    program_log_end(&child->log);
    child_set_state(child, CHILD_DEAD, "it ended");
    child->due_ms = of_use ? 0 : clock_now_ms() + wait_ms; /* for what comes after */
    (void)uv_timer_stop(&child->timer);                    /* cannot fail */
    program_close(&child->program);
}

static void on_program_exit(struct program *program)
{
    struct child *child = program->owner;

    read_pipe(&program->output, PROGRAM_READS_AFTER_EXIT);
    lines_end(&child->output);
    read_pipe(&program->errors, PROGRAM_READS_AFTER_EXIT);
    lines_end(&child->error_lines);
    died(child);
}

static void on_program_closed(struct program *program)
{
    struct child *child = program->owner;
    uint64_t due_ms = child->due_ms;

    buf_done(&child->cause);
    buf_done(&child->errors);
    lines_done(&child->output);
    lines_done(&child->error_lines);
    buf_done(&child->out);
    if (due_ms == 0 || child->leaving) {
        child_set_state(child, CHILD_DOWN, "all is closed");
        return;
    }
    child_set_state(child, CHILD_BACKOFF, "it was of no use");
    child->due_ms = due_ms;
    arm(child);
}

static const struct program_events program_events = {
    .on_readable = on_readable,
    .on_writable = on_writable,
    .on_exit = on_program_exit,
    .on_closed = on_program_closed,
};

/* ---- starting a program */

static int make_environment(const struct handler_setup *setup, struct program_env *env)
{
    int r = program_env_init(env, setup->config->env, ENVIRONMENT_ROWS);

    if (r < 0)
        return r;
    program_env_add(env, "DROVER_QUEUE=%s", setup->queue);
    program_env_add(env, "DROVER_WORKER=%s", setup->worker ? setup->worker : "");
    if (setup->type)
        program_env_add(env, "DROVER_JOB_NAME=%s", setup->type);
    return program_env_finish(env);
}

static int start_program(struct child *child)
{
    const struct handler *handler = child->handler;
    const struct config_handler *config = handler->setup.config;
    _cleanup_(program_env_done) struct program_env env = { 0 };
    struct program_order order = { .launcher = handler->launcher,
                                   .argv = config->argv,
                                   .directory = config->directory };
    int r = make_environment(&handler->setup, &env);

    if (r < 0) {
        child->program.end.start_error = r;
        return r;
    }
    order.environment = env.rows;
    return program_start(&child->program, &order);
}

/* What belongs to one program, anew. */
static void forget_program(struct child *child)
{
    program_init(&child->program, child->handler->setup.loop, &program_events, child);
    child->spawned_ms = clock_now_ms();
    child->ready_ms = child->term_at_ms = child->kill_at_ms = 0;
    child->closed = NULL;
    child->was_ready = child->was_given = child->asked = false;
    child->killed_for_one = child->shuts_down = false;
    child->cause = BUF_INIT(CAUSE_BYTES);
    child->errors = BUF_INIT((size_t)2 * PROGRAM_ERRORS_KEPT_BYTES);
    lines_init(&child->output, child->handler->setup.config->max_output_bytes, on_line, child);
    lines_init(&child->error_lines, PROGRAM_LOG_LINE_BYTES, on_error_line, child);
    child->next_id = WIRE_INITIALIZE_ID + 1;
    child->out = BUF_INIT(OUT_MAX_BYTES);
    child->out_at = 0;
    child->written = 0;
}

static void greet(struct child *child)
{
    const struct handler_setup *setup = &child->handler->setup;
    struct wire_hello hello = { .queue = setup->queue,
                                .type = setup->type,
                                .worker = setup->worker,
                                .parallel = setup->config->parallel,
                                .max_line_bytes = setup->config->max_output_bytes,
                                .heartbeat_ms = setup->config->heartbeat_ms };

    wire_initialize(&child->out, &hello);
    built(child); /* without memory for it the handshake is silent, and that is noticed */
    child->due_ms = child->spawned_ms + setup->start_timeout_ms;
    arm(child);
}

static void start(struct child *child)
{
    int r;

    forget_program(child);
    child_set_state(child, CHILD_STARTING, "a program is wanted");
    r = start_program(child);
    program_log_init(&child->log, child->program.pid, child->handler->setup.type);
    if (r < 0)
        died(child); /* program.end has the reason */
    else
        greet(child);
}

/* ---- time */

static void end_unready(struct child *child)
{
    char limit[UNITS_TEXT_BYTES], cause[UNITS_TEXT_BYTES + 40];

    (void)snprintf(cause, sizeof(cause), "silent at the handshake for %s",
                   units_print_duration(child->handler->setup.start_timeout_ms, limit));
    end_at_once(child, cause);
}

/* What it has written already counts: this process may be the one that was slow. */
static void look_at_jobs(struct child *child)
{
    if (child->program.output.fd >= 0)
        on_readable(&child->program.output);
    if (child->state == CHILD_READY)
        look_for_silence(child);
}

static void on_time(uv_timer_t *timer)
{
    struct child *child = timer->data;
    bool due = child->due_ms > 0 && clock_now_ms() >= child->due_ms;

    if (child->state == CHILD_STARTING && due)
        end_unready(child);
    else if (child->state == CHILD_READY && due)
        look_at_jobs(child);
    else if (child->state == CHILD_ENDING)
        signal_when_due(child);
    else if (child->state == CHILD_BACKOFF && due)
        child_set_state(child, CHILD_DOWN, "the wait is over");
    arm(child);
}

/* ---- the child as a whole */

int child_add(struct handler *handler)
{
    struct child *child = calloc(1, sizeof(*child)), **place = &handler->children;
    size_t places = 2;

    while (places < (size_t)2 * handler->setup.config->parallel)
        places *= 2;
    if (child)
        child->by_id = calloc(places, sizeof(struct handler_run *));
    if (!child || !child->by_id) {
        free(child);
        return -ENOMEM;
    }
    child->handler = handler;
    child->by_id_mask = places - 1;
    child->backoff = (struct backoff){ .first_ms = handler->setup.restart_first_ms,
                                       .max_ms = handler->setup.restart_max_ms,
                                       .jitter = RESTART_JITTER };
    (void)uv_timer_init(handler->setup.loop, &child->timer); /* always succeeds */
    child->timer.data = child;
    while (*place)
        place = &(*place)->next;
    *place = child;
    handler->children_count++;
    process_touch(handler);
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct child *child = handle->data;

    child->handler->children_count--;
    process_touch(child->handler);
    free(child->by_id);
    free(child);
}

static void go(struct child *child)
{
    struct child **place = &child->handler->children;

    child_set_state(child, CHILD_GONE, "not wanted");
    while (*place != child)
        place = &(*place)->next;
    *place = child->next;
    uv_close((uv_handle_t *)&child->timer, on_timer_closed);
}

bool child_step(struct child *child)
{
    struct handler *handler = child->handler;

    if (child->leaving && (child->state == CHILD_DOWN || child->state == CHILD_BACKOFF)) {
        go(child);
        return false;
    }
    if (child->leaving && child->runs.count == 0 &&
        (child->state == CHILD_STARTING || child->state == CHILD_READY))
        end_politely(child);
    if (child->state == CHILD_DOWN && handler->spawns_left > 0) {
        handler->spawns_left--;
        start(child);
    }
    return child->state == CHILD_DOWN;
}

void child_flush(struct child *child)
{
    if (is_alive(child) && !child->program.input.wanted && (behind(child) > 0 || child->shuts_down))
        flush(child);
}

struct child *child_next(const struct child *child)
{
    return child->next;
}

size_t child_runs(const struct child *child)
{
    return child->runs.count;
}

bool child_has_shaken_hands(const struct child *child)
{
    return child->shaken;
}

bool child_serves(const struct child *child)
{
    return child->state == CHILD_READY && !child->leaving;
}

bool child_has_room(const struct child *child)
{
    return child_serves(child) && child->runs.count < child->handler->setup.config->parallel &&
           behind(child) < BEHIND_BYTES;
}

bool child_is_leaving(const struct child *child)
{
    return child->leaving;
}

void child_leave(struct child *child)
{
    child->leaving = true;
    process_touch(child->handler);
    if (child->state == CHILD_ENDING && child->runs.count == 0)
        end_program(child, LEAVE_TERM_MS, LEAVE_KILL_MS, NULL);
    if (child->state != CHILD_READY || child->runs.count == 0)
        return;
    wire_drain(&child->out, 0);
    built(child);
}

void child_drain(struct child *child)
{
    uint64_t until_ms = child->handler->drain_until_ms, now_ms = clock_now_ms();

    if (child->state != CHILD_READY)
        return;
    if (until_ms > 0) /* one that is over is told as the shortest: 0 would be none */
        until_ms = until_ms > now_ms ? until_ms - now_ms : 1;
    wire_drain(&child->out, until_ms);
    built(child);
}

void child_abandon(struct child *child)
{
    if (!is_alive(child))
        return;
    log_error("program.abandoned", LOG_INT("pid", child->program.pid),
              LOG_STR("why", "it does not die"));
    end_runs(child);
    child_set_state(child, CHILD_DEAD, "abandoned");
    (void)uv_timer_stop(&child->timer); /* cannot fail */
    program_close(&child->program);
}

uint64_t child_backoff_until_ms(const struct child *child)
{
    return child->state == CHILD_BACKOFF ? child->due_ms : UINT64_MAX;
}
