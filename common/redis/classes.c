/* The classes of error replies: one table, read by the code and by the tests. */
#include <string.h>

#include "common/redis/redis.h"

/* First word of an error reply → class (platform-notes 1; Redis' server.c `shared.*err` and
 * script.c). */
static const struct {
    const char *word;
    enum redis_error_class class;
} words[] = {
    { "LOADING", REDIS_CLASS_LATER },     { "BUSY", REDIS_CLASS_LATER },
    { "MASTERDOWN", REDIS_CLASS_LATER },  { "CLUSTERDOWN", REDIS_CLASS_LATER },
    { "TRYAGAIN", REDIS_CLASS_LATER },    { "READONLY", REDIS_CLASS_READONLY },
    { "OOM", REDIS_CLASS_MEMORY },        { "MISCONF", REDIS_CLASS_DISK },
    { "NOREPLICAS", REDIS_CLASS_DISK },   { "NOAUTH", REDIS_CLASS_DENIED },
    { "WRONGPASS", REDIS_CLASS_DENIED },  { "NOPERM", REDIS_CLASS_DENIED },
    { "NOSCRIPT", REDIS_CLASS_NOSCRIPT }, { "MOVED", REDIS_CLASS_REDIRECT },
    { "ASK", REDIS_CLASS_REDIRECT },
};

/* Errors whose first word is only ERR, by their beginning. */
static const struct {
    const char *beginning;
    enum redis_error_class class;
} texts[] = {
    { "ERR max number of clients", REDIS_CLASS_CLIENTS },
    { "ERR invalid password", REDIS_CLASS_DENIED }, /* AUTH of one argument in some forks */
    { "ERR AUTH <password> called without any password configured", REDIS_CLASS_DENIED },
    { "DENIED Redis is running in protected mode", REDIS_CLASS_DENIED },
};

static const char *const names[] = {
    [REDIS_CLASS_NONE] = "none",         [REDIS_CLASS_LATER] = "later",
    [REDIS_CLASS_READONLY] = "readonly", [REDIS_CLASS_MEMORY] = "memory",
    [REDIS_CLASS_DISK] = "disk",         [REDIS_CLASS_CLIENTS] = "clients",
    [REDIS_CLASS_DENIED] = "denied",     [REDIS_CLASS_NOSCRIPT] = "noscript",
    [REDIS_CLASS_REDIRECT] = "redirect", [REDIS_CLASS_OTHER] = "other",
};

enum redis_error_class redis_error_class(const redisReply *reply)
{
    size_t word_len = 0;

    if (!reply || reply->type != REDIS_REPLY_ERROR)
        return REDIS_CLASS_NONE;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (strncmp(reply->str, texts[i].beginning, strlen(texts[i].beginning)) == 0)
            return texts[i].class;
    word_len = strcspn(reply->str, " ");
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (strlen(words[i].word) == word_len && memcmp(reply->str, words[i].word, word_len) == 0)
            return words[i].class;
    return REDIS_CLASS_OTHER;
}

const char *redis_error_class_name(enum redis_error_class class)
{
    size_t at = (size_t) class;

    return at < ARRAY_SIZE(names) ? names[at] : "unknown";
}
