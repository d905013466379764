#include "workers/worker/identity.h"

#include <errno.h>
#include <inttypes.h>

#include "common/base/clock.h"
#include "common/base/text.h"

/* CLIENT SETNAME refuses blanks and more. */
static char *make_name(const struct process_host *host, const struct worker_arguments *arguments)
{
    char *name = text_format("%s-%s-%" PRIu64, host->name[0] ? host->name : "localhost",
                             arguments->queue, arguments->slot);

    for (char *c = name; c && *c; c++) {
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
              *c == '.' || *c == '_' || *c == '-'))
            *c = '_';
    }
    return name;
}

/* 0 when /proc cannot be read: then others cannot tell this process from a later one with its pid,
 * and take it for alive while that one lives. */
static uint64_t read_start_ticks(void)
{
    struct process_stat stat;

    return process_read_stat(getpid(), &stat) < 0 ? 0 : stat.start_ticks;
}

int identity_init(struct identity *identity, const struct worker_arguments *arguments,
                  struct error *err)
{
    process_read_host(&identity->host);
    identity->name = make_name(&identity->host, arguments);
    if (!identity->name)
        return error_set(err, -ENOMEM, "name the worker");
    identity->row = (struct worker_identity){
        .host = identity->host.name,
        .machine = identity->host.machine,
        .boot = identity->host.boot,
        .pid_space = identity->host.pid_space,
        .pid = (uint64_t)getpid(),
        .start_ticks = read_start_ticks(),
        .master = arguments->master ? arguments->master : "",
        .version = DROVER_VERSION,
        .slot = arguments->slot,
        .slots = arguments->slots,
        .generation = arguments->generation,
        .started_at_ms = clock_wall_ms(),
    };
    return 0;
}

void identity_done(struct identity *identity)
{
    free(identity->name);
    identity->name = NULL;
}
