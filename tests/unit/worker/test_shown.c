/* What others see of the engine: the scoreboard, and its row of the registry. */
#include "tests/unit/worker/engine_rig.h"

#include <string.h>

TestSuite(shown, .init = rig_init, .fini = rig_done, .timeout = 20);

static void run_one(struct job *job, const struct fetch_state *state)
{
    rig_start(3);
    answer_beats();
    answer_turn(open_call(FAKE_TURN), NULL, &job, 1, state);
}

Test(shown, running_job_has_a_row_until_it_ends)
{
    struct job *job = make_job(7);

    job->attempts_made = 2;
    run_one(job, NULL);
    cr_assert(rig.board.jobs[0].used);
    cr_assert(eq(str, rig.board.jobs[0].id, (char *)"7"));
    cr_assert(eq(str, rig.board.jobs[0].type, (char *)"known"));
    cr_assert(eq(u64, rig.board.jobs[0].attempt, 3));
    cr_assert(eq(int, rig.board.jobs[0].pid, 0));
    running(7)->events->on_pid(running(7)->run, 4711, running(7)->arg);
    cr_assert(eq(int, rig.board.jobs[0].pid, 4711));
    complete(7);
    cr_assert(not(rig.board.jobs[0].used));
    step();
}

Test(shown, job_that_could_not_start_leaves_no_row)
{
    rig.refuse_start = true;
    run_one(make_job(1), NULL);
    cr_assert(not(rig.board.jobs[0].used));
}

Test(shown, counters_of_the_last_fetch)
{
    struct fetch_state state = { .waiting = 5, .active = 9, .limit_ms = 500 };

    run_one(make_job(1), &state);
    cr_assert(eq(u64, shown(SCOREBOARD_WAITING), 5));
    cr_assert(eq(u64, shown(SCOREBOARD_ACTIVE), 9));
    cr_assert(eq(u64, shown(SCOREBOARD_CALLS), 1));
    cr_assert(eq(u64, shown(SCOREBOARD_RUNNING), 1));
    cr_assert(eq(u64, shown(SCOREBOARD_JOB_SLOTS), 3));
    cr_assert(is_shown(SCOREBOARD_REDIS_UP));
    cr_assert(is_shown(SCOREBOARD_LIMITED));
    cr_assert(not(is_shown(SCOREBOARD_PAUSED)));
    cr_assert(not(is_shown(SCOREBOARD_MAXED)));
}

/* A renewal comes every 2 s, whether anything is fetched or not. */
Test(shown, what_waits_is_known_while_all_slots_are_busy)
{
    uint64_t seen_ms;

    run_one(make_job(1), &(struct fetch_state){ .waiting = 5 });
    cr_assert(eq(u64, shown(SCOREBOARD_OLDEST_AT_MS), 0), "a fetch does not tell it");
    seen_ms = shown(SCOREBOARD_WAITING_SEEN_MS);
    rig.renew_state.waiting_known = true;
    rig.renew_state.waiting = 431;
    rig.renew_state.oldest_at_ms = 1700000000000;
    pass_ms(2000);
    answer_beats();
    cr_assert(eq(u64, shown(SCOREBOARD_WAITING), 431));
    cr_assert(eq(u64, shown(SCOREBOARD_OLDEST_AT_MS), 1700000000000));
    cr_assert(lt(u64, seen_ms, shown(SCOREBOARD_WAITING_SEEN_MS)));
    rig.renew_state = (struct renew_state){ .live = 1, .waiting = 7 };
    pass_ms(2000);
    answer_beats();
    cr_assert(eq(u64, shown(SCOREBOARD_WAITING), 431), "it could not be told: nothing is changed");
}

Test(shown, fetches_do_not_tell_what_a_paused_queue_holds)
{
    static const struct fetch_state states[] = { { .paused = true }, { .waiting = 0 } };

    rig.renew_state = (struct renew_state){ 1, false, true, 9, 1700000000000 };
    rig_start(1);
    answer_beats();
    answer_turn(open_call(FAKE_TURN), NULL, NULL, 0, &states[0]);
    cr_assert(eq(u64, shown(SCOREBOARD_WAITING), 9));
    answer_wait(open_call(FAKE_WAIT), UINT64_MAX);
    answer_turn(open_call(FAKE_TURN), NULL, NULL, 0, &states[1]);
    cr_assert(eq(u64, shown(SCOREBOARD_WAITING), 0));
    cr_assert(eq(u64, shown(SCOREBOARD_OLDEST_AT_MS), 0), "nothing waits, so nothing is old");
}

Test(shown, flags_follow_the_queue)
{
    static const struct fetch_state states[] = { { .paused = true }, { .maxed = true }, { 0 } };

    rig_start(1);
    answer_beats();
    for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
        answer_turn(open_call(FAKE_TURN), NULL, NULL, 0, &states[i]);
        cr_assert(eq(int, is_shown(SCOREBOARD_PAUSED), states[i].paused), "row %zu", i);
        cr_assert(eq(int, is_shown(SCOREBOARD_MAXED), states[i].maxed), "row %zu", i);
        answer_wait(open_call(FAKE_WAIT), UINT64_MAX);
    }
    engine_set_redis(rig.engine, false);
    step();
    cr_assert(not(is_shown(SCOREBOARD_REDIS_UP)));
}

Test(shown, beats_while_idle_and_while_redis_is_away)
{
    uint64_t beat_ms;

    rig_start_idle(1);
    engine_set_redis(rig.engine, false);
    step();
    for (int i = 0; i < 5; i++) {
        beat_ms = shown(SCOREBOARD_BEAT_MS);
        cr_assert(le(u64, rig.engine->timer_at_ms, clock_now_ms() + 2000), "a timer is armed");
        pass_ms(2000);
        cr_assert(le(u64, beat_ms + 2000, shown(SCOREBOARD_BEAT_MS)));
    }
}

Test(shown, times_of_a_run_and_of_calls)
{
    run_one(make_job(1), NULL);
    cr_assert(eq(u64, rig.board.counted[SCOREBOARD_CALL_US], 1));
    cr_assert(eq(u64, rig.board.counted[SCOREBOARD_RUN_US], 0));
    pass_ms(300);
    complete(1);
    cr_assert(eq(u64, rig.board.counted[SCOREBOARD_RUN_US], 1));
    cr_assert(le(u64, 300000, rig.board.last_us[SCOREBOARD_RUN_US]));
    cr_assert(lt(u64, rig.board.last_us[SCOREBOARD_RUN_US], 20000000));
    step();
    pass_ms(100);
    answer_jobs(open_call(FAKE_TURN), 0, 0, 0);
    cr_assert(le(u64, 100000, rig.board.last_us[SCOREBOARD_CALL_US]));
}

/* How long it had waited, where that can be known. */
Test(shown, wait_of_a_job)
{
    static const struct {
        const char *name, *opts;
        uint64_t age_ms, attempts_started;
        bool counted;
        uint64_t least_ms, most_ms;
    } rows[] = {
        { "added a while ago", "{}", 5000, 1, true, 5000, 25000 },
        { "delayed", "{\"delay\":4000}", 5000, 1, true, 1000, 3999 },
        { "delay of the backoff is not its own",
          "{\"backoff\":{\"type\":\"fixed\",\"delay\":4000}}", 5000, 1, true, 5000, 25000 },
        { "promoted early", "{\"delay\":400000}", 5000, 1, true, 0, 0 },
        { "second attempt", "{}", 5000, 2, false, 0, 0 },
        { "no time", "{}", 0, 1, false, 0, 0 },
    };

    rig_start(1);
    answer_beats();
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct job *job = make_job((unsigned int)i + 1);
        uint64_t counted = rig.board.counted[SCOREBOARD_WAIT_US];
        uint64_t last_ms;

        job->opts = (struct bytes){ rows[i].opts, strlen(rows[i].opts) };
        job->timestamp_ms = rows[i].age_ms > 0 ? clock_wall_ms() - rows[i].age_ms : 0;
        job->attempts_started = rows[i].attempts_started;
        answer_turn(open_call(FAKE_TURN), NULL, &job, 1, NULL);
        last_ms = rig.board.last_us[SCOREBOARD_WAIT_US] / 1000;
        cr_assert(eq(u64, rig.board.counted[SCOREBOARD_WAIT_US] - counted, rows[i].counted), "%s",
                  rows[i].name);
        if (rows[i].counted)
            cr_assert(last_ms >= rows[i].least_ms && last_ms <= rows[i].most_ms, "%s: %llu",
                      rows[i].name, (unsigned long long)last_ms);
        complete((unsigned int)i + 1);
        step();
    }
}

Test(shown, works_without_a_scoreboard_and_without_a_row)
{
    rig.without_board = rig.without_identity = true;
    run_one(make_job(1), NULL);
    running(1)->events->on_pid(running(1)->run, 4711, running(1)->arg);
    complete(1);
    step();
    answer_jobs(open_call(FAKE_TURN), 0, 0, 0);
    cr_assert(eq(u64, rig.engine->tally.completed, 1));
    pass_ms(2000);
    cr_assert(open_call(FAKE_RENEW)->identity.host == NULL);
}

Test(shown, more_jobs_than_rows)
{
    unsigned int next_id = 1;

    rig_start(SCOREBOARD_JOBS + 50);
    answer_beats();
    while (open_calls(FAKE_TURN) > 0) {
        struct fake_call *call = open_call(FAKE_TURN);
        size_t want = call->want;

        answer_jobs(call, next_id, want, 1000);
        next_id += (unsigned int)want;
    }
    cr_assert(eq(sz, count_running(), SCOREBOARD_JOBS + 50));
    complete_all();
    step();
    for (size_t row = 0; row < SCOREBOARD_JOBS; row++)
        cr_assert(not(rig.board.jobs[row].used));
}

Test(shown, registry_row_is_who_we_are_and_how_we_fare)
{
    const struct worker_identity *row;

    run_one(make_job(1), NULL);
    complete(1);
    step();
    answer_jobs(open_call(FAKE_TURN), 2, 2, 0);
    pass_ms(2000);
    row = &open_call(FAKE_RENEW)->identity;
    cr_assert(eq(str, (char *)row->host, (char *)"host"));
    cr_assert(eq(u64, row->pid, 42));
    cr_assert(eq(u64, row->completed, 1));
    cr_assert(eq(u64, row->failed, 0));
    cr_assert(eq(u64, row->running, 2));
    cr_assert(eq(u64, row->slots, 3));
}

Test(shown, fetcher_tells_how_often_a_job_may_be_given_back)
{
    rig.config.max_givebacks = 7;
    rig_start(1);
    cr_assert(eq(u64, rig.engine->fetcher.max_givebacks, 7));
}
