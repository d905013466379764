"""Users, groups, umask, nice and limits of handlers, and the user of workers: seen by real programs, started by root.

What strangers can read and execute lies below a folder of its own, because the scratch folder is its owner's alone.
"""

import json
import os
import pwd
import resource
import shutil
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import rig
from cases import QueueCase
from producer import Producer
from rig import wait_until

NOBODY, DAEMON = 65534, 1
CAPABILITIES = {"CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7, "CAP_SETPCAP": 8, "CAP_SYS_NICE": 23, "CAP_SYS_RESOURCE": 24}

SHOW = r'''#!/usr/bin/env python3
import json, os, resource, sys
def status(name):
    return next(line.split(":")[1].strip() for line in open("/proc/self/status") if line.startswith(name + ":"))
def becomes_root():
    for call in (lambda: os.setuid(0), lambda: os.setresuid(0, 0, 0), lambda: os.setgroups([0]), lambda: os.setgid(0)):
        try:
            call()
            return True
        except PermissionError:
            pass
    return False
umask = os.umask(0)
seen = {"uids": os.getresuid(), "gids": os.getresgid(), "groups": sorted(os.getgroups()), "umask": umask,
        "nice": os.getpriority(os.PRIO_PROCESS, 0), "env": {k: os.environ.get(k) for k in ("HOME", "USER", "LOGNAME")},
        "caps": {k: int(status(k), 16) for k in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")},
        "no_new_privs": status("NoNewPrivs"), "becomes_root": becomes_root(),
        "limits": {k: resource.getrlimit(getattr(resource, "RLIMIT_" + k)) for k in
                   ("NOFILE", "NPROC", "FSIZE", "CORE", "AS", "CPU", "STACK", "MEMLOCK")},
        "rlimit_nice": resource.getrlimit(13), "pid": os.getpid(), "ppid": os.getppid()}
'''
# The same program as one of `exec` and of `process`.
SHOW_EXEC = SHOW + "print(json.dumps(seen))\n"
SHOW_PROCESS = SHOW + r'''
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    result = {"protocol": 1} if message["method"] == "initialize" else seen
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
'''


def own_capabilities(pid="self"):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return {name: int(value, 16) for name, value in (line.split(":\t") for line in file if line.startswith("Cap"))}


def may(name):
    return bool(own_capabilities()["CapEff"] >> CAPABILITIES[name] & 1)


def bits(*names):
    return sum(1 << CAPABILITIES[name] for name in names)


def groups_of(name):
    entry = pwd.getpwnam(name)
    return sorted(os.getgrouplist(name, entry.pw_gid))


@unittest.skipUnless(os.geteuid() == 0, "needs root: only root can become somebody else")
class UserCase(QueueCase):
    def setUp(self):
        super().setUp()
        os.chmod(self.scratch, 0o755)
        self.open = os.path.join(self.scratch, "open")  # strangers write here
        os.mkdir(self.open)
        os.chmod(self.open, 0o777)
        # Where the build lies, strangers may not get to.
        self.bin = os.path.join(self.scratch, "bin")
        os.mkdir(self.bin)
        for name in ("drover-worker", "drover-exec"):
            shutil.copy2(rig.program(name), self.bin)
        os.chmod(self.server.socket, 0o777)
        os.chmod(os.path.dirname(self.server.socket), 0o755)

    def start(self, queues, **more):
        self.daemon = self.droverd({"queues": queues, **more}, env={"DROVER_LIBEXEC_DIR": self.bin})
        return self.daemon

    def shown(self, handler, user=None, kind="exec"):
        """What a program sees that runs so, and the worker that ran it."""
        program = self.script("show.py", SHOW_EXEC if kind == "exec" else SHOW_PROCESS)
        (job,) = Producer(self.r, "q").bulk([("show", {}, {})])
        self.start({"q": {"timeout": "20s", "handler": {kind: [program], **handler}}}, **({"user": user} if user else {}))
        return json.loads(self.ends("q", completed=1).job(job)["returnvalue"])

    def worker(self):
        (worker,) = self.daemon.workers()
        return worker.pid

    def assert_powerless(self, seen):
        """No capability in any set; of the bounding set that holds where droverd may empty it."""
        self.assertEqual({"CapInh": 0, "CapPrm": 0, "CapEff": 0, "CapAmb": 0}, {k: v for k, v in seen["caps"].items() if k != "CapBnd"})
        if may("CAP_SETPCAP"):
            self.assertEqual(0, seen["caps"]["CapBnd"])
        self.assertEqual("1", seen["no_new_privs"])
        self.assertFalse(seen["becomes_root"])


class Handlers(UserCase):
    def check_identity(self, kind):
        seen = self.shown({"user": "nobody", "umask": "027", "nice": 7}, kind=kind)
        self.assertEqual([[NOBODY] * 3] * 2, [seen["uids"], seen["gids"]])
        self.assertEqual(groups_of("nobody"), seen["groups"])
        self.assertEqual((0o027, 7), (seen["umask"], seen["nice"]))
        self.assertEqual({"HOME": pwd.getpwnam("nobody").pw_dir, "USER": "nobody", "LOGNAME": "nobody"}, seen["env"])
        self.assert_powerless(seen)

    def test_exec_runs_as_its_user(self):
        self.check_identity("exec")

    def test_process_runs_as_its_user(self):
        self.check_identity("process")

    def test_group_and_groups_of_its_own(self):
        seen = self.shown({"user": "nobody", "group": "daemon", "groups": ["4711", "mail"]})
        self.assertEqual(([DAEMON] * 3, sorted([4711, 8])), (seen["gids"], seen["groups"]))

    def test_no_group_but_one(self):
        self.assertEqual([], self.shown({"user": "nobody", "groups": []})["groups"])

    def test_a_user_that_is_only_a_number(self):
        seen = self.shown({"user": 4000000, "group": 4000001})
        self.assertEqual(([4000000] * 3, [4000001] * 3, []), (seen["uids"], seen["gids"], seen["groups"]))
        self.assertEqual("/", seen["env"]["HOME"])

    def check_limits(self, kind):
        limits = {"open_files": 123, "processes": 50, "file_size": "1MiB", "core": 0, "memory": "2GiB", "cpu": "7s", "stack": "4MiB",
                  "locked_memory": "64KiB"}
        seen = self.shown({"user": "nobody", "limits": limits}, kind=kind)
        self.assertEqual({"NOFILE": [123, 123], "NPROC": [50, 50], "FSIZE": [1 << 20] * 2, "CORE": [0, 0], "AS": [2 << 30] * 2,
                          "CPU": [7, 8], "STACK": [4 << 20] * 2, "MEMLOCK": [64 << 10] * 2}, seen["limits"])

    def test_limits_of_exec(self):
        self.check_limits("exec")

    def test_limits_of_process(self):
        self.check_limits("process")

    def test_limits_need_no_user(self):
        seen = self.shown({"limits": {"open_files": 200, "stack": "inherit"}, "nice": 3})
        self.assertEqual(([200, 200], 3, [0, 0, 0]), (seen["limits"]["NOFILE"], seen["nice"], seen["uids"]))

    def test_processor_time_that_ran_out_is_named(self):
        spin = self.script("spin", "#!/bin/sh\nwhile :; do :; done\n")
        (job,) = Producer(self.r, "q").bulk([("spin", {}, {})])
        self.start({"q": {"handler": {"exec": [spin], "limits": {"cpu": "1s"}}}})
        self.assertIn("SIGXCPU", self.ends("q", completed=0, failed=1).job(job)["failedReason"])

    def test_a_lower_nice_value(self):
        if not may("CAP_SYS_NICE") and not may("CAP_SYS_RESOURCE"):  # as in a container; then that is what is told
            self.refused_here({"nice": -6}, "may not lower nice")
            return
        seen = self.shown({"user": "nobody", "nice": -6}, user="daemon")
        self.assertEqual(-6, seen["nice"])
        self.assertEqual(list(resource.getrlimit(13)), seen["rlimit_nice"], "it cannot go further")
        self.assert_powerless(seen)

    def test_a_raised_limit(self):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if not may("CAP_SYS_RESOURCE"):
            self.refused_here({"limits": {"open_files": hard + 1}}, "may not raise limits")
            return
        seen = self.shown({"user": "nobody", "limits": {"open_files": hard + 1}}, user="daemon")
        self.assertEqual([hard + 1] * 2, seen["limits"]["NOFILE"])

    def refused_here(self, handler, text):
        daemon = self.droverd({"queues": {"q": {"handler": {"exec": ["/bin/true"], **handler}}}}, wait=False)
        self.assertEqual(78, daemon.wait_end())
        self.assertIn(text, daemon.tail())

    def test_a_file_that_its_user_may_not_run_or_enter(self):
        secret = os.path.join(self.scratch, "secret")
        os.mkdir(secret, 0o700)
        program = os.path.join(secret, "program")
        shutil.copy("/bin/true", program)
        private = self.script("private", "#!/bin/sh\ncat " + os.path.join(secret, "data") + "\n")
        with open(os.path.join(secret, "data"), "w", encoding="ascii") as file:
            file.write("1")
        rows = {"run": {"exec": [program]}, "enter": {"exec": ["/bin/true"], "directory": secret}, "read": {"exec": [private]}}
        ids = Producer(self.r, "q").bulk([(name, {}, {}) for name in rows])
        self.start({"q": {"types": {name: {"handler": {**handler, "user": "nobody"}} for name, handler in rows.items()}}})
        view = self.ends("q", completed=0, failed=3)
        reasons = dict(zip(rows, [view.job(i)["failedReason"] for i in ids]))
        self.assertEqual(f"cannot start {program}: execute it: Permission denied", reasons["run"])
        self.assertEqual(f"cannot start /bin/true: enter its directory {secret}: Permission denied", reasons["enter"])
        self.assertIn("Permission denied", reasons["read"])

    def test_a_time_out_ends_the_group_of_another_user(self):
        trace = os.path.join(self.open, "pids")
        stubborn = self.script("stubborn", f"#!/bin/sh\ntrap '' TERM\necho $$ >> {trace}\n(trap '' TERM; sleep 300) & echo $! >> {trace}\nwait\nsleep 300\n")
        (job,) = Producer(self.r, "q").bulk([("slow", {}, {})])
        self.start({"q": {"timeout": "300ms", "kill_grace": "200ms", "handler": {"exec": [stubborn], "user": "nobody"}}}, user="daemon")
        self.assertRegex(self.ends("q", completed=0, failed=1).job(job)["failedReason"], r"timed out after 300\s?ms")
        with open(trace, encoding="ascii") as file:
            pids = [int(line) for line in file]
        self.assertEqual(2, len(pids))
        wait_until(lambda: not [p for p in pids if rig.Proc(p).alive], 5, "the whole group is gone")

    def test_a_killed_worker_takes_a_program_of_another_user_along(self):
        trace = os.path.join(self.open, "pid")
        sleeper = self.script("sleeper", f"#!/bin/sh\necho $$ $(awk '/PPid/ {{print $2}}' /proc/$$/status) > {trace}.new; mv {trace}.new {trace}; exec sleep 300\n")
        Producer(self.r, "q").bulk([("slow", {}, {})])
        self.start({"q": {"handler": {"exec": [sleeper], "user": "nobody"}}}, user="daemon", stop={"drain_timeout": "100ms"})
        wait_until(lambda: os.path.exists(trace), 10, "the program runs")
        with open(trace, encoding="ascii") as file:
            program, worker = map(int, file.read().split())
        self.assertEqual(NOBODY, os.stat(f"/proc/{program}").st_uid)
        os.kill(self.daemon.pid, signal.SIGSTOP)  # nobody sweeps
        try:
            os.kill(worker, signal.SIGKILL)
            wait_until(lambda: not rig.Proc(program).alive, 5, "it dies with its worker")
        finally:
            os.kill(self.daemon.pid, signal.SIGCONT)
        os.unlink(trace)
        wait_until(lambda: os.path.exists(trace), 15, "the job was given back and runs again")


class Workers(UserCase):
    def identity(self):
        pid = self.worker()
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            rows = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        return {"uids": rows["Uid"].split(), "gids": rows["Gid"].split(), "groups": sorted(map(int, rows["Groups"].split())),
                "no_new_privs": rows["NoNewPrivs"], "caps": own_capabilities(pid)}

    def test_without_switching_handlers_it_has_no_capability(self):
        seen = self.shown({"umask": "022", "limits": {"open_files": 100}}, user="nobody")
        own = self.identity()
        self.assertEqual([[str(NOBODY)] * 4] * 2, [own["uids"], own["gids"]])
        self.assertEqual(groups_of("nobody"), own["groups"])
        self.assertEqual({"CapInh": 0, "CapPrm": 0, "CapEff": 0, "CapBnd": 0 if may("CAP_SETPCAP") else own["caps"]["CapBnd"], "CapAmb": 0},
                         own["caps"])
        self.assertEqual("1", own["no_new_privs"])
        self.assertEqual([NOBODY] * 3, seen["uids"], "and neither has its program")
        self.assertEqual("/nonexistent", seen["env"]["HOME"])
        self.assert_powerless(seen)
        self.assertEqual([], self.daemon.find("droverd.runs_as_root"))

    def test_with_a_switching_handler_it_keeps_what_that_takes(self):
        seen = self.shown({"user": "nobody"}, user="daemon")
        own = self.identity()
        extra = ("CAP_SETPCAP",) if may("CAP_SETPCAP") else ()
        kept = bits("CAP_SETUID", "CAP_SETGID", "CAP_KILL", *extra)
        passed_on = bits("CAP_SETUID", "CAP_SETGID", *extra)
        self.assertEqual([str(DAEMON)] * 4, own["uids"])
        self.assertEqual({"CapInh": passed_on, "CapPrm": kept, "CapEff": bits("CAP_KILL"), "CapAmb": passed_on},
                         {k: v for k, v in own["caps"].items() if k != "CapBnd"})
        if extra:
            self.assertEqual(kept, own["caps"]["CapBnd"])
        self.assertEqual([NOBODY] * 3, seen["uids"])
        self.assert_powerless(seen)

    def test_a_program_without_a_user_gets_nothing_of_what_its_worker_keeps(self):
        program = self.script("show.py", SHOW_EXEC)
        jobs = Producer(self.r, "q").bulk([("own", {}, {}), ("other", {}, {})])
        self.start({"q": {"types": {"own": {"handler": {"exec": [program]}}, "other": {"handler": {"exec": [program], "user": "nobody"}}}}}, user="daemon")
        view = self.ends("q", completed=2)
        own, other = (json.loads(view.job(job)["returnvalue"]) for job in jobs)
        self.assertEqual(([DAEMON] * 3, [NOBODY] * 3), (own["uids"], other["uids"]))
        self.assert_powerless(own)
        self.assert_powerless(other)

    def test_what_a_worker_holds_is_not_readable_by_its_user(self):
        self.start({"q": {"handler": "noop"}}, user="nobody")
        read = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "head", "-c1", f"/proc/{self.worker()}/environ"],
                              capture_output=True, check=False)
        if "asan" not in rig.BUILD:  # its leak check must be able to trace the process
            self.assertNotEqual(0, read.returncode, "undumpable, also after the change of user")

    def test_scoreboard_control_and_reload_work_with_another_user(self):
        self.start({"q": {"concurrency": 2, "handler": "noop"}}, user="nobody")
        Producer(self.r, "q").bulk([("a", {}, {})] * 5)
        self.ends("q", completed=5)
        wait_until(lambda: [row for row in self.daemon.ask("ps")[0] if row.get("completed") == 5], 5, lambda: str(self.daemon.ask("ps")))
        first = self.worker()
        self.daemon.rewrite(self.full_config({"user": "daemon", "queues": {"q": {"concurrency": 2, "handler": "noop"}}}))
        rows, end = self.daemon.ask("reload")
        self.assertEqual(("replace", "replaced"), (rows[0]["kind"], rows[0]["outcome"]), (rows, end))
        self.assertIn("user: nobody -> daemon", rows[0]["changes"])
        wait_until(lambda: [p.pid for p in self.daemon.workers()] not in ([], [first]) and len(self.daemon.workers()) == 1, 10, "one new worker")
        self.assertEqual([str(DAEMON)] * 4, self.identity()["uids"])

    def test_it_is_killed_and_its_jobs_come_back(self):
        self.start({"q": {"concurrency": 1, "handler": "noop"}}, user="nobody")
        first = self.worker()
        os.kill(first, signal.SIGKILL)
        self.daemon.wait_event("worker.ready", count=2, role="droverd")
        self.assertNotEqual(first, self.worker())
        self.assertEqual(0, self.daemon.drain())

    def test_root_is_warned_of(self):
        self.start({"q": {"handler": "noop"}})
        self.daemon.wait_event("droverd.runs_as_root", level="warn")


class Refusals(UserCase):
    """A droverd that may not do what the file wants says so before it does anything."""

    def run_as_nobody(self, queues, *args, **more):
        """droverd as the user nobody, without capabilities; the test's own stays what it is."""
        folder = os.path.join(self.open, "run")
        os.makedirs(folder, exist_ok=True)
        shutil.copy2(rig.program("droverd"), self.bin)
        path = os.path.join(folder, "drover.yaml")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(self.full_config({"queues": queues, **more}), file, indent=1)
        os.chown(folder, NOBODY, NOBODY)
        command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--inh-caps=-all", os.path.join(self.bin, "droverd"),
                   "-c", path, "--set", f"control={folder}/control", *args]
        return path, self.popen(command, env=rig.clean_env({"DROVER_LIBEXEC_DIR": self.bin}), stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd="/")

    def place(self, path, key):
        """FILE:LINE:COLUMN of the value of a key."""
        part = f'"{key}": '
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if part in line:
                    return f"{path}:{number}:{line.index(part) + len(part) + 1}"
        raise AssertionError(part)

    def refused(self, queues, *args, **more):
        path, process = self.run_as_nobody(queues, *args, **more)
        _, err = process.communicate(timeout=20 * rig.PATIENCE)
        self.assertEqual(78, process.returncode, err)
        return path, err

    def test_another_user(self):
        path, err = self.refused({"q": {"handler": {"exec": ["/bin/true"], "user": "daemon"}}})
        self.assertIn(f"{self.place(path, 'user')}: error: queues.q.handler.user: daemon: droverd may not switch users", err)
        self.assertIn("lacks CAP_KILL CAP_SETGID CAP_SETUID", err)
        self.assertIn("install the drop-in users.conf (`drover unit` prints it)", err)

    def test_another_user_of_workers(self):
        path, err = self.refused({"q": {"handler": "noop"}}, user="daemon")
        self.assertIn(f"{self.place(path, 'user')}: error: user: daemon: droverd may not switch users", err)
        _, err = self.refused({"q": {"handler": "noop"}}, "--set", "user=daemon")
        self.assertIn("--set: error: user: daemon: droverd may not switch users", err)

    def test_a_raised_limit_and_a_lower_nice_value(self):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        path, err = self.refused({"q": {"handler": {"exec": ["/bin/true"], "nice": -3, "limits": {"open_files": hard + 1}}}})
        self.assertIn(f"{self.place(path, 'open_files')}: error: queues.q.handler.limits.open_files: droverd may not raise limits: "
                      f"its own hard limit is {hard}", err)
        self.assertIn(f"{self.place(path, 'nice')}: error: queues.q.handler.nice: -3: droverd may not lower nice", err)

    def test_what_it_is_already_takes_no_right(self):
        program = self.script("show.py", SHOW_EXEC)
        (job,) = Producer(self.r, "q").bulk([("show", {}, {})])
        _, process = self.run_as_nobody({"q": {"handler": {"exec": [program], "user": "nobody", "groups": [], "nice": 4}}}, user="nobody")
        seen = json.loads(self.ends("q", completed=1).job(job)["returnvalue"])
        self.assertEqual(([NOBODY] * 3, 4), (seen["uids"], seen["nice"]))
        process.terminate()
        process.communicate(timeout=20 * rig.PATIENCE)
        self.assertEqual(0, process.returncode)

    def test_check_is_about_the_file(self):
        _, process = self.run_as_nobody({"q": {"handler": {"exec": ["/bin/true"], "user": "daemon"}}}, "--check")
        _, err = process.communicate(timeout=20 * rig.PATIENCE)
        self.assertEqual((0, ""), (process.returncode, err))

    def test_a_reload_is_refused_as_a_whole(self):
        handler = {"exec": ["/bin/true"]}
        path, process = self.run_as_nobody({"q": {"handler": handler}})
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "droverd.ready" in line:
                break
        config = self.full_config({"queues": {"q": {"handler": {**handler, "user": "daemon"}}, "new": {"handler": "noop"}}})
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file, indent=1)
        done = self.cli("reload", "--socket", os.path.join(os.path.dirname(path), "control"))
        self.assertNotEqual(0, done.code)
        self.assertIn("queues.q.handler.user", done.out + done.err)
        self.assertIn("droverd may not switch users", done.out + done.err)
        process.terminate()
        rest = process.communicate(timeout=20 * rig.PATIENCE)[1]
        self.assertEqual(0, process.returncode, rest)
        self.assertIn("reload.refused", rest)
        self.assertNotIn('"queue":"new"', rest)


if __name__ == "__main__":
    rig.main()
