/* When a worker looks for jobs that are in no state, and what it does with what it hears. */
#include <string.h>

#include "tests/unit/worker/engine_rig.h"

TestSuite(orphans, .init = rig_init, .fini = rig_done, .timeout = 30);

static const struct orphans_result part = { .looked = 500 };

static void pass_until(uint64_t ms)
{
    for (uint64_t passed = 0; passed < ms; passed += 250) {
        pass_ms(250);
        answer_beats();
    }
}

static void start_looking(enum config_orphans orphans)
{
    rig.config.orphans = orphans;
    rig_start_idle(1);
    pass_until(6000);
}

Test(orphans, a_look_begins_after_the_start_and_goes_piece_by_piece)
{
    start_looking(CONFIG_ORPHANS_REPORT);
    cr_assert(eq(sz, count_calls(FAKE_ORPHANS), 1));
    cr_assert(eq(int, (int)rig.look_action, ORPHANS_REPORT));
    pass_until(2000); /* the next one only when that one is answered */
    cr_assert(eq(sz, count_calls(FAKE_ORPHANS), 1));
    answer_orphans(open_call(FAKE_ORPHANS), &part);
    pass_until(250);
    cr_assert(eq(sz, count_calls(FAKE_ORPHANS), 2));
    answer_orphans(open_call(FAKE_ORPHANS), &part);
    cr_assert(eq(sz, count_calls(FAKE_ORPHANS), 2), "not at once");
    pass_until(250);
    cr_assert(eq(sz, count_calls(FAKE_ORPHANS), 3));
    cr_assert(eq(sz, rig.looks_open, 1));
}

Test(orphans, the_next_look_comes_a_minute_later_and_has_its_own_token)
{
    struct orphans_result whole = { .looked = 500, .complete = true };
    char token[64];

    start_looking(CONFIG_ORPHANS_REPAIR);
    cr_assert(eq(int, (int)rig.look_action, ORPHANS_REPAIR));
    (void)snprintf(token, sizeof(token), "%s", rig.look_token);
    answer_orphans(open_call(FAKE_ORPHANS), &whole);
    cr_assert(eq(sz, rig.looks_open, 0));
    pass_until(59000);
    cr_assert(eq(sz, count_calls(FAKE_ORPHANS), 1));
    pass_until(2000);
    cr_assert(eq(sz, count_calls(FAKE_ORPHANS), 2));
    cr_assert(ne(str, (char *)token, (char *)rig.look_token));
}

Test(orphans, a_piece_that_failed_is_asked_for_again)
{
    start_looking(CONFIG_ORPHANS_REPORT);
    answer_orphans_badly(open_call(FAKE_ORPHANS), REDIS_UNKNOWN);
    pass_until(250);
    cr_assert(eq(sz, open_calls(FAKE_ORPHANS), 1));
    cr_assert(eq(sz, rig.looks_open, 1), "of the same look");
}

Test(orphans, a_look_that_is_refused_is_given_up_and_tried_a_minute_later)
{
    start_looking(CONFIG_ORPHANS_REPORT);
    answer_orphans_badly(open_call(FAKE_ORPHANS), REDIS_REFUSED);
    cr_assert(eq(sz, rig.looks_open, 0));
    pass_until(59000);
    cr_assert(eq(sz, count_calls(FAKE_ORPHANS), 1));
    pass_until(2000);
    cr_assert(eq(sz, count_calls(FAKE_ORPHANS), 2));
}

Test(orphans, nobody_looks_when_it_is_off_or_redis_is_away_or_the_process_ends)
{
    start_looking(CONFIG_ORPHANS_OFF);
    pass_until(70000);
    cr_assert(eq(sz, count_calls(FAKE_ORPHANS), 0));
    rig.config.orphans = CONFIG_ORPHANS_REPORT;
    engine_set_redis(rig.engine, false);
    pass_until(1000);
    cr_assert(eq(sz, count_calls(FAKE_ORPHANS), 0));
    engine_set_redis(rig.engine, true);
    pass_until(1000);
    cr_assert(eq(sz, count_calls(FAKE_ORPHANS), 1));
    answer_orphans(open_call(FAKE_ORPHANS), &part);
    engine_drain(rig.engine, 0);
    pass_until(1000);
    cr_assert(eq(sz, count_calls(FAKE_ORPHANS), 1));
}
