/* An iteration of a job scheduler: its next one is made before it runs, whatever goes wrong. */
#include <errno.h>

#include "tests/unit/worker/engine_rig.h"

TestSuite(iterations, .init = rig_init, .fini = rig_done, .timeout = 20);

static struct job *make_iteration(unsigned int id)
{
    struct job *job = make_job(id);

    job->scheduler = (struct bytes){ "s", 1 };
    return job;
}

/* One iteration is fetched. */
static void fetch_iteration(struct job *job)
{
    rig_start(4);
    answer_beats();
    answer_turn(open_call(FAKE_TURN), NULL, &job, 1, NULL);
}

static const struct fake_settle *settled(void)
{
    const struct fake_call *call;

    step();
    call = open_call(FAKE_TURN);
    cr_assert(eq(sz, call->count, 1));
    return &call->settles[0];
}

Test(iterations, runs_when_the_next_one_is_made)
{
    fetch_iteration(make_iteration(1));
    cr_assert(eq(sz, count_running(), 0));
    answer_continue(open_call(FAKE_CONTINUE), SCHEDULER_CONTINUED);
    cr_assert(eq(sz, count_running(), 1));
    complete(1);
    cr_assert(eq(int, (int)settled()->kind, (int)SETTLE_COMPLETE));
    cr_assert(eq(sz, count_calls(FAKE_CONTINUE), 1));
}

Test(iterations, ordinary_jobs_ask_nothing)
{
    fetch_iteration(make_job(1));
    cr_assert(eq(sz, count_running(), 1));
    cr_assert(eq(sz, count_calls(FAKE_CONTINUE), 0));
}

Test(iterations, one_of_before_schedulers_is_known_by_its_opts)
{
    struct job *job = make_job(1);

    job->options.repeats = true;
    fetch_iteration(job);
    cr_assert(eq(sz, open_calls(FAKE_CONTINUE), 1));
}

Test(iterations, runs_also_when_there_is_nothing_to_make)
{
    static const enum scheduler_step steps[] = { SCHEDULER_ALREADY, SCHEDULER_REMOVED,
                                                 SCHEDULER_ENDED };
    struct job *jobs[3];

    rig_start(4);
    answer_beats();
    for (unsigned int i = 0; i < 3; i++)
        jobs[i] = make_iteration(i + 1);
    answer_turn(open_call(FAKE_TURN), NULL, jobs, 3, NULL);
    for (size_t i = 0; i < 3; i++)
        answer_continue(open_call(FAKE_CONTINUE), steps[i]);
    cr_assert(eq(sz, count_running(), 3));
}

Test(iterations, an_end_that_is_known_without_asking)
{
    rig.continue_result = 1;
    fetch_iteration(make_iteration(1));
    cr_assert(eq(sz, count_running(), 1));
}

Test(iterations, a_lost_reply_is_asked_for_again)
{
    fetch_iteration(make_iteration(1));
    for (int i = 0; i < 10; i++) {
        answer_continue_badly(open_call(FAKE_CONTINUE), REDIS_UNKNOWN);
        cr_assert(eq(sz, open_calls(FAKE_CONTINUE), 0), "not at full speed");
        pass_ms(250);
    }
    answer_continue(open_call(FAKE_CONTINUE), SCHEDULER_ALREADY);
    cr_assert(eq(sz, count_running(), 1));
}

Test(iterations, nothing_is_sent_while_redis_is_away)
{
    rig.continue_result = -ENOTCONN;
    fetch_iteration(make_iteration(1));
    engine_set_redis(rig.engine, false);
    rig.continue_result = 0;
    pass_ms(5000);
    cr_assert(eq(sz, count_calls(FAKE_CONTINUE), 0));
    engine_set_redis(rig.engine, true);
    step();
    answer_continue(open_call(FAKE_CONTINUE), SCHEDULER_CONTINUED);
    cr_assert(eq(sz, count_running(), 1));
}

Test(iterations, after_some_refusals_the_job_is_put_back_as_it_is)
{
    fetch_iteration(make_iteration(1));
    for (unsigned int i = 0; i < 4; i++) {
        answer_continue_badly(open_call(FAKE_CONTINUE), REDIS_REFUSED);
        cr_assert(eq(sz, open_calls(FAKE_CONTINUE), 0));
        pass_ms((uint64_t)250 << i);
    }
    answer_continue_badly(open_call(FAKE_CONTINUE), REDIS_REFUSED);
    cr_assert(eq(int, (int)settled()->kind, (int)SETTLE_DELAY));
    cr_assert(eq(u64, settled()->delay_ms, 10000));
    cr_assert(eq(sz, count_running(), 0));
}

Test(iterations, times_that_are_taken_count_as_refusals)
{
    fetch_iteration(make_iteration(1));
    for (unsigned int i = 0; i < 4; i++) {
        answer_continue(open_call(FAKE_CONTINUE), SCHEDULER_TAKEN);
        pass_ms((uint64_t)250 << i);
    }
    answer_continue(open_call(FAKE_CONTINUE), SCHEDULER_TAKEN);
    cr_assert(eq(int, (int)settled()->kind, (int)SETTLE_DELAY));
}

Test(iterations, what_can_not_be_read_is_put_back_at_once)
{
    rig.continue_result = -EINVAL;
    fetch_iteration(make_iteration(1));
    cr_assert(eq(int, (int)settled()->kind, (int)SETTLE_DELAY));
    cr_assert(eq(sz, count_running(), 0));
}

Test(iterations, its_lock_is_renewed_meanwhile)
{
    fetch_iteration(make_iteration(1));
    pass_ms(9000);
    cr_assert(eq(sz, open_call(FAKE_RENEW)->count, 1));
    answer_beats();
    answer_continue(open_call(FAKE_CONTINUE), SCHEDULER_CONTINUED);
    cr_assert(eq(sz, count_running(), 1));
}

Test(iterations, a_lost_lock_while_asking_means_that_others_run_it)
{
    static const enum lock_answer lost[] = { LOCK_LOST };

    fetch_iteration(make_iteration(1));
    pass_ms(9000);
    answer_renew(open_call(FAKE_RENEW), lost);
    cr_assert(eq(sz, runs_held(&rig.engine->runs), 1), "the call still needs the job");
    answer_continue(open_call(FAKE_CONTINUE), SCHEDULER_CONTINUED);
    cr_assert(eq(sz, runs_held(&rig.engine->runs), 0));
    cr_assert(eq(u64, shown(SCOREBOARD_LOST), 1));
}

Test(iterations, a_lost_lock_between_two_tries)
{
    static const enum lock_answer lost[] = { LOCK_LOST };

    fetch_iteration(make_iteration(1));
    pass_ms(9000);
    answer_continue_badly(open_call(FAKE_CONTINUE), REDIS_UNKNOWN);
    answer_renew(open_call(FAKE_RENEW), lost);
    cr_assert(eq(sz, runs_held(&rig.engine->runs), 0));
    pass_ms(1000);
    cr_assert(eq(sz, open_calls(FAKE_CONTINUE), 0));
}

Test(iterations, a_stop_gives_it_back)
{
    fetch_iteration(make_iteration(1));
    answer_continue_badly(open_call(FAKE_CONTINUE), REDIS_UNKNOWN);
    engine_stop(rig.engine);
    cr_assert(eq(int, (int)settled()->kind, (int)SETTLE_GIVE_BACK));
}

Test(iterations, a_stop_while_asking_waits_for_the_answer)
{
    fetch_iteration(make_iteration(1));
    engine_stop(rig.engine);
    step();
    cr_assert(eq(sz, runs_held(&rig.engine->runs), 1));
    answer_continue(open_call(FAKE_CONTINUE), SCHEDULER_CONTINUED);
    cr_assert(eq(int, (int)settled()->kind, (int)SETTLE_GIVE_BACK),
              "its next one is made, it runs elsewhere");
}

Test(iterations, without_a_handler_it_is_put_back_and_the_chain_left)
{
    struct job *job = make_job_named(1, "strange");

    job->scheduler = (struct bytes){ "s", 1 };
    fetch_iteration(job);
    cr_assert(eq(int, (int)settled()->kind, (int)SETTLE_DELAY));
    cr_assert(eq(sz, count_calls(FAKE_CONTINUE), 0));
}

Test(iterations, one_that_fails_without_running_goes_on_first)
{
    struct job *job = make_iteration(1);

    job->deferred_failure = (struct bytes){ "why", 3 };
    fetch_iteration(job);
    answer_continue(open_call(FAKE_CONTINUE), SCHEDULER_CONTINUED);
    cr_assert(eq(int, (int)settled()->kind, (int)SETTLE_FAIL));
}

Test(iterations, it_holds_a_slot)
{
    struct job *jobs[4];

    rig_start(4);
    answer_beats();
    for (unsigned int i = 0; i < 4; i++)
        jobs[i] = make_iteration(i + 1);
    answer_turn(open_call(FAKE_TURN), NULL, jobs, 4, NULL);
    step();
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0), "no room for more");
    cr_assert(eq(sz, open_calls(FAKE_CONTINUE), 4));
}
