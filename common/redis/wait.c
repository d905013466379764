/* WAIT: a call's answer is held back until enough replicas have what it wrote.
 * WAIT goes out right behind its call, so one round trip is enough for both. hiredis frees a reply
 * when its callback returns: the call's is copied until WAIT has its own. */
#include <string.h>

#include "common/redis/connection.h"

/* One WAIT in flight; it outlives a request that goes elsewhere, or was answered. */
struct wait_call {
    struct request *request; /* NULL: nobody cares any more */
};

/* ---- a copy of a reply ---- */

static redisReply *copy_reply(const redisReply *reply);

static bool copy_text(const redisReply *reply, redisReply *copy)
{
    copy->str = malloc(reply->len + 1);
    if (!copy->str)
        return false;
    memcpy(copy->str, reply->str, reply->len);
    copy->str[reply->len] = '\0';
    copy->len = reply->len;
    return true;
}

static bool copy_elements(const redisReply *reply, redisReply *copy)
{
    copy->element = calloc(reply->elements ? reply->elements : 1, sizeof(*copy->element));
    if (!copy->element)
        return false;
    copy->elements = reply->elements;
    for (size_t i = 0; i < reply->elements; i++) {
        copy->element[i] = copy_reply(reply->element[i]);
        if (!copy->element[i])
            return false; /* freeing passes over what is NULL */
    }
    return true;
}

/* Of what a script answers: RESP2. freeReplyObject frees it; NULL on no memory. */
static redisReply *copy_reply(
    const redisReply *reply) // NOLINT(misc-no-recursion): hiredis bounds it
{
    redisReply *copy = calloc(1, sizeof(*copy));
    bool done = true;

    if (!copy)
        return NULL;
    copy->type = reply->type;
    copy->integer = reply->integer;
    if (reply->type == REDIS_REPLY_ARRAY)
        done = copy_elements(reply, copy);
    else if (reply->str)
        done = copy_text(reply, copy);
    if (done)
        return copy;
    freeReplyObject(copy);
    return NULL;
}

/* ---- the call ---- */

void wait_forget(struct request *request)
{
    if (request->wait_call)
        request->wait_call->request = NULL;
    request->wait_call = NULL;
    if (request->kept)
        freeReplyObject(TAKE_PTR(request->kept));
}

void wait_take_reply(struct request *request, const redisReply *reply)
{
    request->kept = copy_reply(reply);
    if (!request->kept)
        request_answer(request, REDIS_UNKNOWN, NULL, "no memory to keep the reply");
}

/* Its own reply is there: the call's came before. */
static void answer(struct request *request, const redisReply *reply)
{
    redisReply *kept = TAKE_PTR(request->kept);
    char why[160];

    request->wait_call = NULL;
    if (reply->type != REDIS_REPLY_INTEGER) {
        (void)snprintf(why, sizeof(why), "it was executed, but asking for replicas failed: %.100s",
                       reply->str ? reply->str : "an unexpected reply");
        request_answer(request, REDIS_UNKNOWN, NULL, why);
    } else if (reply->integer >= (long long)request->wait.replicas) {
        request_answer(request, REDIS_REPLY, kept, "");
    } else {
        (void)snprintf(
            why, sizeof(why), "it was stored, but only %lld of %u replicas had it within %llu ms",
            reply->integer, request->wait.replicas, (unsigned long long)request->wait.timeout_ms);
        request_answer(request, REDIS_UNREPLICATED, kept, why);
    }
    freeReplyObject(kept);
}

static void on_wait_reply(redisAsyncContext *context, void *data, void *privdata)
{
    struct wait_call *call = privdata;
    struct request *request = call->request;
    const redisReply *reply = data;

    (void)context;
    free(call);
    if (!request)
        return;
    if (reply && request->kept)
        answer(request, reply);
    else
        request->wait_call = NULL; /* the connection ends: whoever drops it answers the request */
}

bool wait_send(struct request *request)
{
    struct wait_call *call = NULL;
    char replicas[16], timeout[24], text[96];
    int len = 0;

    if (request->wait.replicas == 0)
        return true;
    call = malloc(sizeof(*call));
    if (!call)
        return false;
    (void)snprintf(replicas, sizeof(replicas), "%u", request->wait.replicas);
    (void)snprintf(timeout, sizeof(timeout), "%llu", (unsigned long long)request->wait.timeout_ms);
    len = snprintf(text, sizeof(text), "*3\r\n$4\r\nWAIT\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n",
                   strlen(replicas), replicas, strlen(timeout), timeout);
    call->request = request;
    request->wait_call = call;
    if (redisAsyncFormattedCommand(request->redis->context, on_wait_reply, call, text,
                                   (size_t)len) == REDIS_OK)
        return true;
    request->wait_call = NULL;
    free(call);
    return false;
}
