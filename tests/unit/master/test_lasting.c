/* The master does not grow, whatever becomes of its workers. */
#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/master/master_rig.h"

TestSuite(lasting, .init = rig_init, .fini = rig_done, .timeout = 120);

static size_t count_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    size_t count = 0;

    cr_assert(folder);
    while (readdir(folder))
        count++;
    (void)closedir(folder);
    return count;
}

/* Children that have ended and were not reaped. */
static bool has_zombie(void)
{
    siginfo_t info = { 0 };

    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid > 0;
}

static size_t bytes_in_use(void)
{
    return mallinfo2().uordblks;
}

static void wait_until_serving(void)
{
    while (slot_of("serve", 0)->state != SLOT_SERVING || rig.supervisor->recoveries.count > 0)
        run_turns(1);
    for (int i = 0; i < 2; i++)
        (void)uv_run(&rig.loop, UV_RUN_NOWAIT); /* handles close in the next turn */
}

/* Also of the clock: what keeps restarts apart must not keep the test waiting. */
static void restart(unsigned int times)
{
    for (unsigned int i = 0; i < times; i++) {
        kill_worker("serve", 0, i % 2 ? SIGKILL : SIGUSR1);
        clock_shift_for_tests(1000);
        while (slot_of("serve", 0)->state == SLOT_SERVING)
            run_turns(1);
        wait_until_serving();
    }
}

Test(lasting, descriptors_memory_and_processes_after_500_deaths)
{
    size_t descriptors, bytes;

    rig.log_level = "error";
    rig_queue("serve", "");
    rig_start();
    log_set_level(LOG_LEVEL_ERROR);
    wait_until_serving();
    restart(20); /* what grows once has grown */
    descriptors = count_descriptors();
    bytes = bytes_in_use();
    restart(500);
    cr_expect(count_descriptors() == descriptors, "%zu, then %zu", descriptors,
              count_descriptors());
    cr_expect(bytes_in_use() <= bytes + 4096, "%zu bytes, then %zu", bytes, bytes_in_use());
    cr_expect(!has_zombie());
    cr_expect(rig.supervisor->recoveries.done == 520 && slot_of("serve", 0)->spawned == 521);
    rig_end();
}

Test(lasting, descriptors_and_memory_after_100_reloads)
{
    size_t descriptors = 0, bytes = 0;

    rig.log_level = "error";
    rig_queue("serve", "");
    rig_queue("serve.b", "concurrency: 5");
    rig_start();
    log_set_level(LOG_LEVEL_ERROR);
    wait_until_serving();
    for (unsigned int i = 0; i < 112;
         /* after the last one there is one pool, as after the tenth */ i++) {
        unsigned int generation = rig.supervisor->generation->number;

        if (i == 10) {
            descriptors = count_descriptors();
            bytes = bytes_in_use();
        }
        rig_forget_queues();
        rig_queue("serve", i % 2 ? "attempts: 8" : "attempts: 9"); /* exchanged each time */
        if (i % 3)
            rig_queue("serve.b", i % 2 ? "concurrency: 5" : "concurrency: 50");
        rig_write();
        supervisor_ask_to_reload(rig.supervisor);
        while (rig.supervisor->generation->number == generation ||
               rig.supervisor->reload.phase != RELOAD_IDLE)
            run_turns(1);
        while (pool_of("serve")->count > 1 || rig.supervisor->pools_count > (i % 3 ? 2 : 1))
            run_turns(1);
        if (i % 10 == 9) { /* and one that is refused */
            rig_write_text("queues: [");
            supervisor_ask_to_reload(rig.supervisor);
            run_until("reload.refused", i / 10 + 1);
        }
    }
    run_turns(2);
    cr_expect(count_descriptors() == descriptors, "%zu, then %zu", descriptors,
              count_descriptors());
    /* What glibc keeps at hand for the next time counts as used, and comes to rest after hundreds.
     * A configuration has more than a kilobyte. */
    cr_expect(bytes_in_use() <= bytes + (size_t)100 * 1000, "%zu bytes, then %zu", bytes,
              bytes_in_use());
    cr_expect(!has_zombie() && rig.supervisor->generation->number == 113);
    cr_expect(rig.supervisor->recoveries.done == 0);
    rig_end();
}
