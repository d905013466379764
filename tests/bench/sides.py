"""sides.py - the two sides of a measurement: a private Redis, drover's programs and stock bullmq's, and what /proc says of them.

Each side is started the same way: start_worker(side, ...) gives a Side, which says its worker's pid and all its pids and ends
with close(). Nothing of one side runs while the other is measured.
"""

import json
import os
import shutil
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
import rig
from producer import Producer

PAYLOAD = 185  # bytes of text; the JSON is about 200
BENCH = os.path.join(rig.BUILD, "tests", "bench")
NODE = shutil.which("node")  # a handler is named by its absolute path
AOF = {"none": (), "everysec": ("--appendonly", "yes", "--appendfsync", "everysec"),
       "always": ("--appendonly", "yes", "--appendfsync", "always")}


def cpu_seconds(pid):
    """Of all threads that live, in nanoseconds' steps where the kernel counts them; /proc/PID/stat knows 10 ms."""
    total = 0
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as f:
                total += int(f.read().split()[0])
    except (FileNotFoundError, ValueError):
        total = 0
    return total / 1e9 if total else rig.cpu_seconds(pid)


def peak_rss(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM:"))


def mib(size):
    return size / 2**20


class Side:
    def __init__(self, workers, pids, stop):
        self.workers, self.pids, self.close = workers, pids, stop

    @property
    def pid(self):
        return self.workers[0]

    def total_pss(self):
        """Everything that serves the queue: master, workers, programs."""
        tree = {p for pid in self.pids for p in [pid, *(d.pid for d in rig.descendants(pid))]}
        return sum(rig.memory(pid)["pss"] for pid in tree)

    def total_cpu(self):
        tree = {p for pid in self.pids for p in [pid, *(d.pid for d in rig.descendants(pid))]}
        return sum(cpu_seconds(pid) for pid in tree)


class Bench:
    """quick: less of everything."""

    def __init__(self, quick):
        self.folder = tempfile.mkdtemp(prefix="drover-bench-", dir="/var/tmp")
        self.quick, self.number, self.servers = quick, 0, {}
        self.use("none")

    def use(self, aof):
        """Which server is measured on, by its persistence."""
        if aof not in self.servers:
            self.servers[aof] = rig.RedisServer(self.folder, name=f"redis-{aof}", options=AOF[aof]).start()
        self.server = self.servers[aof]
        self.r = self.server.client(timeout=60)

    def close(self):
        for server in self.servers.values():
            server.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def fresh(self, queue="bench"):
        self.r.cmd("FLUSHALL")
        return Producer(self.r, queue, max_events=10000)

    # -- workers

    def start_worker(self, side, queue="bench", concurrency=100, handler="noop", processes=1, starts=None, **options):
        """starts: a file for the moments at which jobs start; handler: drover's."""
        start = self.start_drover if side == "drover" else self.start_peer
        return start(queue, concurrency, handler, processes, starts, **options)

    def start_drover(self, queue, concurrency, handler, processes, starts, **options):
        queues = {queue: {"concurrency": concurrency, "processes": processes, "handler": handler, **options}}
        env = {"DROVER_LIBEXEC_DIR": BENCH, "DROVER_BENCH_STARTS": starts} if starts else None
        daemon = self.droverd({"queues": queues}, env=env)
        try:
            workers = [p.pid for p in daemon.workers()]
            self.wait_idle(processes, daemon.tail)
        except BaseException:
            daemon.close()
            raise
        return Side(workers, [daemon.pid], lambda: (daemon.drain(), daemon.close()))

    def droverd(self, config, env=None, level="info"):
        self.number += 1
        full = {"redis": {"default": {"url": self.server.url}}, "log": {"level": level, "format": "json"}, **config}
        daemon = rig.Droverd(self.folder, full, name=f"d{self.number}", env=env, wait=False)
        try:
            daemon.wait_ready(60)
        except BaseException:
            daemon.close()
            raise
        return daemon

    def start_peer(self, queue, concurrency, handler, processes, starts, duration=0):
        arg = {"mode": "work", "queue": queue, "concurrency": concurrency, "duration": duration}
        if starts:
            arg["starts"] = starts
        nodes = [self.node({**arg, "name": f"peer{n}"}) for n in range(processes)]
        return self.ready_nodes(nodes, processes)

    def ready_nodes(self, nodes, workers):
        def stop():
            for node in nodes:
                node.terminate()
            for node in nodes:
                node.wait(30)
                node.stdout.close()

        try:
            for node in nodes:
                line = node.stdout.readline()
                if not json.loads(line or "{}").get("ready"):
                    raise RuntimeError(f"the stock worker did not start: {line}")
            self.wait_idle(workers, lambda: "stock workers wait")
        except BaseException:
            for node in nodes:
                node.kill()
            raise
        return Side([n.pid for n in nodes], [n.pid for n in nodes], stop)

    def wait_idle(self, count, what):
        rig.wait_until(lambda: self.r.cmd("CLIENT", "LIST").count("cmd=bzpopmin") >= count, 60, what)

    def node(self, arg):
        return subprocess.Popen([NODE, os.path.join(HERE, "peer.mjs"), json.dumps({"socket": self.server.socket, **arg})],
                                stdout=subprocess.PIPE, text=True)

    # -- producers

    def feed(self, mode, count, queue="bench"):
        """A C producer that links the engine; its lines."""
        argv = [os.path.join(BENCH, "feeder"), self.server.socket, queue, mode, str(count), str(PAYLOAD)]
        return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True, timeout=300).stdout.splitlines()

    def start_feeder(self, side, mode, count, queue="bench"):
        if side == "peer":
            return self.node({"mode": mode, "queue": queue, "count": count, "payload": PAYLOAD})
        argv = [os.path.join(BENCH, "feeder"), self.server.socket, queue, mode, str(count), str(PAYLOAD)]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)

    # -- what Redis says

    def redis_cpu(self):
        info = self.r.info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])

    def wait_completed(self, count, queue="bench", deadline=120):
        key = f"bull:{queue}:completed"
        rig.wait_until(lambda: self.r.cmd("ZCARD", key) >= count, deadline,
                       lambda: f"{self.r.cmd('ZCARD', key)} of {count} completed", every=0.05)

    def read_starts(self, path):
        with open(path, encoding="ascii") as f:
            return {words[0]: int(words[1]) for words in (line.split() for line in f)}
