/* fetched.c - a job out of the row in which a script answers it (lua/lib/job.lua). One block holds
 * the job and all its texts. */
#include <errno.h>
#include <string.h>

#include "common/base/text.h"
#include "common/queue/queue_internal.h"

/* ---- options by their text
 * Most jobs of a queue carry the same opts, byte for byte: parsing them again costs more than all
 * the rest that is done here for a job. Direct mapped; a newer text replaces an older one. */

#define OPTIONS_SLOTS    64
#define OPTIONS_TEXT_MAX 1024 /* longer ones are rare and are parsed each time */

struct options_slot {
    char *text; /* owned; NULL while empty */
    size_t len;
    struct job_options options;
};

struct options_cache {
    struct options_slot slots[OPTIONS_SLOTS];
};

void options_cache_free(struct options_cache *cache)
{
    if (!cache)
        return;
    for (size_t i = 0; i < OPTIONS_SLOTS; i++)
        free(cache->slots[i].text);
    free(cache);
}

/* FNV-1a. */
static uint32_t text_hash(const char *text, size_t len)
{
    uint32_t hash = 2166136261U;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)text[i]) * 16777619U;
    return hash;
}

static struct options_slot *options_find_slot(struct queue *queue, struct bytes text)
{
    if (text.len > OPTIONS_TEXT_MAX)
        return NULL;
    if (!queue->options_cache)
        queue->options_cache = calloc(1, sizeof(*queue->options_cache));
    if (!queue->options_cache)
        return NULL; /* works without */
    return &queue->options_cache->slots[text_hash(text.data, text.len) % OPTIONS_SLOTS];
}

static void options_keep(struct options_slot *slot, struct bytes text,
                         const struct job_options *options)
{
    char *copy = malloc(text.len + 1);

    if (!copy)
        return; /* it is only a cache */
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    free(slot->text);
    slot->text = copy;
    slot->len = text.len;
    slot->options = *options;
}

/* Only texts that could be read are kept. */
static int options_read(struct queue *queue, struct bytes text, struct job_options *out,
                        struct error *err)
{
    struct options_slot *slot = options_find_slot(queue, text);
    int code;

    if (slot && slot->text && slot->len == text.len && !memcmp(slot->text, text.data, text.len)) {
        *out = slot->options;
        return 0;
    }
    code = job_options_parse(text.data, text.len, out, err);
    if (code >= 0 && slot)
        options_keep(slot, text, out);
    return code;
}

/* ---- the job
 * -------------------------------------------------------------------------------------------- */

/* Elements of a row; lua/lib/job.lua lists the same. */
enum {
    ROW_NAME,
    ROW_DATA,
    ROW_OPTS,
    ROW_TIMESTAMP,
    ROW_PRIORITY,
    ROW_ATM,
    ROW_ATS,
    ROW_STC,
    ROW_DEFA,
    ROW_STACKTRACE,
    ROW_RJK,
    ROW_PARENT_KEY,
    ROW_GBC,
    ROW_ID,
    ROW_TOKEN,
    ROW_FIELDS
};

/* A whole number as parseInt reads it: up to what is no digit; 0 when there is none. */
static uint64_t field_uint(const redisReply *field)
{
    struct bytes text = queue_reply_bytes(field);
    uint64_t value = 0;

    for (size_t i = 0; i < text.len && text.data[i] >= '0' && text.data[i] <= '9'; i++) {
        if (value > (UINT64_MAX - 9) / 10)
            return value;
        value = value * 10 + (uint64_t)(text.data[i] - '0');
    }
    return value;
}

static struct bytes field_or(const redisReply *field, const char *fallback)
{
    struct bytes text = queue_reply_bytes(field);

    return text.data ? text : (struct bytes){ fallback, strlen(fallback) };
}

/* Copies into the job's own block. */
static struct bytes place_text(char **at, struct bytes text)
{
    char *start = *at;

    if (!text.data)
        return text;
    memcpy(start, text.data, text.len);
    start[text.len] = '\0';
    *at += text.len + 1;
    return (struct bytes){ start, text.len };
}

static void job_read_numbers(struct job *job, redisReply *const *fields)
{
    job->timestamp_ms = field_uint(fields[ROW_TIMESTAMP]);
    job->priority = field_uint(fields[ROW_PRIORITY]);
    job->attempts_made = field_uint(fields[ROW_ATM]);
    job->attempts_started = field_uint(fields[ROW_ATS]);
    job->stalled = field_uint(fields[ROW_STC]);
    job->givebacks = field_uint(fields[ROW_GBC]);
}

/* NULL on no memory. */
static struct job *job_new(redisReply *const *fields)
{
    struct bytes texts[] = {
        queue_reply_bytes(fields[ROW_ID]),   field_or(fields[ROW_NAME], ""),
        field_or(fields[ROW_DATA], "{}"),    field_or(fields[ROW_OPTS], "{}"),
        queue_reply_bytes(fields[ROW_DEFA]), queue_reply_bytes(fields[ROW_STACKTRACE]),
        queue_reply_bytes(fields[ROW_RJK]),  queue_reply_bytes(fields[ROW_PARENT_KEY]),
    };
    size_t bytes = sizeof(struct job);
    struct job *job;
    char *at;

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        bytes += texts[i].len + 1;
    job = malloc(bytes);
    if (!job)
        return NULL;
    *job = (struct job){ 0 };
    at = (char *)(job + 1);
    job->id = place_text(&at, texts[0]);
    job->name = place_text(&at, texts[1]);
    job->data = place_text(&at, texts[2]);
    job->opts = place_text(&at, texts[3]);
    job->deferred_failure = place_text(&at, texts[4]);
    job->stacktrace = place_text(&at, texts[5]);
    job->scheduler = place_text(&at, texts[6]);
    job->parent_key = place_text(&at, texts[7]);
    job_read_numbers(job, fields);
    return job;
}

static int job_read_options(struct queue *queue, struct job *job)
{
    struct error err;

    if (options_read(queue, job->opts, &job->options, &err) >= 0)
        return 0;
    job->options = (struct job_options){ .stack_trace_limit = -1, .keep_logs = -1 };
    job->options_error = strdup(err.text);
    return job->options_error ? 0 : -ENOMEM;
}

static bool is_row(const redisReply *row, size_t fields)
{
    return row->type == REDIS_REPLY_ARRAY && row->elements == fields &&
           queue_reply_bytes(row->element[ROW_ID]).data;
}

/* False when it is not "<uuid>:<n>". */
static bool job_read_token(struct job *job, struct bytes token)
{
    const char *colon = token.data ? memchr(token.data, ':', token.len) : NULL;

    if (!colon || token.len >= sizeof(job->token))
        return false;
    memcpy(job->token, token.data, token.len); /* the rest is 0 */
    colon++;
    return text_parse_uint(colon, token.len - (size_t)(colon - token.data), &job->call) == 0;
}

struct job *queue_read_job(struct queue *queue, const redisReply *row, const char *token)
{
    _cleanup_(job_freep) struct job *job = NULL;

    if (!is_row(row, token ? ROW_TOKEN : ROW_FIELDS))
        return NULL;
    job = job_new(row->element);
    if (!job || !job_read_token(job, token ? (struct bytes){ token, strlen(token) }
                                           : queue_reply_bytes(row->element[ROW_TOKEN])))
        return NULL;
    if (token)
        job->attempts_started++; /* the row is from before the fetch */
    if (job_read_options(queue, job) < 0)
        return NULL;
    return TAKE_PTR(job);
}
