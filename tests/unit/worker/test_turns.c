/* The settle-and-fetch calls: when one is sent, what it carries, what its answer means. */
#include "tests/unit/worker/engine_rig.h"

#include <string.h>

TestSuite(turns, .init = rig_init, .fini = rig_done, .timeout = 20);

Test(turns, fetches_at_start_for_all_slots)
{
    rig_start(10);
    cr_assert(eq(sz, count_calls(FAKE_TURN), 1));
    cr_assert(eq(sz, open_call(FAKE_TURN)->want, 10));
    cr_assert(eq(sz, open_call(FAKE_TURN)->count, 0));
}

Test(turns, sends_nothing_while_redis_is_away)
{
    rig_start_idle(4);
    engine_set_redis(rig.engine, false);
    answer_wait(open_call(FAKE_WAIT), 0);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
    engine_set_redis(rig.engine, true);
    step();
    cr_assert(eq(sz, open_calls(FAKE_TURN), 1));
}

Test(turns, one_call_in_flight_without_backlog)
{
    rig_start(100);
    answer_jobs(open_call(FAKE_TURN), 1, 32, 0);
    cr_assert(eq(sz, count_running(), 32));
    complete_all();
    step();
    cr_assert(eq(sz, open_calls(FAKE_TURN), 1), "the finished leave at once");
    cr_assert(eq(sz, open_call(FAKE_TURN)->count, 32));
    answer_wait(open_call(FAKE_WAIT), 0);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 1), "a marker waits for the call's return");
}

Test(turns, finished_jobs_gather_while_a_call_is_in_flight)
{
    rig_start(100);
    answer_jobs(open_call(FAKE_TURN), 1, 20, 0);
    complete(1);
    step();
    cr_assert(eq(sz, open_call(FAKE_TURN)->count, 1));
    for (unsigned int id = 2; id <= 20; id++) {
        complete(id);
        step();
    }
    cr_assert(eq(sz, open_calls(FAKE_TURN), 1));
    answer_jobs(open_call(FAKE_TURN), 0, 0, 0);
    cr_assert(eq(sz, open_call(FAKE_TURN)->count, 19), "the next call carries all");
}

Test(turns, second_call_in_flight_with_backlog_and_idle_slots)
{
    rig_start(100);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 1), "no backlog is known yet");
    answer_jobs(open_call(FAKE_TURN), 1, 32, 1000);
    complete_all();
    step();
    cr_assert(eq(sz, open_calls(FAKE_TURN), 2), "one carries the finished, one fills idle slots");
}

Test(turns, never_three_in_flight)
{
    rig_start(1000);
    answer_jobs(open_call(FAKE_TURN), 1, 32, 5000);
    complete_all();
    step();
    step();
    cr_assert(eq(sz, open_calls(FAKE_TURN), 2));
}

Test(turns, second_call_needs_half_a_batch)
{
    rig.config.batch_max = 32;
    rig_start(32);
    answer_jobs(open_call(FAKE_TURN), 1, 32, 1000);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0), "all slots are busy");
    complete(1);
    step();
    cr_assert(eq(sz, open_calls(FAKE_TURN), 1));
    for (unsigned int id = 2; id <= 16; id++)
        complete(id);
    step();
    cr_assert(eq(sz, open_calls(FAKE_TURN), 1), "15 are less than half of 32");
    complete(17);
    step();
    cr_assert(eq(sz, open_calls(FAKE_TURN), 2), "16 are half of 32");
}

Test(turns, settles_in_the_order_of_fetching)
{
    static const unsigned int order[] = { 4, 2, 5, 1, 3 };
    struct fake_call *call;

    rig_start(5);
    answer_jobs(open_call(FAKE_TURN), 1, 5, 0);
    for (size_t i = 0; i < ARRAY_SIZE(order); i++)
        complete(order[i]);
    step();
    call = open_call(FAKE_TURN);
    cr_assert(eq(sz, call->count, 5));
    for (size_t i = 0; i < 5; i++)
        cr_assert(eq(int, atoi(call->settles[i].id), (int)i + 1));
}

Test(turns, wanted_is_what_is_free)
{
    struct fake_call *call;

    rig_start(10);
    answer_jobs(open_call(FAKE_TURN), 1, 10, 100);
    complete(1);
    complete(2);
    step();
    call = open_call(FAKE_TURN);
    cr_assert(eq(sz, call->want, 2), "8 run, 2 leave with this call");
    complete(3);
    step();
    answer_jobs(call, 11, 1, 100);
    call = open_call(FAKE_TURN);
    cr_assert(eq(sz, call->count, 1));
    cr_assert(eq(sz, call->want, 2), "8 run (4 to 11), 1 leaves: 2 are free");
}

Test(turns, finished_jobs_beyond_the_batch_keep_their_slots)
{
    struct fake_call *call;

    rig.config.batch_max = 4;
    rig_start(10);
    while (count_running() < 10) {
        call = open_call(FAKE_TURN);
        answer_jobs(call, (unsigned int)count_running() + 1, call->want, 100);
    }
    complete_all();
    step();
    call = open_call(FAKE_TURN);
    cr_assert(eq(sz, call->count, 4));
    cr_assert(eq(sz, call->want, 4), "6 finished ones still hold their slots");
}

Test(turns, finished_job_holds_its_slot_until_a_call_carries_it)
{
    rig_start(2);
    answer_jobs(open_call(FAKE_TURN), 1, 2, 0);
    complete(1);
    step();
    complete(2);
    step();
    cr_assert(eq(sz, engine_free_slots(rig.engine, 0), 0), "one is asked for, one is finished");
    cr_assert(eq(sz, engine_free_slots(rig.engine, 1), 1));
}

Test(turns, batch_max_bounds_both_ways)
{
    rig.config.batch_max = 3;
    rig_start(100);
    cr_assert(eq(sz, open_call(FAKE_TURN)->want, 3));
    answer_jobs(open_call(FAKE_TURN), 1, 3, 100);
    cr_assert(eq(sz, open_call(FAKE_TURN)->want, 3));
    while (open_calls(FAKE_TURN) > 0)
        answer_jobs(open_call(FAKE_TURN), (unsigned int)count_running() + 1, 3, 0);
    complete_all();
    step();
    cr_assert(eq(sz, open_call(FAKE_TURN)->count, 3));
}

Test(turns, settling_carries_a_fetch_even_when_drained)
{
    rig_start(2);
    answer_jobs(open_call(FAKE_TURN), 1, 1, 0);
    complete(1);
    step();
    cr_assert(eq(sz, open_call(FAKE_TURN)->want, 2));
}

Test(turns, refused_call_is_tried_again_and_drops_nothing)
{
    static const enum redis_error_class classes[] = {
        REDIS_CLASS_MEMORY, REDIS_CLASS_READONLY, REDIS_CLASS_LATER,    REDIS_CLASS_DISK,
        REDIS_CLASS_DENIED, REDIS_CLASS_CLIENTS,  REDIS_CLASS_NOSCRIPT,
    };

    rig_start(2);
    answer_jobs(open_call(FAKE_TURN), 1, 2, 0);
    complete(1);
    complete(2);
    step();
    for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
        answer_turn_badly(open_call(FAKE_TURN), REDIS_REFUSED, classes[i]);
        cr_assert(eq(sz, open_calls(FAKE_TURN), 0), "%s: held back",
                  redis_error_class_name(classes[i]));
        cr_assert(not(is_shown(SCOREBOARD_REDIS_UP)), "%s: shows in status",
                  redis_error_class_name(classes[i]));
        pass_ms(6000);
        answer_beats();
        cr_assert(eq(sz, open_call(FAKE_TURN)->count, 2), "%s: again with both",
                  redis_error_class_name(classes[i]));
    }
    answer_jobs(open_call(FAKE_TURN), 0, 0, 0);
    cr_assert(eq(u64, shown(SCOREBOARD_COMPLETED), 2));
    cr_assert(eq(u64, shown(SCOREBOARD_LOST), 0));
    cr_assert(is_shown(SCOREBOARD_REDIS_UP));
}

Test(turns, refused_calls_back_off)
{
    uint64_t waited_ms = 0;

    rig_start(1);
    for (int i = 0; i < 4; i++)
        answer_turn_badly(open_call(FAKE_TURN), REDIS_REFUSED, REDIS_CLASS_MEMORY), pass_ms(6000);
    answer_turn_badly(open_call(FAKE_TURN), REDIS_REFUSED, REDIS_CLASS_MEMORY);
    while (open_calls(FAKE_TURN) == 0) {
        pass_ms(50);
        waited_ms += 50;
    }
    cr_assert(lt(u64, 800, waited_ms), "the fifth refusal in a row waits longer than the first");
}

Test(turns, refused_fetch_is_not_taken_for_an_empty_queue)
{
    rig_start(1);
    answer_turn_badly(open_call(FAKE_TURN), REDIS_REFUSED, REDIS_CLASS_LATER);
    pass_ms(200);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 1));
}

Test(turns, error_inside_the_script_asks_what_became_of_the_jobs)
{
    static const enum job_outcome mine[] = { OUTCOME_MINE };

    rig_start(1);
    answer_jobs(open_call(FAKE_TURN), 1, 1, 0);
    complete(1);
    step();
    answer_turn_badly(open_call(FAKE_TURN), REDIS_REFUSED, REDIS_CLASS_OTHER);
    pass_ms(200);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0), "it may have been executed in part");
    answer_outcome(open_call(FAKE_OUTCOME), mine);
    answer_adopt(open_call(FAKE_ADOPT), NULL, 0, 0);
    cr_assert(eq(sz, open_call(FAKE_TURN)->count, 1));
}

Test(turns, call_that_could_not_be_sent_keeps_its_jobs)
{
    rig_start(1);
    answer_jobs(open_call(FAKE_TURN), 1, 1, 0);
    complete(1);
    rig.send_result = -105; /* ENOBUFS */
    step();
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
    rig.send_result = 0;
    pass_ms(200);
    cr_assert(eq(sz, open_call(FAKE_TURN)->count, 1));
}

Test(turns, answers_that_drop_a_result)
{
    static const enum settle_code codes[] = { SETTLE_GONE, SETTLE_NOT_ACTIVE, SETTLE_LOCK_OF_OTHER,
                                              SETTLE_OK };

    rig_start(4);
    answer_jobs(open_call(FAKE_TURN), 1, 4, 0);
    complete_all();
    step();
    answer_turn(open_call(FAKE_TURN), codes, NULL, 0, NULL);
    cr_assert(eq(u64, shown(SCOREBOARD_COMPLETED), 1));
    cr_assert(eq(u64, shown(SCOREBOARD_LOST), 3));
    cr_assert(eq(sz, runs_held(&rig.engine->runs), 0));
}

Test(turns, corrupt_job_counts_as_failed)
{
    static const enum settle_code codes[] = { SETTLE_CORRUPT };

    rig_start(1);
    answer_jobs(open_call(FAKE_TURN), 1, 1, 0);
    complete(1);
    step();
    answer_turn(open_call(FAKE_TURN), codes, NULL, 0, NULL);
    cr_assert(eq(u64, shown(SCOREBOARD_FAILED), 1));
    cr_assert(eq(sz, runs_held(&rig.engine->runs), 0));
}

Test(turns, lost_lock_is_set_again_before_settling_again)
{
    static const enum settle_code codes[] = { SETTLE_NO_LOCK };
    static const enum lock_answer relocked[] = { LOCK_RELOCKED };

    rig_start(1);
    answer_beats();
    answer_jobs(open_call(FAKE_TURN), 1, 1, 0);
    complete(1);
    step();
    answer_turn(open_call(FAKE_TURN), codes, NULL, 0, NULL);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
    cr_assert(eq(str, open_call(FAKE_RENEW)->ids[0], (char *)"1"));
    answer_renew(open_call(FAKE_RENEW), relocked);
    cr_assert(eq(sz, open_call(FAKE_TURN)->count, 1));
    answer_jobs(open_call(FAKE_TURN), 0, 0, 0);
    cr_assert(eq(u64, shown(SCOREBOARD_COMPLETED), 1));
}

Test(turns, lock_that_will_not_hold_is_given_up)
{
    static const enum settle_code codes[] = { SETTLE_NO_LOCK };
    static const enum lock_answer relocked[] = { LOCK_RELOCKED };
    size_t tries = 0;

    rig_start(1);
    answer_beats();
    answer_jobs(open_call(FAKE_TURN), 1, 1, 0);
    complete(1);
    step();
    while (runs_held(&rig.engine->runs) > 0) {
        cr_assert(lt(sz, tries++, 10), "bounded");
        answer_turn(open_call(FAKE_TURN), codes, NULL, 0, NULL);
        if (open_calls(FAKE_RENEW) > 0)
            answer_renew(open_call(FAKE_RENEW), relocked);
    }
    cr_assert(eq(u64, shown(SCOREBOARD_LOST), 1));
}

Test(turns, pending_children_become_a_failed_attempt)
{
    static const enum settle_code codes[] = { SETTLE_CHILDREN_PENDING };
    struct fake_call *call;

    rig.types[0].attempts = 3;
    rig_start(1);
    answer_jobs(open_call(FAKE_TURN), 1, 1, 0);
    complete(1);
    step();
    answer_turn(open_call(FAKE_TURN), codes, NULL, 0, NULL);
    call = open_call(FAKE_TURN);
    cr_assert(eq(int, (int)call->settles[0].kind, (int)SETTLE_RETRY));
    cr_assert(eq(int, strncmp(call->settles[0].value, "the job has children", 20), 0));
}

Test(turns, failed_children_fail_the_job_for_good)
{
    static const enum settle_code codes[] = { SETTLE_CHILDREN_FAILED };

    rig.types[0].attempts = 3;
    rig_start(1);
    answer_jobs(open_call(FAKE_TURN), 1, 1, 0);
    complete(1);
    step();
    answer_turn(open_call(FAKE_TURN), codes, NULL, 0, NULL);
    cr_assert(eq(int, (int)open_call(FAKE_TURN)->settles[0].kind, (int)SETTLE_FAIL));
    answer_turn(open_call(FAKE_TURN), codes, NULL, 0, NULL);
    cr_assert(eq(u64, shown(SCOREBOARD_LOST), 1), "refused again: given up");
}

Test(turns, live_processes_are_told_for_the_fair_share)
{
    struct fake_call *renew;

    rig_start(1);
    renew = open_call(FAKE_RENEW);
    renew->answered = true;
    ((queue_renew_cb *)renew->on_done)(NULL, &(struct call_result){ .outcome = REDIS_REPLY }, NULL,
                                       0, &(struct renew_state){ .live = 7 }, renew->arg);
    answer_jobs(open_call(FAKE_TURN), 1, 0, 5);
    cr_assert(eq(u64, open_call(FAKE_TURN)->live, 7));
}

Test(turns, long_value_survives_until_it_is_settled)
{
    static char text[4000];
    struct handler_outcome outcome = { .kind = HANDLER_COMPLETED, .retry_after_ms = -1 };
    struct fake_run *fake;

    memset(text, 'a', sizeof(text) - 1);
    outcome.value = (struct bytes){ text, sizeof(text) - 1 };
    rig_start(1);
    answer_jobs(open_call(FAKE_TURN), 1, 1, 0);
    fake = running(1);
    fake->ended = true;
    fake->events->on_outcome(fake->run, &outcome, fake->arg);
    memset(text, 'b', sizeof(text) - 1);
    step();
    cr_assert(eq(chr, open_call(FAKE_TURN)->settles[0].value[100], 'a'));
}
