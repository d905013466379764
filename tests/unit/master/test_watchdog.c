/* What is stuck, by a table of places for workers, and what is not. */
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/attr.h"
#include "supervisor/master/watchdog.h"

#define NOW     UINT64_C(1000000)
#define JUST    (NOW - WATCHDOG_MARGIN_MS)     /* overdue, but within the margin */
#define LONG    (NOW - WATCHDOG_MARGIN_MS - 1) /* and beyond it */
#define LATER   (NOW + 1)
#define YEARS   UINT64_C(1)
#define UNKNOWN "its process is not known any more"
#define ENDLESS "its state does not end"
#define PASSED  "the deadline of its state was passed over"

Test(watchdog, each_state_has_what_it_must_have)
{
    static const struct {
        const char *name;
        struct watchdog_row row;
        const char *fault; /* NULL: it is sound */
    } rows[] = {
        { "empty, just now", { .state = SLOT_EMPTY, .state_since_ms = JUST }, NULL },
        { "empty for long", { .state = SLOT_EMPTY, .state_since_ms = LONG }, ENDLESS },
        { "empty with a process",
          { .state = SLOT_EMPTY, .state_since_ms = NOW, .has_child = true },
          "a process is there that its state does not know" },
        { "starting", { .state = SLOT_STARTING, .deadline_ms = LATER, .has_child = true }, NULL },
        { "starting without a process", { .state = SLOT_STARTING, .deadline_ms = LATER }, UNKNOWN },
        { "starting, overdue within the margin",
          { .state = SLOT_STARTING, .deadline_ms = JUST, .has_child = true },
          NULL },
        { "starting, overdue",
          { .state = SLOT_STARTING, .deadline_ms = LONG, .has_child = true },
          PASSED },
        { "starting without an end",
          { .state = SLOT_STARTING, .state_since_ms = LONG, .has_child = true },
          ENDLESS },
        { "serving for years",
          { .state = SLOT_SERVING, .state_since_ms = YEARS, .has_child = true },
          NULL },
        { "serving without a process",
          { .state = SLOT_SERVING, .state_since_ms = YEARS },
          UNKNOWN },
        { "serving, its channel lost, and not killed",
          { .state = SLOT_SERVING, .deadline_ms = LONG, .has_child = true },
          PASSED },
        { "draining without a bound",
          { .state = SLOT_DRAINING, .state_since_ms = YEARS, .has_child = true },
          NULL },
        { "draining, overdue",
          { .state = SLOT_DRAINING, .deadline_ms = LONG, .has_child = true },
          PASSED },
        { "stopping without an end",
          { .state = SLOT_STOPPING, .state_since_ms = LONG, .has_child = true },
          ENDLESS },
        { "killing for years, again and again",
          { .state = SLOT_KILLING,
            .state_since_ms = YEARS,
            .deadline_ms = LATER,
            .has_child = true },
          NULL },
        { "killing, and given up",
          { .state = SLOT_KILLING, .deadline_ms = LONG, .has_child = true },
          PASSED },
        { "sweeping, just now", { .state = SLOT_SWEEPING, .state_since_ms = JUST }, NULL },
        { "sweeping for long", { .state = SLOT_SWEEPING, .state_since_ms = LONG }, ENDLESS },
        { "sweeping, overdue", { .state = SLOT_SWEEPING, .deadline_ms = LONG }, PASSED },
        { "backoff", { .state = SLOT_BACKOFF, .deadline_ms = LATER }, NULL },
        { "backoff without an end", { .state = SLOT_BACKOFF, .state_since_ms = LONG }, ENDLESS },
        { "backoff, overdue", { .state = SLOT_BACKOFF, .deadline_ms = LONG }, PASSED },
        { "given up for years", { .state = SLOT_GIVEN_UP, .state_since_ms = YEARS }, NULL },
        { "stopped for years", { .state = SLOT_STOPPED, .state_since_ms = YEARS }, NULL },
        { "ended and noted just now",
          { .state = SLOT_SERVING, .has_child = true, .exited_ms = JUST, .gone_since_ms = LONG },
          NULL },
        { "ended, noted, and left lying",
          { .state = SLOT_SERVING, .has_child = true, .exited_ms = LONG },
          "the end of its process is not dealt with" },
        { "ended, and will be noted",
          { .state = SLOT_SERVING, .has_child = true, .gone_since_ms = JUST },
          NULL },
        { "ended, and not noted",
          { .state = SLOT_SERVING, .has_child = true, .gone_since_ms = LONG },
          "the end of its process was not noticed" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct watchdog_row row = rows[i].row;
        const struct watchdog_view view = { .rows = &row, .count = 1, .now_ms = NOW };
        char why[WATCHDOG_WHY_BYTES] = "";
        bool stuck;

        row.queue = "mail";
        row.index = 3;
        stuck = watchdog_is_stuck(&view, why);
        cr_expect(stuck == (rows[i].fault != NULL), "%s: %s", rows[i].name, why);
        if (!rows[i].fault)
            continue;
        cr_expect(strstr(why, rows[i].fault), "%s: %s", rows[i].name, why);
        cr_expect(strstr(why, "worker mail/3, ") == why, "%s: %s", rows[i].name, why);
        cr_expect(strstr(why, slot_state_name(row.state)), "%s: %s", rows[i].name, why);
    }
}

Test(watchdog, every_state_is_in_the_table_above)
{
    for (int state = 0; state < SLOT_STATE_COUNT; state++) {
        struct watchdog_row row = { .queue = "q",
                                    .state = (enum slot_state)state,
                                    .state_since_ms = NOW,
                                    .deadline_ms = LATER };
        const struct watchdog_view view = { .rows = &row, .count = 1, .now_ms = NOW };
        char why[WATCHDOG_WHY_BYTES];

        row.has_child = state >= SLOT_STARTING && state <= SLOT_KILLING;
        cr_expect(!watchdog_is_stuck(&view, why), "%s", why);
        row.has_child = !row.has_child;
        cr_expect(watchdog_is_stuck(&view, why), "%s", slot_state_name(row.state));
    }
}

Test(watchdog, places_that_wait_for_their_turn_are_not_stuck)
{
    struct watchdog_row row = { .queue = "q", .state = SLOT_EMPTY, .state_since_ms = LONG };
    struct watchdog_view view = { .rows = &row, .count = 1, .now_ms = NOW, .last_spawn_ms = JUST };
    char why[WATCHDOG_WHY_BYTES];

    cr_expect(!watchdog_is_stuck(&view, why), "others are still being started");
    view.last_spawn_ms = LONG;
    cr_expect(watchdog_is_stuck(&view, why));
    view.last_spawn_ms = JUST;
    row.state = SLOT_SWEEPING;
    cr_expect(watchdog_is_stuck(&view, why), "that waits for nobody's turn");
}

Test(watchdog, names_the_first_that_is_stuck_among_many)
{
    struct watchdog_row rows[] = {
        { .queue = "a", .state = SLOT_SERVING, .has_child = true },
        { .queue = "b", .index = 7, .state = SLOT_SERVING },
        { .queue = "c", .state = SLOT_SERVING },
    };
    const struct watchdog_view view = { .rows = rows, .count = 3, .now_ms = NOW };
    char why[WATCHDOG_WHY_BYTES];

    cr_expect(watchdog_is_stuck(&view, why) && strstr(why, "worker b/7"), "%s", why);
    rows[1].has_child = true;
    cr_expect(watchdog_is_stuck(&view, why) && strstr(why, "worker c/0"), "%s", why);
    rows[2].has_child = true;
    cr_expect(!watchdog_is_stuck(&view, why), "%s", why);
}

Test(watchdog, a_child_that_nobody_reaps)
{
    struct watchdog_view view = { .now_ms = NOW, .orphan = 4711, .orphan_since_ms = JUST };
    char why[WATCHDOG_WHY_BYTES];

    cr_expect(!watchdog_is_stuck(&view, why));
    view.orphan_since_ms = LONG;
    cr_expect(watchdog_is_stuck(&view, why) && strstr(why, "child 4711"), "%s", why);
    view.orphan = 0;
    cr_expect(!watchdog_is_stuck(&view, why));
}
