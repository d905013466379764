/* unit_show.h - the properties of a unit as systemd has them (`systemctl show`), drop-ins included.
 * Invariant: what systemd did not say is not there, rather than empty or zero. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/error.h"

struct unit_show {
    struct buf text;  /* NAME=VALUE lines; the line ends are NUL once read */
    struct buf files; /* the unit's files, drop-ins last, likewise: what `show` has no text for */
};

/* Asks systemctl, which is waited for. -ENOENT: there is no systemctl, or no such unit; other
 * codes: systemd could not be asked. The texts are for people. Ends with unit_show_done always. */
MUST_CHECK int unit_show_read(struct unit_show *show, const char *unit, struct error *err);
void unit_show_done(struct unit_show *show);

/* Value of a property; NULL when systemd did not name it. */
const char *unit_show_get(const struct unit_show *show, const char *property);
/* A time as systemd prints it ("1min 30s", "infinity" → UINT64_MAX) in ms; false when it is none.
 */
bool unit_show_get_ms(const struct unit_show *show, const char *property, uint64_t *out_ms);
/* A number, "infinity" → UINT64_MAX. */
bool unit_show_get_number(const struct unit_show *show, const char *property, uint64_t *out);
/* True when the words of a property (separated by blanks) have this one. */
bool unit_show_has_word(const struct unit_show *show, const char *property, const char *word);
/* Some word of the property (a path, or a bind "FROM:TO:…"; a leading -, + is skipped) has `path`
 * in it or below it. */
bool unit_show_covers(const struct unit_show *show, const char *property, const char *path);

/* The words of a list directive (LoadCredential=, RestartPreventExitStatus=) as the unit's files
 * write it, an empty assignment taking back what stood before it; systemctl show cannot print
 * these. True when one of them is `word`, or begins with it and goes on with a colon. */
bool unit_show_lists(const struct unit_show *show, const char *directive, const char *word);

/* "1min 30s" and the like (systemd.time(7)) in ms, for tests; false when it is no time. */
bool unit_show_parse_ms(const char *text, uint64_t *out_ms);
