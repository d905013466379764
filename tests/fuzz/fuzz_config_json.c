/* Any bytes as the configuration in a worker's memory: refused with a text, or read whole. */
#include <string.h>

#include "common/config/config.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf out = BUF_INIT(64u << 20);
    struct config *config = NULL;
    struct error err = { 0 };
    int result = config_from_json((const char *)data, size, &config, &err);

    assert((result == 0) == (config != NULL));
    assert(result == 0 || err.text[0]);
    if (config && config_print_json(config, CONFIG_SECRETS_MASKED, &out, &err) < 0)
        abort();
    config_free(config);
    buf_done(&out);
    return 0;
}
