/* Events about jobs, and about calls that move them. An id is never changed; a row is never used
 * for another event. */
#include "common/base/log_events.h"

const struct log_event log_events_jobs[] = {
    { .name = "call.lost",
      .id = "c75d488552f59a4c11bcf4733fdd2033",
      .subject = "A reply of Redis was lost",
      .what = "A call that settles and fetches jobs got no reply, so the worker of queue "
              "@QUEUE@ does not know whether it was carried out. It fetches nothing, asks Redis "
              "what became of each job, and goes on from the answer: no result is written twice "
              "and none is dropped.",
      .remedy = "Nothing, when it happens once. When it repeats, look at the network to Redis, "
                "at how long Redis takes (SLOWLOG), and at command_timeout." },
    { .name = "calls.resolved",
      .id = "4024b467b47e91f9a8fc808c207815d0",
      .subject = "What became of lost calls is known",
      .what = "The worker of queue @QUEUE@ has asked Redis about the calls whose replies were "
              "lost, and knows which of their jobs are settled." },
    { .name = "ghosts.dropped",
      .id = "2d12e3788d14ef4e73fc41234ba8ef35",
      .subject = "Ids without a job were taken out of the queue",
      .what = "Lists of queue @QUEUE@ named jobs whose data is gone, because somebody deleted "
              "the keys of jobs that still waited. The ids were taken out; there is nothing "
              "left that could be run.",
      .remedy = "Find out who deletes keys of the queue by hand, or whether Redis evicts keys: "
                "maxmemory-policy must be noeviction." },
    { .name = "job.cancelled",
      .id = "d0cba29a99c2e861989ad3d0d8c7b1bc",
      .subject = "A job was asked to end",
      .what = "The handler of job @JOB_ID@ of queue @QUEUE@ was asked to end: its time is over, "
              "its lock is lost, or the worker stops. It has the job's kill_grace to do so." },
    { .name = "job.completed",
      .id = "a05fe1378da15af8f0b1ae18ec850cb6",
      .subject = "A job is completed",
      .what = "Job @JOB_ID@ of queue @QUEUE@ was run and its result is stored. The line is "
              "there because log_jobs is `all` for the queue." },
    { .name = "job.corrupt",
      .id = "243aee874a6e9797dfd325527abd563e",
      .subject = "A job's data is damaged",
      .what = "What Redis holds of job @JOB_ID@ of queue @QUEUE@ is not what BullMQ writes "
              "there, so it could not be settled as usual. It was moved to the failed jobs, and "
              "its original bytes are kept under drover's quarantine keys.",
      .remedy = "Find out who writes to the keys of the queue. The bytes stay until you delete "
                "them; docs/architecture.md names the keys." },
    { .name = "job.failed",
      .id = "a62b892b055bbe67c3381f8a7cb1898a",
      .subject = "A job has failed for good",
      .what = "The last attempt of job @JOB_ID@ of queue @QUEUE@ failed, or it failed in a way "
              "that no further attempt can mend. It is among the failed jobs, with the reason "
              "that this line shows as well, and is not tried again.",
      .remedy = "Read the reason; `drover job @JOB_ID@` shows the whole story. When its cause "
                "is mended, the job can be retried from a BullMQ dashboard." },
    { .name = "job.given_back",
      .id = "37b2cd1bae118db0df27235277c7865f",
      .subject = "A job was given back",
      .what = "Job @JOB_ID@ of queue @QUEUE@ was taken from its handler before it had ended, "
              "because its worker stops or the program was ended for the sake of another job. "
              "It waits again, at the front of the queue, and has used no attempt." },
    { .name = "job.killed",
      .id = "ae64b8c41dd14b0c1b5e4873bf9f6d48",
      .subject = "A job's handler did not end when asked, and was killed",
      .what = "The handler of job @JOB_ID@ of queue @QUEUE@ was asked to end, went on for the "
              "whole of kill_grace, and got SIGKILL with all that it had started. What becomes "
              "of the job follows from why it was asked: an attempt that took too long counts "
              "as failed, one that a stop interrupted goes back.",
      .remedy = "Let the program end at SIGTERM (or at the protocol's job.cancel), or raise "
                "kill_grace when it needs longer." },
    { .name = "job.moved",
      .id = "3c2c026d822544ff8ce8f7d893fb9a55",
      .subject = "A handler has chosen where its job goes",
      .what = "The program that ran job @JOB_ID@ of queue @QUEUE@ did not end it, but wants to go "
              "on later: `to` says whether the job is delayed, waits as the next one to run, or "
              "waits for its children. With `wait`, after_ms is the rest that it asked for the "
              "whole queue. No attempt is used. The line is there because log_jobs is `all` for "
              "the queue." },
    { .name = "job.put_back",
      .id = "3f4d40c76c152d6e923219646a902b43",
      .subject = "A job was put back without an attempt",
      .what = "Job @JOB_ID@ of queue @QUEUE@ could not be run here: no handler is configured "
              "for its name, it belongs to a job scheduler, or its handler did not take it. It "
              "comes back after a delay and has used no attempt. Unless log_jobs is `all`, a "
              "line stands for all such jobs of one name and reason of a minute; `count` says "
              "how many.",
      .remedy = "Configure a handler for the job type that the line names, or correct the "
                "producer. `unknown.action: fail` makes such jobs fail instead." },
    { .name = "job.retried",
      .id = "efae6d6dc3513518d87d8a585d4e18aa",
      .subject = "An attempt failed, and the job is tried again",
      .what = "An attempt of job @JOB_ID@ of queue @QUEUE@ failed with the reason that this "
              "line shows. It has attempts left and is tried again, at the time the line shows "
              "or at once.",
      .remedy = "Nothing, when it succeeds in the end: look at the job's next lines. Many "
                "retries of one type point at something that its handler depends on." },
    { .name = "job.said",
      .id = "44dd2245c072adfbe793357b12c9ca6e",
      .subject = "A handler said something about its job",
      .what = "The program that runs job @JOB_ID@ of queue @QUEUE@ reported a log row for it. "
              "The row is stored with the job; the line is there because log_jobs is `all` for "
              "the queue." },
    { .name = "job.silent",
      .id = "7992306ee910ce93f02e54ea89653541",
      .subject = "A job's program says nothing",
      .what = "Job @JOB_ID@ of queue @QUEUE@ reported nothing for its whole heartbeat time. It "
              "is asked to end, and its program is killed when it does not.",
      .remedy = "Find out where the program hangs, let it send heartbeats while it works, or "
                "raise handler.heartbeat." },
    { .name = "job.started",
      .id = "8dd14f2240d7f7b3d2cf915651685241",
      .subject = "A job is started",
      .what = "Job @JOB_ID@ of queue @QUEUE@ was fetched and given to its handler. The line "
              "shows when it was added, how long it waited, and which attempt this is. The line "
              "is there because log_jobs is `all` for the queue." },
    { .name = "job.suspected",
      .id = "fdae7c07d9b4659bf0e87d4c30820949",
      .subject = "A job is suspected of killing its process",
      .what = "Job @JOB_ID@ of queue @QUEUE@ was given back more than once because the process "
              "that ran it died. It now runs alone in its process, so that it cannot take other "
              "jobs with it; at max_givebacks it fails, with the history of the deaths.",
      .remedy = "Look at what the job makes its handler do: memory, a crash in a library. The "
                "lines worker.exited and program.ended around it tell how the processes died." },
    { .name = "job.unexpected",
      .id = "5279620acc00c3256cba0755ccc098c2",
      .subject = "A job was fetched that there is no room for",
      .what = "Redis handed out a job that the worker of queue @QUEUE@ had not asked for, or "
              "there is no memory for it. Its lock expires, and then it is given to another "
              "worker.",
      .remedy = "Look at the memory of the host. When there is enough, please report this as an "
                "error of drover." },
    { .name = "job.unsettled",
      .id = "12b3f19c9fc8890027ac51f9c76c6d96",
      .subject = "A job's outcome could not be written",
      .what = "Redis refused the outcome of job @JOB_ID@ of queue @QUEUE@, and refused the "
              "failure that was written instead as well. The worker drops the job; it comes "
              "back when its lock expires.",
      .remedy = "Read the reason. A job with children that never finish is the usual cause." },
    { .name = "jobs.adopted",
      .id = "c457f44fdb3d195712158e22342afc0c",
      .subject = "Jobs of a lost call were taken over",
      .what = "A call whose reply was lost had fetched jobs of queue @QUEUE@. The worker runs "
              "those that there is room for, and gave the others back." },
    { .name = "jobs.gone",
      .id = "00f40a6596856f401a8d09bf0ff53989",
      .subject = "Jobs were deleted while they ran",
      .what = "Jobs of queue @QUEUE@ do not exist in Redis any more: somebody removed them "
              "while their handlers ran. Their results are dropped. The line names the first of "
              "them.",
      .remedy = "Nothing, when they were removed on purpose. Otherwise look at who deletes "
                "them, and at Redis' maxmemory-policy, which must be noeviction." },
    { .name = "jobs.left",
      .id = "7a7582afb2f56c0d54647b8b052c2d72",
      .subject = "Jobs could not be given back at the end",
      .what = "The worker of queue @QUEUE@ ends while Redis does not answer, so the jobs that "
              "it held could not be given back. Nothing is lost: others get them when their "
              "locks end.",
      .remedy = "Look at why Redis does not answer." },
    { .name = "jobs.lost",
      .id = "ebdf9263353c05ee5c4e401d39ca22f1",
      .subject = "Jobs belong to another worker now",
      .what = "The locks of jobs of queue @QUEUE@ had ended, or somebody took the jobs, before "
              "their results could be written. Their results are dropped here, because another "
              "worker runs or has run them: such a job may have had its effect twice. The line "
              "names the first of them.",
      .remedy = "Look for locks.unproven before it: was Redis away, or the machine suspended, "
                "for longer than the lock lasts? A longer `lock` bridges longer outages." },
    { .name = "jobs.quarantined",
      .id = "e8b4a32255e19a476860d58d2f2a2147",
      .subject = "Damaged jobs were put aside",
      .what = "Fetching found jobs of queue @QUEUE@ whose keys do not hold what BullMQ writes. "
              "They are among the failed jobs; what their keys held is kept under drover's "
              "quarantine keys.",
      .remedy = "Find out who writes to the keys of the queue. The bytes stay until you delete "
                "them; docs/architecture.md names the keys." },
    { .name = "jobs.stalled",
      .id = "4e6de6934c828ec14eade114ab222ee6",
      .subject = "Jobs whose locks had ended wait again",
      .what = "The stalled check of queue @QUEUE@ found jobs without a lock: their worker is "
              "gone, or could not renew in time. They wait again, or have failed when this was "
              "once too often (max_stalled).",
      .remedy = "Look at what became of the worker that had them: a host that is gone, a "
                "machine that was suspended, a stock worker whose event loop was blocked." },
    { .name = "locks.lost",
      .id = "145cb562d1959e3edbf8b03ca972d0f2",
      .subject = "Locks were lost",
      .what = "A renewal told the worker of queue @QUEUE@ that jobs which it runs are no longer "
              "its own. Their handlers are ended, unless on_lock_lost says otherwise, and their "
              "results are dropped.",
      .remedy = "Look for locks.unproven or redis.lost before it, and at whether somebody "
                "removes jobs that run." },
    { .name = "locks.unproven",
      .id = "cf3421d27524742931bf36e3ca668a55",
      .subject = "Locks could not be renewed in time",
      .what = "No renewal of the worker of queue @QUEUE@ was acknowledged for nearly as long as "
              "a lock lasts, so another worker may run its jobs soon. Their handlers are ended, "
              "unless on_lock_lost says otherwise.",
      .remedy = "Find out why Redis did not answer for so long; when that must be borne, a "
                "longer `lock` helps." },
    { .name = "log.dropped",
      .id = "769131b57ae0aede8c8f246517027c24",
      .subject = "A job's log row was dropped",
      .what = "A program reported a log row for a job of queue @QUEUE@ faster than Redis takes "
              "them, or while Redis was away. The row is not in the job's logs." },
    { .name = "progress.dropped",
      .id = "59e45b56f55eeb16fddd63e235bd98c4",
      .subject = "A progress report was dropped",
      .what = "A program reported progress of a job of queue @QUEUE@ faster than Redis takes "
              "it, or while Redis was away. Progress is for people to see; the next report "
              "replaces it." },
    { .name = "question.unsent",
      .id = "91985d18217e79e4498844c826e46426",
      .subject = "A question to Redis was not sent",
      .what = "The worker of queue @QUEUE@ wanted to ask what became of a lost call, and could "
              "not send. It asks again." },
    { .name = "queue.concurrency_applied",
      .id = "7c850e7eaa5b40b6b46f0ecbb3b76873",
      .subject = "The concurrency of a queue was changed in Redis",
      .what =
          "The worker of queue @QUEUE@ has written cluster_concurrency to Redis, where it holds "
          "for all workers of the queue, or has taken back what was written for it before "
          "(concurrency 0).",
      .remedy = "Nothing, when the configuration was changed. When it repeats, several hosts or "
                "people disagree about the number: give it once, in all configurations alike." },
    { .name = "run.changed",
      .id = "cd8b69890d23aae9fab68e97ed1fee13",
      .subject = "A job changed its state in the worker",
      .what = "A step within the worker of queue @QUEUE@, shown at level debug." },
};
const size_t log_events_jobs_count = sizeof log_events_jobs / sizeof log_events_jobs[0];
