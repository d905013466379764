/* Jobs that must run alone because their process died with them: who runs them, and what waits
 * meanwhile. */
#include "tests/unit/worker/engine_rig.h"

#include <stdlib.h>

TestSuite(solo, .init = rig_init, .fini = rig_done, .timeout = 20);

static const struct fetch_state passed_over = { .waiting = 1, .alone = true };

static struct job *make_suspect(unsigned int id)
{
    struct job *job = make_job(id);

    job->givebacks = 2;
    return job;
}

/* Two ordinary jobs run when the fetch says that this process is to empty itself. */
static void start_emptying(size_t slots)
{
    struct job *jobs[] = { make_job(1), make_job(2) };

    rig_start(slots);
    answer_beats();
    answer_turn(open_call(FAKE_TURN), NULL, jobs, 2, &passed_over);
}

/* Settles what has finished, without a fetch. */
static void settle_only(void)
{
    cr_assert(eq(sz, open_call(FAKE_TURN)->want, 0));
    answer_turn(open_call(FAKE_TURN), NULL, NULL, 0, NULL);
}

static void run_dry(void)
{
    complete(1);
    step();
    settle_only();
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0), "one still runs");
    complete(2);
    step();
    settle_only();
}

Test(solo, process_that_is_told_empties_itself_and_asks)
{
    start_emptying(5);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0), "three slots are free, and stay so");
    run_dry();
    cr_assert(eq(sz, open_calls(FAKE_TURN), 1));
    cr_assert(open_call(FAKE_TURN)->alone);
    cr_assert(eq(sz, open_call(FAKE_TURN)->want, 1));
}

Test(solo, idle_process_asks_at_once)
{
    rig_start(5);
    answer_turn(open_call(FAKE_TURN), NULL, NULL, 0, &passed_over);
    cr_assert(open_call(FAKE_TURN)->alone);
}

Test(solo, nothing_is_fetched_beside_it)
{
    struct job *suspect = make_suspect(7);

    start_emptying(5);
    run_dry();
    answer_turn(open_call(FAKE_TURN), NULL, &suspect, 1, NULL);
    cr_assert(eq(sz, count_running(), 1));
    for (int i = 0; i < 10; i++) {
        cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
        cr_assert(eq(sz, open_calls(FAKE_WAIT), 0), "no marker is taken");
        pass_ms(1000);
        answer_beats();
    }
    complete(7);
    step();
    cr_assert(eq(sz, open_call(FAKE_TURN)->count, 1));
    cr_assert(eq(sz, open_call(FAKE_TURN)->want, 5), "back to ordinary fetching");
    cr_assert(not(open_call(FAKE_TURN)->alone));
}

Test(solo, those_that_may_follow_are_asked_for_before_others)
{
    struct job *suspect = make_suspect(7);

    start_emptying(5);
    run_dry();
    answer_turn(open_call(FAKE_TURN), NULL, &suspect, 1, &passed_over);
    complete(7);
    step();
    settle_only();
    cr_assert(open_call(FAKE_TURN)->alone);
    answer_turn(open_call(FAKE_TURN), NULL, NULL, 0, NULL);
    cr_assert(not(open_call(FAKE_TURN)->alone));
    cr_assert(eq(sz, open_call(FAKE_TURN)->want, 5));
}

Test(solo, next_suspect_follows_as_the_first)
{
    struct job *suspect = make_suspect(7);

    start_emptying(5);
    run_dry();
    answer_turn(open_call(FAKE_TURN), NULL, &suspect, 1, NULL);
    end_run_with(7, HANDLER_DIED_IN_COMPANY, "signal 11 (SIGSEGV)", -1);
    step();
    answer_turn(open_call(FAKE_TURN), NULL, NULL, 0, &passed_over);
    cr_assert(open_call(FAKE_TURN)->alone, "it holds nothing already");
}

Test(solo, claim_that_was_lost_ends_in_ordinary_fetching)
{
    start_emptying(5);
    run_dry();
    answer_turn(open_call(FAKE_TURN), NULL, NULL, 0, NULL);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 1), "others had it; what else is there?");
    cr_assert(not(open_call(FAKE_TURN)->alone));
    cr_assert(eq(sz, open_call(FAKE_TURN)->want, 5));
}

/* Redis says alone, and then has nothing: the two fetches must not chase each other. */
Test(solo, fruitless_emptying_does_not_spin)
{
    size_t before;

    rig_start(5);
    answer_beats();
    answer_turn(open_call(FAKE_TURN), NULL, NULL, 0, &passed_over);
    answer_turn(open_call(FAKE_TURN), NULL, NULL, 0, NULL);
    before = count_calls(FAKE_TURN);
    for (int ms = 0; ms < 2000; ms += 50) {
        while (open_calls(FAKE_TURN) > 0)
            answer_turn(open_call(FAKE_TURN), NULL, NULL, 0,
                        open_call(FAKE_TURN)->alone ? NULL : &passed_over);
        if (open_calls(FAKE_WAIT) > 0)
            answer_wait(open_call(FAKE_WAIT), 0); /* the marker is always there */
        pass_ms(50);
        answer_beats();
    }
    cr_assert(lt(sz, count_calls(FAKE_TURN) - before, 20));
    cr_assert(lt(sz, 2, count_calls(FAKE_TURN) - before), "nor does it give up");
}

/* Of a process that is not the one: it passes the job over, and the marker stays. */
Test(solo, waiting_for_others_to_take_it_does_not_spin)
{
    struct fetch_state state = { .waiting = 1 };
    size_t before;

    rig_start(5);
    answer_beats();
    before = count_calls(FAKE_TURN);
    for (int ms = 0; ms < 5000; ms += 50) {
        while (open_calls(FAKE_TURN) > 0)
            answer_turn(open_call(FAKE_TURN), NULL, NULL, 0, &state);
        if (open_calls(FAKE_WAIT) > 0)
            answer_wait(open_call(FAKE_WAIT), 0);
        pass_ms(50);
        answer_beats();
    }
    cr_assert(lt(sz, count_calls(FAKE_TURN) - before, 20));
    cr_assert(lt(sz, 4, count_calls(FAKE_TURN) - before), "once a second");
}

Test(solo, marker_that_arrives_while_emptying_goes_back)
{
    struct job *jobs[] = { make_job(1) };

    rig_start(5);
    answer_beats();
    answer_jobs(open_call(FAKE_TURN), 1, 0, 0);
    cr_assert(eq(sz, open_calls(FAKE_WAIT), 1));
    pass_ms(2000);
    answer_beats();
    answer_wait(open_call(FAKE_WAIT), UINT64_MAX);
    answer_turn(open_call(FAKE_TURN), NULL, jobs, 1, NULL);
    complete(1);
    step();
    answer_turn(open_call(FAKE_TURN), NULL, (struct job *[]){ make_job(2) }, 1, &passed_over);
    cr_assert(eq(sz, open_calls(FAKE_WAIT), 1), "of before");
    answer_wait(open_call(FAKE_WAIT), 0);
    cr_assert(eq(sz, open_calls(FAKE_RETURN), 1));
    cr_assert(eq(sz, open_calls(FAKE_WAIT), 0));
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
}

Test(solo, suspect_that_was_adopted_runs_beside_others_but_nothing_is_added)
{
    struct job *suspect = make_suspect(7);

    rig_start(5);
    answer_beats();
    answer_jobs(open_call(FAKE_TURN), 1, 2, 0);
    complete(1);
    step();
    answer_turn_badly(open_call(FAKE_TURN), REDIS_UNKNOWN, REDIS_CLASS_NONE);
    answer_outcome(open_call(FAKE_OUTCOME), (enum job_outcome[]){ OUTCOME_DONE });
    answer_adopt(open_call(FAKE_ADOPT), &suspect, 1, 0);
    cr_assert(eq(sz, count_running(), 2));
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
    complete(2);
    step();
    settle_only();
    complete(7);
    step();
    cr_assert(eq(sz, open_call(FAKE_TURN)->want, 5));
}

Test(solo, lost_fetch_is_sorted_out_and_asked_again)
{
    start_emptying(5);
    run_dry();
    answer_turn_badly(open_call(FAKE_TURN), REDIS_UNKNOWN, REDIS_CLASS_NONE);
    answer_outcome(open_call(FAKE_OUTCOME), NULL);
    answer_adopt(open_call(FAKE_ADOPT), NULL, 0, 0);
    cr_assert(open_call(FAKE_TURN)->alone);
}

Test(solo, lost_fetch_that_took_it_is_adopted)
{
    struct job *suspect = make_suspect(7);

    start_emptying(5);
    run_dry();
    answer_turn_badly(open_call(FAKE_TURN), REDIS_UNKNOWN, REDIS_CLASS_NONE);
    answer_outcome(open_call(FAKE_OUTCOME), NULL);
    answer_adopt(open_call(FAKE_ADOPT), &suspect, 1, 0);
    cr_assert(eq(sz, count_running(), 1));
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
    complete(7);
    step();
    settle_only();
    cr_assert(open_call(FAKE_TURN)->alone, "is there another one?");
    answer_turn(open_call(FAKE_TURN), NULL, NULL, 0, NULL);
    cr_assert(eq(sz, open_call(FAKE_TURN)->want, 5));
}

Test(solo, refused_fetch_is_tried_again)
{
    start_emptying(5);
    run_dry();
    answer_turn_badly(open_call(FAKE_TURN), REDIS_REFUSED, REDIS_CLASS_MEMORY);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
    pass_ms(200);
    cr_assert(open_call(FAKE_TURN)->alone);
}

Test(solo, rate_limit_is_waited_for)
{
    struct fetch_state limited = { .waiting = 1, .alone = true, .limit_ms = 1000 };

    rig_start(5);
    answer_beats();
    answer_turn(open_call(FAKE_TURN), NULL, NULL, 0, &limited);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
    pass_ms(1050);
    cr_assert(open_call(FAKE_TURN)->alone);
}

Test(solo, drain_ends_the_emptying)
{
    start_emptying(5);
    engine_drain(rig.engine, 0);
    complete(1);
    complete(2);
    step();
    settle_only();
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
    cr_assert(eq(sz, open_calls(FAKE_LEAVE), 1));
}

/* With two fetches under way the second may bring jobs after the first has told. */
Test(solo, jobs_of_the_other_fetch_under_way_are_run_first)
{
    struct fake_call *first, *second;

    rig_start(100);
    answer_beats();
    answer_jobs(open_call(FAKE_TURN), 1, 32, 1000);
    complete_all();
    step();
    cr_assert(eq(sz, open_calls(FAKE_TURN), 2));
    first = open_call(FAKE_TURN);
    answer_turn(first, NULL, NULL, 0, &passed_over);
    second = open_call(FAKE_TURN);
    answer_jobs(second, 101, 3, 10);
    cr_assert(eq(sz, count_running(), 3));
    while (open_calls(FAKE_TURN) > 0)
        settle_only();
    cr_assert(eq(sz, count_running(), 3), "though jobs wait");
    complete_all();
    step();
    settle_only();
    cr_assert(open_call(FAKE_TURN)->alone);
}
