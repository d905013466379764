/* Who is connected for a queue, by the names of the connections (wire format 8.14). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/text.h"
#include "common/queue/get_internal.h"

#define WORKER_MARK ":w:"
#define EVENTS_MARK ":qe"

/* The value of ` key=` in a line that is cut into words; "" when it is not there. Words are cut in
 * place. */
struct line_words {
    char *id, *address, *name, *age, *idle;
};

static void take_word(char *word, struct line_words *out)
{
    static const struct {
        const char *key;
        size_t at;
    } known[] = {
        { "id=", offsetof(struct line_words, id) },
        { "addr=", offsetof(struct line_words, address) },
        { "name=", offsetof(struct line_words, name) },
        { "age=", offsetof(struct line_words, age) },
        { "idle=", offsetof(struct line_words, idle) },
    };

    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        char **to = (char **)(void *)((char *)out + known[i].at);

        if (!*to && strncmp(word, known[i].key, strlen(known[i].key)) == 0)
            *to = word + strlen(known[i].key);
    }
}

static void cut_line(char *line, struct line_words *out)
{
    char *rest = NULL;

    for (char *word = strtok_r(line, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        take_word(word, out);
}

static uint64_t number_of(const char *text)
{
    uint64_t number = 0;

    return text && text_parse_uint(text, strlen(text), &number) == 0 ? number : 0;
}

/* The worker's name when the connection is one of that kind; NULL when it is not. */
static const char *name_inside(const char *raw, const char *base, enum client_kind kind)
{
    size_t base_len = strlen(base);

    if (!raw || strncmp(raw, base, base_len) != 0)
        return NULL;
    raw += base_len;
    if (kind == CLIENT_QUEUE_EVENTS)
        return strcmp(raw, EVENTS_MARK) == 0 ? "" : NULL;
    if (*raw == '\0')
        return "";
    return strncmp(raw, WORKER_MARK, strlen(WORKER_MARK)) == 0 ? raw + strlen(WORKER_MARK) : NULL;
}

/* `lines` is text of the server, `words` a copy that is cut up; entries point into both. */
static size_t read_clients(char *lines, char *words, const char *base, enum client_kind kind,
                           struct client_entry *entries)
{
    size_t count = 0;

    while (*lines) {
        size_t len = strcspn(lines, "\r\n");
        struct line_words found = { 0 };
        bool is_last = lines[len] == '\0';
        const char *name;

        lines[len] = words[len] = '\0';
        cut_line(words, &found);
        name = name_inside(found.name, base, kind);
        if (name)
            entries[count++] = (struct client_entry){ .id = found.id ? found.id : "",
                                                      .address = found.address ? found.address : "",
                                                      .name = name,
                                                      .raw_name = found.name,
                                                      .line = lines,
                                                      .age_s = number_of(found.age),
                                                      .idle_s = number_of(found.idle) };
        lines += is_last ? len : len + 1;
        words += is_last ? len : len + 1;
    }
    return count;
}

static size_t count_lines(const char *text)
{
    size_t count = 1;

    for (; *text; text++)
        count += *text == '\n';
    return count;
}

static void on_clients(struct redis *redis, enum redis_outcome outcome, const redisReply *reply,
                       const char *why, void *arg)
{
    _cleanup_(freep) struct get_call *call = arg;
    struct call_result result = queue_call_result(outcome, reply, why, 0);
    _cleanup_(freep) char *base = queue_worker_client_name(call->queue, NULL);
    _cleanup_(freep) char *lines = NULL, *words = NULL;
    _cleanup_(freep) struct client_entry *entries = NULL;
    size_t count = 0;

    (void)redis;
    if (result.outcome == REDIS_REPLY) {
        lines = strdup(get_reply_text(reply));
        words = strdup(get_reply_text(reply));
        entries = lines ? calloc(count_lines(lines), sizeof(*entries)) : NULL;
        if (!base || !lines || !words || !entries)
            result = get_no_memory();
        else
            count = read_clients(lines, words, base, (enum client_kind)call->number, entries);
    }
    call->on_done.clients(call->queue, &result, result.outcome == REDIS_REPLY ? entries : NULL,
                          count, call->arg);
}

int queue_list_clients(struct queue *queue, enum client_kind kind, queue_clients_cb *on_done,
                       void *arg, struct error *err)
{
    const struct get_call call = {
        .queue = queue, .on_done.clients = on_done, .arg = arg, .number = (uint64_t)kind
    };
    int r = queue_args_begin(queue, 2, err);

    if (r < 0)
        return r;
    queue_args_add_text(queue, "CLIENT");
    queue_args_add_text(queue, "LIST");
    return get_run_command(&call, on_clients, err);
}
