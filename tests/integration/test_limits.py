"""Limits of a queue from the file to Redis, and the times at which an idle worker wakes."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import rig
from cases import QueueCase
from producer import Producer
from rig import wait_until

META = "bull:q:meta"


class Limits(QueueCase):
    def started(self, queue="q"):
        """When each job became active, ms by the server's clock."""
        entries = self.r.cmd("XRANGE", f"bull:{queue}:events", "-", "+")
        return [int(stamp.split("-")[0]) for stamp, fields in entries if fields[1] == "active"]

    def concurrency(self):
        return self.r.cmd("HGET", META, "concurrency")

    def is_concurrency(self, wanted):
        wait_until(lambda: self.concurrency() == wanted, 15, lambda: f"{self.concurrency()}, wanted {wanted}\n{self.logs()}")

    def reload(self, daemon, **queue):
        daemon.rewrite(self.full_config({"queues": {"q": {"handler": "noop", **queue}}}))
        done = len(daemon.find("reload.done"))
        daemon.signal(rig.signal.SIGHUP)
        daemon.wait_event("reload.done", count=done + 1)

    def test_cluster_concurrency_follows_the_file(self):
        daemon = self.droverd({"queues": {"q": {"handler": "noop", "cluster_concurrency": 3}}})
        self.is_concurrency("3")
        daemon.wait_event("queue.concurrency_applied", concurrency=3)
        self.reload(daemon, cluster_concurrency=5)
        self.is_concurrency("5")
        self.reload(daemon)
        self.is_concurrency(None)
        daemon.wait_event("queue.concurrency_applied", concurrency=0)
        self.assertEqual(3, len(daemon.find("queue.concurrency_applied")), "each change is said once")

    def test_a_concurrency_of_others_stays(self):
        self.r.cmd("HSET", META, "concurrency", 4)
        daemon = self.droverd({"queues": {"q": {"handler": "noop"}}})
        Producer(self.r, "q").many(20)
        self.ends("q", completed=20)
        self.assertEqual("4", self.concurrency())
        self.reload(daemon, cluster_concurrency=2)
        self.is_concurrency("2")
        self.r.cmd("HSET", META, "concurrency", 9)
        self.reload(daemon)
        wait_until(lambda: self.r.cmd("EXISTS", "drover:{bull:q}:concurrency") == 0, 15, self.logs)
        self.assertEqual("9", self.concurrency(), "what somebody has changed since is theirs")

    def test_a_limiter_is_obeyed_and_reloaded(self):
        daemon = self.droverd({"queues": {"q": {"handler": "noop", "concurrency": 8, "processes": 2, "limiter": {"max": 4, "duration": "1s"}}}})
        Producer(self.r, "q").many(12)
        self.ends("q", completed=12)
        started = self.started()
        for at in (4, 8):
            self.assertGreaterEqual(started[at] - started[at - 4], 900, f"window of start {at}: {started}")
        self.reload(daemon, concurrency=8, processes=2)
        Producer(self.r, "q").many(50)
        self.ends("q", completed=62)
        started = self.started()[12:]
        self.assertLess(started[-1] - started[0], 5000, "without it there are no windows")

    def test_a_limit_that_ends_wakes_all_sleepers_of_a_queue(self):
        self.droverd({"queues": {"q": {"handler": {"noop": {"duration": "400ms"}}, "concurrency": 3, "processes": 3,
                                       "limiter": {"max": 3, "duration": "1s"}}}})
        Producer(self.r, "q").many(6)
        self.ends("q", completed=6)
        started = self.started()
        self.assertLess(started[5] - started[3], 400, f"nobody sleeps over it: {started}")

    def test_freed_concurrency_wakes_a_sleeper(self):
        self.droverd({"queues": {"q": {"handler": {"noop": {"duration": "300ms"}}, "concurrency": 4, "processes": 4, "cluster_concurrency": 1}}})
        self.is_concurrency("1")
        Producer(self.r, "q").many(6)
        self.ends("q", completed=6, deadline=8)
        started = self.started()
        for before, after in zip(started, started[1:]):
            self.assertGreaterEqual(after - before, 290)
            self.assertLess(after - before, 2000, f"below the 5 s after which a sleeper looks unasked: {started}")


class OnTime(QueueCase):
    def late(self, delays, processes=1):
        """How late each job started, in ms by drover's own clock, sorted."""
        self.droverd({"queues": {"q": {"handler": "noop", "processes": processes, "concurrency": processes}}})
        producer = Producer(self.r, "q")
        late = []
        for delay in delays:
            job = producer.add(delay=delay)
            started = lambda: self.r.cmd("HGET", f"bull:q:{job}", "processedOn")
            wait_until(started, 30, self.logs)
            late.append(int(started()) - int(self.r.cmd("HGET", f"bull:q:{job}", "timestamp")) - delay)
        return sorted(late)

    def expect(self, late):
        self.assertGreaterEqual(late[0], 0, f"none before its time: {late}")
        self.assertLessEqual(late[len(late) // 2], 5, f"the median; a busy machine may be late with some: {late}")

    def test_delayed_jobs_of_a_stock_producer_start_within_5_ms(self):
        self.expect(self.late([100 + 13 * n for n in range(15)]))

    def test_also_where_several_processes_wait(self):
        self.expect(self.late([100 + 17 * n for n in range(15)], processes=3))

    def test_also_after_longer_than_a_wait_for_the_marker(self):
        self.expect(self.late([6500, 7100, 300]))


if __name__ == "__main__":
    rig.main()
