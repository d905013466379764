"""latency.py - how long a job waits for an idle worker, how late a delayed one starts, how long a dead worker's jobs are away.

Pick-up: one producer for both sides (feeder.c, which adds as BullMQ does) adds a job every 3 to 9 ms and notes the wall clock
when the reply of the add is there. The worker notes it as the first thing that its handler does: stock in the processor
function, drover in the start of its noop handler (stamp.c). The figure is the difference; 0 when the handler was started before
the producer had seen the reply. Late: the same start against the job's timestamp + delay.
"""

import os
import statistics
import time

import rig
from producer import Producer


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def measured(bench, side, mode, count, label):
    bench.fresh()
    bench.number += 1
    path = os.path.join(bench.folder, f"starts{bench.number}")
    worker = bench.start_worker(side, concurrency=10, starts=path)
    try:
        noted = [line.split() for line in bench.feed(mode, count)]
        bench.wait_completed(count + 1, deadline=30)  # one warms up
    finally:
        worker.close()
    starts = bench.read_starts(path)
    # The first tenth warms caches and compilers up.
    waits = [max(starts[job] - int(at), 0) / 1000 for job, at in noted[count // 10:]]
    return {f"{label} p50, ms": statistics.median(waits), f"{label} p99, ms": percentile(waits, 0.99)}


def pick_up(bench, side, count):
    return measured(bench, side, "pace", count, "pick-up")


def late(bench, side, count):
    return measured(bench, side, "delay", count, "delayed job late")


# ---- giving back


def giving_back(bench, side, rounds):
    """One of two workers (then: the only one) with 20 jobs of a second each is killed with kill -9; from the moment at which
    the master saw its end until its jobs can be fetched again. Stock with its built-in settings, once: from the kill until
    another worker starts the job."""
    if side == "peer":
        return {} if bench.quick else give_back_peer(bench)
    return {**give_back_drover(bench, rounds, 2, "with a sibling"), **give_back_drover(bench, rounds, 1, "without a sibling")}


def give_back_drover(bench, rounds, processes, label):
    bench.fresh()
    daemon = bench.droverd({"queues": {"bench": {"concurrency": 20 * processes, "processes": processes,
                                                 "handler": {"noop": {"duration": "1s"}}}}})
    try:
        for number in range(rounds):
            Producer(bench.r, "bench").many(20 * processes)
            rig.wait_until(lambda: bench.r.cmd("LLEN", "bull:bench:active") == 20 * processes, 20, daemon.tail)
            os.kill(daemon.workers()[0].pid, 9)
            daemon.wait_event("worker.recovered", 20, number + 1, role="droverd")
            bench.wait_completed(20 * processes * (number + 1))
        times = [e["took_us"] / 1000 for e in daemon.find("worker.recovered", role="droverd")]
    finally:
        daemon.drain()
        daemon.close()
    return {f"giving back {label}, p50 ms": statistics.median(times), f"giving back {label}, p99 ms": percentile(times, 0.99)}


def give_back_peer(bench):
    bench.fresh()
    job_id = Producer(bench.r, "bench").add(data={"hold": True})
    victim = bench.node({"mode": "work", "queue": "bench", "concurrency": 1})
    rig.wait_until(lambda: bench.r.cmd("LLEN", "bull:bench:active") == 1, 20, "the stock worker has the job")
    other = bench.node({"mode": "work", "queue": "bench", "concurrency": 1})
    try:
        other.stdout.readline()
        victim.kill()
        begun = time.monotonic()
        rig.wait_until(lambda: bench.r.cmd("HGET", f"bull:bench:{job_id}", "ats") == "2", 100, "the other one gets it", every=0.05)
        return {"giving back with a sibling, p50 ms": (time.monotonic() - begun) * 1000}
    finally:
        for process in (victim, other):
            process.kill()
            process.wait(20)
            process.stdout.close()
