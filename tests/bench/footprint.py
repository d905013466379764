"""footprint.py - what it takes to be there: memory, connections, CPU while nothing happens; and how a few jobs are shared out."""

import os
import time

import rig
from producer import Producer
from sides import HERE, NODE, Side, mib, peak_rss
from speed import JOB, fill, resume

FLEET_QUEUES, FLEET_PROCESSES = 30, 4


def memory(bench, side, count):
    """Idle: ready, nothing run yet. Peak: the most of its life, after `count` jobs at concurrency 100."""
    bench.fresh()
    figures = {}
    worker = bench.start_worker(side)
    try:
        sizes = rig.memory(worker.pid)
        figures["worker idle (noop), PSS MiB"] = mib(sizes["pss"])
        figures["worker idle (noop), RSS MiB"] = mib(sizes["rss"])
        if side == "drover":
            master = rig.memory(worker.pids[0])
            figures["master idle, PSS MiB"], figures["master idle, RSS MiB"] = mib(master["pss"]), mib(master["rss"])
        fill(bench, count)
        resume(bench)
        bench.wait_completed(count)
        figures["worker peak (noop), RSS MiB"] = mib(peak_rss(worker.pid))
    finally:
        worker.close()
    return {**figures, **process_memory(bench, side)}


def process_memory(bench, side):
    """The worker process of a `process` handler; the Node program that it keeps is counted in "100 jobs at once"."""
    bench.fresh()
    handler = {"process": [NODE, os.path.join(HERE, "jobs.mjs")], "children": 1, "parallel": 100}
    worker = bench.start_worker(side, handler=handler)
    try:
        sizes = rig.memory(worker.pid)
        return {"worker idle (process), PSS MiB": mib(sizes["pss"]), "worker idle (process), RSS MiB": mib(sizes["rss"])}
    finally:
        worker.close()


def spread(bench, side, _):
    """Four worker processes with two slots each, idle, and eight jobs of half a second at once: how many each gets first.
    Four slots each, so that one could take more than its share."""
    bench.fresh()
    if side == "drover":
        worker = bench.start_worker(side, concurrency=16, processes=4, handler={"noop": {"duration": "500ms"}})
    else:
        worker = bench.start_worker(side, concurrency=4, processes=4, duration=500)
    try:
        if side == "drover":  # until all know of each other
            time.sleep(0.5)
        Producer(bench.r, "bench").bulk([JOB] * 8)
        bench.wait_completed(8)
        shares = {}
        for job in range(1, 9):
            name = bench.r.cmd("HGET", f"bull:bench:{job}", "pb")
            shares[name] = shares.get(name, 0) + 1
        counts = sorted(shares.values()) + [0] * (4 - len(shares))
        return {"four workers and eight jobs, most of one": float(max(counts)),
                "four workers and eight jobs, least of one": float(min(counts))}
    finally:
        worker.close()


def start_fleet(bench, side, queues):
    if side == "drover":
        daemon = bench.droverd({"queues": {q: {"concurrency": FLEET_PROCESSES, "processes": FLEET_PROCESSES, "handler": "noop"}
                                           for q in queues}})
        bench.wait_idle(FLEET_QUEUES * FLEET_PROCESSES, daemon.tail)
        return Side([p.pid for p in daemon.workers()], [daemon.pid], lambda: (daemon.drain(60), daemon.close()))
    nodes = [bench.node({"mode": "fleet", "queues": queues, "concurrency": 1}) for _ in range(FLEET_PROCESSES)]
    return bench.ready_nodes(nodes, FLEET_QUEUES * FLEET_PROCESSES)


def fleet(bench, side, seconds):
    """30 queues with four workers each, nothing to do. drover: 120 processes. Stock: as it is run for so many queues, four
    Node processes with a Worker for each queue (120 processes of 67 MiB nobody starts)."""
    bench.fresh()
    before = bench.r.cmd("CLIENT", "LIST").count("\n")
    side_started = start_fleet(bench, side, [f"q{n}" for n in range(FLEET_QUEUES)])
    try:
        time.sleep(3)  # the ends of starting
        cpu, redis_cpu = side_started.total_cpu(), bench.redis_cpu()
        time.sleep(seconds)
        cpu, redis_cpu = side_started.total_cpu() - cpu, bench.redis_cpu() - redis_cpu
        return {"idle fleet, connections": float(bench.r.cmd("CLIENT", "LIST").count("\n") - before),
                "idle fleet, total PSS MiB": mib(side_started.total_pss()),
                "idle fleet, CPU ms/s": cpu / seconds * 1000, "idle fleet, Redis CPU ms/s": redis_cpu / seconds * 1000}
    finally:
        side_started.close()
