"""Every verb of `drover queue`: what it does to Redis, its JSON, its dry run, its errors, and how it is on a terminal."""

import json
import os
import re
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import rig
from cli_case import FAILED, HOUR_MS, OK, UNAVAILABLE, USAGE, VerbCase
from rig import wait_until

VERBS = ("list", "show", "jobs", "priorities", "workers", "metrics", "events", "pause", "resume", "concurrency", "limit", "hold", "retry", "promote",
         "remove", "clean", "drain", "obliterate", "orphans", "schedulers", "schedule", "unschedule", "deduplication", "trim-events")


class Words(VerbCase):
    def test_every_verb_explains_itself(self):
        listed = self.cli("queue", "--help").out
        for verb in VERBS:
            for args in (("queue", verb, "--help"), ("help", "queue", verb)):
                result = self.cli(*args)
                self.assertEqual((OK, ""), (result.code, result.err))
                self.assertTrue(result.out.startswith(f"Usage: drover queue {verb} "), result.out)
                self.assertIn(f"    drover queue {verb}", result.out.split("Examples:")[1])
            self.assertRegex(listed, rf"(?m)^  {verb} ")

    def test_wrong_lines_change_nothing(self):
        self.many(3)
        self.ended("f1")
        for text, *args in (
            ("needs a verb", "queue"), ("did you mean drover queue drain?", "queue", "drian", "q"), ("there is no verb xyzzy", "queue", "xyzzy"),
            ("something is missing: drover queue drain", "queue", "drain"), ("one word too many", "queue", "drain", "q", "r"),
            ("word 1 is empty", "queue", "drain", ""), ('contains \':\'', "queue", "drain", "a:b", "--yes"),
            ("is no state", "queue", "jobs", "q", "--state", "dead"), ("--older-than needs", "queue", "jobs", "q", "--older-than", "yesterday"),
            ("--newer-than needs", "queue", "retry", "q", "--newer-than", "1", "--yes"), ("--limit needs", "queue", "retry", "q", "--limit", "0", "--yes"),
            ("--order is", "queue", "jobs", "q", "--order", "random"), ("--batch needs", "queue", "retry", "q", "--batch", "501", "--yes"),
            ("--rate needs", "queue", "drain", "q", "--rate", "0", "--yes"), ("--state is failed or completed", "queue", "retry", "q", "--state", "active", "--yes"),
            ("needs --state", "queue", "remove", "q", "--yes"), ("needs --older-than", "queue", "clean", "q", "--yes"),
            ("are not cleaned", "queue", "clean", "q", "--state", "waiting-children", "--older-than", "0s", "--yes"),
            ("no job is that old", "queue", "clean", "q", "--older-than", "40000d", "--yes"), ("--of is", "queue", "metrics", "q", "--of", "active"),
            ("whole number", "queue", "priorities", "q", "high"), ("2097152 is greater", "queue", "priorities", "q", "2097152"),
            ("whole number", "queue", "concurrency", "q", "many"), ("N needs a TIME", "queue", "limit", "q", "5"),
            ("give --repair or --remove", "queue", "orphans", "q", "--repair", "--remove"), ("no id of an event", "queue", "events", "q", "--from", "x"),
            ("needs --every TIME or --cron", "queue", "schedule", "q", "s"), ("needs --every TIME or --cron", "queue", "schedule", "q", "s", "--every", "1s", "--cron", "* * * * *"),
            ("--start needs a time", "queue", "schedule", "q", "s", "--every", "1s", "--start", "2h"), ("is not `release`", "queue", "deduplication", "q", "d", "free"),
        ):
            self.wrong(text, *args)

    def test_without_a_terminal_nothing_is_asked(self):
        self.many(3, delay=HOUR_MS)
        self.many(2)
        self.ended("f1")
        self.ended("c1", "completed", age_ms=HOUR_MS)
        for text, *args in (
            ("Retry 1 job of queue q", "retry"), ("Promote 3 jobs", "promote"), ("Remove 1 job of", "remove", "--state", "failed"),
            ("Remove about 1 job of", "clean", "--older-than", "1s"), ("Remove the 2 jobs that wait", "drain"), ("Remove the 5 jobs that wait", "drain", "--delayed"),
            ("Remove everything, 7 jobs and all settings", "obliterate"), ("Remove all orphaned jobs", "orphans", "--remove"),
        ):
            self.wrong(text, "queue", args[0], "q", *args[1:])
            self.wrong("give --yes to do it, or --dry-run", "queue", args[0], "q", *args[1:])
        self.wrong("Remove all but about the newest 0 events", "queue", "trim-events", "q", "0")

    def test_dry_runs_say_how_many_and_change_nothing(self):
        self.many(3, delay=HOUR_MS)
        self.many(2)
        self.ended("f1")
        self.ended("c1", "completed", age_ms=HOUR_MS)
        before = self.dump()
        for would, *args in (
            (1, "retry"), (0, "retry", "--error", "nothing"), (3, "promote"), (1, "remove", "--state", "failed"), (5, "remove", "--state", "waiting", "--state", "delayed"),
            (1, "clean", "--older-than", "1s"), (0, "clean", "--older-than", "2h"), (2, "drain"), (5, "drain", "--delayed"), (7, "obliterate"),
        ):
            got = self.run_cli("queue", args[0], "q", *args[1:], "--dry-run", "--json").json
            self.assertEqual({"queue": "q", "would": would, "dry_run": True}, got, args)
        out = self.run_cli("queue", "retry", "q", "-n").out
        self.assertEqual("queue q: 1 job would be retried\n  f1 failed\n", out)
        self.run_cli("queue", "trim-events", "q", 0, "--dry-run")
        self.run_cli("queue", "orphans", "q", "--remove", "--dry-run")
        self.assertEqual(before, self.dump("bull:*"))

    def test_queue_that_is_not_in_the_configuration(self):
        path = self.config(mail={"handler": "noop"})
        result = self.cli("queue", "drain", "mali", "--yes", "-c", path)
        self.assertEqual(FAILED, result.code)
        self.assertIn("did you mean mail?", result.err)

    def test_redis_that_is_not_there(self):
        for args in (("list",), ("show", "q"), ("drain", "q", "--yes"), ("events", "q", "--follow")):
            result = self.cli("queue", *args, "--redis", "redis://127.0.0.1:1")
            self.assertEqual(UNAVAILABLE, result.code, result)
            self.assertIn("127.0.0.1:1", result.err)

    def test_a_prefix_with_a_hash_tag(self):
        self.r.cmd("HSET", "{a}:q:meta", "opts.maxLenEvents", 100)
        where = ("--redis", self.server.url, "--prefix", "{a}")
        self.assertEqual(OK, self.cli("add", "q", "x", "--count", 3, *where).code)
        self.assertEqual(["q"], [row["queue"] for row in self.cli("queue", "list", "--json", *where).json["queues"]])
        self.assertEqual(OK, self.cli("queue", "pause", "q", *where).code)
        self.assertEqual(3, self.cli("queue", "show", "q", "--json", *where).json["counts"]["paused"])
        self.assertEqual({"queue": "q", "removed": 3, "left": 0, "dry_run": False}, self.cli("queue", "drain", "q", "--yes", "--json", *where).json)
        self.assertEqual([], [key for key in self.r.scan("bull:*")])


class Looking(VerbCase):
    def test_list_of_the_queues(self):
        self.assertEqual("no queues\n", self.run_cli("queue", "list").out)
        self.many(3, "b")
        self.many(2, "a", delay=HOUR_MS)
        self.run_cli("queue", "pause", "b")
        rows = self.run_cli("queue", "list", "--json").json["queues"]
        self.assertEqual([("a", False, 2), ("b", True, 0)], [(row["queue"], row["paused"], row["counts"]["delayed"]) for row in rows])
        self.assertEqual(3, rows[1]["counts"]["paused"])
        lines = self.run_cli("queue", "list").out.splitlines()
        self.assertEqual(["b", "paused", "3", "3", "0", "0", "0", "0", "0"], lines[2].split())
        path = self.config(b={"handler": "noop"}, c={"handler": "noop"})
        self.assertEqual(["b", "c"], [row["queue"] for row in self.cli("queue", "list", "--json", "-c", path).json["queues"]])

    def test_show_says_why_nothing_runs(self):
        self.many(3)
        out = self.run_cli("queue", "show", "q").out
        self.assertIn("Queue q: running", out)
        self.assertIn("no worker is connected", out)
        self.run_cli("queue", "pause", "q")
        self.run_cli("queue", "concurrency", "q", 2)
        self.run_cli("queue", "limit", "q", 10, "1m")
        self.r.cmd("SET", "bull:q:limiter", 10, "PX", 60000)
        out = self.run_cli("queue", "show", "q").out
        self.assertIn("the queue is paused", out)
        self.assertIn("held by the rate limit for", out)
        self.assertIn("2 jobs at most", out)
        data = self.run_cli("queue", "show", "q", "--json").json
        self.assertEqual((True, 2, 10, 60000), (data["paused"], data["concurrency"], data["limit_max"], data["limit_duration_ms"]))
        self.assertGreater(data["limited_for_ms"], 50000)
        self.assertEqual(3, data["counts"]["paused"])
        self.assertEqual((0, 0), (data["workers"], data["listeners"]))

    def test_jobs_by_state_type_error_and_time(self):
        self.many(2, name="mail")
        self.add(name="sms", delay=HOUR_MS)
        self.ended("old", name="mail", reason="connect ETIMEDOUT", age_ms=3 * HOUR_MS)
        self.ended("new", name="sms", reason="connect ETIMEDOUT", age_ms=HOUR_MS)
        self.ended("other", name="sms", reason="bad\x1b[31m address")

        def ids(*args):
            return self.run_cli("queue", "jobs", "q", "--ids", *args).out.split()

        self.assertEqual(["2", "1", "3", "other", "new", "old"], ids())
        self.assertEqual(["1", "2"], ids("--state", "waiting", "--order", "oldest"))
        self.assertEqual(["2"], ids("--state", "waiting", "--limit", 1))
        self.assertEqual(["1"], ids("--state", "waiting", "--start", 1))
        self.assertEqual(["new", "old"], ids("--error", "ETIMEDOUT"))
        self.assertEqual(["old"], ids("--error", "ETIMEDOUT", "--older-than", "2h"))
        self.assertEqual(["new"], ids("--error", "ETIMEDOUT", "--newer-than", "2h"))
        self.assertEqual(["3", "other", "new"], ids("--type", "sms"))
        self.assertEqual(["2", "1", "3", "other", "new", "old"], ids("--type", "sms", "--type", "mail"))
        data = self.run_cli("queue", "jobs", "q", "--state", "failed", "--state", "delayed", "--limit", 2, "--json").json
        self.assertTrue(data["more"])
        self.assertEqual(["3", "other"], [job["id"] for job in data["jobs"]])
        self.assertAlmostEqual(self.now + HOUR_MS, data["jobs"][0]["due_at_ms"], delta=60000)
        self.assertEqual("bad\x1b[31m address", data["jobs"][1]["failed_reason"])
        out = self.run_cli("queue", "jobs", "q").out
        self.assertIn("bad\\x1b[31m address", out)
        self.assertNotIn("\x1b", out)
        self.r.cmd("LPUSH", "bull:q:wait", "ghost")
        self.assertEqual({"id": "ghost", "state": "waiting", "gone": True}, self.run_cli("queue", "jobs", "q", "--state", "waiting", "--json").json["jobs"][0])
        self.assertEqual("no jobs\n", self.run_cli("queue", "jobs", "empty").out)

    def test_more_jobs_than_a_page(self):
        ids = self.many(1234)
        self.assertEqual(50, len(self.run_cli("queue", "jobs", "q", "--ids").out.split()))
        self.assertEqual(ids, self.run_cli("queue", "jobs", "q", "--ids", "--limit", 0, "--order", "oldest").out.split())
        self.assertIn("and more", self.run_cli("queue", "jobs", "q").out)

    def test_priorities(self):
        self.many(2)
        self.many(3, priority=7)
        self.assertEqual("0 2\n7 3\n8 0\n", self.run_cli("queue", "priorities", "q", 0, 7, 8).out)
        self.assertEqual({"7": 3}, self.run_cli("queue", "priorities", "q", 7, "--json").json)

    def test_workers_and_listeners(self):
        connections = [self.server.client() for _ in range(3)]
        for connection, name in zip(connections, ("bull:cQ==:w:wk1", "bull:cQ==:qe", "bull:cg==")):
            connection.cmd("CLIENT", "SETNAME", name)
        clients = self.run_cli("queue", "workers", "q", "--json").json["clients"]
        self.assertEqual([("worker", "wk1"), ("listener", "")], [(client["kind"], client["name"]) for client in clients])
        self.assertIn("wk1", self.run_cli("queue", "workers", "q").out)
        self.assertEqual("no worker and no listener is connected\n", self.run_cli("queue", "workers", "none").out)

    def test_metrics(self):
        self.r.cmd("HSET", "bull:q:metrics:failed", "count", 8, "prevTS", self.now, "prevCount", 7)
        self.r.cmd("RPUSH", "bull:q:metrics:failed:data", 1, 0, 7)
        data = self.run_cli("queue", "metrics", "q", "--of", "failed", "--limit", 2, "--json").json
        self.assertEqual((8, 7, 3, [1, 0]), (data["count"], data["prev_count"], data["points_total"], data["points"]))
        out = self.run_cli("queue", "metrics", "q", "--of", "failed").out
        self.assertTrue(out.startswith("8 jobs failed, 3 minutes kept\n"), out)
        self.assertEqual(4, len(out.splitlines()))
        self.assertIn("0 jobs completed", self.run_cli("queue", "metrics", "q").out)

    def test_events_as_they_were(self):
        self.assertEqual("", self.run_cli("queue", "events", "q").out)
        self.many(600)
        rows = self.run_cli("queue", "events", "q", "--json").rows
        self.assertEqual(1200, len(rows))
        self.assertEqual(("added", "1", "ok"), (rows[0]["event"], rows[0]["jobId"], rows[0]["name"]))
        self.assertEqual(rows[3:5], self.run_cli("queue", "events", "q", "--json", "--from", rows[2]["id"], "--limit", 2).rows)
        self.assertRegex(self.run_cli("queue", "events", "q", "--limit", 1).out, r"^\d{4}-\S+  added 1, name ok\n$")
        self.r.cmd("XTRIM", "bull:q:events", "MAXLEN", 100)
        got = self.run_cli("queue", "events", "q", "--json", "--from", rows[2]["id"]).rows
        self.assertEqual({"lost": None}, got[0])
        self.assertEqual(rows[1100:], got[1:])

    def test_events_as_they_come(self):
        self.many(1)
        process = self.popen([rig.program("drover"), "queue", "events", "q", "-f", "--json", "--limit", "2", "--redis", self.server.url], stdout=-1, text=True)
        wait_until(lambda: "xread" in self.r.cmd("CLIENT", "LIST"), 20, lambda: "nobody listens")
        self.many(1)
        out, _ = process.communicate(timeout=20 * rig.PATIENCE)
        self.assertEqual([("added", "2"), ("waiting", "2")], [(row["event"], row["jobId"]) for row in map(json.loads, out.splitlines())])
        self.assertEqual(0, process.returncode)

    def test_following_ends_with_redis(self):
        process = self.popen([rig.program("drover"), "queue", "events", "q", "-f", "--redis", self.server.url], stdout=-1, stderr=-1, text=True)
        wait_until(lambda: "xread" in self.r.cmd("CLIENT", "LIST"), 20, lambda: "nobody listens")
        self.server.kill()
        _, err = process.communicate(timeout=20 * rig.PATIENCE)
        self.assertEqual(UNAVAILABLE, process.returncode)
        self.assertIn("read the events", err)


class Steering(VerbCase):
    def test_pause_and_resume(self):
        self.many(3)
        self.many(1, "r")
        self.assertEqual("queue q: paused; what runs goes on\nqueue r: paused; what runs goes on\n", self.run_cli("queue", "pause", "q", "r").out)
        self.assertEqual((["1", "2", "3"], []), (sorted(self.ids("paused")), self.ids("wait")))
        self.consistent()
        self.assertEqual({"queue": "q", "paused": False}, self.run_cli("queue", "resume", "q", "--json").json)
        self.assertEqual(["3", "2", "1"], self.ids("wait"))
        self.consistent()

    def test_concurrency_limit_and_hold(self):
        self.assertIn("as many jobs at once as its workers take", self.run_cli("queue", "concurrency", "q").out)
        self.assertIn("at most 5 jobs at once", self.run_cli("queue", "concurrency", "q", 5).out)
        self.assertEqual("5", self.r.cmd("HGET", "bull:q:meta", "concurrency"))
        self.assertEqual({"queue": "q", "concurrency": 0}, self.run_cli("queue", "concurrency", "q", "off", "--json").json)
        self.assertIsNone(self.r.cmd("HGET", "bull:q:meta", "concurrency"))
        self.assertIn("no rate limit", self.run_cli("queue", "limit", "q").out)
        self.assertEqual({"queue": "q", "limit_max": 10, "limit_duration_ms": 2000}, self.run_cli("queue", "limit", "q", 10, "2s", "--json").json)
        self.assertEqual(["10", "2000"], self.r.cmd("HMGET", "bull:q:meta", "max", "duration"))
        self.assertIn("no rate limit", self.run_cli("queue", "limit", "q", "off").out)
        self.assertIn("start nothing for", self.run_cli("queue", "hold", "q", "1m").out)
        self.assertGreater(self.r.cmd("PTTL", "bull:q:limiter"), 50000)
        self.assertGreater(self.run_cli("queue", "hold", "q", "--json").json["held_for_ms"], 50000)
        self.assertIn("not held", self.run_cli("queue", "hold", "q", "off").out)
        self.assertEqual(0, self.r.cmd("EXISTS", "bull:q:limiter"))
        for args in (("concurrency", "q", 0), ("limit", "q", 0, "1s"), ("limit", "q", 1, "0s"), ("hold", "q", "0s")):
            self.assertEqual(USAGE, self.run_cli("queue", *args, code=USAGE).code)

    def test_trim_events(self):
        self.many(1000)
        self.assertGreater(self.run_cli("queue", "trim-events", "q", 100, "--yes", "--json").json["removed"], 1000)
        self.assertLess(self.r.cmd("XLEN", "bull:q:events"), 300)

    def test_deduplication(self):
        self.r.cmd("SET", "bull:q:de:d", "17")
        self.assertEqual("queue q: d is owned by job 17\n", self.run_cli("queue", "deduplication", "q", "d").out)
        self.assertEqual("queue q: d is free\n", self.run_cli("queue", "deduplication", "q", "d", "release").out)
        self.assertEqual({"queue": "q", "deduplication_id": "d", "job": None}, self.run_cli("queue", "deduplication", "q", "d", "--json").json)


class Many(VerbCase):
    def test_retry_what_failed_with_an_error_since_a_time(self):
        for n in range(5):
            self.ended(f"t{n}", reason="connect ETIMEDOUT", age_ms=n * HOUR_MS)
            self.ended(f"o{n}", reason="bad address", age_ms=n * HOUR_MS)
        got = self.run_cli("queue", "retry", "q", "--error", "ETIMEDOUT", "--newer-than", "150m", "--yes", "--json").json
        self.assertEqual({"queue": "q", "retried": 3, "left": 0, "dry_run": False}, got)
        self.assertEqual(["t0", "t1", "t2"], self.ids("wait"), "the oldest was put in first and runs first")
        self.assertEqual(7, len(self.ids("failed")))
        self.assertIsNone(self.r.cmd("HGET", "bull:q:t0", "failedReason"))
        self.assertEqual("1", self.r.cmd("HGET", "bull:q:t0", "atm"))
        self.consistent()
        self.assertEqual("queue q: 1 job retried\n", self.run_cli("queue", "retry", "q", "--limit", 1, "--reset-attempts", "--yes").out)
        self.assertEqual(["o4" if "o4" in self.ids("wait") else "t4"], self.ids("wait")[:1])
        self.assertEqual("0", self.r.cmd("HGET", f"bull:q:{self.ids('wait')[0]}", "atm") or "0")
        self.assertEqual("queue q: 0 jobs retried\n", self.run_cli("queue", "retry", "q", "--error", "nowhere").out, "nothing to ask about")

    def test_retry_completed_jobs(self):
        self.ended("c", "completed")
        self.ended("f")
        self.assertEqual("queue q: 1 job retried\n", self.run_cli("queue", "retry", "q", "--state", "completed", "--yes").out)
        self.assertEqual((["c"], ["f"]), (self.ids("wait"), self.ids("failed")))

    def test_promote(self):
        self.many(3, delay=HOUR_MS, name="a")
        self.many(2, delay=HOUR_MS, name="b", priority=3)
        self.assertEqual("queue q: 2 jobs promoted\n", self.run_cli("queue", "promote", "q", "--type", "b", "--yes").out)
        self.assertEqual((["4", "5"], 3), (self.ids("prioritized"), len(self.ids("delayed"))))
        self.run_cli("queue", "promote", "q", "--yes")
        self.assertEqual(3, len(self.ids("wait")))
        self.consistent()

    def test_remove_by_filter_leaves_what_is_locked(self):
        self.many(3, name="a")
        self.many(2, name="b")
        self.r.cmd("SET", "bull:q:2:lock", "token")
        got = self.run_cli("queue", "remove", "q", "--state", "waiting", "--type", "a", "--yes").out
        self.assertEqual("queue q: 2 jobs removed; left: 1 locked or of a scheduler\n", got)
        self.assertEqual(["5", "4", "2"], self.ids("wait"))
        self.assertEqual(0, self.r.cmd("EXISTS", "bull:q:1", "bull:q:3"))

    def test_clean(self):
        for n in range(5):
            self.ended(f"c{n}", "completed", age_ms=n * HOUR_MS)
        self.ended("f", age_ms=9 * HOUR_MS)
        self.assertEqual("queue q: 2 jobs removed\n", self.run_cli("queue", "clean", "q", "--older-than", "150m", "--yes").out)
        self.assertEqual(["c2", "c1", "c0"], self.ids("completed"))
        self.assertEqual("queue q: 1 job removed\n", self.run_cli("queue", "clean", "q", "--older-than", "0s", "--limit", 1, "--yes").out)
        self.assertEqual(["c1", "c0"], self.ids("completed"))
        self.run_cli("queue", "clean", "q", "--state", "failed", "--older-than", "0s", "--yes")
        self.assertEqual([], self.ids("failed"))
        self.consistent()

    def test_drain(self):
        self.many(1500)
        self.many(2, priority=5)
        self.many(2, delay=HOUR_MS)
        self.ended("f")
        self.assertEqual({"queue": "q", "removed": 1502, "left": 0, "dry_run": False}, self.run_cli("queue", "drain", "q", "--yes", "--json").json)
        self.assertEqual(([], [], 2, ["f"]), (self.ids("wait"), self.ids("prioritized"), len(self.ids("delayed")), self.ids("failed")))
        self.consistent()
        self.assertEqual("queue q: 2 jobs removed\n", self.run_cli("queue", "drain", "q", "--delayed", "--yes").out)
        self.assertEqual("queue q: 0 jobs removed\n", self.run_cli("queue", "drain", "q").out, "nothing to ask about")

    def test_obliterate(self):
        self.many(700)
        self.ended("f")
        self.r.cmd("LPUSH", "bull:q:active", "a")
        self.r.cmd("HSET", "bull:q:a", "name", "x", "data", "{}", "opts", "{}", "timestamp", 1, "delay", 0, "priority", 0)
        result = self.run_cli("queue", "obliterate", "q", "--yes", code=FAILED)
        self.assertIn("has jobs that are running", result.err)
        self.assertEqual(1, self.r.cmd("EXISTS", "bull:q:1"))
        self.assertEqual("queue q: 702 jobs removed\n", self.run_cli("queue", "obliterate", "q", "--yes", "--force").out)
        self.assertEqual([], list(self.r.scan("bull:q:*")))

    def test_orphans(self):
        self.many(2)
        self.r.cmd("LREM", "bull:q:wait", 0, "1")
        self.assertEqual({"queue": "q", "looked": 2, "found": 1, "settled": 0, "changed": 0, "ids": []}, self.run_cli("queue", "orphans", "q", "--json").json)
        out = self.run_cli("queue", "orphans", "q", "--repair").out
        self.assertIn("1 orphans (0 seen before, a minute ago or more), 0 put back", out)
        self.assertIn("look again in a minute", out)
        self.assertIn("1 removed\n  1\n", self.run_cli("queue", "orphans", "q", "--remove", "--yes").out)
        self.assertEqual(0, self.r.cmd("EXISTS", "bull:q:1"))

    def test_what_is_added_meanwhile_is_taken_once(self):
        """More than a page, in batches that are no divisor of it."""
        ids = [self.ended(f"j{n:04}", age_ms=n) for n in range(1301)]
        self.assertEqual("queue q: 1301 jobs retried\n", self.run_cli("queue", "retry", "q", "--batch", 97, "--yes").out)
        self.assertEqual(sorted(ids), sorted(self.ids("wait")))
        self.assertEqual(ids, self.ids("wait"), "in the order in which they failed")
        self.consistent()

    def test_damaged_job_hurts_itself_only(self):
        self.ended("good")
        self.ended("bad")
        self.r.cmd("DEL", "bull:q:bad")
        self.r.cmd("LPUSH", "bull:q:bad", "x")
        self.assertEqual("queue q: 1 job retried\n", self.run_cli("queue", "retry", "q", "--yes").out)
        self.assertEqual((["good"], ["bad"]), (self.ids("wait"), self.ids("failed")))

    def test_rate(self):
        for n in range(30):
            self.ended(f"j{n}")
        began = time.monotonic()
        self.run_cli("queue", "retry", "q", "--batch", 5, "--rate", 40, "--yes")
        self.assertGreater(time.monotonic() - began, 0.6)


class Schedulers(VerbCase):
    def test_schedule_list_and_unschedule(self):
        self.assertEqual("no schedulers\n", self.run_cli("queue", "schedulers", "q").out)
        out = self.run_cli("queue", "schedule", "q", "tick", "--every", "1h", "--name", "t", "--data", '{"a":1}', "--times", 3, "--attempts", 2, "--priority", 4).out
        self.assertEqual("scheduler tick: the first job waits already\n", out)
        out = self.run_cli("queue", "schedule", "q", "night", "--cron", "0 3 * * *", "--zone", "Europe/Berlin", "--end", "2096-01-01").out
        self.assertRegex(out, r"^scheduler night: the first job in \d")
        rows = {row["id"]: row for row in self.run_cli("queue", "schedulers", "q", "--json").json["schedulers"]}
        self.assertEqual({"tick", "night"}, set(rows))
        tick, night = rows["tick"], rows["night"]
        self.assertEqual(("t", 3600000, 3, {"a": 1}, 2), (tick["name"], tick["every_ms"], tick["limit"], tick["data"], tick["opts"]["attempts"]))
        self.assertEqual(("0 3 * * *", "Europe/Berlin", False), (night["cron"], night["zone"], night["legacy"]))
        self.assertEqual(["night"], [row["id"] for row in self.run_cli("queue", "schedulers", "q", "night", "--json").json["schedulers"]])
        self.assertIn("cron 0 3 * * * Europe/Berlin", self.run_cli("queue", "schedulers", "q").out)
        self.assertEqual("1 scheduler would be removed\n", self.run_cli("queue", "unschedule", "q", "night", "--dry-run").out)
        self.assertEqual("1 scheduler removed\n", self.run_cli("queue", "unschedule", "q", "night").out)
        self.assertEqual(["tick"], self.r.cmd("ZRANGE", "bull:q:repeat", 0, -1))
        self.wrong("has no scheduler night", "queue", "unschedule", "q", "night", code=FAILED)
        self.wrong("has no scheduler night", "queue", "schedulers", "q", "night", code=FAILED)

    def test_what_cannot_be_scheduled(self):
        for code, *args in ((USAGE, "--cron", "61 * * * *"), (USAGE, "--every", "0s"), (USAGE, "--cron", "* * * * *", "--zone", "Mars/Olympus"),
                            (USAGE, "--every", "1h", "--now"), (FAILED, "--every", "1h", "--data", "{"), (USAGE, "--every", "1h", "--priority", 9999999)):
            self.run_cli("queue", "schedule", "q", "s", *args, code=code)
            self.assertEqual(0, self.r.cmd("DBSIZE"), args)


class OnATerminal(VerbCase):
    def test_it_asks_and_takes_no_for_an_answer(self):
        self.many(3)
        for answer in ("n\n", "\n", "yup\n"):
            terminal = self.terminal("queue", "drain", "q")
            terminal.until("Remove the 3 jobs that wait of queue q")
            terminal.until("[y/N] ")
            terminal.type(answer)
            self.assertEqual(FAILED, terminal.end())
            self.assertIn("nothing was done", terminal.seen)
            self.assertEqual(3, len(self.ids("wait")))
        for answer in ("y\n", "yes\n"):
            terminal = self.terminal("queue", "drain", "q")
            terminal.until("[y/N] ")
            terminal.type(answer)
            self.assertEqual(OK, terminal.end())
            self.assertEqual([], self.ids("wait"))
            self.many(3)

    def test_long_work_has_a_bar_and_ends_between_two_steps(self):
        for n in range(400):
            self.ended(f"j{n}")
        terminal = self.terminal("queue", "retry", "q", "--batch", 10, "--rate", 100, "--yes")
        terminal.until("of 400 jobs retried")
        os.kill(terminal.process.pid, signal.SIGINT)
        self.assertEqual(FAILED, terminal.end())
        self.assertRegex(terminal.seen, r"\[#*\.+\] \d+ of 400 jobs retried, \d+/s")
        done = int(re.search(r"interrupted: (\d+) of 400 jobs retried", terminal.seen).group(1))
        self.assertGreater(done, 0)
        self.assertEqual((done, 400 - done), (len(self.ids("wait")), len(self.ids("failed"))))
        self.consistent()
        self.assertEqual(f"queue q: {400 - done} jobs retried\n", self.run_cli("queue", "retry", "q", "--yes").out)

    def test_work_of_a_whole_state_ends_between_two_steps(self):
        self.many(600)
        terminal = self.terminal("queue", "drain", "q", "--batch", 5, "--rate", 100, "--yes")
        terminal.until("of 600 jobs removed")
        os.kill(terminal.process.pid, signal.SIGTERM)
        self.assertEqual(FAILED, terminal.end())
        done = int(re.search(r"interrupted: (\d+) of 600 jobs removed", terminal.seen).group(1))
        self.assertEqual(600 - done, len(self.ids("wait")))
        self.consistent()

    def test_names_cannot_write_on_the_terminal(self):
        self.add(name="n\x1b]0;title\x07")
        terminal = self.terminal("queue", "jobs", "q")
        self.assertEqual(OK, terminal.end())
        self.assertIn("n\\x1b]0;title\\x07", terminal.seen)


if __name__ == "__main__":
    rig.main()
