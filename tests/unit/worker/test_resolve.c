/* Lost replies: was the call executed, and what had it fetched? */
#include "tests/unit/worker/engine_rig.h"

TestSuite(resolve, .init = rig_init, .fini = rig_done, .timeout = 20);

/* Four jobs fetched by call 1, settled by call 2 whose reply is lost; job 5 still runs. */
static void lose_a_call(void)
{
    rig_start(6);
    answer_beats();
    answer_jobs(open_call(FAKE_TURN), 1, 5, 0);
    for (unsigned int id = 1; id <= 4; id++)
        complete(id);
    step();
    engine_set_redis(rig.engine, false);
    answer_turn_badly(open_call(FAKE_TURN), REDIS_UNKNOWN, REDIS_CLASS_NONE);
}

Test(resolve, asks_before_it_fetches)
{
    struct fake_call *question;

    lose_a_call();
    cr_assert(eq(sz, open_calls(FAKE_OUTCOME), 0), "Redis is away");
    engine_set_redis(rig.engine, true);
    step();
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
    cr_assert(not(is_shown(SCOREBOARD_REDIS_UP)), "it shows that nothing is fetched");
    question = open_call(FAKE_OUTCOME);
    cr_assert(eq(sz, question->count, 4));
    cr_assert(eq(u64, question->calls[0], 2), "the n of the lost call");
    answer_wait(open_call(FAKE_WAIT), 0);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0), "a marker changes nothing");
}

Test(resolve, each_answer_has_its_consequence)
{
    static const enum job_outcome outcomes[] = { OUTCOME_DONE, OUTCOME_MINE, OUTCOME_FREE,
                                                 OUTCOME_NOT_MINE };
    static const enum lock_answer relocked[] = { LOCK_RELOCKED };
    struct fake_call *renew;

    lose_a_call();
    engine_set_redis(rig.engine, true);
    step();
    answer_renew(open_call(FAKE_RENEW), NULL);
    answer_outcome(open_call(FAKE_OUTCOME), outcomes);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0), "what the call fetched is not known yet");
    answer_adopt(open_call(FAKE_ADOPT), NULL, 0, 0);
    cr_assert(eq(u64, shown(SCOREBOARD_COMPLETED), 1), "1: settled by the lost call");
    cr_assert(eq(u64, shown(SCOREBOARD_LOST), 1), "4: somebody else's");
    cr_assert(eq(str, open_call(FAKE_TURN)->settles[0].id, (char *)"2"), "2: settled again");
    cr_assert(eq(sz, open_call(FAKE_TURN)->count, 1));
    renew = open_call(FAKE_RENEW);
    cr_assert(eq(str, renew->ids[0], (char *)"3"), "3: locked again first");
    answer_renew(renew, relocked);
    answer_jobs(open_call(FAKE_TURN), 0, 0, 0);
    cr_assert(eq(str, open_call(FAKE_TURN)->settles[0].id, (char *)"3"));
}

Test(resolve, lost_fetch_is_asked_about_too)
{
    rig_start(5);
    answer_beats();
    answer_turn_badly(open_call(FAKE_TURN), REDIS_UNKNOWN, REDIS_CLASS_NONE);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
    cr_assert(eq(sz, open_call(FAKE_OUTCOME)->count, 0));
    answer_outcome(open_call(FAKE_OUTCOME), NULL);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
    answer_adopt(open_call(FAKE_ADOPT), NULL, 0, 0);
    cr_assert(eq(sz, open_calls(FAKE_TURN), 1), "then it fetches again");
}

Test(resolve, what_a_lost_call_fetched_is_run_here)
{
    struct job *jobs[] = { make_job(1), make_job(2) };
    uint64_t before_ms;

    rig_start(3);
    answer_beats();
    answer_turn_badly(open_call(FAKE_TURN), REDIS_UNKNOWN, REDIS_CLASS_NONE);
    answer_outcome(open_call(FAKE_OUTCOME), NULL);
    cr_assert(eq(sz, open_call(FAKE_ADOPT)->want, 3), "all that is free");
    cr_assert(eq(sz, open_call(FAKE_ADOPT)->count, 0));
    before_ms = clock_boot_ms();
    pass_ms(5000);
    answer_adopt(open_call(FAKE_ADOPT), jobs, 2, 4);
    cr_assert(eq(sz, count_running(), 2));
    cr_assert(eq(u64, shown(SCOREBOARD_GIVEN_BACK), 4));
    RUNS_EACH (&rig.engine->runs, run)
        cr_assert(le(u64, run->proven_boot_ms, before_ms), "proven since the question was sent");
    cr_assert(eq(sz, open_call(FAKE_TURN)->want, 1), "and the last slot is fetched for");
}

Test(resolve, held_jobs_are_known_and_take_their_slots)
{
    static const enum job_outcome outcomes[] = { OUTCOME_DONE, OUTCOME_MINE, OUTCOME_FREE,
                                                 OUTCOME_NOT_MINE };
    struct fake_call *question;

    lose_a_call();
    engine_set_redis(rig.engine, true);
    step();
    answer_outcome(open_call(FAKE_OUTCOME), outcomes);
    question = open_call(FAKE_ADOPT);
    cr_assert(eq(sz, question->count, 3), "2 mine, 3 free, 5 at work");
    cr_assert(eq(str, question->ids[0], (char *)"2"));
    cr_assert(eq(str, question->ids[1], (char *)"3"));
    cr_assert(eq(str, question->ids[2], (char *)"5"));
    cr_assert(eq(sz, question->want, 3));
}

Test(resolve, leaving_worker_adopts_nothing)
{
    rig_start(5);
    answer_beats();
    answer_turn_badly(open_call(FAKE_TURN), REDIS_UNKNOWN, REDIS_CLASS_NONE);
    engine_drain(rig.engine, 0);
    step();
    answer_outcome(open_call(FAKE_OUTCOME), NULL);
    cr_assert(eq(sz, open_call(FAKE_ADOPT)->want, 0), "all goes back");
    answer_adopt(open_call(FAKE_ADOPT), NULL, 0, 5);
    cr_assert(eq(sz, open_calls(FAKE_LEAVE), 1));
}

Test(resolve, adopted_job_that_came_too_late_is_given_back)
{
    struct job *job = make_job(1);

    rig_start(5);
    answer_beats();
    answer_turn_badly(open_call(FAKE_TURN), REDIS_UNKNOWN, REDIS_CLASS_NONE);
    answer_outcome(open_call(FAKE_OUTCOME), NULL);
    engine_drain(rig.engine, 0);
    answer_adopt(open_call(FAKE_ADOPT), &job, 1, 0);
    cr_assert(eq(sz, rig.runs_count, 0));
    cr_assert(eq(int, (int)open_call(FAKE_TURN)->settles[0].kind, (int)SETTLE_GIVE_BACK));
}

/* What was adopted before the connection broke is ours; the rest is asked for again, and outcome
 * first, because the first question may still arrive. */
Test(resolve, broken_adoption_keeps_what_it_brought)
{
    struct job *job = make_job(1);

    rig_start(5);
    answer_beats();
    answer_turn_badly(open_call(FAKE_TURN), REDIS_UNKNOWN, REDIS_CLASS_NONE);
    answer_outcome(open_call(FAKE_OUTCOME), NULL);
    answer_adopt_badly(open_call(FAKE_ADOPT), REDIS_UNKNOWN, &job, 1);
    cr_assert(eq(sz, count_running(), 1));
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
    answer_outcome(open_call(FAKE_OUTCOME), NULL);
    cr_assert(eq(str, open_call(FAKE_ADOPT)->ids[0], (char *)"1"));
    cr_assert(eq(sz, open_call(FAKE_ADOPT)->want, 4));
}

Test(resolve, refused_adoption_is_held_back_and_repeated)
{
    rig_start(5);
    answer_beats();
    answer_turn_badly(open_call(FAKE_TURN), REDIS_UNKNOWN, REDIS_CLASS_NONE);
    answer_outcome(open_call(FAKE_OUTCOME), NULL);
    answer_adopt_badly(open_call(FAKE_ADOPT), REDIS_REFUSED, NULL, 0);
    cr_assert(eq(sz, open_calls(FAKE_ADOPT), 0));
    cr_assert(not(is_shown(SCOREBOARD_REDIS_UP)));
    pass_ms(200);
    cr_assert(eq(sz, open_calls(FAKE_ADOPT), 1), "the same question");
    cr_assert(eq(sz, open_calls(FAKE_OUTCOME), 0));
}

Test(resolve, both_lost_calls_are_one_question)
{
    rig_start(64);
    answer_beats();
    answer_jobs(open_call(FAKE_TURN), 1, 32, 1000);
    complete_all();
    step();
    cr_assert(eq(sz, open_calls(FAKE_TURN), 2));
    answer_turn_badly(open_call(FAKE_TURN), REDIS_UNKNOWN, REDIS_CLASS_NONE);
    cr_assert(eq(sz, open_calls(FAKE_OUTCOME), 0), "the other's reply is still to come");
    answer_turn_badly(open_call(FAKE_TURN), REDIS_UNKNOWN, REDIS_CLASS_NONE);
    cr_assert(eq(sz, open_calls(FAKE_OUTCOME), 1));
    cr_assert(eq(sz, open_call(FAKE_OUTCOME)->count, 32));
}

Test(resolve, lost_answer_is_asked_for_again)
{
    struct fake_call *question;
    struct call_result unknown = { .outcome = REDIS_UNKNOWN, .why = "told" };

    lose_a_call();
    engine_set_redis(rig.engine, true);
    step();
    question = open_call(FAKE_OUTCOME);
    question->answered = true;
    ((queue_outcome_cb *)question->on_done)(NULL, &unknown, NULL, 0, question->arg);
    pass_ms(300);
    cr_assert(eq(sz, open_call(FAKE_OUTCOME)->count, 4));
    cr_assert(eq(sz, open_calls(FAKE_TURN), 0));
}

Test(resolve, refused_question_is_held_back_and_repeated)
{
    struct fake_call *question;
    struct call_result refused = { REDIS_REFUSED, REDIS_CLASS_LATER, "LOADING" };

    lose_a_call();
    engine_set_redis(rig.engine, true);
    step();
    question = open_call(FAKE_OUTCOME);
    question->answered = true;
    ((queue_outcome_cb *)question->on_done)(NULL, &refused, NULL, 0, question->arg);
    step();
    cr_assert(eq(sz, open_calls(FAKE_OUTCOME), 0));
    pass_ms(200);
    cr_assert(eq(sz, open_calls(FAKE_OUTCOME), 1));
}

Test(resolve, job_that_finishes_meanwhile_is_kept)
{
    static const enum job_outcome outcomes[] = { OUTCOME_DONE, OUTCOME_DONE, OUTCOME_DONE,
                                                 OUTCOME_DONE };

    lose_a_call();
    complete(5);
    step();
    engine_set_redis(rig.engine, true);
    step();
    answer_outcome(open_call(FAKE_OUTCOME), outcomes);
    cr_assert(eq(str, open_call(FAKE_ADOPT)->ids[0], (char *)"5"));
    answer_adopt(open_call(FAKE_ADOPT), NULL, 0, 0);
    cr_assert(eq(str, open_call(FAKE_TURN)->settles[0].id, (char *)"5"));
}
