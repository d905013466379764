"""Memory and descriptors of a worker and of its master stay flat, however many jobs run.

200,000 jobs; DROVER_FLAT_JOBS=10000000 runs as many as that, in pieces, which keep Redis small.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import rig
from producer import Producer

JOBS = int(os.environ.get("DROVER_FLAT_JOBS", "200000"))
PIECE = 20000
GROWTH = 512 * 1024  # bytes of private memory, over all jobs after the first piece


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def private(pid):
    """Bytes that are the process' own; what it shares with others comes and goes with them."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return sum(int(line.split()[1]) * 1024 for line in f if line.startswith("Private_"))


class Flat(rig.Case):
    def test_memory_and_descriptors_are_flat_over_many_jobs(self):
        server = self.redis()
        self.r = server.client(timeout=60)
        daemon = self.droverd({
            "log": {"level": "info"},
            "queues": {"q": {"concurrency": 100, "processes": 1, "handler": "noop", "keep": {"completed": 100}}}})
        pids = {"worker": daemon.workers()[0].pid, "master": daemon.pid}
        producer = Producer(self.r, "q", max_events=1000)
        jobs = [("ok", {"n": 0, "text": "x" * 185}, {})] * PIECE
        before, done = None, 0
        while done < JOBS:
            producer.bulk(jobs)
            done += PIECE
            self.wait_done(done, daemon)
            now = {name: (private(pid), descriptors(pid)) for name, pid in pids.items()}
            before = before or now
            for name in pids:
                self.assertLessEqual(now[name][0], before[name][0] + GROWTH, f"{name} grew: {before} → {now} after {done} jobs")
                self.assertLessEqual(now[name][1], before[name][1], f"{name} has more descriptors: {before} → {now}")
        self.assertEqual(self.r.cmd("ZCARD", "bull:q:failed"), 0)
        print(f"{done} jobs: {before} → {now}", file=sys.stderr)

    def wait_done(self, count, daemon):
        """All are completed when nothing waits or runs and the newest id is among the completed."""
        def ended():
            waiting, active, newest = self.r.pipe([("LLEN", "bull:q:wait"), ("LLEN", "bull:q:active"),
                                                   ("ZSCORE", "bull:q:completed", str(count))])
            return waiting == 0 and active == 0 and newest is not None

        rig.wait_until(ended, 120, daemon.tail, every=0.05)


if __name__ == "__main__":
    rig.main()
