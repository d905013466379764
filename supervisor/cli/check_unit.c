#include "supervisor/cli/check_unit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/exit_code.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "supervisor/cli/output.h"
#include "supervisor/cli/unit_needs.h"
#include "supervisor/cli/unit_show.h"

struct comparison {
    const char *unit;
    const struct unit_show *show;
    struct config_report *report;
    bool out_of_memory;
};

static void find(struct comparison *comparison, bool warning, const char *directive,
                 const char *format, ...) PRINTF_LIKE(4, 5);

static void find(struct comparison *comparison, bool warning, const char *directive,
                 const char *format, ...)
{
    struct config_report *report = comparison->report;
    struct config_finding *rows = reallocarray(report->findings, report->count + 1, sizeof(*rows));
    char text[1024];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments); /* a long path is cut */
    va_end(arguments);
    if (!rows) {
        comparison->out_of_memory = true;
        return;
    }
    report->findings = rows;
    rows[report->count] = (struct config_finding){ .warning = warning,
                                                   .file = strdup(comparison->unit),
                                                   .key = strdup(directive),
                                                   .text = strdup(text) };
    if (!rows[report->count].file || !rows[report->count].key || !rows[report->count].text)
        comparison->out_of_memory = true;
    report->count++;
    report->errors += warning ? 0 : 1;
}

/* ---- what the unit must be, whatever the configuration says */

static void compare_word(struct comparison *comparison, const char *property, const char *wanted,
                         const char *other, bool warning, const char *why)
{
    const char *value = unit_show_get(comparison->show, property);

    if (!value || strcmp(value, wanted) == 0 || (other && strcmp(value, other) == 0))
        return;
    find(comparison, warning, property, "is %s, not %s: %s", *value ? value : "empty", wanted, why);
}

static void compare_shape(struct comparison *comparison)
{
    compare_word(comparison, "Type", "notify", "notify-reload", /* warning= */ false,
                 "systemd would not know when it is ready");
    compare_word(comparison, "NotifyAccess", "main", "all", /* warning= */ false,
                 "what droverd tells systemd would be dropped");
    compare_word(comparison, "KillMode", "mixed", NULL, /* warning= */ false,
                 "a stop must signal droverd alone, which drains; and nothing may outlive it");
    compare_word(comparison, "OOMPolicy", "continue", NULL, /* warning= */ true,
                 "one worker that meets its memory limit would stop all of them");
    if (!unit_show_lists(comparison->show, "RestartPreventExitStatus", "78") &&
        !unit_show_lists(comparison->show, "RestartPreventExitStatus", "CONFIG"))
        find(comparison, /* warning= */ true, "RestartPreventExitStatus",
             "lacks 78: a wrong configuration would be tried again for ever");
}

/* ---- what the configuration needs */

static void compare_time(struct comparison *comparison, const struct unit_need *need,
                         const char *property, const char *directive, const char *what)
{
    char needed[UNITS_TEXT_BYTES], has[UNITS_TEXT_BYTES];
    uint64_t ms;

    if (!unit_show_get_ms(comparison->show, property, &ms) || ms == UINT64_MAX ||
        (need->number != UINT64_MAX && ms >= need->number))
        return;
    (void)units_print_duration(ms, has);
    if (need->number == UINT64_MAX)
        find(comparison, /* warning= */ false, directive,
             "is %s, and stop.drain_timeout is none: %s; set it to infinity", has, what);
    else
        find(comparison, /* warning= */ false, directive, "is %s, less than the %s of %s: %s", has,
             units_print_duration(need->number, needed), need->why, what);
}

static bool is_hidden(const struct unit_show *show, const char *path)
{
    const char *home = unit_show_get(show, "ProtectHome");
    const char *tmp = unit_show_get(show, "PrivateTmp");

    if (unit_hides_home(path))
        return home && (strcmp(home, "yes") == 0 || strcmp(home, "tmpfs") == 0);
    return unit_hides_tmp(path) && tmp && strcmp(tmp, "no") != 0;
}

static bool is_read_only(const struct unit_show *show, const char *path)
{
    const char *system = unit_show_get(show, "ProtectSystem");
    const char *home = unit_show_get(show, "ProtectHome");

    if (unit_hides_home(path))
        return home && strcmp(home, "read-only") == 0;
    if (!system || strcmp(system, "no") == 0)
        return false;
    if (strcmp(system, "strict") == 0)
        return true;
    return unit_path_is_below(path, "/usr") || unit_path_is_below(path, "/boot") ||
           (strcmp(system, "full") == 0 && unit_path_is_below(path, "/etc"));
}

static void compare_path(struct comparison *comparison, const struct unit_need *need)
{
    const struct unit_show *show = comparison->show;
    bool bound = unit_show_covers(show, "BindPaths", need->text);
    bool bound_read = unit_show_covers(show, "BindReadOnlyPaths", need->text);

    if (need->kind == UNIT_NEED_READ) {
        if (!bound && !bound_read && is_hidden(show, need->text))
            find(comparison, /* warning= */ false, "BindReadOnlyPaths", "lacks %s: %s", need->text,
                 need->why);
        return;
    }
    if (bound || unit_show_covers(show, "ReadWritePaths", need->text))
        return;
    if (is_hidden(show, need->text))
        find(comparison, /* warning= */ false, "BindPaths", "lacks %s: %s", need->text, need->why);
    else if (is_read_only(show, need->text))
        find(comparison, /* warning= */ false, "ReadWritePaths", "lacks %s: %s", need->text,
             need->why);
}

static void compare_credential(struct comparison *comparison, const struct unit_need *need)
{
    static const char *const places[] = { "LoadCredential", "LoadCredentialEncrypted",
                                          "SetCredential", "SetCredentialEncrypted" };

    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        if (unit_show_lists(comparison->show, places[i], need->text))
            return;
    }
    find(comparison, /* warning= */ false, "LoadCredential", "lacks %s: %s", need->text, need->why);
}

static void compare_users(struct comparison *comparison, const struct unit_need *need)
{
    static const char *const rights[] = { "cap_setuid", "cap_setgid", "cap_kill" };
    const char *user = unit_show_get(comparison->show, "User");

    if (user && *user && strcmp(user, "root") != 0)
        find(comparison, /* warning= */ false, "User", "is %s: %s; see the drop-in users.conf",
             user, need->why);
    for (size_t i = 0; i < ARRAY_SIZE(rights); i++) {
        if (!unit_show_has_word(comparison->show, "CapabilityBoundingSet", rights[i]))
            find(comparison, /* warning= */ false, "CapabilityBoundingSet", "lacks %s: %s",
                 rights[i], need->why);
    }
}

static void compare_need(struct comparison *comparison, const struct unit_need *need)
{
    uint64_t number;

    switch (need->kind) {
    case UNIT_NEED_READ:
    case UNIT_NEED_WRITE:
    case UNIT_NEED_WRITABLE:
        compare_path(comparison, need);
        break;
    case UNIT_NEED_CREDENTIAL:
        compare_credential(comparison, need);
        break;
    case UNIT_NEED_USERS:
        compare_users(comparison, need);
        break;
    case UNIT_NEED_STOP:
        compare_time(comparison, need, "TimeoutStopUSec", "TimeoutStopSec",
                     "systemd would kill what still runs");
        break;
    case UNIT_NEED_START:
        compare_time(comparison, need, "TimeoutStartUSec", "TimeoutStartSec",
                     "systemd would end a start that is under way");
        break;
    case UNIT_NEED_DESCRIPTORS:
        if (unit_show_get_number(comparison->show, "LimitNOFILE", &number) && number < need->number)
            find(comparison, /* warning= */ false, "LimitNOFILE",
                 "is %" PRIu64 ", less than %" PRIu64 ": %s", number, need->number, need->why);
        break;
    case UNIT_NEED_KIND_COUNT:
    default:
        break;
    }
}

int check_unit(const char *unit, const struct config *config, struct config_report *report)
{
    struct unit_show show;
    struct unit_needs needs = { 0 };
    struct error err = { 0 };
    struct comparison comparison = { .unit = unit, .show = &show, .report = report };
    const char *user;
    int r = unit_show_read(&show, unit, &err);

    if (r < 0) {
        output_error("%s", err.text);
        unit_show_done(&show);
        return EXIT_CODE_UNAVAILABLE;
    }
    user = unit_show_get(&show, "User");
    r = unit_needs_find(config, report, user && *user ? user : "root", &needs);
    if (r == 0)
        compare_shape(&comparison);
    for (size_t i = 0; r == 0 && i < needs.count; i++)
        compare_need(&comparison, &needs.rows[i]);
    unit_needs_done(&needs);
    unit_show_done(&show);
    if (r < 0 || comparison.out_of_memory) {
        output_error("memory ran out");
        return EXIT_CODE_FAILED;
    }
    return EXIT_CODE_OK;
}
