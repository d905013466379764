#include "common/redis/cluster_keys.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "common/base/hash_slot.h"
#include "common/base/text.h"

/* Commands whose key is not their second word. */
static const struct {
    const char *word;
    size_t key_at; /* 0: there is none */
} places[] = {
    { "SCAN", 0 },    { "CLIENT", 0 },  { "INFO", 0 },    { "PING", 0 },    { "TIME", 0 },
    { "CONFIG", 0 },  { "DBSIZE", 0 },  { "SCRIPT", 0 },  { "WAIT", 0 },    { "ACL", 0 },
    { "ROLE", 0 },    { "COMMAND", 0 }, { "CLUSTER", 0 }, { "SLOWLOG", 0 }, { "LATENCY", 0 },
    { "XINFO", 2 },   { "XGROUP", 2 },  { "OBJECT", 2 },  { "MEMORY", 2 },  { "EVAL", 3 },
    { "EVALSHA", 3 },
};

static bool is_word(const struct call *call, size_t at, const char *word)
{
    return call_arg_len(call, at) == strlen(word) &&
           strncasecmp(call->argv[at], word, strlen(word)) == 0;
}

/* XREAD [COUNT n] [BLOCK ms] STREAMS key … id … */
static size_t stream_at(const struct call *call)
{
    for (size_t i = 1; i + 1 < call->argc; i++)
        if (is_word(call, i, "STREAMS"))
            return i + 1;
    return 0;
}

static size_t key_at(const struct call *call)
{
    if (is_word(call, 0, "XREAD") || is_word(call, 0, "XREADGROUP"))
        return stream_at(call);
    for (size_t i = 0; i < ARRAY_SIZE(places); i++)
        if (is_word(call, 0, places[i].word))
            return places[i].key_at;
    return 1;
}

const char *cluster_first_key(const struct call *call, size_t *out_len)
{
    size_t at = 0;

    if (call->script) {
        if (call->keys_count == 0)
            return NULL;
    } else {
        at = key_at(call);
        if (at == 0 || at >= call->argc)
            return NULL;
    }
    *out_len = call_arg_len(call, at);
    return call->argv[at];
}

int cluster_check_keys(const struct call *call, struct error *err)
{
    unsigned int slot = 0;

    for (size_t i = 0; call->script && i < (size_t)call->keys_count; i++) {
        unsigned int other = hash_slot_of(call->argv[i], call_arg_len(call, i));

        if (i > 0 && other != slot)
            return error_set(err, -EINVAL,
                             "the keys %.*s and %.*s are in two hash slots of the cluster; what "
                             "belongs together needs one text in braces",
                             (int)call_arg_len(call, 0), call->argv[0], (int)call_arg_len(call, i),
                             call->argv[i]);
        slot = other;
    }
    return 0;
}

char *cluster_guard_key(const char *key, size_t len)
{
    size_t tag_len = 0;
    const char *tag = hash_slot_tag(key, len, &tag_len);

    return text_format("drover:{%.*s}:moving", (int)tag_len, tag);
}
