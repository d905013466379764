"""Several processes and hosts on one queue: bursts spread, every job runs once, stock rules hold between them."""

import os
import sys
from collections import Counter

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import rig
from cases import QueueCase
from producer import Producer
from rig import wait_until


class Sharing(QueueCase):
    def owners(self, queue="q"):
        """How many active jobs each process holds, by the uuid in the locks."""
        keys = sorted(self.r.scan(f"bull:{queue}:*:lock"))
        tokens = [t for t in self.r.pipe([("GET", k) for k in keys]) if t]
        return Counter(t.split(":")[0] for t in tokens)

    def live(self, queue="q"):
        return self.r.cmd("ZCARD", f"drover:{{bull:{queue}}}:live")

    def test_a_burst_spreads_over_the_processes(self):
        self.droverd({"queues": {"q": {"concurrency": 64, "processes": 4, "handler": {"noop": {"duration": "20s"}}}},
                      "stop": {"drain_timeout": "100ms"}})
        wait_until(lambda: self.live() == 4, 10, lambda: f"{self.live()} live\n{self.logs()}")
        beats = lambda: {m: float(s) for m, s in zip(*[iter(self.r.cmd("ZRANGE", "drover:{bull:q}:live", 0, -1, "WITHSCORES"))] * 2)}
        before = beats()
        wait_until(lambda: all(beats().get(m, 0) > s for m, s in before.items()), 10,
                   lambda: f"every process beats again: {before} {beats()}\n{self.logs()}")
        Producer(self.r, "q").many(8)
        self.becomes_active("q", 8, deadline=4)  # below the 5 s after which a sleeper looks without being woken
        owners = self.owners()
        self.assertEqual(4, len(owners), owners)
        for process, count in owners.items():
            self.assertTrue(1 <= count <= 3, f"two each, give or take one: {owners} {process}")

    def test_one_process_alone_takes_all_it_can(self):
        self.droverd({"queues": {"q": {"concurrency": 30, "handler": {"noop": {"duration": "20s"}}}}, "stop": {"drain_timeout": "100ms"}})
        Producer(self.r, "q").many(50)
        self.becomes_active("q", 30)
        self.assertEqual([30], list(self.owners().values()))

    def test_two_hosts_run_each_job_once(self):
        log = os.path.join(self.scratch, "runs")
        note = self.script("note", f"#!/bin/sh\necho \"$DROVER_JOB_ID\" >> {log}\n")
        config = {"queues": {"q": {"concurrency": 8, "processes": 2, "handler": "noop", "types": {"note": {"handler": {"exec": [note]}}}}}}
        self.droverd(config)
        producer = Producer(self.r, "q")
        producer.many(2000)
        noted = producer.many(150, "note")
        self.droverd(config)
        producer.many(2000)
        noted += producer.many(150, "note")
        view = self.ends("q", completed=4300, deadline=60)
        self.assertEqual(4300, len(view.events("active")), "each job became active once")
        with open(log, encoding="ascii") as f:
            self.assertEqual(sorted(noted), sorted(f.read().split()), "and its effect happened once")

    def test_a_host_that_leaves_gives_its_share_to_the_other(self):
        config = {"queues": {"q": {"concurrency": 4, "handler": {"noop": {"duration": "5ms"}}}}}
        first, second = self.droverd(config), self.droverd(config)
        producer = Producer(self.r, "q")
        producer.many(800)
        wait_until(lambda: self.counts("q")[0] > 100, 20, self.logs)
        self.assertEqual(0, first.drain())
        producer.many(50)
        self.ends("q", completed=850, deadline=40)
        self.assertIsNone(second.process.poll())

    def test_global_concurrency_holds_over_processes(self):
        self.r.cmd("HSET", "bull:q:meta", "concurrency", 3)
        self.droverd({"queues": {"q": {"concurrency": 12, "processes": 3, "handler": {"noop": {"duration": "40ms"}}}}})
        Producer(self.r, "q").many(60)
        most = 0

        def done():
            nonlocal most
            most = max(most, self.r.cmd("LLEN", "bull:q:active"))
            return self.counts("q")[0] == 60

        wait_until(done, 40, lambda: f"{self.counts('q')}\n{self.logs()}", every=0.003)
        self.assertLessEqual(most, 3)
        self.assertGreaterEqual(most, 2)

    def test_queues_in_one_file_do_not_mix(self):
        log = os.path.join(self.scratch, "runs")
        note = self.script("note", f"#!/bin/sh\necho \"$DROVER_QUEUE $DROVER_JOB_ID\" >> {log}\n")
        self.droverd({"queues": {name: {"concurrency": 2, "handler": {"exec": [note]}} for name in ("a", "b", "ab", "a-b")}})
        wanted = []
        for name in ("a", "b", "ab", "a-b"):
            wanted += [f"{name} {i}" for i in Producer(self.r, name).many(10)]
        for name in ("a", "b", "ab", "a-b"):
            self.ends(name, completed=10)
        with open(log, encoding="ascii") as f:
            self.assertEqual(sorted(wanted), sorted(f.read().splitlines()))


if __name__ == "__main__":
    rig.main()
