"""speed.py - how many jobs a second, and what a job costs."""

import json
import os
import re
import subprocess
import time

import rig
from producer import Producer
from sides import BENCH, HERE, NODE, PAYLOAD, cpu_seconds, mib, peak_rss

WARM_UP = 2000
JOB = ("ok", {"n": 0, "text": "x" * PAYLOAD}, {})


def fill(bench, count):
    """`count` jobs in a paused queue; the number of the first."""
    p = "bull:bench:"
    bench.r.cmd("HSET", p + "meta", "paused", 1)
    bench.r.cmd("DEL", p + "marker")
    first = int(bench.r.cmd("GET", p + "id") or 0) + 1
    Producer(bench.r, "bench", max_events=10000).bulk([JOB] * count)
    return first


def resume(bench):
    p = "bull:bench:"
    bench.r.pipe([("MULTI",), ("RENAME", p + "paused", p + "wait"), ("HDEL", p + "meta", "paused"),
                  ("ZADD", p + "marker", 0, "0"), ("EXEC",)])


def span_seconds(bench, first, count):
    """From the first fetch to the last end, as the jobs themselves say."""
    times = bench.r.pipe([("HMGET", f"bull:bench:{first + n}", "processedOn", "finishedOn") for n in range(count)])
    return max((max(int(t[1]) for t in times) - min(int(t[0]) for t in times)) / 1000, 0.001)


def drain_side(bench, side, worker, label, count):
    """The worker is started and idle: warm it, then measure `count` jobs."""
    warm = min(WARM_UP, count)
    Producer(bench.r, "bench", max_events=10000).bulk([JOB] * warm)
    bench.wait_completed(warm)
    first = fill(bench, count)
    time.sleep(0.1)  # let the worker become quiet before its CPU time is read
    cpu, redis_cpu = cpu_seconds(worker.pid), bench.redis_cpu()
    resume(bench)
    bench.wait_completed(warm + count)
    cpu, redis_cpu = cpu_seconds(worker.pid) - cpu, bench.redis_cpu() - redis_cpu
    return {f"{label}, jobs/s": count / span_seconds(bench, first, count),
            f"{label}, worker CPU us/job": cpu / count * 1e6, f"{label}, Redis CPU us/job": redis_cpu / count * 1e6}


def floor(count):
    """turn_floor: the same script on prepared data, pipelined, without the worker."""
    out = subprocess.run([os.path.join(BENCH, "turn_floor"), str(count), "50", "2", "200"], stdout=subprocess.PIPE, text=True,
                         check=True, timeout=120).stdout
    return float(re.search(r"jobs_per_s=(\d+)", out).group(1))


def drain(bench, side, count, concurrency=100, label="drain", with_floor=False):
    bench.fresh()
    worker = bench.start_worker(side, concurrency=concurrency)
    try:
        figures = drain_side(bench, side, worker, label, count)
    finally:
        worker.close()
    if with_floor and side == "drover":
        most = floor(count)
        figures["floor, jobs/s"] = most
        figures["drain, share of the floor"] = figures["drain, jobs/s"] / most
    return figures


def adds(bench, side, mode, label, count):
    """One client; both have connected and loaded their scripts when the time begins."""
    bench.fresh()
    redis_cpu = bench.redis_cpu()
    process = bench.start_feeder(side, mode, count)
    out, _ = process.communicate(timeout=300)
    result = json.loads(out)
    added = count + result.get("more", 1)
    stored = bench.r.cmd("LLEN", "bull:bench:wait")
    if stored != added:
        raise RuntimeError(f"{side}, {mode}: {stored} jobs stored, not {added}")
    return {f"{label}, jobs/s": count / result["seconds"], f"{label}, client CPU us/job": result["cpu"] / count * 1e6,
            f"{label}, Redis CPU us/job": (bench.redis_cpu() - redis_cpu) / added * 1e6}


def command_line(bench, side, count):
    """The whole life of one `drover add --lines -`: start, reading JSON lines, adding, ending. Stock has none."""
    if side == "peer":
        return {}
    bench.fresh()
    lines = "".join(json.dumps({"n": n, "text": "x" * PAYLOAD}) + "\n" for n in range(count))
    begun = time.monotonic()
    result = rig.Cli()("add", "--redis", bench.server.url, "--lines", "-", "bench", "ok", stdin=lines, deadline=120)
    seconds = time.monotonic() - begun
    if result.code != 0 or bench.r.cmd("LLEN", "bull:bench:wait") != count:
        raise RuntimeError(f"drover add: {result}")
    return {"drover add --lines, jobs/s": count / seconds}


def at_once(bench, side, count):
    """Each side's own producer adds in bulk while its worker runs; from the first add until the last job has ended."""
    bench.fresh()
    worker = bench.start_worker(side)
    try:
        process = bench.start_feeder(side, "bulk", count)
        out, _ = process.communicate(timeout=300)
        more = json.loads(out).get("more", 1)  # those that warm it up come first
        bench.wait_completed(count + more)
        p = "bull:bench:"
        begun = int(bench.r.cmd("HGET", f"{p}{more + 1}", "timestamp"))
        ended = max(int(bench.r.cmd("HGET", p + job, "finishedOn")) for job in bench.r.cmd("ZRANGE", p + "completed", -200, -1))
        return {"producer and worker at once, jobs/s": count / max((ended - begun) / 1000, 0.001)}
    finally:
        worker.close()


def hundred(bench, side, count):
    """100 jobs at once: drover through one long-lived Node program (`process`, parallel: 100), stock in its own process."""
    bench.fresh()
    handler = {"process": [NODE, os.path.join(HERE, "jobs.mjs")], "children": 1, "parallel": 100}
    worker = bench.start_worker(side, concurrency=100, handler=handler)
    label = "100 jobs at once in Node"
    try:
        figures = {f"{label}, jobs/s": drain_side(bench, side, worker, label, count)[f"{label}, jobs/s"],
                   f"{label}, total PSS MiB": mib(worker.total_pss())}
        figures["worker peak (process), RSS MiB"] = mib(peak_rss(worker.pid))
        return figures
    finally:
        worker.close()
