#include "supervisor/cli/instance.h"

#include <stdio.h>
#include <string.h>

#include "common/base/attr.h"
#include "supervisor/cli/connect.h"
#include "supervisor/cli/control_client.h"

static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

/* What a command line means is one for the whole process. */
static char chosen[INSTANCE_NAME_MAX + 1];

bool instance_choose(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len > INSTANCE_NAME_MAX || name[0] == '.' || strspn(name, allowed) != len)
        return false;
    memcpy(chosen, name, len + 1);
    return true;
}

const char *instance_name(void)
{
    return chosen[0] ? chosen : NULL;
}

const char *instance_config_file(void)
{
    static char path[sizeof(chosen) + 32];

    if (!chosen[0])
        return CLI_CONFIG_FILE;
    (void)snprintf(path, sizeof(path), "/etc/drover/%s/drover.yaml", chosen);
    return path;
}

const char *instance_socket(void)
{
    static char path[sizeof(chosen) + 32];

    if (!chosen[0])
        return CLI_CONTROL_SOCKET;
    (void)snprintf(path, sizeof(path), "/run/drover-%s/control", chosen);
    return path;
}

const char *instance_unit(char out[INSTANCE_UNIT_BYTES])
{
    if (chosen[0])
        (void)snprintf(out, INSTANCE_UNIT_BYTES, "drover@%s.service", chosen);
    else
        (void)snprintf(out, INSTANCE_UNIT_BYTES, "drover.service");
    return out;
}
