"""service.py - a drover unit under a real systemd: what every test in tests/systemd stands on.

The unit files are the ones that the build makes. Programs, configuration and drop-ins lie in /run, which is the
throw-away systemd's own (tests/support/with-systemd), so a test leaves nothing behind on the machine.

    class Mine(service.Unit):
        dropin = "DynamicUser=yes\n"     # more lines of [Service] for the drop-in that names the built programs

        def test_runs(self):
            self.configure({"q": {"handler": "noop"}})
            service.systemctl("start", "drover")
"""

import json
import os
import shutil
import subprocess

import rig

HOME = "/run/drover-test"
UNITS = "/run/systemd/system"
PROGRAMS = ("droverd", "drover-worker", "drover-exec", "drover")


def systemctl(*words, check=True):
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"systemctl {' '.join(words)}: {done.returncode}\n{done.stderr}\n{journal()}")
    return done


def show(name, unit="drover"):
    return systemctl("show", unit, "--value", "-p", name).stdout.strip()


def journalctl(*words):
    return subprocess.run(["journalctl", "--no-pager", *words], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, check=False).stdout


def journal(unit="drover"):
    """What the unit has logged since this test began."""
    return journalctl("-u", unit, "-o", "cat", f"--after-cursor={Unit.journal_begin}")


def events(name, unit="drover"):
    """The log lines of this event, where the configuration says log.format json (which configure() does)."""
    found = []
    for line in journal(unit).splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and row.get("event") == name:
            found.append(row)
    return found


def worker_pids(unit="drover"):
    master = int(show("MainPID", unit))
    return sorted(p.pid for p in rig.all_processes() if p.ppid == master and p.alive)


class Unit(rig.Case):
    """The unit with the built programs, a Redis that any user may talk to, and a folder that handlers may write."""

    journal_begin = ""
    user = "DynamicUser=yes\n"  # systemd invents the user drover, so that none is made on this machine
    dropin = ""
    redis_options = ()

    def setUp(self):
        super().setUp()
        Unit.journal_begin = journalctl("-n", "0", "--show-cursor").rpartition("cursor: ")[2].strip()
        shutil.rmtree(HOME, ignore_errors=True)
        self.shared = os.path.join(HOME, "shared")  # handlers write here, as whatever user systemd gives them
        for folder in (HOME, self.shared):
            os.makedirs(folder, exist_ok=True)
        os.chmod(self.shared, 0o777)
        for name in PROGRAMS:
            shutil.copy2(rig.program(name), HOME)
        self.server = rig.RedisServer(HOME, options=["--unixsocketperm", "777", *self.redis_options]).start()
        self.servers.append(self.server)
        self.install("drover")
        self.configure({"q": {"concurrency": 2, "handler": "noop"}})

    def install(self, unit, text=""):
        """Puts systemd/<unit>.service of the build into place, with a drop-in for the built programs and `text`."""
        path = os.path.join(UNITS, f"{unit}.service")
        shutil.copy(os.path.join(rig.BUILD, "systemd", f"{unit}.service"), path)
        os.makedirs(path + ".d", exist_ok=True)
        with open(os.path.join(path + ".d", "test.conf"), "w") as file:
            file.write("[Unit]\nConditionPathExists=\n"
                       f"[Service]\nExecStart=\nExecStart={HOME}/droverd -c {HOME}/drover.yaml\n{self.user}"
                       f"ExecReload=\nExecReload={HOME}/drover reload --socket /run/drover/control\n"
                       f"ReadWritePaths={self.shared}\n{self.dropin}{text}")
        systemctl("daemon-reload")
        self.addCleanup(self.stop, unit)

    def stop(self, unit="drover"):
        systemctl("stop", unit, check=False)
        systemctl("reset-failed", unit, check=False)

    def configure(self, queues, name="drover.yaml", **more):
        config = {"redis": {"default": {"url": self.server.url}}, "start": {"timeout": "60s"}, "queues": queues,
                  "log": {"format": "json"}, **more}
        with open(os.path.join(HOME, name), "w") as file:
            json.dump(config, file)

    def logged(self, text, unit="drover"):
        """The unit's log has this, or will have it in a moment: journald reads behind."""
        rig.wait_until(lambda: text in journal(unit), 10, lambda: f"{text} in the log:\n{journal(unit)}")

    def wait_state(self, wanted, unit="drover"):
        rig.wait_until(lambda: show("ActiveState", unit) == wanted, 20,
                       lambda: f"unit {wanted}, it is {show('ActiveState', unit)}\n{journal(unit)}")
