"""users.conf under a real systemd: a master that is root with four capabilities, workers with less, handlers with none.

The drop-in is the one that is shipped, where the build has it; else what stands below, which is the same.
"""

import json
import os
import re
import shutil
import signal

import rig
import service
from producer import Producer
from service import events, journal, show, systemctl, worker_pids

NOBODY, DAEMON = 65534, 1
KILL, SETGID, SETUID, SYS_RESOURCE = 1 << 5, 1 << 6, 1 << 7, 1 << 24
FOUR = KILL | SETGID | SETUID | SYS_RESOURCE

USERS_CONF = """[Service]
User=root
Group={group}
CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_KILL CAP_SYS_RESOURCE
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateMounts=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
ProcSubset=all
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
UMask=0077
"""

SHOW = r'''#!/usr/bin/python3
import ctypes, json, os, resource, sys
libc = ctypes.CDLL(None, use_errno=True)
def status(name):
    return next(line.split(":")[1].strip() for line in open("/proc/self/status") if line.startswith(name + ":"))
escapes = {"setuid": libc.setuid(0), "setgid": libc.setgid(0), "setresuid": libc.setresuid(0, 0, 0)}
try:
    escapes["shadow"] = open("/etc/shadow").read() and 0
except OSError:
    escapes["shadow"] = -1
escapes["kill"] = libc.kill(os.getppid(), 0)
print(json.dumps({"uids": os.getresuid(), "gids": os.getresgid(), "escapes": escapes, "nice": os.getpriority(os.PRIO_PROCESS, 0),
                  "caps": [int(status(c), 16) for c in ("CapInh", "CapPrm", "CapEff", "CapAmb")], "bounding": int(status("CapBnd"), 16),
                  "no_new_privs": status("NoNewPrivs"), "open_files": resource.getrlimit(resource.RLIMIT_NOFILE)}))
'''


def status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        rows = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    return {"uid": int(rows["Uid"].split()[0]), "gid": int(rows["Gid"].split()[0]), "no_new_privs": rows["NoNewPrivs"],
            **{name: int(rows[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}}


def shipped():
    """The lines of the drop-in that belong to the sandbox; None before there is one."""
    for folder, _, files in os.walk(os.path.join(rig.BUILD, "systemd")):
        if "users.conf" in files:
            with open(os.path.join(folder, "users.conf"), encoding="utf-8") as file:
                return file.read()
    return None


class Users(service.Unit):
    user = ""

    def setUp(self):
        text = shipped() or USERS_CONF.format(group="daemon")
        # The commands name installed programs; Group=drover is not on this machine.
        self.users_conf = re.sub(r"^Exec\w+=.*\n", "", re.sub(r"^Group=.*$", "Group=daemon", text, flags=re.M), flags=re.M)
        super().setUp()
        self.machine = status("self")["CapEff"]  # what a container leaves of root is less everywhere
        self.r = self.server.client()
        with open(os.path.join(service.HOME, "show"), "w", encoding="utf-8") as file:
            file.write(SHOW)
        os.chmod(file.name, 0o755)
        self.show = file.name

    def install(self, unit, text=""):
        super().install(unit, text)
        folder = os.path.join(service.UNITS, f"{unit}.service.d")
        with open(os.path.join(folder, "users.conf"), "w", encoding="utf-8") as file:
            file.write(self.users_conf + f"ReadWritePaths={self.shared}\nExecStart=\n"
                       f"ExecStart={service.HOME}/droverd -c {service.HOME}/drover.yaml --set user=daemon\n")
        systemctl("daemon-reload")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)

    def add(self, *names):
        return Producer(self.r, "q").bulk([(name, {}, {}) for name in names])

    def ended(self, job):
        key = f"bull:q:{job}"
        rig.wait_until(lambda: self.r.cmd("HGET", key, "finishedOn"), 20, journal)
        return self.r.hgetall(key)

    def assert_powerless(self, seen):
        self.assertEqual([0, 0, 0, 0], seen["caps"])
        self.assertEqual(0, seen["bounding"] & ~FOUR, "what the unit leaves cannot be emptied without CAP_SETPCAP …")
        self.assertEqual("1", seen["no_new_privs"], "… and is of no use")
        self.assertEqual({"setuid": -1, "setgid": -1, "setresuid": -1, "shadow": -1, "kill": -1}, seen["escapes"])

    def test_everybody_has_just_what_he_needs(self):
        self.configure({"q": {"concurrency": 2, "types": {
            "other": {"handler": {"exec": [self.show], "user": "nobody"}},
            "own": {"handler": {"exec": [self.show]}}}}, "plain": {"handler": "noop"}})
        systemctl("start", "drover")
        other, own = (json.loads(self.ended(job)["returnvalue"]) for job in self.add("other", "own"))
        self.assertEqual([[NOBODY] * 3] * 2, [other["uids"], other["gids"]])
        self.assertEqual([DAEMON] * 3, own["uids"])
        self.assert_powerless(other)
        own["escapes"]["kill"] = -1  # the worker is of its own user
        self.assert_powerless(own)

        master = status(int(show("MainPID")))
        four = FOUR & self.machine
        self.assertEqual((0, four, four), (master["uid"], master["CapPrm"], master["CapBnd"]))
        workers = {("plain" if b"plain" in open(f"/proc/{pid}/cmdline", "rb").read() else "q"): status(pid) for pid in worker_pids()}
        self.assertEqual({DAEMON}, {worker["uid"] for worker in workers.values()})
        self.assertEqual({"1"}, {worker["no_new_privs"] for worker in workers.values()})
        self.assertEqual([0, 0, 0, 0], [workers["plain"][name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")])
        self.assertEqual([SETUID | SETGID, SETUID | SETGID | KILL, KILL, SETUID | SETGID],
                         [workers["q"][name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")])
        self.assertEqual([], events("droverd.runs_as_root"))
        self.assertEqual(os.stat("/run/drover/control").st_gid, DAEMON, "its group may look")

    def test_raised_limits_and_lower_nice_values(self):
        more = 524288 + 1
        self.configure({"q": {"handler": {"exec": [self.show], "user": "nobody", "nice": -7, "limits": {"open_files": more}}}})
        if not self.machine & SYS_RESOURCE:  # a container's root; then the file is refused, which is right as well
            self.assertNotEqual(0, systemctl("start", "drover", check=False).returncode)
            self.assertEqual("78", show("ExecMainStatus"))
            self.assertEqual(2, journal().count("lacks CAP_SYS_RESOURCE"), journal())
            return
        systemctl("start", "drover")
        (job,) = self.add("show")
        seen = json.loads(self.ended(job)["returnvalue"])
        self.assertEqual((-7, [more] * 2), (seen["nice"], seen["open_files"]))
        self.assert_powerless(seen)

    def test_ordinary_limits_and_nice_values(self):
        self.configure({"q": {"handler": {"exec": [self.show], "user": "nobody", "nice": 7, "limits": {"open_files": 99}}}})
        systemctl("start", "drover")
        (job,) = self.add("show")
        seen = json.loads(self.ended(job)["returnvalue"])
        self.assertEqual((7, [99, 99]), (seen["nice"], seen["open_files"]))

    def test_what_the_unit_does_not_allow_is_refused(self):
        self.users_conf += "CapabilityBoundingSet=\nCapabilityBoundingSet=CAP_SETUID\n"
        self.install("drover")
        self.configure({"q": {"handler": {"exec": ["/bin/true"], "user": "nobody", "limits": {"open_files": 1048576}}}})
        self.assertNotEqual(0, systemctl("start", "drover", check=False).returncode)
        self.assertEqual(("failed", "78", "0"), (show("ActiveState"), show("ExecMainStatus"), show("NRestarts")))
        said = journal()
        self.assertRegex(said, r"drover.yaml:\d+:\d+: error: queues.q.handler.user: nobody: droverd may not switch users")
        self.assertRegex(said, r"drover.yaml:\d+:\d+: error: queues.q.handler.limits.open_files: droverd may not raise limits")
        self.assertIn("users.conf", said)

    def test_a_time_out_and_a_death_end_what_others_run(self):
        pids = os.path.join(self.shared, "pids")
        script = f"trap '' TERM; echo $$ >>{pids}; (trap '' TERM; sleep 300) & echo $! >>{pids}; wait; sleep 300"
        handler = {"exec": ["/bin/sh", "-c", script], "user": "nobody"}
        self.configure({"q": {"concurrency": 2, "types": {
            "late": {"timeout": "500ms", "kill_grace": "100ms", "handler": handler}, "long": {"handler": handler}}}},
            stop={"drain_timeout": "100ms"})

        def running(count):
            rig.wait_until(lambda: os.path.exists(pids) and open(pids).read().count("\n") == count, 20, journal)
            found = [int(line) for line in open(pids)]
            os.unlink(pids)
            return found

        systemctl("start", "drover")
        (late,) = self.add("late")
        first = running(2)
        self.assertIn("timed out", self.ended(late)["failedReason"])
        rig.wait_until(lambda: not [pid for pid in first if rig.Proc(pid).alive], 5, "the group of another user is gone")

        with open(f"/proc/{show('MainPID')}/mounts", encoding="ascii") as mounts:
            self.assertRegex(mounts.read(), "hidepid=(2|invisible)", "the master sees of others only that they are there")

        # The worker dies: what it ran is seen dead although /proc hides it, and the job comes back.
        self.add("long")
        second = running(2)
        (worker,) = worker_pids()
        os.kill(worker, signal.SIGKILL)
        third = running(2)
        self.assertEqual([], [pid for pid in second if rig.Proc(pid).alive])
        self.assertEqual([], events("worker.left_over_alive"))
        self.assertEqual(1, len(events("worker.recovered")))

        # The service stops, and takes it along.
        systemctl("stop", "drover")
        self.assertEqual([], [pid for pid in third if rig.Proc(pid).alive])
        self.assertEqual("success", show("Result"))

    def test_a_worker_that_hangs_is_killed_and_seen_dead(self):
        self.configure({"q": {"handler": "noop"}}, stop={"drain_timeout": "100ms"})
        systemctl("start", "drover")
        (worker,) = worker_pids()
        os.kill(worker, signal.SIGSTOP)
        self.configure({"q": {"handler": {"noop": {"duration": "1ms"}}}}, stop={"drain_timeout": "100ms"})
        systemctl("reload", "drover")
        rig.wait_until(lambda: not rig.Proc(worker).alive, 30, journal)
        self.assertEqual(1, len(worker_pids()))

    def test_reload_replaces_pools(self):
        self.configure({"q": {"handler": {"exec": [self.show]}}})
        systemctl("start", "drover")
        before = worker_pids()
        self.configure({"q": {"handler": {"exec": [self.show], "user": "nobody"}}})
        systemctl("reload", "drover")
        rig.wait_until(lambda: len(worker_pids()) == 1 and worker_pids() != before, 20, journal)
        (job,) = self.add("show")
        self.assertEqual([NOBODY] * 3, json.loads(self.ended(job)["returnvalue"])["uids"])
        self.configure({"q": {"handler": {"exec": [self.show], "user": "root"}}})
        self.assertNotEqual(0, systemctl("reload", "drover", check=False).returncode)
        self.logged("root has uid 0")
        self.assertEqual("active", show("ActiveState"))

    def test_the_configuration_needs_no_right_to_read_what_is_others(self):
        # Without CAP_DAC_OVERRIDE root reads what is root's, or open to its group.
        path = os.path.join(service.HOME, "drover.yaml")
        os.chown(path, 0, DAEMON)
        os.chmod(path, 0o640)
        systemctl("start", "drover")
        systemctl("stop", "drover")
        os.chown(path, NOBODY, NOBODY)
        os.chmod(path, 0o600)
        self.assertNotEqual(0, systemctl("start", "drover", check=False).returncode)
        self.logged("Permission denied")
