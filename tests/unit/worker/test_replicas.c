#include "tests/unit/worker/engine_rig.h"

TestSuite(replicas, .init = rig_init, .fini = rig_done);

static void start(size_t slots)
{
    rig.config.wait_replicas = 1;
    rig_start(slots);
    answer_beats();
}

Test(replicas, what_too_few_know_of_goes_back_and_nothing_is_fetched)
{
    struct fake_call *call = NULL;

    start(4);
    answer_turn_unreplicated(open_call(FAKE_TURN), 1, 2, 5);
    cr_assert(eq(sz, count_running(), 0), "their fetch may be forgotten");
    call = open_call(FAKE_TURN);
    cr_assert(eq(sz, call->count, 2));
    cr_assert(eq(int, (int)call->settles[0].kind, SETTLE_GIVE_BACK));
    cr_assert(eq(sz, call->want, 0));
    answer_turn_unreplicated(call, 0, 0, 0);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
    cr_assert(eq(sz, open_calls(FAKE_WAIT), 0), "a marker would be of no use here");
}

Test(replicas, asked_for_once_a_second_until_they_are_back)
{
    struct fake_call *call = NULL;

    start(4);
    answer_turn_unreplicated(open_call(FAKE_TURN), 0, 0, 5);
    for (size_t i = 0; i < 3; i++) {
        cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
        pass_ms(1000);
        call = open_call(FAKE_TURN);
        cr_assert(eq(sz, call->count, 0));
        cr_assert(eq(sz, call->want, 0));
        if (i < 2)
            answer_turn_unreplicated(call, 0, 0, 0);
    }
    answer_jobs(call, 0, 0, 0);
    call = open_call(FAKE_TURN);
    cr_assert(eq(sz, call->want, 4), "at once, although the probe has not looked at what waits");
    answer_jobs(call, 1, 1, 0);
    cr_assert(eq(sz, count_running(), 1));
}

Test(replicas, what_runs_is_settled_meanwhile)
{
    struct fake_call *call = NULL;

    start(1);
    answer_jobs(open_call(FAKE_TURN), 1, 1, 5);
    complete(1);
    step();
    answer_turn_unreplicated(open_call(FAKE_TURN), 2, 1, 5);
    cr_assert(eq(u64, rig.engine->tally.completed, 1), "it is settled here");
    call = open_call(FAKE_TURN);
    cr_assert(eq(sz, call->count, 1));
    cr_assert(eq(int, (int)call->settles[0].kind, SETTLE_GIVE_BACK));
}

Test(replicas, who_leaves_waits_for_none)
{
    start(1);
    answer_jobs(open_call(FAKE_TURN), 1, 1, 0);
    cr_assert(not(rig.waits_no_more));
    engine_drain(rig.engine, 0);
    step();
    cr_assert(rig.waits_no_more);
    complete(1);
    step();
    answer_turn_unreplicated(open_call(FAKE_TURN), 0, 0, 0);
    answer_value(open_call(FAKE_LEAVE), 1);
    cr_assert(rig.ended);
}
