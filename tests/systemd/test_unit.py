"""drover.service under a real systemd (tests/support/with-systemd): start, stop, crash, wrong configuration.

The unit is the one that the build makes, with a drop-in that names the built programs and lets systemd invent the user
drover (DynamicUser), so that the test leaves no user behind. Everything lies in /run, which is this systemd's own.
"""

import json
import os
import shutil
import signal
import subprocess

import rig

HOME = "/run/drover-test"
UNIT = "/run/systemd/system/drover.service"
WORKERS = 2


def systemctl(*words, check=True):
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"systemctl {' '.join(words)}: {done.returncode}\n{done.stderr}\n{journal()}")
    return done


def show(name):
    return systemctl("show", "drover", "--value", "-p", name).stdout.strip()


def journalctl(*words):
    return subprocess.run(["journalctl", "--no-pager", *words], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, check=False).stdout


def journal():
    """What the unit has logged since this test began."""
    return journalctl("-u", "drover", "-o", "cat", f"--after-cursor={Unit.journal_begin}")


def events(name):
    found = []
    for line in journal().splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and row.get("event") == name:
            found.append(row)
    return found


def worker_pids():
    master = int(show("MainPID"))
    return sorted(p.pid for p in rig.all_processes() if p.ppid == master and p.alive)


class Unit(rig.Case):
    journal_begin = ""

    def setUp(self):
        super().setUp()
        Unit.journal_begin = journalctl("-n", "0", "--show-cursor").rpartition("cursor: ")[2].strip()
        shutil.rmtree(HOME, ignore_errors=True)
        self.shared = os.path.join(HOME, "shared")  # handlers write here, as whatever user systemd gives them
        for folder in (HOME, self.shared, UNIT + ".d"):
            os.makedirs(folder, exist_ok=True)
        os.chmod(self.shared, 0o777)
        for name in ("droverd", "drover-worker", "drover-exec", "drover"):
            shutil.copy2(rig.program(name), HOME)
        shutil.copy(os.path.join(rig.BUILD, "systemd", "drover.service"), UNIT)
        with open(os.path.join(UNIT + ".d", "test.conf"), "w") as file:
            file.write(f"[Service]\nExecStart=\nExecStart={HOME}/droverd -c {HOME}/drover.yaml\nDynamicUser=yes\n"
                       f"ExecReload=\nExecReload={HOME}/drover reload --socket /run/drover/control\n"
                       f"ReadWritePaths={self.shared}\n")
        systemctl("daemon-reload")
        self.server = rig.RedisServer(HOME, options=["--unixsocketperm", "777"]).start()
        self.servers.append(self.server)
        self.configure({"q": {"concurrency": 2, "processes": WORKERS, "handler": "noop"}})
        self.addCleanup(self.stop)

    def stop(self):
        systemctl("stop", "drover", check=False)
        systemctl("reset-failed", "drover", check=False)

    def configure(self, queues):
        config = {"redis": {"default": {"url": self.server.url}}, "start": {"timeout": "60s"}, "queues": queues,
                  "log": {"format": "json"}}
        with open(os.path.join(HOME, "drover.yaml"), "w") as file:
            json.dump(config, file)

    def wait_state(self, wanted):
        rig.wait_until(lambda: show("ActiveState") == wanted, 20,
                       lambda: f"unit {wanted}, it is {show('ActiveState')}\n{journal()}")

    def test_ready_only_after_the_workers_are(self):
        # A worker that waits for a file before it starts: until then the unit must not count as started.
        go = os.path.join(self.shared, "go")
        seen = os.path.join(self.shared, "seen")
        real = os.path.join(HOME, "real")
        os.makedirs(real)
        for name in ("drover-worker", "drover-exec"):
            os.rename(os.path.join(HOME, name), os.path.join(real, name))
        with open(os.path.join(HOME, "drover-worker"), "w") as file:
            file.write(f'#!/bin/sh\n: >{seen}\nuntil [ -e {go} ]; do sleep 0.02; done\nexec {real}/drover-worker "$@"\n')
        os.chmod(os.path.join(HOME, "drover-worker"), 0o755)

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
        with open(os.path.join(HOME, "drover.yaml"), "w") as file:
            file.write("queues:\n  q: {concurency: 2, handler: noop}\n")
        self.assertNotEqual(systemctl("start", "drover", check=False).returncode, 0)
        self.assertEqual((show("ActiveState"), show("ExecMainStatus"), show("NRestarts")), ("failed", "78", "0"))
        self.assertIn("drover.yaml:2:", journal())

    def test_reload_waits_and_a_refused_one_fails(self):
        systemctl("start", "drover")
        before = worker_pids()
        self.configure({"q": {"concurrency": 6, "processes": WORKERS, "handler": "noop"}, "new": {"handler": "noop"}})
        systemctl("reload", "drover")
        self.assertEqual(WORKERS + 1, len(worker_pids()), "it was in effect when the command returned")
        self.assertLess(set(before), set(worker_pids()))
        self.assertIn("generation 2", show("StatusText"))
        with open(os.path.join(HOME, "drover.yaml"), "w") as file:
            file.write("queues:\n  q: {concurency: 2, handler: noop}\n")
        self.assertNotEqual(systemctl("reload", "drover", check=False).returncode, 0)
        self.assertEqual(("active", "exit-code"), (show("ActiveState"), show("ReloadResult")))
        self.assertIn("drover.yaml:2:", journal())
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
