#include "supervisor/master/generation.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/text.h"

#define CONFIG_MAX_BYTES (16U << 20)

/* The configuration with its secrets, for children only. */
static int seal_config(const struct config *config, struct error *err)
{
    struct buf json = BUF_INIT(CONFIG_MAX_BYTES);
    int result = config_print_json(config, CONFIG_SECRETS_KEPT, &json, err);

    if (result >= 0)
        result = fd_sealed_memory("drover-config", buf_text(&json), json.len, err);
    if (json.data)
        explicit_bzero(json.data, json.cap);
    buf_done(&json);
    return result;
}

int generation_new(unsigned int number, struct config *config, struct generation **out_generation,
                   struct error *err)
{
    struct generation *generation = calloc(1, sizeof *generation);
    int fd;

    if (!generation) {
        config_free(config);
        return error_set(err, -ENOMEM, "no memory for a configuration");
    }
    fd = seal_config(config, err);
    if (fd < 0) {
        free(generation);
        config_free(config);
        return fd;
    }
    *generation =
        (struct generation){ .number = number, .config = config, .config_fd = fd, .refs = 1 };
    *out_generation = generation;
    return 0;
}

struct generation *generation_ref(struct generation *generation)
{
    assert(generation->refs > 0);
    generation->refs++;
    return generation;
}

void generation_unref(struct generation *generation)
{
    if (!generation || --generation->refs > 0)
        return;
    config_free(generation->config);
    (void)close(generation->config_fd); /* ours alone: the number is gone either way */
    free(generation);
}

char *generation_endpoint(const struct config_queue *queue)
{
    const struct config_redis *redis = queue->redis;

    return text_format("%s user %s prefix %s", redis->url, redis->username ? redis->username : "",
                       redis->prefix);
}
