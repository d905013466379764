"""bench.py - drover beside stock bullmq on the same Redis in the same run.

Rounds alternate, so that a neighbour's load hits both; a ratio is formed pair by pair, and its median, smallest
and largest value are shown. Nothing here judges unless a figure has a goal.

  python3 tests/bench/bench.py [--quick] [--json] [--rounds N] [--only NAME]

What is measured:
  drain          no-op jobs with a payload of about 200 bytes wait in a paused queue, the worker is warm; from resume
                 until all are completed, by the jobs' own processedOn and finishedOn. One process, concurrency 100.
  concurrency 1  the same with one job at a time.
  bulk add       10,000 jobs: addBulk in pieces of 500 inside a warm Node process; drover: the whole life of one
                 `drover add --lines -` (start, reading JSON lines, adding, ending).
  CPU            of the worker process and of redis-server, per job of the drain, from /proc.
  idle memory    of a worker (and of the master) that has run the warm-up and waits.
  giving back    one of two workers (then: the only worker) with 20 jobs of a second each is killed with kill -9; from the
                 moment at which the master saw its end until its jobs can be fetched again. Stock bullmq with its built-in
                 settings, once: from the kill until another worker starts the first of its jobs.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import rig
from producer import Producer

PAYLOAD = 170  # bytes of text; the JSON is about 200
WARM_UP = 2000


class Bench:
    def __init__(self, quick):
        self.folder = tempfile.mkdtemp(prefix="drover-bench-", dir="/var/tmp")
        self.quick = quick
        self.server = rig.RedisServer(self.folder).start()
        self.r = self.server.client(timeout=60)
        self.number = 0

    def close(self):
        self.server.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- the two sides: start returns (pid of the worker, [pids], stop)

    def start_drover(self, queue, concurrency):
        self.number += 1
        daemon = rig.Droverd(self.folder, {
            "redis": {"default": {"url": self.server.url}}, "log": {"level": "warn", "format": "json"},
            "queues": {queue: {"concurrency": concurrency, "processes": 1, "handler": "noop"}}}, name=f"d{self.number}", wait=False)
        try:
            workers = rig.wait_until(daemon.workers, 20, daemon.tail)
            rig.wait_until(lambda: "cmd=bzpopmin" in self.r.cmd("CLIENT", "LIST"), 20, daemon.tail)
        except BaseException:
            daemon.close()
            raise

        def stop():
            daemon.drain()
            daemon.close()

        return workers[0].pid, daemon.pid, stop

    def start_peer(self, queue, concurrency):
        process = self.node({"mode": "work", "queue": queue, "concurrency": concurrency})
        line = process.stdout.readline()
        if not json.loads(line or "{}").get("ready"):
            process.kill()
            raise RuntimeError(f"the stock worker did not start: {line}")
        rig.wait_until(lambda: "cmd=bzpopmin" in self.r.cmd("CLIENT", "LIST"), 20, "stock worker waits")

        def stop():
            process.terminate()
            process.wait(20)
            process.stdout.close()

        return process.pid, None, stop

    def node(self, arg):
        return subprocess.Popen(["node", os.path.join(HERE, "peer.mjs"), json.dumps({"socket": self.server.socket, **arg})],
                                stdout=subprocess.PIPE, text=True)

    # -- measurements: each returns {figure: value}

    def drain(self, side, concurrency, count):
        self.r.cmd("FLUSHALL")
        queue, p = "bench", "bull:bench:"
        producer = Producer(self.r, queue, max_events=10000)
        pid, master, stop = (self.start_drover if side == "drover" else self.start_peer)(queue, concurrency)
        try:
            jobs = [("ok", {"n": 0, "text": "x" * PAYLOAD}, {})]
            warm = min(WARM_UP, count)
            producer.bulk(jobs * warm)
            self.wait_completed(p, warm)
            figures = {}
            if concurrency > 1:
                memory = rig.memory(pid)
                figures["worker memory after warm-up, RSS MiB"] = memory["rss"] / 2**20
            self.r.cmd("HSET", p + "meta", "paused", 1)
            self.r.cmd("DEL", p + "marker")
            first = int(self.r.cmd("GET", p + "id")) + 1
            producer.bulk(jobs * count)
            time.sleep(0.1)  # let the worker become quiet before its CPU time is read
            cpu, redis_cpu = rig.cpu_seconds(pid), self.redis_cpu()
            self.r.pipe([("MULTI",), ("RENAME", p + "paused", p + "wait"), ("HDEL", p + "meta", "paused"),
                         ("ZADD", p + "marker", 0, "0"), ("EXEC",)])
            self.wait_completed(p, warm + count)
            cpu, redis_cpu = rig.cpu_seconds(pid) - cpu, self.redis_cpu() - redis_cpu
            times = self.r.pipe([("HMGET", p + str(first + n), "processedOn", "finishedOn") for n in range(count)])
            seconds = (max(int(t[1]) for t in times) - min(int(t[0]) for t in times)) / 1000
            label = "drain" if concurrency > 1 else "concurrency 1"
            figures[f"{label}, jobs/s"] = count / max(seconds, 0.001)
            figures[f"{label}, worker CPU us/job"] = cpu / count * 1e6
            figures[f"{label}, Redis CPU us/job"] = redis_cpu / count * 1e6
            return figures
        finally:
            stop()

    def wait_completed(self, p, count):
        rig.wait_until(lambda: self.r.cmd("ZCARD", p + "completed") >= count, 120,
                       lambda: f"{self.r.cmd('ZCARD', p + 'completed')} of {count} completed", every=0.05)

    def redis_cpu(self):
        info = self.r.info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])

    def bulk_add(self, side, count):
        self.r.cmd("FLUSHALL")
        chunk = 500
        redis_cpu = self.redis_cpu()
        if side == "peer":
            process = self.node({"mode": "add", "queue": "bench", "count": count, "chunk": chunk, "payload": PAYLOAD})
            out, _ = process.communicate(timeout=120)
            seconds, added = json.loads(out)["seconds"], count + chunk
        else:
            lines = "".join(json.dumps({"n": n, "text": "x" * PAYLOAD}) + "\n" for n in range(count))
            start = time.monotonic()
            result = rig.Cli()("add", "--redis", self.server.url, "--lines", "-", "bench", "ok", stdin=lines, deadline=120)
            seconds, added = time.monotonic() - start, count
            if result.code != 0:
                raise RuntimeError(f"drover add: {result}")
        stored = self.r.cmd("LLEN", "bull:bench:wait")
        if stored != added:
            raise RuntimeError(f"{side}: {stored} jobs stored, not {added}")
        return {"bulk add, jobs/s": count / seconds, "bulk add, Redis CPU us/job": (self.redis_cpu() - redis_cpu) / added * 1e6}

    def idle(self, side):
        self.r.cmd("FLUSHALL")
        pid, master, stop = (self.start_drover if side == "drover" else self.start_peer)("bench", 100)
        try:
            sizes = rig.memory(pid)
            figures = {"idle worker, RSS MiB": sizes["rss"] / 2**20, "idle worker, PSS MiB": sizes["pss"] / 2**20}
            if master:
                own = rig.memory(master)
                figures["idle master, RSS MiB"] = own["rss"] / 2**20
                figures["idle master, PSS MiB"] = own["pss"] / 2**20
            return figures
        finally:
            stop()

    def giving_back(self, side, rounds):
        return self.give_back_drover(rounds) if side == "drover" else self.give_back_peer()

    def give_back_drover(self, rounds):
        figures = {}
        for processes, label in ((2, "with a sibling"), (1, "without a sibling")):
            self.r.cmd("FLUSHALL")
            self.number += 1
            daemon = rig.Droverd(self.folder, {
                "redis": {"default": {"url": self.server.url}}, "log": {"level": "info", "format": "json"},
                "queues": {"bench": {"concurrency": 20 * processes, "processes": processes, "handler": {"noop": {"duration": "1s"}}}}},
                name=f"d{self.number}")
            try:
                for number in range(rounds):
                    Producer(self.r, "bench").many(20 * processes)
                    rig.wait_until(lambda: self.r.cmd("LLEN", "bull:bench:active") == 20 * processes, 20, daemon.tail)
                    os.kill(daemon.workers()[0].pid, 9)
                    daemon.wait_event("worker.recovered", 20, number + 1, role="droverd")
                    self.wait_completed("bull:bench:", 20 * processes * (number + 1))
                times = sorted(e["took_us"] / 1000 for e in daemon.find("worker.recovered", role="droverd"))
            finally:
                daemon.drain()
                daemon.close()
            figures[f"giving back {label}, p50 ms"] = statistics.median(times)
            figures[f"giving back {label}, p99 ms"] = times[min(len(times) - 1, int(len(times) * 0.99))]
        return figures

    def give_back_peer(self):
        self.r.cmd("FLUSHALL")
        job_id = Producer(self.r, "bench").add(data={"hold": True})
        victim = self.node({"mode": "work", "queue": "bench", "concurrency": 1})
        rig.wait_until(lambda: self.r.cmd("LLEN", "bull:bench:active") == 1, 20, "the stock worker has the job")
        other = self.node({"mode": "work", "queue": "bench", "concurrency": 1})
        try:
            other.stdout.readline()
            victim.kill()
            begun = time.monotonic()
            rig.wait_until(lambda: self.r.cmd("HGET", f"bull:bench:{job_id}", "ats") == "2", 100, "the other one gets it", every=0.05)
            return {"giving back with a sibling, p50 ms": (time.monotonic() - begun) * 1000}
        finally:
            for process in (victim, other):
                process.kill()
                process.wait(20)
                process.stdout.close()


# Goals come with the issue that promises them: the largest value that drover's side may have, or for ratios the least.
GOALS = {}
MOST = {"giving back with a sibling, p99 ms": 50}


def summarise(rounds):
    """rounds: [{"drover": {figure: v}, "peer": {figure: v}}] → rows in order of appearance."""
    names = list(dict.fromkeys(n for r in rounds for side in ("drover", "peer") for n in r.get(side, {})))
    rows = []
    for name in names:
        mine = [r["drover"][name] for r in rounds if name in r.get("drover", {})]
        theirs = [r["peer"][name] for r in rounds if name in r.get("peer", {})]
        pairs = [r["drover"][name] / r["peer"][name] for r in rounds
                 if name in r.get("drover", {}) and r.get("peer", {}).get(name)]
        goal, most = GOALS.get(name), MOST.get(name)
        rows.append({
            "name": name,
            "drover": round(statistics.median(mine), 2) if mine else None,
            "peer": round(statistics.median(theirs), 2) if theirs else None,
            "ratio": round(statistics.median(pairs), 3) if pairs else None,
            "ratio_min": round(min(pairs), 3) if pairs else None,
            "ratio_max": round(max(pairs), 3) if pairs else None,
            "rounds": len(pairs) or len(mine),
            "goal": goal if most is None else most,
            "ok": bool(mine and statistics.median(mine) <= most) if most is not None else
                  None if goal is None or not pairs else bool(statistics.median(pairs) >= goal),
        })
    return rows


def show(rows):
    print(f"{'':42} {'drover':>10} {'bullmq 6':>10}   ratio: median (min … max)")
    for row in rows:
        numbers = [f"{row[side]:10.1f}" if row[side] is not None else f"{'-':>10}" for side in ("drover", "peer")]
        ratio = f"{row['ratio']:6.2f} ({row['ratio_min']:.2f} … {row['ratio_max']:.2f})" if row["ratio"] is not None else ""
        print(f"{row['name']:42} {numbers[0]} {numbers[1]}   {ratio}")


def main():
    parser = argparse.ArgumentParser(description="drover beside stock bullmq on the same Redis in the same run")
    parser.add_argument("--quick", action="store_true", help="within a minute, coarser")
    parser.add_argument("--json", action="store_true", help='print {"figures": […]}')
    parser.add_argument("--rounds", type=int, help="rounds of each measurement")
    parser.add_argument("--only", help="only measurements whose name holds this text")
    args = parser.parse_args()
    if not shutil.which("node") or not os.path.isdir(os.path.join(HERE, "..", "interop", "node_modules")):
        sys.exit("the peer needs Node.js and tests/interop/node_modules: run ./dev deps interop, then npm ci there")
    rounds = args.rounds or (2 if args.quick else 11)
    drain, single, add = (10000, 1500, 5000) if args.quick else (40000, 5000, 10000)
    bench = Bench(args.quick)
    plan = [("drain", lambda s: bench.drain(s, 100, drain)), ("concurrency 1", lambda s: bench.drain(s, 1, single)),
            ("bulk add", lambda s: bench.bulk_add(s, add)), ("idle", bench.idle),
            ("giving back", lambda s: {} if args.quick and s == "peer" else bench.giving_back(s, 5 if args.quick else 40))]
    rows = []
    try:
        for name, measure in plan:
            if args.only and args.only not in name:
                continue
            results = []
            for number in range(1 if name in ("idle", "giving back") else rounds):
                # Who goes first changes, too: the second of a pair finds a warmer machine.
                order = ("drover", "peer") if number % 2 == 0 else ("peer", "drover")
                results.append({side: measure(side) for side in order})
                if not args.json:
                    print(f"\r{name}: round {number + 1}  ", end="", file=sys.stderr, flush=True)
            rows += summarise(results)
    finally:
        bench.close()
    if args.json:
        print(json.dumps({"figures": rows, "bullmq": "6.7.0", "processors": os.cpu_count(),
                          "redis": re.search(r"v=(\S+)", subprocess.run(["redis-server", "--version"], capture_output=True, text=True,
                                                                        check=True).stdout).group(1)}, indent=1))
    else:
        print("\r", end="", file=sys.stderr)
        show(rows)
    return 1 if any(row["ok"] is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
