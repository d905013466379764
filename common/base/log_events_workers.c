/* Events that worker processes tell of themselves, their programs and their Redis. An id is never
 * changed; a row is never used for another event. */
#include "common/base/log_events.h"

const struct log_event log_events_workers[] = {
    { .name = "frame.refused",
      .id = "85b82d5e3374c1c0853e177685d4c917",
      .subject = "A message of the master was refused",
      .what = "droverd sent the worker of queue @QUEUE@ numbers that are out of range. The "
              "worker goes on as before.",
      .remedy = "Restart drover, so that droverd and its workers are of one version. When it "
                "repeats, please report it." },
    { .name = "frame.unsent",
      .id = "a52db479e50bef5fc9f4d38c52506fa8",
      .subject = "The master could not be told",
      .what = "The worker of queue @QUEUE@ has given back the jobs of a dead process and could "
              "not tell droverd, which asks somebody else: asking twice does no harm." },
    { .name = "handler.not_ready",
      .id = "bc6689c656824edfd84b98a70ad1d18d",
      .subject = "No program takes the jobs",
      .what = "None of the programs of a handler of queue @QUEUE@ has been ready for some time, "
              "so the jobs that waited for one were put back. They come back after a moment and "
              "have used no attempt.",
      .remedy = "The lines program.ended and program.said before it tell why the programs end "
                "or do not become ready." },
    { .name = "handler.not_resized",
      .id = "b07e884175153d9d0495e1cd5f46b065",
      .subject = "A handler could not grow",
      .what = "There is no memory for as many programs as the configuration wants for queue "
              "@QUEUE@. Those that are there go on.",
      .remedy = "Look at the memory of the host." },
    { .name = "master.lost",
      .id = "e72a25af83f9983e4d80b45e8e94f4d4",
      .subject = "The master is gone",
      .what = "droverd has ended without stopping its workers. The worker of queue @QUEUE@ "
              "finishes what ends within five seconds, gives the rest back and leaves. systemd "
              "starts droverd again.",
      .remedy = "Find out what ended droverd: the journal of the unit, and of the kernel for "
                "want of memory." },
    { .name = "program.abandoned",
      .id = "b00c9c8555ebfc518722bb2afebc2ffb",
      .subject = "A program does not die",
      .what = "A program of queue @QUEUE@ was killed and still does not end: it hangs in the "
              "kernel. The worker no longer waits for it; the master kills what is left of the "
              "worker's session.",
      .remedy = "Look at the process' state (`ps -o stat,wchan`): a network file system or a "
                "device that does not answer is the usual cause." },
    { .name = "program.changed",
      .id = "5ab41f1d991597490fce273149a8e4e4",
      .subject = "A program changed its state",
      .what = "A step in the life of a long-lived program of queue @QUEUE@, shown at level "
              "debug." },
    { .name = "program.ended",
      .id = "982de8b526dc7ba03e037d9f2f2e7c4d",
      .subject = "A program has ended",
      .what = "A long-lived program of queue @QUEUE@ has ended. `end` says how, `cause` why "
              "drover ended it when it did, `jobs` how many it had. Unless it was asked to end, "
              "another one is started, after a wait when it had not been of use.",
      .remedy = "Nothing, when it was asked to. Otherwise the lines program.said before it are "
                "the program's own last words." },
    { .name = "program.lines_dropped",
      .id = "a009f93d8e9c14f0654f2b91975a5acf",
      .subject = "A program wrote lines that are no messages",
      .what = "A program of queue @QUEUE@ wrote lines on its standard output that are not "
              "messages of the protocol, or about jobs that it does not have. They are dropped, "
              "and counted here once a minute.",
      .remedy = "Print everything that is not for the protocol to standard error." },
    { .name = "program.ready",
      .id = "56f391c558fd8369872eba59f64e3a2b",
      .subject = "A program is ready",
      .what = "A long-lived program of queue @QUEUE@ has started and shaken hands. It is given "
              "jobs now." },
    { .name = "program.said",
      .id = "dc1f9ede57136a0c839d9ef777142680",
      .subject = "A program said something",
      .what = "A handler's program of queue @QUEUE@ wrote a line to its standard error, or sent "
              "a log message. When it had one job only at that time, the line carries that "
              "job's fields.",
      .remedy = "The words are the program's own." },
    { .name = "recovery.failed",
      .id = "ac3a0a6ae35547b3071c2049d7231711",
      .subject = "Jobs of a dead process could not be given back yet",
      .what = "The worker of queue @QUEUE@ was asked to give back the jobs of a process that "
              "died, and Redis refused or did not answer. It is tried again until it is done.",
      .remedy = "Look at why Redis refuses: the line says its words." },
    { .name = "redis.clock_skewed",
      .id = "17a37162d9db8206bc515348dca80101",
      .subject = "The clocks of Redis and of this host differ",
      .what = "The clock of the Redis of queue @QUEUE@ and that of this host differ by a second "
              "or more. Delayed jobs start early or late by so much.",
      .remedy = "Let both hosts keep their time with NTP." },
    { .name = "redis.lost",
      .id = "e577a5dc1d0b67419e7ace6d7cfa0377",
      .subject = "The connection to Redis is lost",
      .what = "A connection of the worker of queue @QUEUE@ to Redis has ended. Jobs that run go "
              "on; the worker connects again, for ever, with growing waits.",
      .remedy = "Look at whether Redis runs and can be reached. The line shows its last words." },
    { .name = "redis.moved",
      .id = "e5d7fee92e2e4206aef1a2771dec28f2",
      .subject = "Another node of the cluster serves the queue",
      .what = "The hash slot of queue @QUEUE@ has moved to another node of the Redis Cluster, and "
              "the worker's connection has followed. No job was affected." },
    { .name = "redis.ready",
      .id = "f9b076ace674f56759fa7af5d071df23",
      .subject = "Redis answers",
      .what = "A connection of the worker of queue @QUEUE@ to Redis stands, or Redis takes its "
              "calls again." },
    { .name = "redis.refused",
      .id = "9425fae75c1751d1cab1087cde1b2b8c",
      .subject = "Redis refuses",
      .what = "Redis cannot be reached, does not let the worker of queue @QUEUE@ in, or refuses "
              "its calls. Nothing is fetched meanwhile; it is tried again, for ever. The line "
              "is written once per reason.",
      .remedy = "Read the reason: a wrong password or missing right (ACL), a replica instead of "
                "the master, no memory left, a script that runs too long." },
    { .name = "registry.swept",
      .id = "c213e0466045eb90463337d781fa1bdc",
      .subject = "The registry of processes was looked through",
      .what = "A worker has looked for rows of processes that an earlier droverd of this host "
              "left behind; shown at level debug." },
    { .name = "renewal.refused",
      .id = "b17825b022982649daf2a94c1783a2f6",
      .subject = "Redis refuses to renew locks",
      .what = "Redis refused the call by which the worker of queue @QUEUE@ renews the locks of "
              "its jobs. It is tried again; when it is refused until the locks end, "
              "locks.unproven follows.",
      .remedy = "Read the reason: it is most likely the same as that of redis.refused." },
    { .name = "renewal.unsent",
      .id = "66ad427d1709d3e2e1369cb4223f224b",
      .subject = "A renewal was not sent",
      .what = "The worker of queue @QUEUE@ could not send the renewal of its locks, and tries "
              "again in a moment; shown at level debug." },
    { .name = "replicas.back",
      .id = "bb950b6f35de4f4bbe67689158032c16",
      .subject = "Enough replicas answer again",
      .what = "As many replicas as wait_replicas wants have what the worker of queue @QUEUE@ "
              "wrote. It fetches jobs again." },
    { .name = "replicas.missing",
      .id = "672d92e85e0e43048ce4919ede4df659",
      .subject = "Too few replicas answer",
      .what = "Fewer replicas than wait_replicas wants had what the worker of queue @QUEUE@ wrote "
              "within wait_timeout. Jobs that run go on and are settled, but a failover now would "
              "run them again. No job is fetched until enough replicas answer.",
      .remedy = "Look at the replicas (INFO replication on the master): whether they run, are "
                "connected, and keep up. To work without them, lower wait_replicas and reload." },
    { .name = "scoreboard.unavailable",
      .id = "3b48bfe14bf2275e618e29f51863682b",
      .subject = "The scoreboard cannot be used",
      .what = "The worker of queue @QUEUE@ cannot use the memory in which it shows what it "
              "does. It works all the same, but drover ps shows nothing of it.",
      .remedy = "Restart drover, so that droverd and its workers are of one version." },
    { .name = "session.killed",
      .id = "75d3eaf897b921087f2104d6e6d90a09",
      .subject = "Left-over processes were killed",
      .what = "Processes that a worker of an earlier droverd had started were still alive. They "
              "were killed before the jobs that they had are given back, so that no job runs "
              "twice." },
    { .name = "signal.received",
      .id = "aeb5ae96af43dc101cd86653fa4a6285",
      .subject = "A worker got a signal",
      .what = "Somebody sent SIGTERM or SIGINT to the worker process of queue @QUEUE@ itself. "
              "It drains; at a second one it stops at once. droverd starts another one.",
      .remedy = "To stop the service, stop the unit, not its processes." },
    { .name = "wait.refused",
      .id = "b4b0c559f50bfe82c3e67d66fdda254b",
      .subject = "Redis refuses to let a worker wait",
      .what = "Redis refused the call with which the idle worker of queue @QUEUE@ waits for "
              "jobs. It waits anew, and looks by itself meanwhile; shown at level debug." },
    { .name = "worker.allowed",
      .id = "61b8c30e2bee56e4607fb3f20053919d",
      .subject = "A worker may run more or fewer jobs",
      .what = "droverd told the worker of queue @QUEUE@ how many jobs it may start, while "
              "processes are being exchanged; shown at level debug." },
    { .name = "worker.changed",
      .id = "82d8aa4720065c4525013e9a7c0c9972",
      .subject = "A worker changed its phase",
      .what = "The worker of queue @QUEUE@ has begun to drain, to stop, or to leave." },
    { .name = "worker.emptying",
      .id = "40239b3f10697fad068027aa81487366",
      .subject = "A worker empties itself for a job that must run alone",
      .what = "A job of queue @QUEUE@ waits that is suspected of killing its process (see "
              "job.suspected). This worker fetches nothing until it holds nothing, and then "
              "runs that job alone." },
    { .name = "worker.ended",
      .id = "1a3b33892e066b196b52820a1e64df66",
      .subject = "A worker has ended",
      .what = "The worker process of queue @QUEUE@ has done its last work. `left` jobs could "
              "not be given back; `code` is its exit code." },
    { .name = "worker.failed",
      .id = "fc36cd57eda5d48e354508b3197b4405",
      .subject = "A worker could not start",
      .what = "The worker process of queue @QUEUE@ could not do what it needs before it can "
              "serve. droverd starts it again after a wait, unless the configuration is at "
              "fault.",
      .remedy = "Read the reason." },
    { .name = "worker.fenced",
      .id = "ef1bc5641e35f1f0419100a907417071",
      .subject = "A process was declared dead",
      .what = "A worker process of queue @QUEUE@ could not be seen dead or was out of reach for "
              "too long, so it was declared dead: it gets no job any more, and its jobs are "
              "given to others. When it lives, it ends what it runs and leaves with exit code "
              "72; droverd starts another one.",
      .remedy = "Find out why it was out of reach: a suspended machine, a stopped process, a "
                "network that was cut." },
    { .name = "worker.found",
      .id = "4d5853222d7147799cc472b2c8102d7e",
      .subject = "A worker of the last master was found on the scoreboard",
      .what = "The last master has died, and this is one of its workers. What is left of it "
              "is ended and seen dead; then the jobs it ran, which the line shows, are given "
              "back without being counted against them." },
    { .name = "worker.ready",
      .id = "b95870d56202e9042164b1c4cb3ae133",
      .subject = "A worker is ready",
      .what = "A worker process of queue @QUEUE@ is connected, its handlers are ready, and it "
              "runs jobs. The line comes from the worker and from droverd." },
    { .name = "worker.recovered",
      .id = "3b71c50c75f1d2179d81ac27c40b658d",
      .subject = "The jobs of a dead process are back",
      .what = "The jobs of a worker process that died were given back: `given_back` wait again "
              "at the front of their queue, `failed` have failed because that was once too "
              "often (max_givebacks).",
      .remedy = "Nothing about the jobs. worker.exited before it says how the process died." },
    { .name = "worker.resized",
      .id = "6a19802379ab2f80e165b6b8272f93bf",
      .subject = "A worker runs more or fewer jobs at once",
      .what = "The share of the worker of queue @QUEUE@ in the queue's concurrency has changed, "
              "by a reload or by drover scale." },
    { .name = "worker.started",
      .id = "603fe6b396a762c7926cb2bd1a0eb04e",
      .subject = "A worker has started",
      .what = "A worker process of queue @QUEUE@ has started. It connects to Redis and starts "
              "its programs; worker.ready follows." },
    { .name = "worker.unclosed",
      .id = "2f606f65651f1f5f6568e2d5e5bdc276",
      .subject = "A worker ends with something unclosed",
      .what = "The worker of queue @QUEUE@ is done, but a connection or a handler did not close "
              "in time. It leaves anyway, and droverd ends what is left.",
      .remedy = "Nothing, when it happens once. When it repeats, please report it." },
};
const size_t log_events_workers_count = sizeof log_events_workers / sizeof log_events_workers[0];
