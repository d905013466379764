/* More or fewer jobs at once while it runs; what the handlers are told. */
#include "tests/unit/worker/engine_rig.h"

TestSuite(resize, .init = rig_init, .fini = rig_done, .timeout = 20);

static void fill(unsigned int *next_id)
{
    while (open_calls(FAKE_TURN) > 0) {
        struct fake_call *call = open_call(FAKE_TURN);
        size_t want = call->want;

        answer_jobs(call, *next_id, want, 5000);
        *next_id += (unsigned int)want;
    }
}

Test(resize, more_slots_are_filled_at_once)
{
    unsigned int next_id = 1;

    rig_start(3);
    answer_beats();
    fill(&next_id);
    cr_assert(eq(sz, count_running(), 3));
    resize(10);
    cr_assert(eq(sz, open_call(FAKE_TURN)->want, 7));
    cr_assert(eq(u64, shown(SCOREBOARD_JOB_SLOTS), 10));
    fill(&next_id);
    cr_assert(eq(sz, count_running(), 10));
}

Test(resize, table_grows_far_beyond_its_first_size)
{
    unsigned int next_id = 1;

    rig_start(1);
    answer_beats();
    fill(&next_id);
    resize(900);
    fill(&next_id);
    cr_assert(eq(sz, count_running(), 900));
    complete(1);
    complete(900);
    step();
    cr_assert(eq(sz, open_call(FAKE_TURN)->count, 2));
}

Test(resize, idle_process_waits_on_with_more_slots)
{
    rig_start_idle(1);
    resize(10);
    cr_assert(eq(sz, open_calls(FAKE_WAIT), 1));
    answer_wait(open_call(FAKE_WAIT), 0);
    cr_assert(eq(sz, open_call(FAKE_TURN)->want, 10));
}

Test(resize, fewer_slots_let_running_jobs_finish)
{
    unsigned int next_id = 1;

    rig_start(10);
    answer_beats();
    fill(&next_id);
    resize(4);
    cr_assert(eq(sz, count_running(), 10));
    cr_assert(eq(uint, running(1)->soft, 0));
    for (unsigned int id = 1; id <= 6; id++) {
        complete(id);
        step();
        cr_assert(eq(sz, open_call(FAKE_TURN)->want, 0), "%u: four or more run", id);
        answer_turn(open_call(FAKE_TURN), NULL, NULL, 0, NULL);
    }
    complete(7);
    step();
    cr_assert(eq(sz, open_call(FAKE_TURN)->want, 1));
}

Test(resize, fetch_under_way_may_exceed_fewer_slots_once)
{
    rig_start(10);
    answer_beats();
    resize(2);
    answer_jobs(open_call(FAKE_TURN), 1, 10, 100);
    cr_assert(eq(sz, count_running(), 10));
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
}

Test(resize, handlers_are_told)
{
    rig_start_idle(3);
    resize(3);
    cr_assert(eq(uint, rig.resizes, 0), "nothing changed");
    resize(8);
    cr_assert(eq(sz, rig.resized_to, 8));
    cr_assert(eq(uint, rig.resizes, 2), "each of them");
}

Test(resize, works_while_draining)
{
    unsigned int next_id = 1;

    rig_start(2);
    answer_beats();
    fill(&next_id);
    engine_drain(rig.engine, 0);
    resize(10);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
}

Test(resize, registry_tells_the_slots_of_the_moment)
{
    unsigned int next_id = 1;

    rig_start(2);
    answer_beats();
    fill(&next_id);
    resize(3);
    pass_ms(2000);
    cr_assert(eq(u64, open_call(FAKE_RENEW)->identity.slots, 3));
}

Test(resize, handlers_hear_of_a_drain_and_of_its_end)
{
    unsigned int next_id = 1;

    rig_start(2);
    answer_beats();
    fill(&next_id);
    engine_drain(rig.engine, 9000);
    step();
    cr_assert(eq(uint, rig.drains, 2));
    cr_assert(eq(u64, rig.drain_told_ms, 9000));
    engine_drain(rig.engine, 60000);
    cr_assert(le(u64, rig.drain_told_ms, 9000), "no way back");
    pass_ms(9000);
    cr_assert(eq(uint, rig.drains, 6));
    cr_assert(eq(u64, rig.drain_told_ms, 2000), "as long as a stop waits for handlers");
    cr_assert(eq(str, (char *)engine_ending(rig.engine), (char *)"stopping"));
}
