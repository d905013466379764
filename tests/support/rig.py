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

import ctypes
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

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BUILD = os.path.realpath(os.environ.get("DROVER_BUILD_DIR", os.path.join(ROOT, "build", "gcc")))
RUN_MARK = "DROVER_TEST_RUN"
PR_SET_CHILD_SUBREAPER = 36
# Slow machines (sanitizers, a busy CI) stretch every deadline by this.
PATIENCE = float(os.environ.get("DROVER_TEST_PATIENCE", "1"))


def program(name):
    """Path of a built program; DROVER_BUILD_DIR names the build folder."""
    places = {
        "droverd": "supervisor/master/droverd",
        "drover": "supervisor/cli/drover",
        "drover-worker": "workers/drover-worker",
        "drover-exec": "workers/drover-exec",
    }
    path = os.path.join(BUILD, places[name])
    if os.path.exists(path):
        return path
    for folder, _, files in os.walk(BUILD):
        if name in files and os.access(os.path.join(folder, name), os.X_OK):
            return os.path.join(folder, name)
    raise FileNotFoundError(f"{name} is not built in {BUILD}; set DROVER_BUILD_DIR")


class TimedOut(AssertionError):
    pass


def wait_until(condition, deadline=20.0, what=None, every=0.02):
    """Polls condition() until it is truthy and returns that value; TimedOut after `deadline` seconds.
    `what` (text, or a callable giving text) is added to the failure."""
    end = time.monotonic() + deadline * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            text = what() if callable(what) else what
            raise TimedOut(f"not within {deadline * PATIENCE:g} s: {text or condition}")
        time.sleep(every)


# ---- processes ------------------------------------------------------------------------------------


class Proc:
    """What /proc says of one process, read at once; None fields when it is gone."""

    def __init__(self, pid):
        self.pid = pid
        self.state = self.ppid = self.pgid = self.sid = None
        self.comm = ""
        self.cmdline = ""
        self.ticks = 0
        try:
            with open(f"/proc/{pid}/stat", "rb") as f:
                text = f.read().decode("utf-8", "replace")
            self.comm = text[text.index("(") + 1 : text.rindex(")")]
            rest = text[text.rindex(")") + 2 :].split()
            self.state, self.ppid, self.pgid, self.sid = rest[0], int(rest[1]), int(rest[2]), int(rest[3])
            self.ticks = int(rest[11]) + int(rest[12])
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                self.cmdline = f.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        except (FileNotFoundError, ProcessLookupError):
            pass

    @property
    def alive(self):
        return self.state is not None and self.state not in "ZX"

    def __repr__(self):
        return f"<{self.pid} {self.state} {self.comm}: {self.cmdline[:100]}>"


def all_processes():
    return [Proc(int(name)) for name in os.listdir("/proc") if name.isdigit()]


def descendants(pid, processes=None):
    processes = processes if processes is not None else all_processes()
    found, frontier = [], {pid}
    while frontier:
        children = [p for p in processes if p.ppid in frontier and p.state]
        found += children
        frontier = {p.pid for p in children}
    return found


def marked(mark):
    """Processes that carry this test's mark in their environment."""
    needle = f"{RUN_MARK}={mark}".encode()
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as f:
                if needle in f.read().split(b"\0"):
                    found.append(Proc(int(name)))
        except (OSError, ProcessLookupError):
            continue
    return found


def cpu_seconds(pid):
    return Proc(pid).ticks / os.sysconf("SC_CLK_TCK")


def memory(pid):
    """{"rss": bytes, "pss": bytes} of a process."""
    sizes = {"rss": 0, "pss": 0}
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        for line in f:
            key, _, value = line.partition(":")
            if key in ("Rss", "Pss"):
                sizes[key.lower()] = int(value.split()[0]) * 1024
    return sizes


def send_signal(pid, number):
    """kill() that accepts a process that is already gone; never a group, never pid <= 0."""
    assert pid > 0
    try:
        os.kill(pid, number)
        return True
    except ProcessLookupError:
        return False


def become_subreaper():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def reap_orphans(keep):
    """Collects dead children that arrived here as orphans; `keep`: pids that Popen objects wait for."""
    for proc in all_processes():
        if proc.ppid == os.getpid() and proc.state == "Z" and proc.pid not in keep:
            try:
                os.waitpid(proc.pid, os.WNOHANG)
            except ChildProcessError:
                pass


# ---- RESP -----------------------------------------------------------------------------------------


class RedisError(Exception):
    pass


class Redis:
    """A small blocking RESP2 client. Texts are str (surrogateescape keeps any bytes)."""

    def __init__(self, path=None, host=None, port=None, password=None, username=None, timeout=10.0):
        if path:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(timeout)
            try:
                self.sock.connect(path)
            except OSError:
                self.sock.close()
                raise
        else:
            self.sock = socket.create_connection((host, port), timeout)
        self.file = self.sock.makefile("rb")
        if password is not None:
            self.cmd(*(("AUTH", username, password) if username else ("AUTH", password)))

    @staticmethod
    def _encode(args):
        parts = [b"*%d\r\n" % len(args)]
        for arg in args:
            data = arg if isinstance(arg, bytes) else str(arg).encode("utf-8", "surrogateescape")
            parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
        return b"".join(parts)

    def _read(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("Redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode("utf-8", "surrogateescape")
        if kind == b"-":
            return RedisError(rest.decode("utf-8", "surrogateescape"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            size = int(rest)
            if size < 0:
                return None
            data = self.file.read(size + 2)
            if len(data) != size + 2:
                raise ConnectionError("Redis closed the connection")
            return data[:-2].decode("utf-8", "surrogateescape")
        if kind == b"*":
            size = int(rest)
            return None if size < 0 else [self._read() for _ in range(size)]
        raise ConnectionError(f"not RESP: {line!r}")

    def cmd(self, *args):
        self.sock.sendall(self._encode(args))
        reply = self._read()
        if isinstance(reply, RedisError):
            raise reply
        return reply

    __call__ = cmd

    def pipe(self, commands, chunk=1000):
        """Sends many commands, returns their replies; an error reply is returned as RedisError."""
        replies = []
        for start in range(0, len(commands), chunk):
            part = commands[start : start + chunk]
            self.sock.sendall(b"".join(self._encode(c) for c in part))
            replies += [self._read() for _ in part]
        return replies

    def hgetall(self, key):
        flat = self.cmd("HGETALL", key)
        return dict(zip(flat[::2], flat[1::2]))

    def info(self, section="everything"):
        pairs = (line.split(":", 1) for line in self.cmd("INFO", section).splitlines() if ":" in line)
        return {k: v.strip() for k, v in pairs}

    def scan(self, pattern="*"):
        cursor, keys = "0", set()
        while True:
            cursor, part = self.cmd("SCAN", cursor, "MATCH", pattern, "COUNT", "5000")
            keys.update(part)
            if cursor == "0":
                return keys

    def close(self):
        self.file.close()
        self.sock.close()


class RedisServer:
    """A private redis-server on a unix socket in the scratch folder. `aof`: appendonly, always synced, so
    that what Redis acknowledged survives kill()."""

    def __init__(self, folder, name="redis", aof=False, port=0, options=(), env=None):
        self.folder = os.path.join(folder, name)
        os.makedirs(self.folder, exist_ok=True)
        self.socket = os.path.join(self.folder, "redis.sock")
        self.port, self.aof, self.options, self.env = port, aof, list(options), env
        self.process = None
        self.clients = []

    @property
    def url(self):
        return f"unix://{self.socket}"

    @property
    def pid(self):
        return self.process.pid

    def start(self, wait=True):
        argv = ["redis-server", "--port", str(self.port), "--unixsocket", self.socket]
        argv += ["--bind", "127.0.0.1", "--daemonize", "no", "--dir", self.folder, "--save", ""]
        argv += ["--logfile", os.path.join(self.folder, "redis.log")]
        if self.aof:
            argv += ["--appendonly", "yes", "--appendfsync", "always", "--aof-use-rdb-preamble", "no"]
        argv += self.options
        self.process = subprocess.Popen(argv, env=self.env, stdin=subprocess.DEVNULL)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, deadline=20.0):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"redis-server ended with {self.process.returncode}, see {self.folder}/redis.log")
            try:
                client = Redis(path=self.socket)
            except OSError:
                return False
            try:
                client.cmd("PING")
                return True
            except RedisError as error:
                return str(error).split()[0] in ("NOAUTH", "NOPERM")
            finally:
                client.close()

        wait_until(ready, deadline, "redis-server answers", every=0.01)

    def client(self, **kwargs):
        client = Redis(path=self.socket, **kwargs)
        self.clients.append(client)
        return client

    def stop(self):
        """Clean stop (data kept when aof)."""
        if self.process and self.process.poll() is None:
            send_signal(self.process.pid, signal.SIGCONT)
            send_signal(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def kill(self):
        """kill -9."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def wipe(self):
        """Deletes what is on disk; the server must be down."""
        assert self.process is None or self.process.poll() is not None
        for name in os.listdir(self.folder):
            path = os.path.join(self.folder, name)
            if name.startswith("appendonly"):
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
            elif name.endswith(".rdb"):
                os.unlink(path)

    def pause(self):
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self):
        os.kill(self.pid, signal.SIGCONT)

    def close(self):
        for client in self.clients:
            try:
                client.close()
            except OSError:
                pass
        if self.process and self.process.poll() is None:
            send_signal(self.pid, signal.SIGCONT)
            self.process.kill()
            self.process.wait()


class Proxy:
    """A unix socket in front of a server that a test can make lie: hold or drop replies, cut connections.

    drop_replies(n): the next n chunks of replies are swallowed and that connection is cut, so the command
    was executed and its answer lost. hold_request(match): the next request that holds these bytes stays here
    and its sender is cut off; release() delivers it, long after its sender has given up. cut_all(): all
    connections end now. silent: nothing is passed back."""

    def __init__(self, folder, target, name="proxy"):
        self.path = os.path.join(folder, f"{name}.sock")
        self.target = target
        self.lock = threading.Lock()
        self.drop = 0  # replies still to swallow
        self.drop_match = None  # only for requests that contain these bytes
        self.dropped = 0
        self.silent = False
        self.refuse = False
        self.hold_match = None
        self.held = []  # (pair, data)
        self.pairs = {}
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen(128)
        self.closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"unix://{self.path}"

    def _accept(self):
        while not self.closed:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            if self.refuse:
                near.close()
                continue
            far = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                far.connect(self.target)
            except OSError:
                near.close()
                continue
            pair = {"near": near, "far": far, "armed": False}
            with self.lock:
                self.pairs[id(pair)] = pair
            threading.Thread(target=self._serve, args=(pair,), daemon=True).start()

    def _serve(self, pair):
        down = threading.Thread(target=self._down, args=(pair,), daemon=True)
        down.start()
        if self._up(pair) == "held":
            return  # release() or close() ends it
        down.join()
        pair["near"].close()
        pair["far"].close()

    def _up(self, pair):
        try:
            while True:
                data = pair["near"].recv(1 << 16)
                if not data:
                    break
                with self.lock:
                    if self.drop > 0 and (self.drop_match is None or self.drop_match in data):
                        pair["armed"] = True
                        self.drop -= 1
                    held = self.hold_match is not None and self.hold_match in data
                    if held:
                        self.hold_match = None
                        self.held.append((pair, data))
                if held:
                    pair["near"].shutdown(socket.SHUT_RDWR)
                    return "held"
                pair["far"].sendall(data)
        except OSError:
            pass
        self._cut(pair)
        return None

    def _down(self, pair):
        try:
            while True:
                data = pair["far"].recv(1 << 16)
                if not data:
                    break
                if pair["armed"]:
                    with self.lock:
                        self.dropped += 1
                    break
                if self.silent:
                    continue
                pair["near"].sendall(data)
        except OSError:
            pass
        self._cut(pair)

    def _cut(self, pair):
        for side in ("near", "far"):
            try:
                pair[side].shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        with self.lock:
            self.pairs.pop(id(pair), None)

    def drop_replies(self, count=1, match=None):
        with self.lock:
            self.drop += count
            self.drop_match = match

    def hold_request(self, match):
        with self.lock:
            self.hold_match = match

    def release(self):
        """Delivers what was held; returns how many requests."""
        with self.lock:
            held, self.held = self.held, []
        for pair, data in held:
            pair["far"].sendall(data)
        return len(held)

    def cut_all(self):
        with self.lock:
            pairs = list(self.pairs.values())
        for pair in pairs:
            self._cut(pair)
        return len(pairs)

    def close(self):
        self.closed = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.cut_all()


# ---- droverd and the command line -----------------------------------------------------------------


class Droverd:
    """One droverd with its workers. Log lines (stderr, JSON) are collected by a thread."""

    def __init__(self, folder, config, name="droverd", args=(), env=None, wait=True):
        self.folder = os.path.join(folder, name)
        os.makedirs(self.folder, exist_ok=True)
        self.config_path = os.path.join(self.folder, "drover.yaml")
        self.config = config
        text = config if isinstance(config, str) else json.dumps(config, indent=1)  # JSON is YAML
        with open(self.config_path, "w", encoding="utf-8") as f:
            f.write(text + "\n")
        self.lines = []  # every line of stderr as text
        self.events = []  # those that are JSON objects
        self.lock = threading.Lock()
        self.log = open(os.path.join(self.folder, "droverd.log"), "ab")
        self.process = subprocess.Popen(
            [program("droverd"), "-c", self.config_path, *args],
            env=clean_env(env), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            cwd="/")
        self.reader = threading.Thread(target=self._collect, daemon=True)
        self.reader.start()
        if wait:
            self.wait_ready()

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
        full = {"log": {"level": "debug", "format": "json"}}
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
