"""Stopping: a drain finishes what runs, a bounded one gives back, a second signal ends at once."""

import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import rig
from cases import QueueCase
from producer import Producer
from queue_view import QueueView, check_idle
from rig import wait_until


class Stop(QueueCase):
    def slow(self, trace, seconds=300):
        """A handler that writes its pid, then waits for `go` to appear."""
        return self.script("slow", f"#!/bin/sh\necho $$ >> {trace}\nwhile ! [ -e {trace}.go ]; do sleep 0.02; done\nexit 0\n")

    def start(self, queue=None, count=1, **top):
        self.trace = os.path.join(self.scratch, "pids")
        self.ids = Producer(self.r, "q").many(count)
        self.daemon_ = self.droverd({**top, "queues": {"q": {
            "concurrency": 2, "handler": {"exec": [self.slow(self.trace)]}, **(queue or {})}}})
        self.becomes_active("q", min(2, count))
        wait_until(lambda: os.path.exists(self.trace), 10, "the handler has started")
        return self.daemon_

    def handlers(self):
        with open(self.trace, encoding="ascii") as f:
            return [int(line) for line in f]

    def test_a_drain_lets_running_jobs_finish_and_fetches_no_more(self):
        daemon = self.start(count=6)
        daemon.signal(signal.SIGTERM)
        wait_until(lambda: self.lines_with(daemon, "drain"), 10, daemon.tail)
        self.assertIsNone(daemon.process.poll(), "it waits for its jobs")
        with open(self.trace + ".go", "w", encoding="ascii"):
            pass
        self.assertEqual(0, daemon.wait_end(), daemon.tail())
        view = check_idle(self, self.r, "q")
        self.assertEqual(2, len(view.ids("completed")), "what ran is finished")
        self.assertEqual(list(reversed(self.ids[2:])), view.ids("wait"), "the rest stays in order")

    def test_a_bounded_drain_gives_back_without_an_attempt(self):
        daemon = self.start(count=3, stop={"drain_timeout": "300ms"}, queue={"kill_grace": "200ms"})
        code = daemon.drain()
        self.assertEqual(0, code, daemon.tail())
        view = check_idle(self, self.r, "q")
        self.assertEqual(set(self.ids), set(view.ids("wait")))
        self.assertEqual(set(self.ids[:2]), set(view.ids("wait")[-2:]), "given back to the front: next to run")
        for job_id in self.ids[:2]:
            self.assertIn(view.job(job_id).get("atm"), (None, "0"))
            self.assertNotIn("failedReason", view.job(job_id))
            self.assertNotIn("stc", view.job(job_id))
        wait_until(lambda: not [p for p in self.handlers() if rig.Proc(p).alive], 5, "the handlers are gone")

    def test_a_second_signal_ends_at_once(self):
        daemon = self.start(stop={"drain_timeout": "10m"}, queue={"kill_grace": "200ms"})
        daemon.signal(signal.SIGTERM)
        wait_until(lambda: self.lines_with(daemon, "drain"), 10, daemon.tail)
        daemon.signal(signal.SIGTERM)
        code = daemon.wait_end(10)
        self.assertIn(code, (0, 1), daemon.tail())
        view = QueueView(self.r, "q")
        self.assertEqual([], view.check(idle=True), "given back, not abandoned")
        self.assertEqual(self.ids, view.ids("wait"))
        wait_until(lambda: not [p for p in self.handlers() if rig.Proc(p).alive], 5, "the handlers are gone")

    def test_interrupt_is_a_drain_too(self):
        daemon = self.start()
        daemon.signal(signal.SIGINT)
        with open(self.trace + ".go", "w", encoding="ascii"):
            pass
        self.assertEqual(0, daemon.wait_end(), daemon.tail())
        self.assertEqual(self.ids, check_idle(self, self.r, "q").ids("completed"))

    def test_hangup_reloads_and_keeps_running(self):
        daemon = self.start()
        pids = [w.pid for w in daemon.workers()]
        daemon.signal(signal.SIGHUP)
        daemon.wait_event("reload.done", generation=2)
        daemon.rewrite("queues: 5\n")
        daemon.signal(signal.SIGHUP)
        daemon.wait_event("reload.refused", generation=2)
        self.assertEqual(pids, [w.pid for w in daemon.workers()])
        with open(self.trace + ".go", "w", encoding="ascii"):
            pass
        self.ends("q", completed=1)
        Producer(self.r, "q").many(3)
        self.ends("q", completed=4)

    def test_a_drain_without_redis_ends(self):
        daemon = self.start(stop={"drain_timeout": "1s"}, queue={"kill_grace": "200ms"})
        self.server.kill()
        daemon.signal(signal.SIGTERM)
        code = daemon.wait_end(20)
        self.assertIn(code, (0, 1), daemon.tail())
        wait_until(lambda: not [p for p in self.handlers() if rig.Proc(p).alive], 5, "the handlers are gone")


if __name__ == "__main__":
    rig.main()
