/* A process that was declared dead while it lived: it loses all it runs, and leaves. */
#include "tests/unit/worker/engine_rig.h"

TestSuite(fence, .init = rig_init, .fini = rig_done, .timeout = 20);

static const struct fetch_state fenced = { .fenced = true };

static void leave(void)
{
    if (open_calls(FAKE_WAIT) > 0)
        answer_wait_badly(open_call(FAKE_WAIT), REDIS_UNKNOWN);
    while (open_calls(FAKE_RETURN) > 0)
        answer_value(open_call(FAKE_RETURN), 0);
    answer_value(open_call(FAKE_LEAVE), 0);
    cr_assert(rig.ended);
    cr_assert(engine_is_fenced(rig.engine));
}

static void run_jobs(size_t count)
{
    rig_start(count + 2);
    answer_beats();
    answer_jobs(open_call(FAKE_TURN), 1, count, 0);
}

Test(fence, told_by_a_turn)
{
    run_jobs(2);
    cr_assert(not(engine_is_fenced(rig.engine)));
    complete(1);
    step();
    answer_turn(open_call(FAKE_TURN), NULL, NULL, 0, &fenced);
    cr_assert(engine_is_fenced(rig.engine));
    cr_assert(eq(u64, shown(SCOREBOARD_COMPLETED), 1), "its lock was still ours");
    cr_assert(eq(uint, running(2)->soft, 1));
    cr_assert(eq(int, (int)running(2)->why, (int)HANDLER_WHY_LOST));
    complete(2);
    step();
    cr_assert(eq(u64, shown(SCOREBOARD_LOST), 1), "somebody else runs it");
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
    leave();
}

Test(fence, told_by_a_call_that_only_settles)
{
    run_jobs(1);
    engine_drain(rig.engine, 0);
    complete(1);
    step();
    cr_assert(eq(sz, open_call(FAKE_TURN)->want, 0));
    answer_turn(open_call(FAKE_TURN), NULL, NULL, 0, &fenced);
    leave();
}

Test(fence, told_by_a_renewal)
{
    run_jobs(2);
    pass_ms(2000);
    answer_renew_fenced(open_call(FAKE_RENEW));
    cr_assert(engine_is_fenced(rig.engine));
    cr_assert(eq(uint, running(1)->soft, 1));
    cr_assert(eq(uint, running(2)->soft, 1));
    pass_ms(1000);
    cr_assert(eq(uint, running(1)->hard, 1), "kill_grace is one second");
    cr_assert(eq(sz, open_calls(FAKE_RENEW), 0), "nothing is renewed any more");
    end_run(1, HANDLER_CANCELLED);
    end_run(2, HANDLER_CANCELLED);
    step();
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0), "nothing is given back: others did that");
    cr_assert(eq(u64, shown(SCOREBOARD_LOST), 2));
    leave();
}

Test(fence, told_by_an_adoption)
{
    rig_start(5);
    answer_beats();
    answer_turn_badly(open_call(FAKE_TURN), REDIS_UNKNOWN, REDIS_CLASS_NONE);
    answer_outcome(open_call(FAKE_OUTCOME), NULL);
    open_call(FAKE_ADOPT)->answered = true;
    ((queue_adopt_cb *)rig.calls[rig.calls_count - 1].on_done)(
        NULL, &(struct call_result){ .outcome = REDIS_REPLY, .why = "" }, NULL, 0, 0, true,
        rig.calls[rig.calls_count - 1].arg);
    step();
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
    leave();
}

/* `finish` is about locks that are unproven; these are known to be another's. */
Test(fence, stops_what_on_lock_lost_would_let_finish)
{
    rig.config.on_lock_lost = CONFIG_LOCK_LOST_FINISH;
    run_jobs(1);
    pass_ms(2000);
    answer_renew_fenced(open_call(FAKE_RENEW));
    cr_assert(eq(uint, running(1)->soft, 1));
    end_run(1, HANDLER_CANCELLED);
    step();
    leave();
}

Test(fence, grace_is_that_of_a_stop)
{
    rig.types[0].kill_grace_ms = 600000;
    run_jobs(1);
    pass_ms(2000);
    answer_renew_fenced(open_call(FAKE_RENEW));
    pass_ms(2000);
    cr_assert(eq(uint, running(1)->hard, 1));
}

/* Whether what has finished is still ours, its lock decides. */
Test(fence, finished_jobs_are_still_settled)
{
    run_jobs(3);
    complete(1);
    step();
    complete(2);
    step();
    answer_turn(open_call(FAKE_TURN), NULL, NULL, 0, &fenced);
    cr_assert(eq(str, open_call(FAKE_TURN)->settles[0].id, (char *)"2"));
    cr_assert(eq(sz, open_call(FAKE_TURN)->want, 0));
    answer_turn(open_call(FAKE_TURN), (enum settle_code[]){ SETTLE_NO_LOCK }, NULL, 0, &fenced);
    cr_assert(eq(u64, shown(SCOREBOARD_LOST), 1), "no lock is set again");
    end_run(3, HANDLER_CANCELLED);
    step();
    leave();
}

Test(fence, finished_job_without_proof_is_dropped)
{
    run_jobs(2);
    engine_set_redis(rig.engine, false);
    complete(1);
    pass_ms(60000);
    engine_set_redis(rig.engine, true);
    step();
    answer_renew_fenced(open_call(FAKE_RENEW));
    cr_assert(eq(u64, shown(SCOREBOARD_LOST), 1));
    end_run(2, HANDLER_CANCELLED);
    step();
    leave();
}

Test(fence, adopted_jobs_of_a_fenced_process_go_back)
{
    struct job *job = make_job(1);

    rig_start(5);
    answer_beats();
    answer_turn_badly(open_call(FAKE_TURN), REDIS_UNKNOWN, REDIS_CLASS_NONE);
    answer_outcome(open_call(FAKE_OUTCOME), NULL);
    pass_ms(2000);
    answer_renew_fenced(open_call(FAKE_RENEW));
    answer_adopt(open_call(FAKE_ADOPT), &job, 1, 0);
    cr_assert(eq(sz, rig.runs_count, 0), "not started");
    cr_assert(eq(int, (int)open_call(FAKE_TURN)->settles[0].kind, (int)SETTLE_GIVE_BACK));
    answer_turn(open_call(FAKE_TURN), NULL, NULL, 0, &fenced);
    leave();
}
