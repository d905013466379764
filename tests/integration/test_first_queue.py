"""Jobs through one droverd, from added to settled: what the first queue of an operator does."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import rig
from cases import QueueCase
from producer import Producer
from queue_view import QueueView, check_idle, foreign_keys
from rig import wait_until

FLAKY = """#!/bin/sh
[ "$DROVER_ATTEMPT" -ge 3 ] && exit 0
echo "attempt $DROVER_ATTEMPT of $DROVER_ATTEMPTS_MAX fails" >&2
exit 75
"""


class FirstQueue(QueueCase):
    def test_a_hundred_jobs_run_and_a_drain_leaves_nothing(self):
        ids = Producer(self.r, "q").many(60)
        daemon = self.droverd({"queues": {"q": {"concurrency": 10, "processes": 2, "handler": "noop"}}})
        ids += Producer(self.r, "q").many(40)
        view = self.ends("q", completed=100)
        self.assertEqual(set(ids), set(view.ids("completed")))
        for job_id in ids:
            job = view.job(job_id)
            self.assertEqual(("1", "1", "null"), (job["atm"], job["ats"], job["returnvalue"]), job_id)
        active = [e["jobId"] for e in view.events("active")]
        self.assertEqual(sorted(ids), sorted(active), "each ran exactly once")
        self.assertEqual(0, daemon.drain())
        self.assertEqual([], foreign_keys(self.r))
        live = [k for k in self.r.scan("drover:*") if k.endswith(":live")]
        for key in live:
            self.assertEqual(0, self.r.cmd("ZCARD", key), "a drained process no longer counts as live")

    def test_work_that_arrives_while_idle_is_seen_by_its_marker(self):
        self.droverd({"queues": {"q": {"concurrency": 1, "handler": "noop"}}})
        producer = Producer(self.r, "q")
        for n in range(5):
            producer.add("ok", {"n": n})
            self.ends("q", completed=n + 1, deadline=4)  # well below the 5 s after which an idle worker looks anyway

    def test_fifo_lifo_priorities_in_order(self):
        producer = Producer(self.r, "q")
        fifo = [producer.add("ok", {"n": n}) for n in range(3)]
        lifo = producer.add("ok", lifo=True)
        low = [producer.add("ok", priority=9) for _ in range(2)]
        high = [producer.add("ok", priority=2) for _ in range(2)]
        self.droverd({"queues": {"q": {"concurrency": 1, "handler": "noop"}}})
        view = self.ends("q", completed=8)
        self.assertEqual([lifo, *fifo, *high, *low], [e["jobId"] for e in view.events("active")])
        self.assertNotIn("pc", view.type, "the priority counter starts anew when prioritized is empty")

    def test_a_delayed_job_starts_when_due_and_not_before(self):
        self.droverd({"queues": {"q": {"concurrency": 2, "handler": "noop"}}})
        producer = Producer(self.r, "q")
        early, late = producer.add("ok", delay=700), producer.add("ok", delay=300)
        view = self.ends("q", completed=2, deadline=10)
        for job_id, delay in ((early, 700), (late, 300)):
            job = view.job(job_id)
            self.assertGreaterEqual(int(job["processedOn"]), int(job["timestamp"]) + delay, job)
            self.assertEqual("0", job["delay"], "promoted")
        self.assertEqual([late, early], [e["jobId"] for e in view.events("active")])
        promoted = [e for e in view.events("waiting") if e.get("prev") == "delayed"]
        self.assertEqual({early, late}, {e["jobId"] for e in promoted})

    def test_a_global_pause_stops_fetching_and_keeps_the_queue(self):
        daemon = self.droverd({"queues": {"q": {"concurrency": 1, "handler": "noop"}}})
        self.r.cmd("HSET", "bull:q:meta", "paused", 1)
        self.r.cmd("DEL", "bull:q:marker")
        producer = Producer(self.r, "q")
        ids = producer.many(5)
        producer.add("ok", priority=1)
        producer.add("ok", jobId="six")  # where bullmq 6 puts it: it has no list of paused jobs
        self.r.cmd("LREM", "bull:q:paused", 1, "six")
        self.r.cmd("LPUSH", "bull:q:wait", "six")
        (calls_key,) = self.r.scan("drover:{bull:q}:turn:*")
        calls = self.r.cmd("GET", calls_key)
        self.r.cmd("ZADD", "bull:q:marker", 0, "0")  # even a stray marker must not make it take a job
        wait_until(lambda: self.r.cmd("GET", calls_key) != calls, 4, "the stray marker was popped and a fetch was tried")
        self.assertEqual(0, daemon.drain(), "a drain while paused")
        view = QueueView(self.r, "q")
        self.assertEqual(list(reversed(ids)), view.ids("paused"))
        self.assertEqual(["six"], view.ids("wait"))
        self.assertEqual(1, len(view.ids("prioritized")))
        self.assertEqual([], view.events("active"))


class Retries(QueueCase):
    def setUp(self):
        super().setUp()
        self.flaky = self.script("flaky", FLAKY)

    def test_backoff_fixed_exponential_and_none(self):
        producer = Producer(self.r, "q")
        fixed = producer.add("flaky", attempts=3, backoff={"type": "fixed", "delay": 150})
        growing = producer.add("flaky", attempts=3, backoff={"type": "exponential", "delay": 150})
        at_once = producer.add("flaky", attempts=3)
        self.droverd({"queues": {"q": {"concurrency": 3, "handler": {"exec": [self.flaky]}}}})
        view = self.ends("q", completed=3)
        waits = {fixed: [150, 150], growing: [150, 300], at_once: []}
        for job_id, delays in waits.items():
            job = view.job(job_id)
            self.assertEqual(("3", "3"), (job["atm"], job["ats"]))
            stack = json.loads(job["stacktrace"])
            self.assertEqual(2, len(stack))
            self.assertIn("attempt 1 of 3 fails", stack[0])
            self.assertIn("attempt 2 of 3 fails", stack[1])
            self.assertEqual("attempt 2 of 3 fails", job["failedReason"], "kept from the last failure, as stock does")
            later = [e for e in view.events("delayed") if e["jobId"] == job_id]
            self.assertEqual(len(delays), len(later))
            if delays:
                self.assertEqual(str(delays[-1]), str(delays[-1]))
        self.assertEqual([], view.events("retries-exhausted"))
        retried = [e["jobId"] for e in view.events("waiting") if e.get("prev") == "active"]
        self.assertEqual([at_once] * 2, retried)

    def test_the_wait_of_each_attempt_is_kept(self):
        producer = Producer(self.r, "q")
        job_id = producer.add("flaky", attempts=3, backoff={"type": "exponential", "delay": 200})
        self.droverd({"queues": {"q": {"concurrency": 1, "handler": {"exec": [self.flaky]}}}})
        self.ends("q", completed=1)
        stream = self.r.cmd("XRANGE", "bull:q:events", "-", "+")
        entries = [(int(i.split("-")[0]), dict(zip(f[::2], f[1::2]))) for i, f in stream]
        delayed = [(at, int(f["delay"])) for at, f in entries if f["event"] == "delayed"]
        active = [at for at, f in entries if f["event"] == "active"]
        self.assertEqual(2, len(delayed), job_id)
        for (failed_at, due), started, wait in zip(delayed, active[1:], (200, 400)):
            self.assertLessEqual(abs(due - failed_at - wait), 50, "due is the failure's time plus the backoff")
            self.assertGreaterEqual(started, due)

    def test_attempts_used_up_and_permanent_failure(self):
        dead = self.script("dead", '#!/bin/sh\necho "no hope" >&2\nexit "${1:-1}"\n')
        producer = Producer(self.r, "q")
        used_up = producer.add("again", attempts=2)
        permanent = producer.add("never", attempts=5)
        self.droverd({"queues": {"q": {"concurrency": 2, "handler": {"exec": [dead, "75"]},
                                       "types": {"never": {"handler": {"exec": [dead, "65"]}}}}}})
        view = self.ends("q", failed=2)
        self.assertEqual(("2", "no hope"), (view.job(used_up)["atm"], view.job(used_up)["failedReason"]))
        self.assertEqual(("1", "no hope"), (view.job(permanent)["atm"], view.job(permanent)["failedReason"]))
        self.assertEqual([used_up], [e["jobId"] for e in view.events("retries-exhausted")])
        self.assertEqual({used_up, permanent}, {e["jobId"] for e in view.events("failed")})

    def test_yaml_fills_what_the_job_does_not_say_and_enforce_reverses(self):
        bad = self.script("bad", "#!/bin/sh\nexit 75\n")
        rows = {"attempts": 3, "handler": {"exec": [bad]}}
        for queue in ("fills", "enforced"):
            producer = Producer(self.r, queue)
            producer.add("ok", jobId="own", attempts=2)
            producer.add("ok", jobId="zero")  # attempts 0 counts as not given
            producer.add("typed", jobId="typed")
            producer.add("ok", jobId="gone", attempts=1, removeOnFail=True)
        self.droverd({"defaults": {"attempts": 5}, "queues": {
            "fills": {"concurrency": 2, **rows, "types": {"typed": {"attempts": 4, "handler": {"exec": [bad]}}}},
            "enforced": {"concurrency": 2, **rows, "enforce": True, "keep": {"failed": 100},
                         "types": {"typed": {"attempts": 4, "handler": {"exec": [bad]}}}}}})
        view = self.ends("fills", failed=3)
        self.assertEqual(("2", "3", "4"), tuple(view.job(i)["atm"] for i in ("own", "zero", "typed")))
        self.assertIsNone(view.job("gone"))
        view = self.ends("enforced", failed=4)
        self.assertEqual(("3", "3", "4", "3"), tuple(view.job(i)["atm"] for i in ("own", "zero", "typed", "gone")))


class UnknownTypes(QueueCase):
    def test_a_name_without_handler_waits_without_an_attempt(self):
        producer = Producer(self.r, "q")
        stray = producer.add("nobody knows me")
        known = producer.add("known")
        daemon = self.droverd({"queues": {"q": {"concurrency": 1, "unknown": {"action": "delay", "delay": "2s"},
                                                "types": {"known": {"handler": "noop"}}}}})
        wait_until(lambda: self.r.cmd("ZSCORE", "bull:q:completed", known), 10, daemon.tail)
        wait_until(lambda: self.r.cmd("ZSCORE", "bull:q:delayed", stray), 10, daemon.tail)
        view = QueueView(self.r, "q")
        self.assertNotIn("atm", {k: v for k, v in view.job(stray).items() if v != "0"}, "no attempt was used")
        first = view.scores("delayed")[stray]
        wait_until(lambda: float(self.r.cmd("ZSCORE", "bull:q:delayed", stray) or first) > first, 10, "it came back once")
        self.assertEqual(0, daemon.drain())
        check_idle(self, self.r, "q")
        said = [line for line in daemon.lines if "nobody knows me" in line and '"level":"debug"' not in line.replace(" ", "")]
        self.assertEqual(1, len(said), "said once a minute, not once a job")

    def test_it_can_be_told_to_fail(self):
        stray = Producer(self.r, "q").add("nobody", attempts=5)
        self.droverd({"queues": {"q": {"concurrency": 1, "unknown": {"action": "fail"}, "types": {"known": {"handler": "noop"}}}}})
        view = self.ends("q", failed=1)
        self.assertIn("nobody", view.job(stray)["failedReason"])

    def add_iteration(self, name):
        """A scheduler whose pending job waits, as a stock client leaves it."""
        ms = 1795301012476
        job = f"repeat:s:{ms}"
        self.r.cmd("ZADD", "bull:q:repeat", ms, "s")
        self.r.cmd("HSET", "bull:q:repeat:s", "name", name, "every", 3600000, "ic", 1)
        self.r.cmd("HSET", f"bull:q:{job}", "name", name, "data", "{}", "timestamp", ms, "delay", 0, "priority", 0, "rjk", "s",
                   "opts", '{"repeat":{"every":3600000,"count":1}}')
        self.r.cmd("LPUSH", "bull:q:wait", job)
        return job, ms

    def test_an_iteration_of_a_scheduler_runs_once_its_next_one_is_made(self):
        job, ms = self.add_iteration("tick")
        daemon = self.droverd({"queues": {"q": {"concurrency": 1, "handler": "noop"}}})
        wait_until(lambda: self.r.cmd("ZSCORE", "bull:q:completed", job), 10, daemon.tail)
        following = int(float(self.r.cmd("ZSCORE", "bull:q:repeat", "s")))
        self.assertGreater(following, ms)
        self.assertTrue(self.r.cmd("ZSCORE", "bull:q:delayed", f"repeat:s:{following}"), "its next one is pending")
        self.assertEqual("2", self.r.cmd("HGET", "bull:q:repeat:s", "ic"))
        self.assertEqual(f"repeat:s:{following}", self.r.cmd("HGET", f"bull:q:{job}", "nrjid"))

    def test_an_iteration_without_a_handler_is_left_to_others_with_its_chain(self):
        job, ms = self.add_iteration("nobody")
        daemon = self.droverd({"queues": {"q": {"concurrency": 1, "types": {"known": {"handler": "noop"}}}}})
        wait_until(lambda: self.r.cmd("ZSCORE", "bull:q:delayed", job), 10, daemon.tail)
        self.assertEqual(ms, int(float(self.r.cmd("ZSCORE", "bull:q:repeat", "s"))), "who runs it makes the next one")
        self.assertEqual(1, self.r.cmd("ZCARD", "bull:q:delayed"))
        self.assertIn(self.r.cmd("HGET", f"bull:q:{job}", "atm"), (None, "0"))


if __name__ == "__main__":
    rig.main()
