"""The boundaries of docs/security.md through a whole droverd: what crosses them is data, and stays data."""

import json
import os
import pwd
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import rig
from cases import QueueCase
from producer import Producer
from rig import wait_until

NOBODY = pwd.getpwnam("nobody")
PROGRAMS = ("droverd", "drover-worker", "drover-exec")

# What a program finds out about the process that started it, and about that one's parent.
PROBE = r'''#!/usr/bin/env python3
import json, os, signal, time
def parent(pid):
    return int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
def look(what):
    try:
        what()
        return "open"
    except PermissionError:
        return "refused"
child = os.fork()
if child == 0:
    time.sleep(60)
worker = os.getppid()
found = {"uid": os.getuid()}
for who, pid in (("child", child), ("worker", worker), ("master", parent(worker))):
    found[who] = {name: look(lambda: open(f"/proc/{pid}/{name}", "rb").close()) for name in ("environ", "mem", "maps")}
    found[who]["fd"] = look(lambda: os.listdir(f"/proc/{pid}/fd"))
os.kill(child, signal.SIGKILL)
print(json.dumps(found))
'''


class JobData(QueueCase):
    def hostile(self):
        """Texts that are harmless only as long as nobody reads them as anything but text."""
        trap = os.path.join(self.scratch, "trap")
        return trap, [
            f"$(touch {trap})", f"`touch {trap}`", f"; touch {trap} #", f"'\n touch {trap}\n'", f"| tee {trap}",
            "../../../../etc/passwd", "%s%n%p", "-rf", "--set", "",
            '"}\n{"level":"error","event":"droverd.forged"}', "\x1b]0;title\x07\x1b[2J\x1b[31mred", "line\r\nline\u2028line\x00end",
            "file:/etc/shadow", "return redis.call('FLUSHALL')", "a" * 5000,
        ]

    def runs(self, log_format):
        trap, texts = self.hostile()
        echo = self.script("echo", '#!/bin/sh\n[ $# = 0 ] || exit 65\nexec cat\n')
        producer = Producer(self.r, "q")
        known = producer.bulk([("echo", text, {"jobId": f"known {n} {text[:200]}"}) for n, text in enumerate(texts)])
        unknown = producer.bulk([(text[:1000] or "empty", {}, {}) for text in texts])
        daemon = self.droverd({"log": {"format": log_format}, "queues": {"q": {
            "concurrency": 4, "types": {"echo": {"handler": {"exec": [echo]}}}, "unknown": {"action": "fail"}}}}, wait=False)
        view = self.ends("q", completed=len(known), failed=len(unknown))
        for job_id, text in zip(known, texts):
            self.assertEqual(text, json.loads(view.job(job_id)["returnvalue"]), "the data came back as it was")
        self.assertFalse(os.path.exists(trap), "nothing was run that stood in a job")
        return daemon

    def test_hostile_texts_are_only_data(self):
        daemon = self.runs("json")
        daemon.drain()
        for line in daemon.lines:
            self.assertRegex(line, r"^[^\x00-\x1f\x7f]*$")
            self.assertIn("event", json.loads(line))
        self.assertEqual([], daemon.find("droverd.forged"))

    def test_hostile_texts_forge_no_line_of_a_plain_log(self):
        daemon = self.runs("plain")
        daemon.drain()
        for line in daemon.lines:
            self.assertRegex(line, r"^\d{4}-\d\d-\d\d[^\x00-\x1f\x7f]*$", "each line begins with a time")

    def test_payloads_are_not_logged(self):
        mark = "PAYLOAD-7f3a"
        work = self.script("work", '#!/bin/sh\nread -r data\ncase $data in *fail*) exit 65 ;; *again*) exit 75 ;; *hang*) sleep 60 ;; esac\n')
        producer = Producer(self.r, "q")
        for text in ("good", "fail", "again", "hang"):
            producer.add("work", {"text": mark + text}, attempts=1)
        producer.add("nobody knows it", {"text": mark})
        (broken,) = producer.bulk([("work", {"text": mark}, {"jobId": "broken"})])
        self.r.cmd("HSET", f"bull:q:{broken}", "opts", '{"attempts":"' + mark)
        daemon = self.droverd({"stop": {"drain_timeout": "100ms"}, "queues": {"q": {
            "concurrency": 4, "kill_grace": "0s", "types": {"work": {"handler": {"exec": [work]}}}}}})
        wait_until(lambda: self.counts("q") == (1, 3, 1), 20, lambda: f"{self.counts('q')}\n{daemon.tail()}")
        wait_until(lambda: daemon.find("job.put_back"), 10, daemon.tail)
        daemon.drain()
        self.assertEqual([], [line for line in daemon.lines if mark in line])


class Programs(QueueCase):
    redis_options = {"options": ["--unixsocketperm", "777"]}

    def setUp(self):
        super().setUp()
        if os.getuid() != 0:
            self.skipTest("only root can start droverd as somebody else")
        os.chmod(self.scratch, 0o755)
        os.chmod(os.path.dirname(self.server.socket), 0o755)
        self.home = os.path.join(self.scratch, "home")
        os.mkdir(self.home)
        for name in PROGRAMS:  # the build's folder may be closed to others
            shutil.copy2(rig.program(name), self.home)
        os.chown(self.home, NOBODY.pw_uid, NOBODY.pw_gid)

    def test_do_not_see_into_the_worker_that_started_them(self):
        """Of the same user, and yet: what the worker and the master hold (configuration, secrets, connections) is closed."""
        probe = self.script("probe", PROBE)
        config = {"redis": {"default": {"url": self.server.url}}, "queues": {"q": {"handler": {"exec": [probe]}}}}
        path = os.path.join(self.home, "drover.yaml")
        with open(path, "w") as file:
            json.dump(config, file)
        job_id = Producer(self.r, "q").add("probe")
        self.popen(["setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups",
                    os.path.join(self.home, "droverd"), "-c", path, "--set", f"control={self.home}/control"],
                   cwd="/", env=rig.clean_env(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        found = json.loads(self.ends("q", completed=1).job(job_id)["returnvalue"])
        names = ("environ", "mem", "maps", "fd")
        self.assertEqual((NOBODY.pw_uid, dict.fromkeys(names, "open")), (found["uid"], found["child"]), "or this shows nothing")
        with open(rig.program("droverd"), "rb") as file:
            if b"__asan_init" in file.read():
                return  # checked builds stay readable on purpose: LeakSanitizer looks into its process
        closed = dict.fromkeys(names, "refused")
        self.assertEqual({"worker": closed, "master": closed}, {who: found[who] for who in ("worker", "master")})


class Secrets(QueueCase):
    SECRET = "s3cret-41c9"

    def test_a_password_shows_nowhere(self):
        self.r.cmd("CONFIG", "SET", "requirepass", self.SECRET)
        place = self.script("password", self.SECRET + "\n")
        show = self.script("show", "#!/bin/sh\nenv | tr '\\n' ' '; cat /proc/$PPID/cmdline /proc/$PPID/environ | tr '\\0' ' '\nexit 65\n")
        job_id = Producer(self.r, "q").add("show")
        daemon = self.droverd({"redis": {"default": {"url": self.server.url, "password": f"file:{place}"}},
                               "queues": {"q": {"handler": {"exec": [show], "env": {"TOKEN": "t0ken-98ab"}}}}})
        self.ends("q", failed=1)
        seen = {"log": "\n".join(daemon.lines), "the job": str(self.r.hgetall(f"bull:q:{job_id}")),
                "drover check": repr(self.cli("check", "-c", daemon.config_path, "--effective")),
                "drover ps": repr(self.cli("ps", "-c", daemon.config_path, "--json")),
                "drover status": repr(self.cli("status", "-c", daemon.config_path, "--json"))}
        for pid in [daemon.pid, *(worker.pid for worker in daemon.workers())]:
            for name in ("cmdline", "environ"):
                with open(f"/proc/{pid}/{name}", "rb") as file:
                    seen[f"{name} of {rig.Proc(pid).comm}"] = file.read().decode()
        self.assertIn("drover-worker", " ".join(seen))
        self.assertEqual([], [where for where, text in seen.items() if self.SECRET in text])
        # The program itself was given its token, by its environment; nobody else shows it.
        self.assertEqual([], [where for where, text in seen.items() if "t0ken-98ab" in text and where != "the job"])

    def test_a_wrong_password_is_not_repeated(self):
        self.r.cmd("CONFIG", "SET", "requirepass", "another")
        place = self.script("password", self.SECRET + "\n")
        daemon = self.droverd({"redis": {"default": {"url": self.server.url, "password": f"file:{place}"}},
                               "start": {"timeout": "60s"}, "queues": {"q": {"handler": "noop"}}}, wait=False)
        lines = daemon.wait_event("redis.refused")
        self.assertRegex(json.dumps(lines[0]), re.compile("wrongpass|password", re.IGNORECASE))
        self.assertEqual([], [line for line in daemon.lines if self.SECRET in line])


if __name__ == "__main__":
    rig.main()
