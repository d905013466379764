/* Whose jobs are given back, who is asked for it, and what happens when that one cannot. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "common/process/process_table.h"
#include "tests/unit/master/master_rig.h"

TestSuite(recoveries, .init = rig_init, .fini = rig_done, .timeout = 60);

/* A queue of tier ephemeral is elsewhere. */
#define OTHER_REDIS(endpoint)                                                   \
    "redis: {default: {url: \"redis://127.0.0.1:1/0\"}, other: " endpoint "}\n" \
    "tiers: {important: {redis: default}, ephemeral: {redis: other}}\n"

/* Linked in place of the real one (meson.build): a session that SIGKILL does not end. */
unsigned int __real_process_kill_session(pid_t sid, bool leader_reaped);
unsigned int __wrap_process_kill_session(pid_t sid, bool leader_reaped);
static bool is_stuck;

unsigned int __wrap_process_kill_session(pid_t sid, bool leader_reaped)
{
    unsigned int living = __real_process_kill_session(sid, leader_reaped);

    return is_stuck ? 1 : living;
}

static void start_ready(void)
{
    rig_start();
    run_until("droverd.ready", 1);
    run_until("worker.ready", supervisor_count_slots(rig.supervisor));
}

static size_t pending(void)
{
    return rig.supervisor->recoveries.count;
}

Test(recoveries, a_sibling_is_asked_with_the_cause)
{
    char uuid[UUID_TEXT_BYTES];

    rig_queue("serve", "concurrency: 2, processes: 2, max_givebacks: 7");
    start_ready();
    (void)snprintf(uuid, sizeof uuid, "%s", slot_of("serve", 1)->child->uuid);
    kill_worker("serve", 1, SIGKILL);
    run_until("worker.recovered", 1);
    cr_expect(count_heard("serve/0 gen 1: recover of serve cause "
                          "\"worker serve/1: signal 9 (SIGKILL)\" max 7") == 1);
    cr_expect(count_heard("recover of") == 1, "nobody else was asked");
    expect_text("worker.recovered", 0, "uuid", uuid);
    expect_text("worker.recovered", 0, "by", slot_of("serve", 0)->child->uuid);
    cr_expect(number_of("worker.recovered", 0, "given_back") == 2);
    cr_expect(number_of("worker.recovered", 0, "asks") == 1);
    cr_expect(line_number("worker.exited", 0) < line_number("worker.recovered", 0));
    cr_expect(pending() == 0 && rig.supervisor->recoveries.done == 1);
    cr_expect(rig.supervisor->recoveries.given_back == 2);
    rig_end();
}

Test(recoveries, a_death_on_its_own_counts_also_when_it_gave_an_exit_code)
{
    rig_queue("ready-and-die", "");
    rig_queue("serve", "");
    rig_start();
    run_until("worker.recovered", 1);
    cr_expect(count_heard("serve/0 gen 1: recover of ready-and-die cause "
                          "\"worker ready-and-die/0: exit 70 (software)\" max 3") >= 1);
    rig_end();
}

/* It had served: whatever it fetched must come back, also when it is never started again. */
Test(recoveries, an_exit_code_that_is_final_owes_its_jobs_when_it_had_served)
{
    rig_queue("ready-and-64", "");
    rig_queue("exit-64", "");
    rig_queue("serve", "");
    rig_start();
    run_until("worker.never_restarted", 2);
    run_until("worker.recovered", 1);
    run_turns(10);
    cr_expect(count_heard("recover of ready-and-64 cause \"worker ready-and-64/0: exit 64") == 1);
    cr_expect(count_heard("recover of exit-64") == 0, "it has never fetched");
    rig_end();
}

Test(recoveries, a_clean_exit_owes_nothing)
{
    rig_queue("serve", "concurrency: 2, processes: 2");
    start_ready();
    rig_forget_queues();
    rig_queue("serve", "concurrency: 2, processes: 1");
    rig_reload();
    run_until("worker.exited", 1);
    run_turns(10);
    cr_expect(count_heard("recover of") == 0 && pending() == 0);
    rig_end();
}

/* It was killed by us, or told to leave before: that is no evidence against its jobs. */
Test(recoveries, a_death_that_we_caused_is_not_counted)
{
    rig.options.stop_grace_ms = 50;
    rig_queue("ignore-all", "");
    rig_queue("close-channel", "");
    rig_queue("serve", "");
    start_ready();
    run_until("worker.killed", 1);
    run_until("worker.recovered", 1);
    cr_expect(count_heard("recover of close-channel cause \"\" max 3") == 1);
    rig_forget_queues();
    rig_queue("serve", "");
    rig_reload();
    run_until("worker.draining", 1);
    cr_assert(kill((pid_t)number_of("worker.spawned", 0, "pid"), SIGUSR1) == 0);
    run_until_heard("serve/0 gen 1: recover of ignore-all cause \"\" max 3", 1);
    supervisor_ask_to_end(rig.supervisor);
    (void)run_to_the_end();
}

/* Nobody else is there: the new one is asked at once, before it is ready. */
Test(recoveries, without_a_sibling_the_replacement_is_asked_before_it_is_ready)
{
    tell_workers("ready", 1, 1);
    rig_queue("wait-ready", "");
    start_ready();
    tell_workers("ready", 1, 0);
    kill_worker("wait-ready", 0, SIGKILL);
    run_until("worker.recovered", 1);
    cr_expect(slot_of("wait-ready", 0)->state == SLOT_STARTING);
    expect_text("worker.recovered", 0, "by", slot_of("wait-ready", 0)->child->uuid);
    tell_workers("ready", 1, 1);
    run_until("worker.ready", 2);
    rig_end();
}

/* The queue's own worker is started, but a ready one of another queue is sooner. */
Test(recoveries, another_queue_on_the_same_redis_helps)
{
    rig.top = OTHER_REDIS("{url: \"redis://127.0.0.1:2/0\"}");
    rig_queue("serve.elsewhere", "tier: ephemeral");
    rig_queue("serve.near", "");
    rig_queue("serve", "");
    start_ready();
    kill_worker("serve", 0, SIGKILL);
    run_until("worker.recovered", 1);
    cr_expect(count_heard("serve.near/0 gen 1: recover of serve ") == 1);
    cr_expect(count_heard("recover of") == 1);
    rig_end();
}

/* A given-up worker has no replacement; and who is on another Redis, or has another prefix, cannot
 * reach its jobs. */
static void expect_not_asked(const char *top)
{
    json_t *rows, *end;

    rig.top = top;
    rig_queue("serve.elsewhere", "tier: ephemeral");
    rig_queue("ready-and-64", "");
    rig_start();
    run_until("worker.never_restarted", 1);
    run_turns(10);
    cr_expect(pending() == 1 && count_heard("recover of") == 0);
    cr_expect(count_lines("recovery.waits") == 0);
    clock_shift_for_tests(5000);
    run_until("recovery.waits", 1);
    clock_shift_for_tests(5000);
    run_turns(10);
    cr_expect(count_lines("recovery.waits") == 1, "said once");
    cr_expect(recoveries_next_ms(&rig.supervisor->recoveries) == 0, "events only");

    end = client_ask("\"verb\":\"ps\",\"queue\":\"ready-and-64\"", &rows);
    cr_expect(json_array_size(rows) == 2);
    cr_expect_str_eq(text_of(json_array_get(rows, 0), "state"), "given_up");
    cr_expect_str_eq(text_of(json_object_get(json_array_get(rows, 1), "recovery"), "cause"),
                     "worker ready-and-64/0: exit 64 (usage)");
    json_decref(rows);
    json_decref(end);

    rig_queue("serve", ""); /* somebody comes who can */
    rig_reload();
    run_until("worker.recovered", 1);
    cr_expect(count_heard("recover of ready-and-64 ") >= 1);
    rig_end();
}

Test(recoveries, another_redis_is_not_asked)
{
    expect_not_asked(OTHER_REDIS("{url: \"redis://127.0.0.1:2/0\"}"));
}

Test(recoveries, another_prefix_is_not_asked)
{
    expect_not_asked(OTHER_REDIS("{url: \"redis://127.0.0.1:1/0\", prefix: mine}"));
}

Test(recoveries, a_helper_that_dies_is_followed_by_another)
{
    rig_queue("die-at-recover", "");
    rig_queue("serve", "");
    rig_queue("ready-and-64", "");
    rig_start();
    run_until("worker.recovered", 2); /* its own, and that of the helper */
    cr_expect(count_heard("die-at-recover/0 gen 1: recover of ready-and-64") >= 1,
              "the first one in the file");
    cr_expect(count_heard("serve/0 gen 1: recover of ready-and-64") == 1);
    while (pending() > 0)
        run_turns(1);
    rig_end();
}

Test(recoveries, a_helper_that_cannot_is_asked_again_after_a_pause)
{
    rig_queue("fail-recover", "concurrency: 2, processes: 2"); /* each fails twice */
    start_ready();
    kill_worker("fail-recover", 1, SIGKILL);
    run_until_heard("recover of fail-recover", 1);
    run_turns(10);
    cr_expect(count_heard("recover of fail-recover") == 1, "not at once");
    for (size_t asks = 2; asks <= 5; asks++) {
        clock_shift_for_tests(500);
        run_until_heard("recover of fail-recover", asks);
        run_turns(5);
    }
    run_until("worker.recovered", 1);
    cr_expect(number_of("worker.recovered", 0, "asks") == 5);
    cr_expect(count_heard("fail-recover/0 gen 1: recover") == 3, "in turns");
    cr_expect(count_heard("fail-recover/1 gen 1: recover") == 2, "in turns");
    cr_expect(count_lines("recovery.delayed") == 1, "at the second ask");
    cr_expect(number_of("recovery.delayed", 0, "last_result") == -EIO);
    rig_end();
}

/* It hangs; a healthy one of another queue is asked instead of it, not the same one again. */
Test(recoveries, without_an_answer_somebody_else_is_asked)
{
    rig_queue("no-recover", "concurrency: 2, processes: 2");
    rig_queue("serve", "");
    start_ready();
    kill_worker("no-recover", 1, SIGKILL);
    run_until_heard("no-recover/0 gen 1: recover of no-recover", 1);
    run_until("worker.ready", 4);
    run_turns(10);
    cr_expect(count_heard("recover of") == 1, "it is given its time");
    cr_expect(slot_of("no-recover", 0)->child->recoveries_open == 1);
    clock_shift_for_tests(5000);
    run_until_heard("no-recover/1 gen 1: recover of no-recover", 1);
    cr_expect(slot_of("no-recover", 0)->child->recoveries_open == 0);
    clock_shift_for_tests(5000);
    run_until_heard("serve/0 gen 1: recover of no-recover", 1);
    run_until("worker.recovered", 1);
    cr_expect(number_of("worker.recovered", 0, "asks") == 3);
    cr_expect(slot_of("serve", 0)->child->recoveries_open == 0);
    rig_end();
}

Test(recoveries, alone_it_is_asked_again_and_again)
{
    rig_queue("no-recover", "");
    start_ready();
    kill_worker("no-recover", 0, SIGKILL);
    for (size_t asks = 1; asks <= 20; asks++) {
        run_until_heard("recover of no-recover", asks);
        clock_shift_for_tests(5000);
    }
    cr_expect(count_lines("recovery.delayed") == 2, "at the second, and at the twentieth");
    cr_expect(pending() == 1);
    rig_end();
    expect_text("recovery.left", 0, "queue", "no-recover");
    expect_text("recovery.left", 0, "end", "worker no-recover/0: signal 9 (SIGKILL)");
    cr_expect(line_number("recovery.left", 0) < line_number("droverd.stopped", 0));
}

/* Asked of the one that is still there; a replacement of the pool changes nothing about it. */
Test(recoveries, those_that_wait_survive_a_reload_and_are_shown)
{
    json_t *rows, *end;
    const json_t *recovery;
    uint64_t before_ms = clock_wall_ms();

    rig_queue("no-recover", "");
    start_ready();
    kill_worker("no-recover", 0, SIGKILL);
    run_until_heard("recover of no-recover", 1);
    run_until("worker.ready", 2);
    rig_forget_queues();
    rig_queue("no-recover", "attempts: 9");
    rig_queue("no-recover.b", "");
    rig_reload();
    cr_expect(pending() == 1);
    end = client_ask("\"verb\":\"status\"", &rows);
    recovery = json_array_get(json_object_get(json_array_get(rows, 0), "recoveries"), 0);
    cr_expect_str_eq(text_of(recovery, "queue"), "no-recover");
    cr_expect_str_eq(text_of(recovery, "cause"), "worker no-recover/0: signal 9 (SIGKILL)");
    cr_expect(integer_of(recovery, "age_ms") >= 0);
    cr_expect(integer_of(recovery, "age_ms") <= (long long)(clock_wall_ms() - before_ms));
    cr_expect(integer_of(recovery, "asked") >= 1);
    cr_expect(json_is_false(json_object_get(recovery, "fence_only")));
    json_decref(rows);
    json_decref(end);
    end = client_ask("\"verb\":\"ps\",\"queue\":\"no-recover.b\"", &rows);
    cr_expect(json_array_size(rows) == 1, "the recovery is of another queue");
    json_decref(rows);
    json_decref(end);
    rig_end();
    cr_expect(count_lines("recovery.left") == 1);
}

/* What it had started may still act: nothing is given back, but it fetches no more. */
Test(recoveries, what_is_not_seen_dead_is_only_fenced)
{
    rig_queue("serve", "concurrency: 2, processes: 2");
    start_ready();
    is_stuck = true;
    kill_worker("serve", 1, SIGKILL);
    run_until("worker.exited", 1);
    run_turns(10);
    cr_expect(slot_of("serve", 1)->state == SLOT_SWEEPING && count_heard("recover of") == 0);
    cr_expect(count_lines("worker.spawned") == 2, "nor is its place filled");
    clock_shift_for_tests(1000);
    run_until("worker.left_over_alive", 1);
    is_stuck = false;
    run_until("worker.fenced", 1);
    cr_expect(count_heard("recover of serve cause \"worker serve/1: signal 9 (SIGKILL)\" max 3 "
                          "fence only") == 1);
    cr_expect(count_lines("worker.recovered") == 0);
    run_until("worker.ready", 3);
    rig_end();
}

Test(recoveries, what_dies_a_little_later_is_recovered_as_usual)
{
    rig_queue("serve", "concurrency: 2, processes: 2");
    start_ready();
    is_stuck = true;
    kill_worker("serve", 1, SIGKILL);
    run_until("worker.exited", 1);
    run_turns(3);
    is_stuck = false;
    run_until("worker.recovered", 1);
    cr_expect(count_heard("fence only") == 0 && count_lines("worker.left_over_alive") == 0);
    rig_end();
}

/* All of a pool at once: asked of the first that is there, a bounded number at a time. */
Test(recoveries, many_deaths_at_once_are_all_dealt_with)
{
    enum { WORKERS = 40 };

    rig_queue("serve", "concurrency: 40, processes: 40");
    rig_queue("serve.b", "");
    start_ready();
    for (unsigned int i = 0; i < WORKERS; i++)
        kill_worker("serve", i, SIGKILL);
    while (rig.supervisor->recoveries.done < WORKERS) {
        run_turns(1);
        cr_expect(slot_of("serve.b", 0)->child->recoveries_open <= RECOVERIES_OPEN_MAX);
    }
    cr_expect(slot_of("serve.b", 0)->child->recoveries_open == 0);
    cr_expect(count_lines("worker.recovered") == WORKERS);
    rig_end();
}

/* One that takes its time is not buried under questions. */
Test(recoveries, a_helper_is_asked_a_bounded_number_at_a_time)
{
    enum { WORKERS = 40 };
    const struct child *helper;

    rig_queue("no-recover", "");
    rig_queue("ready-and-64", "concurrency: 40, processes: 40");
    rig_start();
    run_until("worker.never_restarted", WORKERS);
    helper = slot_of("no-recover", 0)->child;
    while (helper->recoveries_open < RECOVERIES_OPEN_MAX)
        run_turns(1);
    run_turns(5);
    cr_expect(helper->recoveries_open == RECOVERIES_OPEN_MAX && pending() == WORKERS);
    clock_shift_for_tests(5000); /* the others have their turn */
    while (helper->recoveries_missed < RECOVERIES_OPEN_MAX)
        run_turns(1);
    run_turns(5);
    for (const struct recovery *one = rig.supervisor->recoveries.first; one; one = one->next)
        cr_expect(one->asks > 0, "%s", one->ask.uuid);
    cr_expect(helper->recoveries_open == RECOVERIES_OPEN_MAX && pending() == WORKERS);
    rig_end();
    cr_expect(count_lines("recovery.left") == WORKERS);
}

/* ---- the list alone */

static struct child *find_nobody(const struct recovery *recovery, void *arg)
{
    (void)recovery;
    (void)arg;
    return NULL;
}

static struct child *no_child(const char *uuid, void *arg)
{
    (void)uuid;
    (void)arg;
    return NULL;
}

TestSuite(recovery_list, .init = rig_init, .fini = rig_done);

Test(recovery_list, has_a_bound_and_says_what_is_beyond)
{
    struct recoveries list = { 0 };
    char uuid[UUID_TEXT_BYTES];

    for (unsigned int i = 0; i < RECOVERIES_MAX + 2; i++) {
        (void)snprintf(uuid, sizeof uuid, "00000000-0000-4000-8000-%012u", i);
        recoveries_add(&list, &(struct recovery_case){ .uuid = uuid,
                                                       .queue = "q",
                                                       .endpoint = "e",
                                                       .end = "x",
                                                       .cause = "",
                                                       .max_givebacks = 3,
                                                       .died_us = clock_now_us() });
    }
    cr_expect(list.count == RECOVERIES_MAX && count_lines("recovery.refused") == 2);
    expect_text("recovery.refused", 0, "level", "error");
    recoveries_step(&list, find_nobody, no_child, NULL);
    cr_expect(list.count == RECOVERIES_MAX && list.done == 0);
    recoveries_note(&list, &(struct channel_recovered){
                               .uuid = "00000000-0000-4000-8000-000000000007", .given_back = 5 });
    recoveries_note(&list, &(struct channel_recovered){
                               .uuid = "00000000-0000-4000-8000-000000009999", .given_back = 5 });
    recoveries_step(&list, find_nobody, no_child, NULL);
    cr_expect(list.count == RECOVERIES_MAX - 1 && list.done == 1 && list.given_back == 5);
    recoveries_done(&list);
    cr_expect(list.count == 0 && count_lines("recovery.left") == RECOVERIES_MAX - 1);
}

/* Children that are only told something; the first `deaf` of them are gone. */
enum { CHILDREN = 4 };
static struct child children[CHILDREN];

static void on_frame(struct channel *channel, const struct channel_frame *frame, void *arg)
{
    (void)channel;
    (void)frame;
    (void)arg;
}

static void make_children(unsigned int deaf, int out_peers[CHILDREN])
{
    for (unsigned int i = 0; i < CHILDREN; i++) {
        int fds[2];

        (void)snprintf(children[i].uuid, sizeof children[i].uuid, "child %u", i);
        cr_assert(channel_pair(fds, NULL) == 0);
        cr_assert(channel_open(&rig.loop, fds[0], on_frame, NULL, &children[i].channel, NULL) == 0);
        out_peers[i] = fds[1];
        if (i < deaf)
            cr_assert(close(TAKE_FD(out_peers[i])) == 0);
    }
}

static void close_children(const int peers[CHILDREN])
{
    for (unsigned int i = 0; i < CHILDREN; i++) {
        channel_close(children[i].channel);
        if (peers[i] >= 0)
            (void)close(peers[i]);
    }
}

static struct child *find_fewest_missed(const struct recovery *recovery, void *arg)
{
    struct child *best = &children[0];

    (void)recovery;
    (void)arg;
    for (unsigned int i = 1; i < CHILDREN; i++) {
        if (children[i].recoveries_missed < best->recoveries_missed)
            best = &children[i];
    }
    return best;
}

/* When a whole pool dies, those who are found first are dying as well. */
Test(recovery_list, who_cannot_be_told_is_passed_over_at_once)
{
    struct recoveries list = { 0 };
    int peers[CHILDREN];

    make_children(3, peers);
    recoveries_add(&list,
                   &(struct recovery_case){
                       .uuid = "u", .queue = "q", .endpoint = "e", .end = "x", .cause = "c" });
    recoveries_step(&list, find_fewest_missed, no_child, NULL);
    cr_expect_str_eq(list.first->asked, "child 3");
    cr_expect(list.first->asks == 1 && children[3].recoveries_open == 1);
    cr_expect(count_lines("worker.not_told") == 3);
    recoveries_done(&list);
    close_children(peers);
}

Test(recovery_list, when_nobody_can_be_told_there_is_a_pause)
{
    struct recoveries list = { 0 };
    int peers[CHILDREN];
    size_t told;

    make_children(4, peers);
    recoveries_add(&list,
                   &(struct recovery_case){
                       .uuid = "u", .queue = "q", .endpoint = "e", .end = "x", .cause = "c" });
    recoveries_step(&list, find_fewest_missed, no_child, NULL);
    told = count_lines("worker.not_told");
    cr_expect(told >= 4 && told < 12 && list.first->asks == 0);
    cr_expect(recoveries_next_ms(&list) > clock_now_ms());
    recoveries_step(&list, find_fewest_missed, no_child, NULL);
    cr_expect(count_lines("worker.not_told") == told);
    recoveries_done(&list);
    close_children(peers);
}

Test(recovery_list, jobs_that_had_to_fail_are_an_error_in_the_log)
{
    struct recoveries list = { 0 };

    recoveries_add(&list,
                   &(struct recovery_case){
                       .uuid = "u", .queue = "q", .endpoint = "e", .end = "x", .cause = "c" });
    recoveries_note(&list, &(struct channel_recovered){ .uuid = "u", .failed = 1 });
    recoveries_step(&list, find_nobody, no_child, NULL);
    expect_text("worker.recovered", 0, "level", "error");
    cr_expect(list.failed == 1 && list.count == 0);
}
