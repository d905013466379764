/* Any text as a Redis URL: refused with a text, or an endpoint that is one of the four kinds. */
#include <errno.h>
#include <string.h>

#include "common/config/config.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, size);
    struct config_redis redis = { 0 };
    struct error err = { 0 };
    int result;

    if (!text)
        return 0;
    result = config_parse_redis_url(text, &redis, &err);
    if (result == 0) {
        assert((redis.host != NULL) + (redis.path != NULL) + (redis.nodes != NULL) == 1);
        assert((redis.nodes != NULL) == (redis.kind != CONFIG_REDIS_SERVER));
        assert((redis.nodes != NULL) == (redis.nodes_count > 0));
        assert((redis.master != NULL) == (redis.kind == CONFIG_REDIS_SENTINEL));
        assert(redis.kind != CONFIG_REDIS_CLUSTER || redis.db == 0);
        for (size_t i = 0; i < redis.nodes_count; i++)
            assert(*redis.nodes[i].host && redis.nodes[i].port > 0);
        assert(!redis.host || (*redis.host && redis.port > 0));
        assert(!redis.path || (redis.path[0] == '/' && redis.port == 0));
        assert(strcmp(redis.url, text) == 0);
    } else {
        assert(err.code < 0 && err.text[0] && !redis.url && !redis.host && !redis.path &&
               !redis.nodes && !redis.master);
    }
    config_redis_done(&redis);
    free(text);
    return 0;
}
