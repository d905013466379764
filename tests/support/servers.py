"""servers.py - a private redis-server, a small client for it, and a proxy that can lie. Used through rig.py."""

import os
import re
import shutil
import signal
import socket
import subprocess
import threading

from procs import send_signal, wait_until


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


TIME_REPLY = re.compile(rb"(\*2\r\n\$10\r\n)(\d{10})(\r\n\$\d\r\n\d+\r\n)")


class Proxy:
    """A unix socket in front of a server that a test can make lie: hold or drop replies, cut connections.

    drop_replies(n): the next n chunks of replies are swallowed and that connection is cut, so the command
    was executed and its answer lost. hold_request(match): the next request that holds these bytes stays here
    and its sender is cut off; release() delivers it, long after its sender has given up. cut_all(): all
    connections end now. silent: nothing is passed back. clock_shift_s: replies to TIME are so much later."""

    def __init__(self, folder, target, name="proxy"):
        self.path = os.path.join(folder, f"{name}.sock")
        self.target = target
        self.lock = threading.Lock()
        self.drop = 0  # replies still to swallow
        self.drop_match = None  # only for requests that contain these bytes
        self.dropped = 0
        self.silent = False
        self.clock_shift_s = 0
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
                if self.clock_shift_s:
                    data = TIME_REPLY.sub(lambda m: m[1] + b"%d" % (int(m[2]) + self.clock_shift_s) + m[3], data)
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
