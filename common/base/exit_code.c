#include "common/base/exit_code.h"

#include <stdbool.h>
#include <stddef.h>

#include "common/base/attr.h"

static const struct {
    int code;
    bool final;
    const char *name;
} exit_codes[] = {
    { EXIT_CODE_OK, false, "ok" },
    { EXIT_CODE_FAILED, false, "failed" },
    { EXIT_CODE_USAGE, true, "usage" },
    { EXIT_CODE_UNAVAILABLE, false, "unavailable" },
    { EXIT_CODE_SOFTWARE, false, "software" },
    { EXIT_CODE_SUPERVISOR_LOST, false, "supervisor lost" },
    { EXIT_CODE_FENCED, false, "fenced" },
    { EXIT_CODE_CONFIG, true, "config" },
};

const char *exit_code_name(int code)
{
    for (size_t i = 0; i < ARRAY_SIZE(exit_codes); i++) {
        if (exit_codes[i].code == code)
            return exit_codes[i].name;
    }
    return NULL;
}

_Bool exit_code_is_final(int code)
{
    for (size_t i = 0; i < ARRAY_SIZE(exit_codes); i++) {
        if (exit_codes[i].code == code)
            return exit_codes[i].final;
    }
    return false;
}
