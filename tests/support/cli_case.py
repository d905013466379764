"""cli_case.py - a test case for the commands that look at and steer queues: a private Redis, jobs in every state, a terminal."""

import json
import os
import pty
import select
import subprocess
import time

import rig
from producer import Producer
from queue_view import QueueView

OK, FAILED, USAGE, UNAVAILABLE, CONFIG = 0, 1, 64, 69, 78
HOUR_MS = 3600000


class Terminal:
    """`drover …` on a terminal that is read and typed into."""

    def __init__(self, args):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen([rig.program("drover"), *map(str, args)], stdin=slave, stdout=slave, stderr=slave,
                                        env=rig.clean_env(), start_new_session=True)
        os.close(slave)
        self.seen = ""

    def read(self, deadline):
        """False at the end."""
        if not select.select([self.master], [], [], max(deadline - time.monotonic(), 0))[0]:
            raise AssertionError(f"nothing more comes: {self.seen!r}")
        try:
            part = os.read(self.master, 65536)
        except OSError:
            part = b""
        self.seen += part.decode(errors="replace")
        return bool(part)

    def until(self, text, seconds=20):
        deadline = time.monotonic() + seconds * rig.PATIENCE
        while text not in self.seen:
            if not self.read(deadline):
                raise AssertionError(f"it ended without {text!r}: {self.seen!r}")

    def type(self, text):
        os.write(self.master, text.encode())

    def end(self, seconds=30):
        """Its exit code."""
        deadline = time.monotonic() + seconds * rig.PATIENCE
        while self.read(deadline):
            pass
        os.close(self.master)
        return self.process.wait(10)


class VerbCase(rig.Case):
    def setUp(self):
        super().setUp()
        self.server = self.redis()
        self.r = self.server.client()
        self.now = int(time.time() * 1000)

    def run_cli(self, *args, code=OK, **kwargs):
        result = self.cli(*args, "--redis", self.server.url, **kwargs)
        self.assertEqual(code, result.code, result)
        return result

    def wrong(self, text, *args, code=USAGE):
        """It says `text` and does nothing."""
        before = self.dump()
        result = self.run_cli(*args, code=code)
        self.assertIn(text, result.err)
        self.assertTrue(result.err.startswith("drover: "), result.err)
        self.assertEqual("", result.out)
        self.assertEqual(before, self.dump(), args)

    def dump(self, pattern="*"):
        values = {}
        for key in self.r.scan(pattern):
            values[key] = self.r.cmd("DUMP", key)
        return values

    def terminal(self, *args):
        terminal = Terminal([*args, "--redis", self.server.url])
        self.extra.append(terminal.process)
        return terminal

    def add(self, queue="q", **opts):
        return Producer(self.r, queue).add(**opts)

    def many(self, count, queue="q", **opts):
        return Producer(self.r, queue).many(count, **opts)

    def ended(self, job_id, state="failed", queue="q", name="ok", reason="boom", age_ms=0, **fields):
        """A job that ended that long ago."""
        p, at = f"bull:{queue}:", self.now - age_ms
        self.r.cmd("HSET", p + "meta", "opts.maxLenEvents", 10000)
        values = {"name": name, "data": "{}", "opts": '{"attempts":1}', "timestamp": at - 1000, "delay": 0, "priority": 0, "processedOn": at - 10,
                  "finishedOn": at, "atm": 1, "ats": 1, **fields}
        if state == "failed":
            values.update(failedReason=reason, stacktrace="[]")
        else:
            values["returnvalue"] = "1"
        self.r.cmd("HSET", p + job_id, *[part for pair in values.items() for part in pair])
        self.r.cmd("ZADD", p + state, at, job_id)
        return job_id

    def view(self, queue="q", prefix="bull"):
        view = QueueView(self.r, queue, prefix)
        return view

    def ids(self, state, queue="q"):
        return self.view(queue).ids(state)

    def consistent(self, queue="q"):
        self.assertEqual([], self.view(queue).check())

    def file(self, name, text):
        path = os.path.join(self.scratch, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def config(self, **queues):
        return self.file("drover.yaml", json.dumps({"redis": {"default": {"url": self.server.url}}, "queues": queues or {"q": {"handler": "noop"}}}))
