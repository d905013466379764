/* Events that droverd tells, and those of the log itself. An id is never changed; a row is never
 * used for another event. */
#include "common/base/log_events.h"

const struct log_event log_events_master[] = {
    { .name = "channel.frame_ignored",
      .id = "0c3a913c7e27d44950529e9b00915cae",
      .subject = "A message between droverd and a worker was ignored",
      .what = "A message on the channel between droverd and a worker is of an unknown kind or "
              "version. It is ignored.",
      .remedy = "Restart drover, so that droverd and its workers are of one version." },
    { .name = "config.finding",
      .id = "e23b8a57fc9b2bf60a73fa5b9f94206e",
      .subject = "Something in the configuration",
      .what = "A finding about the configuration, with file, line and column. Errors keep the "
              "configuration from being used; warnings do not.",
      .remedy = "Correct the place that the line names; `drover check` shows all findings at "
                "once." },
    { .name = "control.accept_failed",
      .id = "82aa5023498b09bdf3cd35ac71622252",
      .subject = "The control socket takes no connection for a moment",
      .what = "droverd could not accept a connection on its control socket, most likely for "
              "want of descriptors. It tries again in a moment; queues are served meanwhile.",
      .remedy = "Look at LimitNOFILE= of the unit, and at who opens so many connections." },
    { .name = "control.asked",
      .id = "5591dbe3c0e7208867f5855c4eb0fe51",
      .subject = "Somebody asked for a change",
      .what = "Somebody asked droverd through its control socket to change something. `uid` and "
              "`pid` name the asker." },
    { .name = "control.client_dropped",
      .id = "65f7d17f66dedea8d3f1616208daccca",
      .subject = "A client of the control socket was dropped",
      .what = "A client of the control socket did not read what it had asked for. Its "
              "connection was closed." },
    { .name = "control.opened",
      .id = "22dc5927c494367d2c4dfb2dcedd1cbe",
      .subject = "The control socket is open",
      .what = "droverd listens on its control socket; shown at level debug." },
    { .name = "control.unavailable",
      .id = "ebe0d06e9c7aa3d8424ce53922b52ba9",
      .subject = "There is no control socket",
      .what = "droverd could not open its control socket. Queues are served all the same, and "
              "SIGHUP and SIGTERM work; drover ps, reload and scale do not.",
      .remedy = "See the reason, and `control` in the configuration: its directory must be "
                "there, and droverd must be allowed to write to it." },
    { .name = "droverd.draining",
      .id = "79adc1a79f9fb69da588908b910669e5",
      .subject = "droverd stops: jobs finish",
      .what = "droverd was asked to stop. Nothing is fetched any more; jobs that run may go on "
              "for stop.drain_timeout, and those still running then go back to the front of "
              "their queue without an attempt." },
    { .name = "droverd.failed",
      .id = "111229b2c3a48c361503a42bddc17836",
      .subject = "droverd cannot start",
      .what = "droverd could not do what it needs before it can serve, or something is left "
              "open at its end.",
      .remedy = "Read the reason." },
    { .name = "droverd.gave_up",
      .id = "205c2f10cae0747c254b6d1996e50c0e",
      .subject = "No worker can work",
      .what = "Every worker ended with an exit code after which another start cannot help, so "
              "droverd ends too. systemd does not start it again when the configuration is at "
              "fault.",
      .remedy = "worker.never_restarted names each, and each worker's own last line says what "
                "is wrong. Correct it, then start the unit." },
    { .name = "droverd.killing",
      .id = "3a2c0be055f33fad5a7d0dfb573d055a",
      .subject = "droverd stops: everything is killed",
      .what = "droverd was asked to stop for the third time. Workers and their handlers are "
              "killed; their jobs are given back by the next droverd." },
    { .name = "droverd.not_subreaper",
      .id = "bd0aee8a46a908d7eee09f221093d8c7",
      .subject = "Orphaned processes cannot be collected",
      .what = "The kernel did not let droverd collect the processes that its workers leave "
              "behind. They go to process 1.",
      .remedy = "Look at the reason: a very old kernel or an unusual sandbox." },
    { .name = "droverd.ready",
      .id = "733b50844fb8e4f20cbe4af05effa800",
      .subject = "drover is ready",
      .what = "The workers of every queue are ready, and run jobs." },
    { .name = "droverd.runs_as_root",
      .id = "df8dcd914720497abfa6326d74ef57de",
      .subject = "Workers and their handlers run as root",
      .what = "droverd was started as root and `user` is not set: worker processes stay root, "
              "and so do handlers without a user of their own.",
      .remedy = "Set `user`, as the drop-in users.conf does, or start droverd as another user." },
    { .name = "droverd.started",
      .id = "5b32505b03dd2d87a5726a539b383a5a",
      .subject = "droverd has started",
      .what = "droverd has read its configuration and starts its workers." },
    { .name = "droverd.stopped",
      .id = "73c3c6d263bcd12b2f37bb8d563850cc",
      .subject = "droverd has stopped",
      .what = "droverd and all its workers have ended. `killed` workers had to be killed." },
    { .name = "droverd.stopping",
      .id = "42c8c3030e7ab8f77b3eb0a5a9373fb7",
      .subject = "droverd stops: jobs are interrupted",
      .what = "droverd was asked to stop for the second time, or the time to drain is over. "
              "Jobs that run are ended and go back to the front of their queue without an "
              "attempt." },
    { .name = "log.interrupted",
      .id = "00b745d07ea346e0cba5addcd1f22d14",
      .subject = "Log lines went elsewhere, or were lost",
      .what = "The journal or the log's reader did not take every line. `on_stderr` lines went "
              "to standard error instead, `lost` lines are nowhere. Nothing waited for it: jobs "
              "are more important than lines.",
      .remedy = "Look at whether systemd-journald was restarted or overloaded, or whether the "
                "log's disk is full." },
    { .name = "log.suppressed",
      .id = "b06acb61279236fef738e6e030102b78",
      .subject = "Repeated log lines were left out",
      .what = "The event that `repeated` names was logged as often as log.burst allows within "
              "log.interval. `count` more were left out; the first ones are in the log.",
      .remedy = "Look at the lines that are there. `log.burst: none` switches the limit off, "
                "and journald has one of its own (RateLimitBurst= in journald.conf(5))." },
    { .name = "orphan.killed",
      .id = "47c20825353b2bc3303ad151853d6c2a",
      .subject = "Left-over processes are killed",
      .what = "At its end droverd found processes that workers or handlers had left behind. "
              "They were killed.",
      .remedy = "Nothing, when it is over. A handler that starts programs in sessions of their "
                "own leaves such processes." },
    { .name = "orphan.reaped",
      .id = "4f66371577187d73097c4e6c5226e473",
      .subject = "A left-over process has ended",
      .what = "A process that a worker had left behind has ended and was collected; shown at "
              "level debug." },
    { .name = "pool.given_up",
      .id = "65eeec37ee41df10df4cc40b69dda6c7",
      .subject = "A queue is not served",
      .what = "Every worker of queue @QUEUE@ ended with an exit code after which another start "
              "cannot help. The queue's jobs wait.",
      .remedy = "worker.never_restarted and the worker's own last line say what is wrong. "
                "Correct it, then reload: that tries again." },
    { .name = "pool.gone",
      .id = "a87f08df9342f938f590962503eb8a8a",
      .subject = "A queue that was taken out is gone",
      .what = "The last worker of queue @QUEUE@, which is no longer in the configuration, has "
              "ended." },
    { .name = "pool.not_ready",
      .id = "d1ac0e69768fd24fd42562001a96df05",
      .subject = "New workers are not ready",
      .what = "The new workers of queue @QUEUE@ were not ready in time after a change.",
      .remedy = "The log lines of the new workers, which have the new generation, say why." },
    { .name = "pool.not_replaced",
      .id = "d87103660f355d3e709e8f750e92fd02",
      .subject = "A queue's workers were not replaced",
      .what = "New workers of queue @QUEUE@ did not become ready after a change of the "
              "configuration. They were ended; the old ones go on with the old configuration.",
      .remedy = "The log lines of the new workers, which have the new generation, say why. "
                "Correct it and reload again." },
    { .name = "pool.ready",
      .id = "4f212c8e2bffc8e5ae980acd8ce624d5",
      .subject = "A queue is served",
      .what = "All workers of queue @QUEUE@ are ready." },
    { .name = "pool.removed",
      .id = "d6611b224b22343e4801edeba068513e",
      .subject = "A queue was taken out",
      .what = "Queue @QUEUE@ is no longer in the configuration. Its workers finish their jobs "
              "and end." },
    { .name = "pool.replaced",
      .id = "2a1cd938ebbd1e97ff37854a6b734278",
      .subject = "A queue's workers were replaced",
      .what = "The new workers of queue @QUEUE@ are ready and run jobs; the old ones finish "
              "theirs and end." },
    { .name = "pool.replacing",
      .id = "af6883e6c9c1ca4edf18a280359a00e8",
      .subject = "A queue's workers are being replaced",
      .what = "A change of the configuration needs new workers for queue @QUEUE@. They start "
              "beside the old ones." },
    { .name = "pool.resized",
      .id = "bc90c5849f1145f0c9266b231731c68a",
      .subject = "A queue's concurrency has changed",
      .what = "Queue @QUEUE@ runs another number of jobs at once from now on; what runs was not "
              "interrupted." },
    { .name = "pool.returned",
      .id = "5ba0e2185241afd81b32f46cb18b7d26",
      .subject = "A queue is back",
      .what = "Queue @QUEUE@, which had been taken out, is in the configuration again before "
              "its last worker had ended." },
    { .name = "pool.scaled",
      .id = "26eb4f34d0fe07fc12a1cbbe90bee608",
      .subject = "A queue was scaled",
      .what = "Somebody set another concurrency for queue @QUEUE@ on this host by drover scale. "
              "It holds until the next reload, or longer when `kept` is true." },
    { .name = "pool.started",
      .id = "832df6189d44c8e4065da52a29701607",
      .subject = "A queue's workers are started",
      .what = "The workers of queue @QUEUE@ are being started." },
    { .name = "processes.unreadable",
      .id = "f28c2fd77ed40f73878a6e0c3b141c25",
      .subject = "The list of processes cannot be read",
      .what = "droverd cannot read /proc, so it cannot see whether processes of a dead worker "
              "still live. Their jobs come back when their locks expire.",
      .remedy = "Look at how /proc is mounted for the unit (ProtectProc=, ProcSubset=, "
                "hidepid)." },
    { .name = "recovery.delayed",
      .id = "997650ce091603840fd187fe4d269d67",
      .subject = "Giving back a dead process' jobs takes long",
      .what = "The jobs of a dead worker process of queue @QUEUE@ are not given back yet, "
              "although workers were asked to. It is asked again until it is done.",
      .remedy = "Look at whether Redis answers: redis.lost, redis.refused." },
    { .name = "recovery.left",
      .id = "1fc31a03be405248360e946e804323b2",
      .subject = "Jobs of a dead process are left for later",
      .what = "droverd ends before the jobs of a dead worker process of queue @QUEUE@ could be "
              "given back. The next droverd of this host does it; without one, they come back "
              "when their locks expire." },
    { .name = "recovery.refused",
      .id = "563148c5e677b548b361529c951c0ebb",
      .subject = "Jobs of a dead process are left to their locks",
      .what = "droverd cannot have the jobs of a dead worker process of queue @QUEUE@ given "
              "back. They come back when their locks expire.",
      .remedy = "Read the reason." },
    { .name = "recovery.waits",
      .id = "8b0c3d3d554e6ff83aef8be461bac7c5",
      .subject = "Nobody can give back a dead process' jobs yet",
      .what = "No worker that serves the Redis of queue @QUEUE@ is there and free to give back "
              "the jobs of a dead process. It is done as soon as there is one.",
      .remedy = "Look at why the queue's workers do not start: worker.restart_delayed, "
                "redis.refused." },
    { .name = "reload.abandoned",
      .id = "d664bf59e0e85fd46eafa156c9b9cacc",
      .subject = "A reload was abandoned",
      .what = "droverd stops, so the reload that was under way was given up." },
    { .name = "reload.accepted",
      .id = "628ed1abfbf8031243368c6cc91d47c9",
      .subject = "A new configuration is in force",
      .what = "The changed files are right. What differs is being applied, queue by queue; "
              "reload.done says how it went. Keys named by `needs_restart` count from the next "
              "start of droverd on." },
    { .name = "reload.done",
      .id = "17621de42adbe3adcc269cef141d207e",
      .subject = "A reload is done",
      .what = "The changes of the configuration are applied. `failed` queues could not be "
              "changed and go on as before.",
      .remedy = "Nothing, when `failed` is 0. Otherwise see pool.not_replaced and reload.failed "
                "before it." },
    { .name = "reload.failed",
      .id = "1a8489d6d7cefc5648479eb354a04973",
      .subject = "A queue could not be changed",
      .what = "A change of the configuration could not be applied to queue @QUEUE@, which goes "
              "on as before.",
      .remedy = "Read the reason." },
    { .name = "reload.ignored",
      .id = "6dd9110fec49f1852d1ef1202cb32689",
      .subject = "A reload was not begun",
      .what = "droverd stops, so a reload that was asked for was not begun." },
    { .name = "reload.refused",
      .id = "dcee4d578b33855ee214e21bcb931143",
      .subject = "A new configuration was refused",
      .what = "The changed files have errors. Nothing has changed; drover goes on with the "
              "configuration that it has.",
      .remedy = "The lines config.finding before it name each place. Correct them and reload "
                "again; `drover check` tells beforehand." },
    { .name = "scoreboard.kept",
      .id = "e303ab21cc4d4de1a6d9fcdcf2ba2864",
      .subject = "The scoreboard of the last master goes on",
      .what = "systemd has kept the scoreboard over a restart. Totals go on, and what the "
              "last master's workers left is looked at." },
    { .name = "scoreboard.refused",
      .id = "df53c896ff674701abc55a7e53e203ff",
      .subject = "The kept scoreboard cannot be used",
      .what = "systemd passed a scoreboard that is of another version or damaged; the line "
              "says which. droverd takes it out of systemd's store and begins a new one: "
              "totals begin anew, and jobs of dead workers are found through Redis." },
    { .name = "scoreboard.unread",
      .id = "b568a3ee402d4571a2f9148f8b3d2bff",
      .subject = "The kept scoreboard could not be looked at",
      .what = "There was no memory to look at what the last master's workers left. Their jobs "
              "are found through Redis.",
      .remedy = "Look at the host's memory." },
    { .name = "slot.changed",
      .id = "0c207b6287d84a503af1a1af2520202d",
      .subject = "A worker's place changed its state",
      .what = "A step in the life of a worker of queue @QUEUE@ as droverd sees it, shown at "
              "level debug." },
    { .name = "systemd.fd_closed",
      .id = "ac075cff5297404481e779936ad97278",
      .subject = "A descriptor was passed that drover does not know",
      .what = "Whoever started droverd passed it an open descriptor that is not one of its "
              "own. It was closed.",
      .remedy = "Look at the unit for sockets and stored descriptors that do not belong there." },
    { .name = "systemd.fds_ignored",
      .id = "39d580918180484fa46ba5c9f6365747",
      .subject = "The passed descriptors cannot be counted",
      .what = "LISTEN_FDS holds no usable number. droverd goes on without what it stands for.",
      .remedy = "Look at what starts droverd." },
    { .name = "systemd.not_told",
      .id = "dc0700fdcda6de5e1938e19ef5c4540e",
      .subject = "systemd could not be told",
      .what = "A notification could not be sent to systemd. Its view of the service may be old "
              "until the next one.",
      .remedy = "Look at the reason, and at NotifyAccess= of the unit." },
    { .name = "totals.full",
      .id = "11a4aabffc93436c93c3e061484767ce",
      .subject = "There is no room for the totals of one more queue",
      .what = "The scoreboard counts for as many queues as it can. This queue is served, and "
              "its totals are not kept." },
    { .name = "watchdog.armed",
      .id = "1de53df8ef07467cbcb7c4ef5b09977f",
      .subject = "systemd watches over droverd",
      .what = "droverd tells systemd twice in WatchdogSec= that it makes progress, as long as "
              "it does." },
    { .name = "watchdog.resumed",
      .id = "2bff205631aa4a41995e581184a7de78",
      .subject = "droverd makes progress again",
      .what = "What the watchdog found stuck goes on; systemd is told so." },
    { .name = "watchdog.unusable",
      .id = "df603705bce44856bc3107799cd5639f",
      .subject = "The watchdog's time cannot be read",
      .what = "WATCHDOG_USEC holds no usable number; systemd is told nothing of progress.",
      .remedy = "Look at WatchdogSec= of the unit." },
    { .name = "watchdog.withheld",
      .id = "004401694ee240dba33e802aab44a3a7",
      .subject = "droverd does not make progress",
      .what = "Something in the master is stuck; the line names it. systemd is no longer told "
              "of progress, so it ends droverd when WatchdogSec= is over and starts it again; "
              "its jobs come back.",
      .remedy = "Keep the journal of this time, and report it." },
    { .name = "worker.draining",
      .id = "c23857b73a4f26c57c94133fe8e478be",
      .subject = "A worker drains",
      .what = "droverd has asked a worker of queue @QUEUE@ to fetch nothing more and to finish "
              "its jobs." },
    { .name = "worker.exited",
      .id = "1ae629ab0826689742c023e8ead8386d",
      .subject = "A worker process has ended",
      .what = "A worker process of queue @QUEUE@ has ended. `cause` names its exit code or the "
              "signal that killed it. When nobody had asked it to end, its jobs are given back "
              "and another one is started.",
      .remedy = "Nothing, when `asked` is true. Otherwise the worker's own last lines, or the "
                "kernel's about want of memory, say why." },
    { .name = "worker.killed",
      .id = "f95477c1ad4595370d4330d530634488",
      .subject = "A worker process was killed",
      .what = "droverd has killed a worker process of queue @QUEUE@, with all that it had "
              "started, for the reason that the line shows. Its jobs are given back.",
      .remedy = "Read the reason: a worker that does not become ready within start.timeout, or "
                "does not end in time." },
    { .name = "worker.left_over_alive",
      .id = "ac01c32c0128037098aa1652a3105195",
      .subject = "Processes of a dead worker do not die",
      .what = "What a dead worker of queue @QUEUE@ had started was killed and still lives, so "
              "it may still act. Its jobs are not given back now, but when their locks expire.",
      .remedy = "Look at the processes' state (`ps -o stat,wchan`): a network file system or a "
                "device that does not answer is the usual cause." },
    { .name = "worker.never_restarted",
      .id = "534b6a427da31419cbbb0e7dab255ae9",
      .subject = "A worker is not started again",
      .what = "A worker process of queue @QUEUE@ ended with an exit code after which another "
              "start cannot help.",
      .remedy = "The worker's own last line says what is wrong. Correct it, then reload or "
                "restart the service." },
    { .name = "worker.not_told",
      .id = "6706ba48aa960c51fb31b9e69524fe6a",
      .subject = "A worker could not be told",
      .what = "droverd could not send a message to a worker. Deadlines make up for it." },
    { .name = "worker.restart_delayed",
      .id = "6525a102354abee02a47cdfc0ea18448",
      .subject = "A worker is started again after a wait",
      .what = "A worker process of queue @QUEUE@ died soon after its start. The next start "
              "waits, longer with each such death in a row.",
      .remedy = "The worker's own last line says why it ends." },
    { .name = "worker.spawn_failed",
      .id = "0a343e9f3edd022bbc06cfbba0b73ffa",
      .subject = "A worker could not be started",
      .what = "The kernel did not let droverd start a worker process of queue @QUEUE@. It is "
              "tried again after a wait.",
      .remedy = "Read the reason: too many processes (TasksMax=), no memory, or a drover-worker "
                "that is not there." },
    { .name = "worker.spawned",
      .id = "3cd3d58da7e084f3454b1380865da3b5",
      .subject = "A worker process was started",
      .what = "droverd has started a worker process of queue @QUEUE@. It must be ready within "
              "start.timeout." },
    { .name = "worker.stopping",
      .id = "035942839fc58c2aaed4d2176a55493f",
      .subject = "A worker is stopped",
      .what = "droverd has asked a worker of queue @QUEUE@ to end its jobs' handlers now and to "
              "give the jobs back." },
};
const size_t log_events_master_count = sizeof log_events_master / sizeof log_events_master[0];
