"""bench.py - drover beside stock bullmq on the same Redis in the same run.

Rounds alternate, so that a neighbour's load hits both; a ratio is formed pair by pair, and its median, smallest and largest
value are shown. The exit code is 1 when a figure misses its goal (figures.py).

  python3 tests/bench/bench.py [--quick] [--json] [--rounds N] [--only NAME]

What is measured:
  drain            no-op jobs with 200 bytes of data wait in a paused queue, the worker is warm; from resume until all are
                   completed, by the jobs' own processedOn and finishedOn. One process, concurrency 100. CPU of the worker
                   process and of redis-server per job, from /proc and INFO. And the floor of the same round.
  concurrency 1    the same with one job at a time.
  bulk add, single adds, at once, command line, hundred: see speed.py
  pick-up, late, giving back: latency.py      memory, spread, fleet: footprint.py
  aof              drain and bulk add with appendonly, fsync every second and always.
"""

import argparse
import json
import os
import shutil
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import footprint
import latency
import speed
from figures import public, show, summarise
from sides import HERE, Bench

QUICK_SECONDS = 45  # after that no further round begins, so that all ends within a minute


def plain(measure, *args, **named):
    return lambda bench, side: measure(bench, side, *args, **named)


def with_aof(policy, measure):
    def run(bench, side):
        bench.use(policy)
        try:
            return {name.replace(",", f", AOF {policy},", 1): value for name, value in measure(bench, side).items()}
        finally:
            bench.use("none")

    return run


def plan(quick):
    """(name, rounds, measure)"""
    drain, single, add = (10000, 1500, 10000) if quick else (40000, 5000, 50000)
    many, some = (2, 1) if quick else (7, 3)
    rows = [
        ("drain", many, plain(speed.drain, drain, with_floor=True)),
        ("concurrency 1", many, plain(speed.drain, single, 1, "concurrency 1")),
        ("bulk add", many, plain(speed.adds, "bulk", "bulk add", add)),
        ("single adds", many, plain(speed.adds, "single", "single adds pipelined", add // 5)),
        ("at once", many, plain(speed.at_once, drain)),
        ("pick-up", some if quick else 5, plain(latency.pick_up, 100 if quick else 500)),
        ("late", some, plain(latency.late, 30 if quick else 150)),
        ("memory", some, plain(footprint.memory, drain)),
        ("hundred", some if quick else 5, plain(speed.hundred, drain // 2)),
        ("spread", some, plain(footprint.spread, None)),
    ]
    if not quick:
        rows += [("command line", 5, plain(speed.command_line, 10000))]
        for policy in ("everysec", "always"):
            rows += [(f"aof {policy} drain", 5, with_aof(policy, plain(speed.drain, drain))),
                     (f"aof {policy} bulk add", 5, with_aof(policy, plain(speed.adds, "bulk", "bulk add", add)))]
        rows += [("fleet", 1, plain(footprint.fleet, 15)), ("giving back", 1, plain(latency.giving_back, 40))]
    return rows


def run_rounds(bench, name, rounds, measure, deadline):
    results = []
    for number in range(rounds):
        if number > 0 and time.monotonic() > deadline:
            break
        # Who goes first changes, too: the second of a pair finds a warmer machine.
        order = ("drover", "peer") if number % 2 == 0 else ("peer", "drover")
        results.append({side: measure(bench, side) for side in order})
        print(f"\r{name}: round {number + 1} of {rounds}   ", end="", file=sys.stderr, flush=True)
    return results


def main():
    parser = argparse.ArgumentParser(description="drover beside stock bullmq on the same Redis in the same run")
    parser.add_argument("--quick", action="store_true", help="within a minute, coarser")
    parser.add_argument("--json", action="store_true", help='print {"figures": […]}')
    parser.add_argument("--rounds", type=int, help="rounds of each measurement that has several")
    parser.add_argument("--only", help="only measurements whose name holds this text")
    args = parser.parse_args()
    if not shutil.which("node") or not os.path.isdir(os.path.join(HERE, "..", "interop", "node_modules")):
        sys.exit("the peer needs Node.js and tests/interop/node_modules: run ./dev deps interop, then npm ci there")
    deadline = time.monotonic() + QUICK_SECONDS if args.quick else float("inf")
    bench, rows, left_out = Bench(args.quick), [], []
    try:
        for name, rounds, measure in plan(args.quick):
            if args.only and args.only not in name:
                continue
            if time.monotonic() > deadline:
                left_out.append(name)
                continue
            wanted = rounds if rounds == 1 else args.rounds or rounds
            rows += summarise(run_rounds(bench, name, wanted, measure, deadline))
    finally:
        bench.close()
    print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
    if left_out:
        print(f"no time for: {', '.join(left_out)}", file=sys.stderr)
    if args.json:
        print(json.dumps({"figures": [public(row) for row in rows]}, indent=1))
    else:
        show(rows)
    return 1 if any(row["ok"] is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
