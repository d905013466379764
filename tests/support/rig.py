"""rig.py - what every Python test of drover stands on: private servers, droverd, the command line.

Main invariant: whatever a test starts dies with the test, also when it fails. The test process makes
itself the child subreaper, so orphans of a killed droverd arrive here and are seen; everything is
ended by pid; a process that outlives its test's tear-down is a failure of that test.

A test case looks like this:

    class Queue(rig.Case):
        def test_runs(self):
            redis = self.redis()
            drover = self.droverd({"queues": {"q": {"concurrency": 2, "handler": "noop"}}})
            ...

Nothing here sleeps as synchronisation: wait_until() polls a condition up to a deadline.
"""

import collections
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import uuid

# Tests reach all of these as rig.NAME.
from procs import (PATIENCE, RUN_MARK, Proc, TimedOut, all_processes, become_subreaper, cpu_seconds, descendants,  # noqa: F401
                   marked, memory, reap_orphans, send_signal, wait_until)
from servers import Proxy, Redis, RedisError, RedisServer  # noqa: F401

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BUILD = os.path.realpath(os.environ.get("DROVER_BUILD_DIR", os.path.join(ROOT, "build", "gcc")))


def program(name):
    """Path of a built program; DROVER_BUILD_DIR names the build folder."""
    places = {
        "droverd": "supervisor/master/droverd",
        "drover": "supervisor/cli/drover",
        "drover-worker": "workers/drover-worker",
        "drover-exec": "workers/drover-exec",
        "work": "tests/support/work",
    }
    path = os.path.join(BUILD, places[name])
    if os.path.exists(path):
        return path
    for folder, _, files in os.walk(BUILD):
        if name in files and os.access(os.path.join(folder, name), os.X_OK):
            return os.path.join(folder, name)
    raise FileNotFoundError(f"{name} is not built in {BUILD}; set DROVER_BUILD_DIR")


# ---- droverd and the command line -----------------------------------------------------------------


class Droverd:
    """One droverd with its workers. Log lines (stderr, JSON) are collected by a thread."""

    def __init__(self, folder, config, name="droverd", args=(), env=None, wait=True):
        self.folder = os.path.join(folder, name)
        os.makedirs(self.folder, exist_ok=True)
        self.config_path = os.path.join(self.folder, "drover.yaml")
        self.config = config
        self.control = os.path.join(self.folder, "control")
        self.rewrite(config)
        self.lines = []  # every line of stderr as text
        self.events = []  # those that are JSON objects
        self.tally = collections.Counter()  # of (event, role): what find() would count, without looking at all again
        self.lock = threading.Lock()
        self.log = open(os.path.join(self.folder, "droverd.log"), "ab")
        self.process = subprocess.Popen(
            [program("droverd"), "-c", self.config_path, "--set", f"control={self.control}", *args],
            env=clean_env(env), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            cwd="/")
        self.reader = threading.Thread(target=self._collect, daemon=True)
        self.reader.start()
        if wait:
            self.wait_ready()

    def rewrite(self, config):
        """Replaces the file at once, as an editor does."""
        self.config = config
        text = config if isinstance(config, str) else json.dumps(config, indent=1)  # JSON is YAML
        with open(self.config_path + ".new", "w", encoding="utf-8") as f:
            f.write(text + "\n")
        os.replace(self.config_path + ".new", self.config_path)

    def ask(self, verb, deadline=20.0, **args):
        """A request over the control socket (docs/protocols/control.md); the rows, and the end."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.settimeout(deadline * PATIENCE)
            client.connect(self.control)
            client.send(json.dumps({"version": 1, "verb": verb, **args}).encode())
            rows = []
            while True:
                packet = json.loads(client.recv(1 << 20))
                if packet.get("end"):
                    return rows, packet
                rows.append(packet["row"])

    def pending_recoveries(self):
        return self.ask("status")[0][0]["recoveries"]

    def _collect(self):
        for raw in self.process.stderr:
            self.log.write(raw)
            self.log.flush()
            line = raw.decode("utf-8", "replace").rstrip("\n")
            try:
                event = json.loads(line)
            except ValueError:
                event = None
            with self.lock:
                self.lines.append(line)
                if isinstance(event, dict):
                    self.events.append(event)
                    self.tally[event.get("event"), event.get("role")] += 1

    @property
    def pid(self):
        return self.process.pid

    def processes_wanted(self):
        if isinstance(self.config, str):
            return 1
        defaults = self.config.get("defaults", {}).get("processes", 1)
        return sum((q or {}).get("processes", defaults) for q in self.config.get("queues", {}).values())

    def find(self, event, **fields):
        """Log lines of that event name (exact, or a compiled pattern) whose fields match."""
        with self.lock:
            events = list(self.events)
        match = event.fullmatch if isinstance(event, re.Pattern) else event.__eq__
        return [e for e in events if match(e.get("event", "")) and all(e.get(k) == v for k, v in fields.items())]

    def wait_event(self, event, deadline=15.0, count=1, **fields):
        def seen():
            found = self.find(event, **fields)
            if len(found) >= count:
                return found
            if self.process.poll() is not None and not self.reader.is_alive():
                raise AssertionError(f"droverd ended with {self.process.returncode} before {event}\n{self.tail()}")
            return None

        return wait_until(seen, deadline, lambda: f"log event {event} {fields} ×{count}\n{self.tail()}")

    def wait_ready(self, deadline=20.0, count=None):
        """Every worker process has said ready."""
        # A worker says so itself, too; what counts is that the master has heard it.
        self.wait_event("worker.ready", deadline, count or self.processes_wanted(), role="droverd")
        return self

    def tail(self, count=40):
        with self.lock:
            return "\n".join(self.lines[-count:])

    def workers(self, queue=None):
        """Live worker processes (direct children of the master), as Proc."""
        found = [p for p in all_processes() if p.ppid == self.pid and p.alive and p.comm.startswith("drover-worker")]
        return [p for p in found if queue is None or re.search(rf"\b{re.escape(queue)}\b", p.cmdline)]

    def signal(self, number):
        send_signal(self.pid, number)

    def wait_end(self, deadline=20.0):
        """Exit code, once it has ended and its log is read to the end."""
        try:
            code = self.process.wait(deadline * PATIENCE)
        except subprocess.TimeoutExpired:
            raise TimedOut(f"droverd did not end within {deadline * PATIENCE:g} s\n{self.tail()}") from None
        self.reader.join(5)
        return code

    def drain(self, deadline=20.0):
        """SIGTERM, and the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait_end(deadline)

    def kill(self):
        """kill -9 of the master alone."""
        self.signal(signal.SIGKILL)
        return self.wait_end()

    def close(self):
        """End of the test: whatever still lives is killed, tree and all."""
        if self.process.poll() is None:
            tree = descendants(self.pid)
            self.process.kill()
            self.process.wait()
            for proc in tree:
                if Proc(proc.pid).sid == proc.sid:
                    send_signal(proc.pid, signal.SIGKILL)
        self.reader.join(2)
        self.log.close()


class Result:
    def __init__(self, process, out, err):
        self.code, self.out, self.err = process.returncode, out, err

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def rows(self):
        return [json.loads(line) for line in self.out.splitlines() if line.strip()]

    def __repr__(self):
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


def clean_env(extra=None):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("DROVER_REDIS", "DROVER_LIBEXEC", "NOTIFY_", "LISTEN_", "WATCHDOG_"))}
    env.update(extra or {})
    return env


class Cli:
    """`drover …`. Called with arguments; returns a Result."""

    def __init__(self, base=(), env=None):
        self.base, self.env = list(base), env

    def __call__(self, *args, stdin=None, env=None, deadline=30.0):
        process = subprocess.Popen(
            [program("drover"), *map(str, args)], env=clean_env({**(self.env or {}), **(env or {})}),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/")
        try:
            out, err = process.communicate(stdin, deadline * PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise TimedOut(f"drover {args} did not end") from None
        return Result(process, out, err)


# ---- test case ------------------------------------------------------------------------------------


class Case(unittest.TestCase):
    """Scratch folder, servers and daemons that end with the test; leak check."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        become_subreaper()

    def setUp(self):
        self.scratch = tempfile.mkdtemp(prefix="drover-", dir="/var/tmp")
        self.mark = str(uuid.uuid4())
        os.environ[RUN_MARK] = self.mark
        self.servers, self.daemons, self.extra = [], [], []
        self.before = {p.pid for p in all_processes()}
        self.addCleanup(self._clean_up)

    def _known_pids(self):
        things = [d.process for d in self.daemons] + [s.process for s in self.servers] + self.extra
        return {p.pid for p in things if p is not None and p.returncode is None}

    def _clean_up(self):
        failed = self._failed()
        leaks = []
        for daemon in self.daemons:
            if daemon.process.poll() is None and not failed:
                daemon.signal(signal.SIGTERM)  # a second one makes a drain that hangs stop at once
        for daemon in self.daemons:
            if daemon.process.poll() is None:
                try:
                    daemon.process.wait(0.1 if failed else 10 * PATIENCE)
                except subprocess.TimeoutExpired:
                    if not failed:
                        leaks.append(f"droverd {daemon.pid} did not drain at tear-down\n{daemon.tail(15)}")
            daemon.close()
        for process in self.extra:
            if process.poll() is None:
                process.kill()
            process.wait()
        for server in self.servers:
            server.close()
        leaks += self._end_leaks()
        os.environ.pop(RUN_MARK, None)
        if failed:
            self._show_logs()
        if failed and os.environ.get("DROVER_TEST_KEEP"):
            sys.stderr.write(f"kept: {self.scratch}\n")
        else:
            shutil.rmtree(self.scratch, ignore_errors=True)
        if leaks and not failed:
            self.fail("left behind after the test:\n" + "\n".join(map(str, leaks)))

    def _left(self):
        reap_orphans(self._known_pids())
        found = {p.pid: p for p in descendants(os.getpid()) + marked(self.mark)}
        return [p for p in found.values() if p.alive and p.pid not in self.before]

    def _end_leaks(self):
        """Grants a moment to end, then kills what is left and reports it."""
        end = time.monotonic() + 2 * PATIENCE
        while self._left() and time.monotonic() < end:
            time.sleep(0.02)
        left = self._left()
        for proc in left:
            send_signal(proc.pid, signal.SIGKILL)
        if left:
            wait_until(lambda: not self._left(), 5, "killed leftovers are gone")
        return left

    def _failed(self):
        outcome = getattr(self, "_outcome", None)
        result = getattr(outcome, "result", None)
        if result is None:
            return False
        return any(test is self or getattr(test, "test_case", None) is self
                   for test, text in list(result.failures) + list(result.errors)) or not outcome.success

    def _show_logs(self):
        for daemon in self.daemons:
            sys.stderr.write(f"--- last lines of {daemon.folder}\n{daemon.tail(30)}\n")

    # -- things a test starts

    def redis(self, name="redis", start=True, **kwargs):
        server = RedisServer(self.scratch, name, **kwargs)
        self.servers.append(server)
        return server.start() if start else server

    def proxy(self, server, name="proxy"):
        proxy = Proxy(self.scratch, server.socket, name)
        self.addCleanup(proxy.close)
        return proxy

    def full_config(self, config, server=None):
        """`config` (a dict) with what a test needs and did not say: Redis, log format, short timers."""
        server = server or (self.servers[0] if self.servers else None)
        # Tests count events, so none of them may be left out as a repeat.
        full = {"log": {"level": "debug", "format": "json", "burst": 1000000}}
        if server is not None:
            full["redis"] = {"default": {"url": server.url}}
        for key, value in config.items():
            if key in full and isinstance(value, dict) and isinstance(full[key], dict):
                full[key] = {**full[key], **value}
            else:
                full[key] = value
        return full

    def droverd(self, config, name=None, server=None, **kwargs):
        text = config if isinstance(config, str) else self.full_config(config, server)
        daemon = Droverd(self.scratch, text, name or f"droverd{len(self.daemons)}", **{**kwargs, "wait": False})
        self.daemons.append(daemon)
        if kwargs.get("wait", True):
            daemon.wait_ready()
        return daemon

    def cli(self, *args, **kwargs):
        return Cli()(*args, **kwargs)

    def popen(self, argv, **kwargs):
        process = subprocess.Popen(argv, **kwargs)
        self.extra.append(process)
        return process

    def script(self, name, text):
        """An executable file in the scratch folder; its path."""
        path = os.path.join(self.scratch, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, 0o755)
        return path


def main():
    unittest.main(verbosity=2, warnings="ignore")
