"""The master under a real systemd: status line, reload, watchdog, kept scoreboard, more time."""

import collections
import glob
import json
import os
import signal
import subprocess
import time

import rig
import service
from producer import Producer
from queue_view import QueueView
from rig import wait_until
from service import events, journal, show, systemctl, worker_pids

CONTROL = "/run/drover/control"
STORE = "FileDescriptorStoreMax=8\nRuntimeDirectoryPreserve=restart\nOOMPolicy=continue\nDelegate=yes\n"


class Service(service.Unit):
    dropin = STORE

    def setUp(self):
        super().setUp()
        self.runs = os.path.join(self.shared, "runs")
        self.go = os.path.join(self.shared, "go")
        open(self.runs, "w").close()
        os.chmod(self.runs, 0o666)

    # ---- a handler that keeps books, and holds a lock that the kernel drops when it dies

    def handler(self, until=None):
        """Runs until the file `go` is there, or that shell command is done."""
        wait = until or f"until [ -e {self.go} ]; do sleep 0.02 9>&-; done"
        script = (f"exec 9>{self.shared}/lock-$DROVER_JOB_ID; flock -n 9 || echo twice $DROVER_JOB_ID >>{self.runs}; "
                  f"echo start $DROVER_JOB_ID >>{self.runs}; {wait}; echo end $DROVER_JOB_ID >>{self.runs}; echo 1")
        return {"exec": ["/bin/sh", "-c", script]}

    def booked(self, what):
        with open(self.runs) as file:
            return [line.split()[1] for line in file if line.startswith(what + " ")]

    def produce(self, count, queue="q", **opts):
        return Producer(self.server.client(), queue).many(count, **opts)

    def finish(self, ids, queue="q", deadline=40):
        """Lets all run to their end; each ended once, none ran twice at the same time."""
        open(self.go, "w").close()
        wait_until(lambda: sorted(QueueView(self.server.client(), queue).ids("completed")) == sorted(ids), deadline,
                   lambda: f"{QueueView(self.server.client(), queue).counts()}\n{journal()}")
        self.assertEqual([], self.booked("twice"))
        self.assertEqual({job: 1 for job in ids}, dict(collections.Counter(self.booked("end"))))

    def wait_running(self, count):
        wait_until(lambda: len(self.booked("start")) >= count, 20, journal)

    # ---- looking

    def ps(self, socket=CONTROL):
        done = rig.Cli()("ps", "--json", "--socket", socket)
        self.assertEqual(0, done.code, done)
        return json.loads(done.out)

    def totals(self, queue="q", socket=CONTROL):
        """What was done so far, and by how many starts of droverd."""
        answer = self.ps(socket)
        return next(row for row in answer["totals"] if row["queue"] == queue), answer["starts"]

    def wait_status(self, *texts):
        wait_until(lambda: all(text in show("StatusText") for text in texts), 15,
                   lambda: f"{texts} in the status; it is: {show('StatusText')}\n{journal()}")

    def slow_workers(self):
        """Each worker waits for the file `up` before it starts; `seen` counts those that do."""
        up, seen = os.path.join(self.shared, "up"), os.path.join(self.shared, "seen")
        real = os.path.join(service.HOME, "real")
        os.makedirs(real)
        for name in ("drover-worker", "drover-exec"):
            os.rename(os.path.join(service.HOME, name), os.path.join(real, name))
        with open(os.path.join(service.HOME, "drover-worker"), "w") as file:
            file.write(f"#!/bin/sh\necho >>{seen}\nuntil [ -e {up} ]; do sleep 0.02; done\n"
                       f'exec {real}/drover-worker "$@"\n')
        os.chmod(os.path.join(service.HOME, "drover-worker"), 0o755)
        return up, seen


class StatusLine(Service):
    def test_numbers_are_right_while_all_slots_are_busy(self):
        self.configure({"q": {"concurrency": 2, "handler": self.handler()}, "r": {"concurrency": 3, "handler": "noop"}})
        self.server.client().cmd("HSET", "bull:r:meta", "paused", 1)
        now_ms = int(time.time() * 1000)
        self.produce(2)
        self.produce(1, timestamp=now_ms - 200_000)
        self.produce(4)
        self.produce(3, priority=5)
        self.produce(5, queue="r")  # stock clients of version 5 put them into `paused`
        systemctl("start", "drover")
        self.wait_status("2 queues, 2/5 busy, 13 waiting, oldest 3m", ", generation 1")
        counted = rig.Cli()("status", "--json", "-c", f"{service.HOME}/drover.yaml").json["queues"]
        self.assertEqual(13, sum(queue["waiting"] + queue["prioritized"] for queue in counted), "as drover status counts")
        self.produce(20)  # nothing is fetched now: only the renewals tell
        self.wait_status("2/5 busy, 33 waiting")
        open(self.go, "w").close()
        self.wait_status("0/5 busy, 5 waiting")
        self.server.client().cmd("DEL", "bull:r:paused")
        self.wait_status("2 queues, 0/5 busy, 0 waiting, generation 1")
        self.assertNotIn(";", show("StatusText"))

    def test_says_what_is_wrong(self):
        self.configure({"q": {"concurrency": 2, "handler": "noop"}})
        systemctl("start", "drover")
        self.wait_status("0/2 busy")
        self.server.kill()
        self.wait_status("; Redis away: q")
        self.server.start()
        wait_until(lambda: ";" not in show("StatusText"), 20, lambda: show("StatusText"))

    def test_starting_and_draining(self):
        up, seen = self.slow_workers()
        self.configure({"q": {"concurrency": 2, "handler": self.handler()}})
        ids = self.produce(2)
        systemctl("start", "--no-block", "drover")
        wait_until(lambda: os.path.exists(seen), 10, journal)
        self.wait_status("; starting: 0 of 1 workers ready")
        open(up, "w").close()
        self.wait_state("active")
        self.wait_running(2)
        systemctl("stop", "--no-block", "drover")
        self.wait_status("; draining: 2 jobs left, ", " s left")
        self.finish(ids)
        self.wait_state("inactive")


class Reload(Service):
    def setUp(self):
        super().setUp()
        self.up, self.seen = self.slow_workers()
        open(self.up, "w").close()
        self.configure({"q": {"handler": "noop"}})
        systemctl("start", "drover")
        os.unlink(self.up)
        os.unlink(self.seen)
        self.configure({"q": {"handler": "noop", "attempts": 7}})

    def test_systemctl_waits_and_the_state_says_so(self):
        with subprocess.Popen(["systemctl", "reload", "drover"], stdin=subprocess.DEVNULL) as waiting:
            wait_until(lambda: os.path.exists(self.seen), 10, journal)
            self.assertEqual("reloading", show("ActiveState"))
            self.wait_status("; reloading")
            self.assertIsNone(waiting.poll())
            open(self.up, "w").close()
            self.assertEqual(0, waiting.wait(20 * rig.PATIENCE))
        self.assertEqual("active", show("ActiveState"))
        self.assertIn("generation 2", show("StatusText"))
        self.assertNotIn("reloading", show("StatusText"))

    def test_a_signal_by_hand_does_the_same(self):
        os.kill(int(show("MainPID")), signal.SIGHUP)
        self.wait_state("reloading")
        wait_until(lambda: os.path.exists(self.seen), 10, journal)
        self.assertEqual("reloading", show("ActiveState"))
        open(self.up, "w").close()
        self.wait_state("active")
        self.assertIn("generation 2", show("StatusText"))

    def test_a_refused_one_fails_with_its_reason_and_changes_nothing(self):
        with open(os.path.join(service.HOME, "drover.yaml"), "w") as file:
            file.write("queues:\n  q: {concurency: 2, handler: noop}\n")
        self.assertNotEqual(0, systemctl("reload", "drover", check=False).returncode)
        self.assertEqual(("active", "exit-code"), (show("ActiveState"), show("ReloadResult")))
        self.logged("drover.yaml:2:")
        self.assertIn("generation 1", show("StatusText"))
        os.kill(int(show("MainPID")), signal.SIGHUP)
        wait_until(lambda: len(events("reload.refused")) == 2, 10, journal)
        self.wait_state("active")
        self.assertEqual("0", show("NRestarts"))

    def test_a_stop_in_its_middle_ends_it(self):
        os.kill(int(show("MainPID")), signal.SIGHUP)
        wait_until(lambda: os.path.exists(self.seen), 10, journal)
        with subprocess.Popen(["systemctl", "stop", "drover"], stdin=subprocess.DEVNULL) as stopping:
            open(self.up, "w").close()  # or the new worker could not be told to leave
            self.assertEqual(0, stopping.wait(30 * rig.PATIENCE))
        self.assertEqual(("inactive", "success"), (show("ActiveState"), show("Result")))


class Watchdog(Service):
    WATCHDOG_S = 4

    def setUp(self):
        super().setUp()
        self.install("drover", f"WatchdogSec={self.WATCHDOG_S}\n")
        self.configure({"q": {"concurrency": 4, "processes": 2, "handler": self.handler()}})

    def test_a_master_that_hangs_is_replaced_and_its_jobs_run(self):
        ids = self.produce(7)
        systemctl("start", "drover")
        self.wait_running(4)
        master, before = int(show("MainPID")), worker_pids()
        began = time.monotonic()
        os.kill(master, signal.SIGSTOP)
        wait_until(lambda: show("NRestarts") == "1" and show("ActiveState") == "active", 40, journal)
        took_s = time.monotonic() - began
        self.assertEqual(([], []), ([p for p in before if rig.Proc(p).alive], [p for p in [master] if rig.Proc(p).alive]))
        self.assertLess(took_s, self.WATCHDOG_S + 15 * rig.PATIENCE)
        wait_until(lambda: len(self.booked("start")) == 8, 20, journal)  # four of the dead, four of the new ones
        self.finish(ids)
        self.assertEqual(2, self.totals()[1], "the scoreboard outlived it")
        view = QueueView(self.server.client(), "q")
        self.assertEqual({None}, {view.job(job).get("gbc") for job in ids}, "no job is blamed for it")

    def test_a_worker_that_hangs_does_not_trip_it(self):
        self.produce(1)
        systemctl("start", "drover")
        self.wait_running(1)
        master, victim = show("MainPID"), worker_pids()[0]
        os.kill(victim, signal.SIGSTOP)
        self.addCleanup(lambda: rig.send_signal(victim, signal.SIGCONT))
        until = time.monotonic() + 2.5 * self.WATCHDOG_S
        wait_until(lambda: time.monotonic() > until, 4 * self.WATCHDOG_S)  # nothing must happen: only time shows that
        self.assertEqual((master, "0", "active"), (show("MainPID"), show("NRestarts"), show("ActiveState")))
        self.assertEqual([], events("watchdog.withheld"))
        os.kill(victim, signal.SIGCONT)
        open(self.go, "w").close()

    def test_it_is_armed_only_where_the_unit_asks(self):
        systemctl("start", "drover")
        armed = [row for row in events("watchdog.armed") if row["role"] == "droverd"]
        self.assertEqual([(4000, 2000)], [(row["timeout_ms"], row["every_ms"]) for row in armed])


class Kept(Service):
    def setUp(self):
        super().setUp()
        self.configure({"q": {"concurrency": 2, "processes": 2, "handler": self.handler()}})

    def run_jobs(self, count):
        before = len(self.booked("end"))
        self.produce(count)
        open(self.go, "w").close()
        wait_until(lambda: len(self.booked("end")) == before + count, 20, journal)
        wait_until(lambda: QueueView(self.server.client(), "q").ids("active") == [], 10, journal)

    def completed(self):
        totals, starts = self.totals()
        return totals["completed"], starts

    def test_totals_go_on_over_a_restart_and_begin_anew_after_a_stop(self):
        systemctl("start", "drover")
        self.run_jobs(5)
        wait_until(lambda: self.completed() == (5, 1), 10, journal)
        since_ms = self.totals()[0]["since_at_ms"]
        systemctl("restart", "drover")
        wait_until(lambda: self.completed() == (5, 2), 10, journal)
        self.run_jobs(3)
        wait_until(lambda: self.completed() == (8, 2), 10, journal)
        totals = self.totals()[0]
        self.assertEqual((since_ms, 0, True), (totals["since_at_ms"], totals["deaths"], totals["served"]))
        shown = rig.Cli()("ps", "--socket", CONTROL).out
        self.assertIn("over 2 starts of droverd", shown)
        self.assertEqual([], events("worker.found"), "a drain leaves nobody behind")
        systemctl("stop", "drover")
        systemctl("start", "drover")
        wait_until(lambda: self.completed() == (0, 1), 10, journal)

    def test_totals_survive_the_death_of_a_worker(self):
        systemctl("start", "drover")
        self.run_jobs(4)
        os.unlink(self.go)
        self.produce(2)
        self.wait_running(6)
        for pid in worker_pids():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(self.booked("start")) >= 8, 20, journal)
        open(self.go, "w").close()
        wait_until(lambda: self.completed() == (6, 1), 20, journal)
        self.assertEqual(2, self.totals()[0]["deaths"])

    def test_jobs_of_a_killed_master_are_back_by_the_boards_evidence(self):
        ids = self.produce(2)
        systemctl("start", "drover")
        self.wait_running(2)
        dead = {row["uuid"] for row in self.ps()["processes"]}
        redis = self.server.client()
        os.kill(int(show("MainPID")), signal.SIGKILL)
        wait_until(lambda: show("MainPID") == "0" or show("NRestarts") == "1", 10, journal)
        # Without its rows in the registry nobody else can know of them before their locks end, 30 s later.
        for key in redis.scan("drover:*:worker*"):
            redis.cmd("DEL", key)
        began = time.monotonic()
        wait_until(lambda: len(self.booked("start")) == 4, 20, journal)
        took_s = time.monotonic() - began
        self.assertLess(took_s, 20)
        found = events("worker.found")
        self.assertEqual(dead, {row["uuid"] for row in found})
        self.assertEqual(sorted(ids), sorted(job for row in found for job in row["jobs"].split(", ") if job))
        self.assertEqual(2, sum(row["given_back"] for row in events("worker.recovered")))
        self.assertEqual({"q"}, {row["queue"] for row in found})
        self.finish(ids)
        self.assertEqual(2, self.totals()[1])
        self.assertEqual(2, self.totals()[0]["deaths"])

    def test_a_queue_that_is_gone_is_left_to_its_locks_and_said(self):
        self.configure({"q": {"concurrency": 2, "handler": self.handler()}, "r": {"handler": "noop"}})
        self.produce(1)
        systemctl("start", "drover")
        self.wait_running(1)
        self.configure({"r": {"handler": "noop"}})
        os.kill(int(show("MainPID")), signal.SIGKILL)
        wait_until(lambda: show("NRestarts") == "1" and show("ActiveState") == "active", 20, journal)
        wait_until(lambda: len(events("worker.found")) == 2, 10, journal)
        what = {row["queue"]: row["what"] for row in events("worker.found")}
        self.assertIn("not configured any more", what["q"])
        self.assertIn("given back now", what["r"])
        self.assertFalse(self.totals("q")[0]["served"])

    def test_without_a_store_each_start_is_the_first(self):
        self.install("drover", "FileDescriptorStoreMax=0\n")
        systemctl("start", "drover")
        self.run_jobs(2)
        wait_until(lambda: self.completed() == (2, 1), 10, journal)
        systemctl("restart", "drover")
        wait_until(lambda: self.completed() == (0, 1), 10, journal)

    def test_two_units_keep_their_own(self):
        other = os.path.join(service.UNITS, "other.service")
        with open(os.path.join(service.UNITS, "drover.service")) as file:
            text = file.read()
        with open(other, "w") as file:
            file.write(text)
        os.makedirs(other + ".d", exist_ok=True)
        with open(os.path.join(other + ".d", "test.conf"), "w") as file:
            file.write(f"[Unit]\nConditionPathExists=\n[Service]\nExecStart=\nExecStart={service.HOME}/droverd -c {service.HOME}/other.yaml\n"
                       f"{self.user}User=other\nGroup=other\nRuntimeDirectory=\nRuntimeDirectory=other\n"
                       f"ReadWritePaths={self.shared}\n{STORE}")
        systemctl("daemon-reload")
        self.addCleanup(self.stop, "other")
        self.configure({"s": {"handler": "noop"}}, name="other.yaml", control="/run/other/control")
        systemctl("start", "drover", "other")
        self.run_jobs(3)
        self.produce(4, queue="s")
        wait_until(lambda: self.totals("s", "/run/other/control")[0]["completed"] == 4, 10, lambda: journal("other"))
        wait_until(lambda: self.completed() == (3, 1), 10, journal)
        systemctl("restart", "other")
        systemctl("restart", "other")
        wait_until(lambda: self.totals("s", "/run/other/control")[1] == 3, 10, lambda: journal("other"))
        self.assertEqual(4, self.totals("s", "/run/other/control")[0]["completed"])
        self.assertEqual((3, 1), self.completed())
        self.assertEqual({"q"}, {row["queue"] for row in self.ps()["totals"]})
        self.assertEqual("0", show("NRestarts"))


class Time(Service):
    def test_a_drain_may_take_longer_than_the_unit_allows(self):
        self.install("drover", "TimeoutStopSec=3\n")
        self.configure({"q": {"concurrency": 1, "handler": self.handler("sleep 10 9>&-")}})
        ids = self.produce(1)
        systemctl("start", "drover")
        self.wait_running(1)
        began = time.monotonic()
        systemctl("stop", "drover")
        self.assertGreater(time.monotonic() - began, 5)
        self.assertEqual(("inactive", "success"), (show("ActiveState"), show("Result")))
        self.finish(ids)

    def test_a_master_that_hangs_in_its_stop_is_ended(self):
        self.install("drover", "TimeoutStopSec=2\n")
        self.configure({"q": {"concurrency": 1, "handler": self.handler()}})
        self.produce(1)
        systemctl("start", "drover")
        self.wait_running(1)
        master = int(show("MainPID"))
        systemctl("stop", "--no-block", "drover")
        self.wait_status("; draining: 1 job left")
        os.kill(master, signal.SIGSTOP)
        wait_until(lambda: show("ActiveState") == "failed", 40, journal)
        self.assertEqual("timeout", show("Result"))

    def test_a_start_may_take_longer_than_the_unit_allows(self):
        self.install("drover", "TimeoutStartSec=2\n")
        up, seen = self.slow_workers()
        systemctl("start", "--no-block", "drover")
        wait_until(lambda: os.path.exists(seen), 10, journal)
        until = time.monotonic() + 5
        wait_until(lambda: time.monotonic() > until, 20)  # longer than TimeoutStartSec: that is what is tested
        self.assertEqual("activating", show("ActiveState"), journal())
        open(up, "w").close()
        self.wait_state("active")
        self.assertEqual("0", show("NRestarts"))

    def test_a_reload_may_take_longer_than_a_start_is_allowed(self):
        self.install("drover", "TimeoutStartSec=2\n")
        up, seen = self.slow_workers()
        open(up, "w").close()
        systemctl("start", "drover")
        os.unlink(up)
        os.unlink(seen)
        self.configure({"q": {"handler": "noop", "attempts": 7}})
        with subprocess.Popen(["systemctl", "reload", "drover"], stdin=subprocess.DEVNULL) as waiting:
            wait_until(lambda: os.path.exists(seen), 10, journal)
            until = time.monotonic() + 5
            wait_until(lambda: time.monotonic() > until, 20)  # likewise
            self.assertIsNone(waiting.poll(), journal())
            open(up, "w").close()
            self.assertEqual(0, waiting.wait(20 * rig.PATIENCE), journal())


class Inherited(Service):
    def test_nothing_of_systemds_reaches_workers_and_handlers(self):
        self.install("drover", "WatchdogSec=60\n")
        env = os.path.join(self.shared, "env")
        self.configure({"q": {"concurrency": 1, "handler": {"exec": ["/bin/sh", "-c", f"env >{env}; ls -l /proc/$$/fd >>{env}; echo 1"]}}})
        systemctl("start", "drover")
        systemctl("restart", "drover")  # now with LISTEN_FDS as well
        ids = self.produce(1)
        wait_until(lambda: QueueView(self.server.client(), "q").ids("completed") == ids, 20, journal)
        with open(f"/proc/{show('MainPID')}/environ") as file:
            master = file.read()
        for name in ("NOTIFY_SOCKET=", "WATCHDOG_USEC=", "LISTEN_FDS="):
            self.assertIn(name, master)
        with open(env) as file:
            texts = [file.read()]
        for pid in worker_pids():
            with open(f"/proc/{pid}/environ") as file:
                texts.append(file.read())
            links = [os.readlink(link) for link in glob.glob(f"/proc/{pid}/fd/*")]
            self.assertEqual([], [link for link in links if "scoreboard" in link], "a worker maps it and lets it go")
        for text in texts:
            for name in ("NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_", "scoreboard"):
                self.assertNotIn(name, text)
