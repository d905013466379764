"""drover.service under a real systemd (tests/support/with-systemd): start, stop, crash, wrong configuration."""

import os
import signal

import rig
import service
from service import events, journal, show, systemctl, worker_pids

WORKERS = 2


class Unit(service.Unit):
    def setUp(self):
        super().setUp()
        self.configure({"q": {"concurrency": 2, "processes": WORKERS, "handler": "noop"}})

    def test_ready_only_after_the_workers_are(self):
        # A worker that waits for a file before it starts: until then the unit must not count as started.
        go = os.path.join(self.shared, "go")
        seen = os.path.join(self.shared, "seen")
        real = os.path.join(service.HOME, "real")
        os.makedirs(real)
        for name in ("drover-worker", "drover-exec"):
            os.rename(os.path.join(service.HOME, name), os.path.join(real, name))
        with open(os.path.join(service.HOME, "drover-worker"), "w") as file:
            file.write(f'#!/bin/sh\n: >{seen}\nuntil [ -e {go} ]; do sleep 0.02; done\nexec {real}/drover-worker "$@"\n')
        os.chmod(os.path.join(service.HOME, "drover-worker"), 0o755)

        systemctl("start", "--no-block", "drover")
        rig.wait_until(lambda: os.path.exists(seen), 10, journal)
        self.assertEqual(show("ActiveState"), "activating")
        open(go, "w").close()
        self.wait_state("active")
        self.assertEqual(len([row for row in events("worker.ready") if row["role"] == "droverd"]), WORKERS)

    def test_status_line_tells_the_workers(self):
        systemctl("start", "drover")
        self.assertEqual(show("ActiveState"), "active")
        self.assertEqual(len(worker_pids()), WORKERS)
        self.assertIn(str(WORKERS), show("StatusText"))

    def test_runs_as_its_own_user(self):
        systemctl("start", "drover")
        for pid in [int(show("MainPID")), *worker_pids()]:
            self.assertNotEqual(os.stat(f"/proc/{pid}").st_uid, 0)

    def test_stop_drains_the_running_job(self):
        started, go = os.path.join(self.shared, "started"), os.path.join(self.shared, "go")
        script = f": >{started}; until [ -e {go} ]; do sleep 0.02; done; echo '\"drained\"'"
        self.configure({"q": {"concurrency": 1, "handler": {"exec": ["/bin/sh", "-c", script]}}})
        systemctl("start", "drover")
        added = rig.Cli()("add", "q", "slow", "--redis", self.server.url, "--id", "one")
        self.assertEqual(added.code, 0, added)
        rig.wait_until(lambda: os.path.exists(started), 10, journal)
        systemctl("stop", "--no-block", "drover")
        self.wait_state("deactivating")
        open(go, "w").close()
        self.wait_state("inactive")
        self.assertEqual(show("Result"), "success")
        job = self.server.client().hgetall("bull:q:one")
        self.assertEqual(job.get("returnvalue"), '"drained"', job)

    def test_wrong_configuration_is_not_tried_again(self):
        with open(os.path.join(service.HOME, "drover.yaml"), "w") as file:
            file.write("queues:\n  q: {concurency: 2, handler: noop}\n")
        self.assertNotEqual(systemctl("start", "drover", check=False).returncode, 0)
        self.assertEqual((show("ActiveState"), show("ExecMainStatus"), show("NRestarts")), ("failed", "78", "0"))
        self.logged("drover.yaml:2:")

    def test_reload_waits_and_a_refused_one_fails(self):
        systemctl("start", "drover")
        before = worker_pids()
        self.configure({"q": {"concurrency": 6, "processes": WORKERS, "handler": "noop"}, "new": {"handler": "noop"}})
        systemctl("reload", "drover")
        self.assertEqual(WORKERS + 1, len(worker_pids()), "it was in effect when the command returned")
        self.assertLess(set(before), set(worker_pids()))
        self.assertIn("generation 2", show("StatusText"))
        with open(os.path.join(service.HOME, "drover.yaml"), "w") as file:
            file.write("queues:\n  q: {concurency: 2, handler: noop}\n")
        self.assertNotEqual(systemctl("reload", "drover", check=False).returncode, 0)
        self.assertEqual(("active", "exit-code"), (show("ActiveState"), show("ReloadResult")))
        self.logged("drover.yaml:2:")
        self.assertEqual(WORKERS + 1, len(worker_pids()))
        os.kill(int(show("MainPID")), signal.SIGHUP)  # as ExecReload, but nobody waits
        rig.wait_until(lambda: len(events("reload.refused")) == 2 and show("ActiveState") == "active", 10, journal)

    def test_a_dead_worker_is_not_the_units_death(self):
        systemctl("start", "drover")
        master, before = show("MainPID"), worker_pids()
        os.kill(before[0], signal.SIGKILL)
        rig.wait_until(lambda: len(worker_pids()) == WORKERS and before[0] not in worker_pids(), 10, journal)
        self.assertEqual((show("ActiveState"), show("MainPID"), show("NRestarts")), ("active", master, "0"))
        self.assertIn(before[1], worker_pids())

    def test_a_dead_master_is_started_again_and_nothing_survives_it(self):
        systemctl("start", "drover")
        master, before = int(show("MainPID")), worker_pids()
        os.kill(master, signal.SIGKILL)
        rig.wait_until(lambda: show("NRestarts") == "1" and show("ActiveState") == "active", 20, journal)
        self.assertNotEqual(int(show("MainPID")), master)
        self.assertEqual([pid for pid in before if rig.Proc(pid).alive], [])
        self.assertEqual(len(worker_pids()), WORKERS)
