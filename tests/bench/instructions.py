"""instructions.py - what a job costs Redis in instructions, counted by valgrind (callgrind): the same on every run and under any
load of the machine, which times are not.

  python3 tests/bench/instructions.py [--peer] [--only NAME] [--jobs N] [--calls]

Each row is one kind of work on a server of its own; counted from when all is warm until the last reply. --calls adds the
commands a job took, those of the scripts included (INFO commandstats). --peer: stock bullmq beside it.
"""

import argparse
import glob
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import sides
from speed import fill, resume

WRAPPER = """#!/bin/sh
exec valgrind --tool=callgrind --log-file=/dev/null --callgrind-out-file={folder}/out.%p /usr/bin/redis-server "$@"
"""


class Counted(sides.Bench):
    """A bench whose Redis runs under callgrind."""

    def use(self, aof):
        programs = os.path.join(self.folder, "programs")
        os.makedirs(programs)
        path = os.path.join(programs, "redis-server")
        with open(path, "w", encoding="utf-8") as f:
            f.write(WRAPPER.format(folder=self.folder))
        os.chmod(path, 0o755)
        env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
        self.server = self.servers[aof] = sides.rig.RedisServer(self.folder, env=env, options=("--hz", "1", "--dynamic-hz", "no"))
        self.server.start(wait=False)
        self.server.wait_ready(60)
        self.r = self.server.client(timeout=600)

    def begin(self):
        self.r.cmd("CONFIG", "RESETSTAT")
        subprocess.run(["callgrind_control", "-z", str(self.server.pid)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end(self):
        """Instructions, and calls by command, since begin()."""
        calls = {name[8:]: int(re.search(r"calls=(\d+)", text).group(1))
                 for name, text in self.r.info("commandstats").items() if name.startswith("cmdstat_")}
        before = set(glob.glob(f"{self.folder}/out.*"))
        subprocess.run(["callgrind_control", "-d", str(self.server.pid)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        made = sides.rig.wait_until(lambda: set(glob.glob(f"{self.folder}/out.*")) - before, 30, "a dump")
        text = sides.rig.wait_until(lambda: read_total(made), 30, "a whole dump")
        return text, calls


def read_total(paths):
    total = 0
    for path in paths:
        with open(path, encoding="utf-8", errors="replace") as f:
            found = re.search(r"^(?:totals|summary): (\d+)", f.read(), re.MULTILINE)
        if not found:
            return None
        total += int(found.group(1))
    return total


def wait(process):
    process.communicate(timeout=600)
    if process.returncode != 0:
        raise RuntimeError(f"the producer ended with {process.returncode}")


def add(mode):
    def run(bench, side, count):
        process = bench.start_feeder(side, mode, 500)
        wait(process)
        bench.begin()
        process = bench.start_feeder(side, mode, count)
        wait(process)

    return run


def turn(batch, in_flight):
    """drover: only the script's calls, without a worker. Stock: its worker, at that concurrency."""
    def run(bench, side, count):
        if side == "drover":
            bench.feed("bulk", count - 1)
            bench.begin()
            subprocess.run([os.path.join(sides.BENCH, "turn_floor"), str(count), str(batch), str(in_flight), "200",
                            bench.server.socket], check=True, stdout=subprocess.DEVNULL)
            return
        worker = bench.start_worker(side, concurrency=batch)
        try:
            bench.feed("bulk", 500)
            bench.wait_completed(501, deadline=600)
            fill(bench, count)
            bench.begin()
            resume(bench)
            bench.wait_completed(501 + count, deadline=600)
        finally:
            worker.close()

    return run


WORK = {"bulk add": add("bulk"), "single adds": add("single"), "turn, 64 jobs": turn(64, 2), "turn, one job": turn(1, 1)}


def measure(name, side, count):
    bench = Counted(quick=True)
    try:
        bench.fresh()
        WORK[name](bench, side, count)
        return bench.end()
    finally:
        bench.close()


def main():
    parser = argparse.ArgumentParser(description="instructions of Redis per job")
    parser.add_argument("--peer", action="store_true", help="stock bullmq, too")
    parser.add_argument("--only", default="", help="only work whose name holds this text")
    parser.add_argument("--jobs", type=int, default=3200)
    parser.add_argument("--calls", action="store_true", help="commands per job")
    args = parser.parse_args()
    tempfile.tempdir = "/var/tmp"
    for name in WORK:
        if args.only not in name:
            continue
        for side in ("drover", "peer") if args.peer else ("drover",):
            total, calls = measure(name, side, args.jobs)
            listed = {command: number for command, number in calls.items()
                      if command.split("|")[0] not in ("info", "config", "zcard", "flushall", "script", "client", "hello", "select")}
            print(f"{name:16} {side:8} {total / args.jobs:10,.0f} instructions a job  {sum(listed.values()) / args.jobs:6.2f} commands a job")
            if args.calls:
                print("    " + "  ".join(f"{command} {number / args.jobs:.2f}" for command, number in
                                         sorted(listed.items(), key=lambda item: -item[1]) if number / args.jobs >= 0.01))
    return 0


if __name__ == "__main__":
    sys.exit(main())
