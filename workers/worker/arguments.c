#include "workers/worker/arguments.h"

#include <errno.h>
#include <string.h>

#include "common/base/text.h"
#include "common/base/uuid.h"
#include "common/scoreboard/scoreboard.h"

const char worker_usage[] =
    "Usage: drover-worker --queue NAME --slot N --uuid UUID --generation G --slots N\n"
    "                     [--board INDEX] [--master UUID] [--keep BITS]\n"
    "                     [--user UID --group GID [--groups GID,GID...]]\n"
    "\n"
    "Runs the jobs of one queue. droverd starts it, with its channel at descriptor 3, the\n"
    "checked configuration as sealed memory at descriptor 4 and the scoreboard at descriptor 5;\n"
    "it is not meant to be started by hand.\n"
    "\n"
    "  --queue NAME      a queue of the configuration\n"
    "  --slot N          which of the queue's processes this is, from 0\n"
    "  --uuid UUID       identity of this start: the first part of its locks' tokens\n"
    "  --generation G    of the configuration, for logs and the process title\n"
    "  --slots N         jobs at once in this process\n"
    "  --board INDEX     its slot of the scoreboard; without it nothing is shown there\n"
    "  --master UUID     identity of this run of droverd: what another run left behind on this\n"
    "                    host is given back; without it nothing is\n"
    "  --user UID        becomes that user before it reads anything, with --group and the\n"
    "                    supplementary --groups, which may be missing\n"
    "  --keep BITS       capabilities that its handlers need, as a decimal number; all others are\n"
    "                    given up, unless it stays root\n"
    "  --help, --version\n";

enum argument_kind { ARGUMENT_TEXT, ARGUMENT_NUMBER };

static const struct {
    const char *name;
    enum argument_kind kind;
    size_t offset;
} arguments[] = {
    { "--queue", ARGUMENT_TEXT, offsetof(struct worker_arguments, queue) },
    { "--uuid", ARGUMENT_TEXT, offsetof(struct worker_arguments, uuid) },
    { "--slot", ARGUMENT_NUMBER, offsetof(struct worker_arguments, slot) },
    { "--generation", ARGUMENT_NUMBER, offsetof(struct worker_arguments, generation) },
    { "--slots", ARGUMENT_NUMBER, offsetof(struct worker_arguments, slots) },
    { "--board", ARGUMENT_NUMBER, offsetof(struct worker_arguments, board) },
    { "--master", ARGUMENT_TEXT, offsetof(struct worker_arguments, master) },
    { "--user", ARGUMENT_NUMBER, offsetof(struct worker_arguments, user) },
    { "--group", ARGUMENT_NUMBER, offsetof(struct worker_arguments, group) },
    { "--groups", ARGUMENT_TEXT, offsetof(struct worker_arguments, groups) },
    { "--keep", ARGUMENT_NUMBER, offsetof(struct worker_arguments, keep) },
};

static int take_value(size_t row, const char *value, struct worker_arguments *out,
                      struct error *err)
{
    char *field = (char *)out + arguments[row].offset;
    uint64_t number;

    if (!value)
        return error_set(err, -EINVAL, "%s needs a value", arguments[row].name);
    if (arguments[row].kind == ARGUMENT_TEXT) {
        memcpy(field, &value, sizeof(value));
        return 0;
    }
    if (text_parse_uint(value, strlen(value), &number) < 0)
        return error_set(err, -EINVAL, "%s %s: not a whole number", arguments[row].name, value);
    memcpy(field, &number, sizeof(number));
    return 0;
}

static int find_row(const char *name, size_t *out_row)
{
    for (size_t i = 0; i < ARRAY_SIZE(arguments); i++) {
        if (strcmp(arguments[i].name, name) == 0) {
            *out_row = i;
            return 0;
        }
    }
    return -EINVAL;
}

/* Half of it would leave the rest as it was for root. */
static int check_user(const struct worker_arguments *out, struct error *err)
{
    bool has_user = out->user != WORKER_NO_USER;

    if (has_user != (out->group != WORKER_NO_USER) || (out->groups && !has_user))
        return error_set(err, -EINVAL, "--user, --group and --groups belong together");
    if (has_user && (out->user >= UINT32_MAX || out->group >= UINT32_MAX))
        return error_set(err, -EINVAL, "--user and --group must be below %lu",
                         (unsigned long)UINT32_MAX);
    return 0;
}

static int check(const struct worker_arguments *out, struct error *err)
{
    if (!out->queue || !*out->queue)
        return error_set(err, -EINVAL, "--queue is missing");
    if (!out->uuid || !uuid_is_valid(out->uuid))
        return error_set(err, -EINVAL, "--uuid %s: not a UUID",
                         out->uuid ? out->uuid : "(missing)");
    if (out->slots == 0 || out->slots > WORKER_SLOTS_MAX)
        return error_set(err, -EINVAL, "--slots must be 1 to %d", WORKER_SLOTS_MAX);
    if (out->board != WORKER_NO_BOARD && out->board >= SCOREBOARD_SLOTS)
        return error_set(err, -EINVAL, "--board must be 0 to %d", SCOREBOARD_SLOTS - 1);
    if (out->master && !uuid_is_valid(out->master))
        return error_set(err, -EINVAL, "--master %s: not a UUID", out->master);
    return check_user(out, err);
}

int worker_arguments_parse(int argc, char *const *argv, struct worker_arguments *out,
                           struct error *err)
{
    struct worker_arguments parsed = { .board = WORKER_NO_BOARD,
                                       .user = WORKER_NO_USER,
                                       .group = WORKER_NO_USER };
    size_t row = 0;

    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) != 0)
            continue;
        if (strcmp(argv[i], "--help") == 0)
            parsed.help = true;
        else if (strcmp(argv[i], "--version") == 0)
            parsed.version = true;
        else if (find_row(argv[i], &row) < 0)
            return error_set(err, -EINVAL, "unknown argument %s", argv[i]);
        else if (take_value(row, i + 1 < argc ? argv[i + 1] : NULL, &parsed, err) < 0)
            return err ? err->code : -EINVAL;
        else
            i++;
    }
    if (!parsed.help && !parsed.version && check(&parsed, err) < 0)
        return -EINVAL;
    *out = parsed;
    return 0;
}
