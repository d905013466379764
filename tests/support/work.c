/* work - a handler's program for tests: takes as many milliseconds as the job says, and writes to a
 * file when it starts and when it comes to its end.
 *
 *   work exec LOG              one job: its data on stdin, as drover's `exec` handler starts it
 *   work process LOG           many at once: the protocol of drover's `process` handler
 *
 * Data: {"ms": N} runs so long; {"kill": "worker"} also kills the drover-worker that started it,
 * after half of that time; {"crash": true} ends by SIGSEGV then. A line of LOG: "start JOB PID
 * TOKEN" or "end JOB PID TOKEN", each by one write(2) to a file opened for appending, so that lines
 * of many processes never mix. */
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define JOBS_MAX   1024
#define LINE_BYTES (8 << 20)

struct job {
    bool used;
    json_int_t call;
    char id[128], token[128];
    long long ends_ms, strikes_ms; /* strikes: 0 never */
    bool kill_worker, crash, cancelled;
};

static int log_fd = -1;
static struct job jobs[JOBS_MAX];

static long long now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void note(const char *what, const char *id, const char *token)
{
    char line[400];
    int len = snprintf(line, sizeof line, "%s %s %d %s\n", what, id, (int)getpid(), token);

    if (write(log_fd, line, (size_t)len) != len)
        _exit(1);
}

static void read_data(struct job *job, const json_t *data)
{
    json_int_t ms = json_integer_value(json_object_get(data, "ms"));
    const char *victim = json_string_value(json_object_get(data, "kill"));

    job->kill_worker = victim && strcmp(victim, "worker") == 0;
    job->crash = json_is_true(json_object_get(data, "crash"));
    job->ends_ms = now_ms() + ms;
    job->strikes_ms = job->kill_worker || job->crash ? now_ms() + ms / 2 : 0;
}

static void strike(struct job *job)
{
    job->strikes_ms = 0;
    if (job->kill_worker)
        (void)kill(getppid(), SIGKILL);
    if (job->crash)
        (void)raise(SIGSEGV);
}

static void sleep_until(long long then_ms)
{
    long long left_ms = then_ms - now_ms();

    if (left_ms > 0)
        (void)poll(NULL, 0, (int)left_ms);
}

/* ---- exec */

static int run_exec(void)
{
    struct job job = { 0 };
    const char *id = getenv("DROVER_JOB_ID"), *token = getenv("DROVER_FENCING_TOKEN");
    json_t *data = json_loadf(stdin, JSON_DECODE_ANY, NULL);

    if (!id || !token)
        return 64;
    note("start", id, token);
    read_data(&job, data);
    if (job.strikes_ms) {
        sleep_until(job.strikes_ms);
        strike(&job);
    }
    sleep_until(job.ends_ms);
    note("end", id, token);
    (void)printf("\"%s\"\n", token);
    json_decref(data);
    return 0;
}

/* ---- process */

static void say(json_t *message)
{
    char *text = json_dumps(message, JSON_COMPACT);

    if (!text || printf("%s\n", text) < 0 || fflush(stdout) != 0)
        _exit(1);
    free(text);
    json_decref(message);
}

static void answer(json_int_t call, json_t *result)
{
    say(json_pack("{s:s, s:I, s:o}", "jsonrpc", "2.0", "id", call, "result", result));
}

static void begin(json_int_t call, const json_t *params)
{
    const char *id = json_string_value(json_object_get(params, "job"));
    const char *token = json_string_value(json_object_get(params, "fencing_token"));
    struct job *job = NULL;

    for (size_t i = 0; i < JOBS_MAX && !job; i++) {
        if (!jobs[i].used)
            job = &jobs[i];
    }
    if (!job || !id || !token)
        _exit(65);
    *job = (struct job){ .used = true, .call = call };
    (void)snprintf(job->id, sizeof job->id, "%s", id);
    (void)snprintf(job->token, sizeof job->token, "%s", token);
    read_data(job, json_object_get(params, "data"));
    note("start", job->id, job->token);
}

static void cancel(const json_t *params)
{
    json_int_t call = json_integer_value(json_object_get(params, "id"));

    for (size_t i = 0; i < JOBS_MAX; i++) {
        if (!jobs[i].used || jobs[i].call != call)
            continue;
        jobs[i].used = false;
        note("cancel", jobs[i].id, jobs[i].token);
        say(json_pack("{s:s, s:I, s:{s:i, s:s}}", "jsonrpc", "2.0", "id", call, "error", "code",
                      -32004, "message", "cancelled"));
    }
}

static void take_line(const char *line)
{
    json_t *message = json_loads(line, JSON_DECODE_ANY, NULL);
    const char *method = json_string_value(json_object_get(message, "method"));
    json_int_t call = json_integer_value(json_object_get(message, "id"));
    const json_t *params = json_object_get(message, "params");

    if (method && strcmp(method, "initialize") == 0)
        answer(call, json_pack("{s:i, s:s}", "protocol", 1, "name", "work"));
    else if (method && strcmp(method, "job.run") == 0)
        begin(call, params);
    else if (method && strcmp(method, "job.cancel") == 0)
        cancel(params);
    json_decref(message);
}

static void end_due(void)
{
    long long now = now_ms();

    for (size_t i = 0; i < JOBS_MAX; i++) {
        if (jobs[i].used && jobs[i].strikes_ms && jobs[i].strikes_ms <= now)
            strike(&jobs[i]);
        if (!jobs[i].used || jobs[i].ends_ms > now)
            continue;
        note("end", jobs[i].id, jobs[i].token);
        jobs[i].used = false;
        answer(jobs[i].call, json_string(jobs[i].token));
    }
}

/* In ms; -1: nothing runs. */
static int next_end(void)
{
    long long first = -1, now = now_ms();

    for (size_t i = 0; i < JOBS_MAX; i++) {
        long long at;

        if (!jobs[i].used)
            continue;
        at = jobs[i].strikes_ms ? jobs[i].strikes_ms : jobs[i].ends_ms;
        if (first < 0 || at < first)
            first = at;
    }
    return first < 0 ? -1 : first <= now ? 0 : (int)(first - now);
}

static int run_process(void)
{
    char *buffer = malloc(LINE_BYTES);
    size_t len = 0;

    for (;;) {
        struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
        int ready = poll(&input, 1, next_end());
        ssize_t got;
        char *newline;

        end_due();
        if (ready <= 0)
            continue;
        got = read(STDIN_FILENO, buffer + len, LINE_BYTES - 1 - len);
        if (got <= 0)
            return got == 0 ? 0 : 1; /* end of file: shutdown */
        len += (size_t)got;
        buffer[len] = '\0';
        while ((newline = memchr(buffer, '\n', len))) {
            *newline = '\0';
            take_line(buffer);
            len -= (size_t)(newline + 1 - buffer);
            memmove(buffer, newline + 1, len + 1);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 64;
    log_fd = open(argv[2], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (log_fd < 0)
        return 1;
    return strcmp(argv[1], "process") == 0 ? run_process() : run_exec();
}
