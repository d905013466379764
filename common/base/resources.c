#include "common/base/resources.h"

#include <string.h>
#include <sys/resource.h>

static const struct {
    const char *name;
    int number;
} resources[RESOURCE_COUNT] = {
    [RESOURCE_OPEN_FILES] = { "open_files", RLIMIT_NOFILE },
    [RESOURCE_PROCESSES] = { "processes", RLIMIT_NPROC },
    [RESOURCE_FILE_SIZE] = { "file_size", RLIMIT_FSIZE },
    [RESOURCE_CORE] = { "core", RLIMIT_CORE },
    [RESOURCE_MEMORY] = { "memory", RLIMIT_AS },
    [RESOURCE_CPU] = { "cpu", RLIMIT_CPU },
    [RESOURCE_STACK] = { "stack", RLIMIT_STACK },
    [RESOURCE_LOCKED_MEMORY] = { "locked_memory", RLIMIT_MEMLOCK },
};

const char *resource_name(enum resource resource)
{
    return resources[resource].name;
}

int resource_number(enum resource resource)
{
    return resources[resource].number;
}

enum resource resource_named(const char *name, size_t name_len)
{
    unsigned int i = 0;

    while (i < RESOURCE_COUNT && (strlen(resources[i].name) != name_len ||
                                  strncmp(resources[i].name, name, name_len) != 0))
        i++;
    return (enum resource)i;
}
