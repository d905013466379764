"""Every verb of `drover job`: what it does to Redis, its JSON, its errors, and how it finds the job's queue."""

import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import rig
from cli_case import FAILED, HOUR_MS, OK, UNAVAILABLE, USAGE, VerbCase
from rig import wait_until

VERBS = ("show", "state", "logs", "children", "flow", "wait", "retry", "promote", "priority", "delay", "data", "progress", "log", "clear-logs", "remove",
         "detach", "release")


class JobCase(VerbCase):
    def job(self, job_id, queue="q"):
        fields = self.r.cmd("HGETALL", f"bull:{queue}:{job_id}")
        return dict(zip(fields[::2], fields[1::2]))

    def add_flow(self):
        """p in q with a, b, c in r; c has a child of its own, d."""
        tree = {"queueName": "q", "name": "p", "opts": {"jobId": "p"}, "children": [
            {"queueName": "r", "name": "a", "opts": {"jobId": "a"}}, {"queueName": "r", "name": "b", "opts": {"jobId": "b"}},
            {"queueName": "r", "name": "c", "opts": {"jobId": "c"}, "children": [{"queueName": "r", "name": "d", "opts": {"jobId": "d"}}]}]}
        self.run_cli("add", "--flow", "-", stdin=json.dumps(tree))

    def consistent(self):  # pylint: disable=arguments-differ
        for queue in ("q", "r"):
            super().consistent(queue)


class Words(JobCase):
    def test_every_verb_explains_itself(self):
        listed = self.cli("job", "--help").out
        for verb in VERBS:
            for args in (("job", verb, "--help"), ("help", "job", verb)):
                result = self.cli(*args)
                self.assertEqual((OK, ""), (result.code, result.err))
                self.assertTrue(result.out.startswith(f"Usage: drover job {verb} "), result.out)
            self.assertRegex(listed, rf"(?m)^  {verb} ")

    def test_wrong_lines_change_nothing(self):
        self.many(2)
        self.many(1, "r")
        for text, *args in (
            ("something is missing: drover job retry", "retry"), ("did you mean drover job retry?", "retri", "1"), ("the verb comes first: drover job retry", "-q", "q", "retry", "1"),
            ("one word too many", "state", "1", "2"), ("needs --queue for more than one job", "retry", "1", "2"), ("whole number", "priority", "1", "high", "-q", "q"),
            ("TIME:", "delay", "1", "5", "-q", "q"), ("--order is", "logs", "1", "--order", "up"), ("--of is", "children", "1", "--of", "dead"),
            ("0 levels", "flow", "1", "-q", "q", "--depth", "0"), ("1 to 1000", "flow", "1", "-q", "q", "--children", "1001"), ("--keep needs", "log", "1", "x", "--keep", "0"),
            ("give --children or --unprocessed", "remove", "1", "--children", "--unprocessed", "--yes"), ("--state is failed or completed", "retry", "1", "--state", "active"),
            ("--timeout needs", "wait", "1", "--timeout", "0s"), ("meta", "priority", "meta", "1", "-q", "q"), ("2097152", "priority", "1", "2097152", "-q", "q"),
            ("Remove job 1 of queue q?", "remove", "1", "-q", "q"), ("Remove job 1 with its children of queue q?", "remove", "1", "-q", "q", "--children"),
            ("Clear the log of job 1 of queue q?", "clear-logs", "1", "-q", "q"), ("word 1 is empty", "state", ""),
        ):
            self.wrong(text, "job", *args)

    def test_jobs_that_are_not_there(self):
        self.many(1)
        for args in (("state", "7"), ("flow", "7"), ("retry", "7"), ("promote", "7"), ("priority", "7", "1"), ("delay", "7", "1s"), ("data", "7", "{}"),
                     ("progress", "7", "1"), ("log", "7", "x"), ("clear-logs", "7", "--yes"), ("remove", "7", "--yes"), ("remove", "7", "--dry-run"), ("detach", "7"), ("release", "7"),
                     ("wait", "7", "--timeout", "100ms")):
            self.wrong("7", "job", *args, "-q", "q", code=FAILED)
            self.wrong("there is no job 7 in any queue", "job", *args, code=FAILED)

    def test_redis_that_is_not_there(self):
        for args in (("state", "1"), ("retry", "1", "-q", "q"), ("wait", "1", "-q", "q")):
            self.assertEqual(UNAVAILABLE, self.cli("job", *args, "--redis", "redis://127.0.0.1:1").code)

    def test_the_queue_is_found(self):
        self.many(2)
        self.many(1, "r")
        self.wrong("there is a job 1 in more than one queue: q, r", "job", "priority", "1", "5", code=FAILED)
        self.assertEqual("job 2 of queue q: priority set\n", self.run_cli("job", "priority", "2", "5").out)
        self.assertEqual("job 1 of queue r: priority set\n", self.run_cli("job", "priority", "1", "5", "-q", "r").out)
        path = self.config(r={"handler": "noop"})
        self.assertEqual("prioritized\n", self.cli("job", "state", "1", "-c", path).out, "the only queue of a configuration")
        result = self.cli("job", "state", "1", "-q", "s", "-c", path)
        self.assertEqual(FAILED, result.code)
        self.assertIn("queue s is not in", result.err)

    def test_an_id_that_is_a_verb(self):
        self.add(jobId="retry")
        for args in (("show", "retry"), ("-q", "q", "retry"), ("--redis", self.server.url, "--", "retry")):
            result = self.cli("job", *args, *(() if "--" in args else ("--redis", self.server.url)))
            self.assertEqual(OK, result.code, result)
            self.assertIn("Job retry of queue q", result.out)
        self.assertEqual("waiting\n", self.run_cli("job", "state", "retry").out)


class Looking(JobCase):
    def test_state_in_every_state(self):
        self.many(1)
        self.many(1, delay=HOUR_MS)
        self.many(1, priority=3)
        self.ended("f")
        self.ended("c", "completed")
        self.add_flow()
        self.r.cmd("HSET", "bull:q:nowhere", "name", "x")
        for job_id, state in (("1", "waiting"), ("2", "delayed"), ("3", "prioritized"), ("f", "failed"), ("c", "completed"), ("p", "waiting-children"), ("nowhere", "unknown")):
            self.assertEqual(f"{state}\n", self.run_cli("job", "state", job_id, "-q", "q").out)
        self.assertEqual({"queue": "q", "id": "2", "state": "delayed"}, self.run_cli("job", "state", "2", "-q", "q", "--json").json)

    def test_logs(self):
        self.many(1)
        self.assertEqual("no log\n", self.run_cli("job", "logs", "1").out)
        for n in range(5):
            self.assertEqual("job 1 of queue q: row added\n", self.run_cli("job", "log", "1", f"row {n}").out)
        self.assertEqual("row 0\nrow 1\nrow 2\nrow 3\nrow 4\n", self.run_cli("job", "logs", "1").out)
        self.assertEqual("row 3\nrow 2\n", self.run_cli("job", "logs", "1", "--order", "newest", "--start", 1, "--limit", 2).out)
        self.run_cli("job", "log", "1", "a\x1b]0;b", "--keep", 2)
        self.assertEqual("row 4\na\\x1b]0;b\n", self.run_cli("job", "logs", "1").out)
        self.assertEqual({"logs": ["row 4", "a\x1b]0;b"], "total": 2}, self.run_cli("job", "logs", "1", "--json").json)
        self.assertEqual("job 1 of queue q: the log would be cleared\n", self.run_cli("job", "clear-logs", "1", "--dry-run").out)
        self.run_cli("job", "clear-logs", "1", "--keep", 1, "--yes")
        self.assertEqual(1, self.r.cmd("LLEN", "bull:q:1:logs"))
        self.run_cli("job", "clear-logs", "1", "--yes")
        self.assertEqual(0, self.r.cmd("EXISTS", "bull:q:1:logs"))
        self.add(jobId="kept", keepLogs=2, kl=2)
        for n in range(4):
            self.run_cli("job", "log", "kept", n)
        self.assertEqual("2\n3\n", self.run_cli("job", "logs", "kept").out, "as many as its options say")
        self.run_cli("job", "log", "kept", "x", "--keep", 9)
        self.assertEqual("2\n3\nx\n", self.run_cli("job", "logs", "kept").out)
        self.r.cmd("RPUSH", "bull:q:1:logs", *[f"r{n}" for n in range(1200)])
        self.assertEqual(100, len(self.run_cli("job", "logs", "1").out.split()))
        self.assertEqual([f"r{n}" for n in range(1200)], self.run_cli("job", "logs", "1", "--limit", 0).out.split())

    def test_children_and_flow(self):
        self.add_flow()
        self.r.cmd("HSET", "bull:q:p:processed", "bull:r:done", '{"a":1}')
        self.r.cmd("HSET", "bull:q:p:failed", "bull:r:ign", "boom")
        out = self.run_cli("job", "children", "p").out.splitlines()
        self.assertEqual("processed 1, unprocessed 3, ignored 1, failed 0", out[0])
        self.assertEqual({'processed    bull:r:done  {"a":1}', "unprocessed  bull:r:a", "unprocessed  bull:r:b", "unprocessed  bull:r:c", "ignored      bull:r:ign  boom"},
                         set(out[1:]))
        data = self.run_cli("job", "children", "p", "--of", "processed", "--json").json
        self.assertEqual([{"kind": "processed", "key": "bull:r:done", "value": {"a": 1}}], data["children"])
        self.assertEqual(3, data["counts"]["unprocessed"])
        self.assertEqual(2, len(self.run_cli("job", "children", "p", "--limit", 2, "--json").json["children"]))
        out = self.run_cli("job", "flow", "p").out
        self.assertTrue(out.startswith("q p p, waiting-children\n  r done , gone (processed)\n"), out)
        self.assertIn("  r c c, waiting-children (unprocessed)\n    r d d, waiting (unprocessed)\n", out)
        tree = self.run_cli("job", "flow", "p", "--depth", 1, "--json").json
        self.assertEqual({"a", "b", "c", "done", "ign"}, {child["id"] for child in tree["children"]})
        self.assertEqual([[]] * 5, [child["children"] for child in tree["children"]])
        self.assertIn("... and 2 more", self.run_cli("job", "flow", "p", "--children", 1).out)

    def test_many_children(self):
        self.many(1)
        self.r.cmd("SADD", "bull:q:1:dependencies", *[f"bull:r:{n}" for n in range(2500)])
        keys = [child["key"] for child in self.run_cli("job", "children", "1", "--json").json["children"]]
        self.assertEqual({f"bull:r:{n}" for n in range(2500)}, set(keys))

    def test_wait(self):
        self.ended("c", "completed")
        self.assertEqual("completed: 1\n", self.run_cli("job", "wait", "c").out)
        self.ended("f", reason="two\nlines")
        self.assertEqual("failed: two\n  lines\n", self.run_cli("job", "wait", "f", code=FAILED).out)
        self.assertEqual({"state": "failed", "failed_reason": "two\nlines"}, self.run_cli("job", "wait", "f", "--json", code=FAILED).json)
        self.many(1)
        self.assertIn("has not ended in time", self.run_cli("job", "wait", "1", "--timeout", "50ms", code=FAILED).err)

    def test_wait_for_a_worker(self):
        self.add(jobId="w", delay=700)
        process = self.popen([rig.program("drover"), "job", "wait", "w", "-q", "q", "--json", "--redis", self.server.url], stdout=subprocess.PIPE, text=True)
        wait_until(lambda: "xread" in self.r.cmd("CLIENT", "LIST"), 20, lambda: "nobody waits")
        self.droverd({"queues": {"q": {"handler": "noop"}}})
        out, _ = process.communicate(timeout=30 * rig.PATIENCE)
        self.assertEqual(("completed", 0), (json.loads(out)["state"], process.returncode))


class Changing(JobCase):
    def test_retry(self):
        for job_id in ("a", "b"):
            self.ended(job_id)
        self.many(1)
        self.assertEqual("job a of queue q: retried\n", self.run_cli("job", "retry", "a").out)
        result = self.run_cli("job", "retry", "a", "b", "1", "-q", "q", code=FAILED)
        self.assertEqual("job b of queue q: retried\n", result.out)
        self.assertIn("job a of queue q is not failed", result.err)
        self.assertIn("job 1 of queue q is not failed", result.err)
        self.assertEqual(["b", "a", "1"], self.ids("wait"))
        self.ended("c", "completed")
        self.assertEqual({"queue": "q", "id": "c", "result": "retried"}, self.run_cli("job", "retry", "c", "--state", "completed", "--reset-attempts", "--json").json)
        self.assertNotIn("returnvalue", self.job("c"))
        self.assertEqual("0", self.job("c").get("atm", "0"))
        self.consistent()

    def test_promote_delay_and_priority(self):
        self.many(2, delay=HOUR_MS)
        self.run_cli("job", "delay", "1", "2h")
        self.assertAlmostEqual(self.now + 2 * HOUR_MS, self.view().scores("delayed")["1"] / 4096, delta=60000)
        self.run_cli("job", "priority", "2", 7)
        self.assertEqual("7", self.job("2")["priority"])
        self.run_cli("job", "promote", "1", "2", "-q", "q")
        self.assertEqual((["1"], ["2"]), (self.ids("wait"), self.ids("prioritized")))
        self.wrong("is not delayed", "job", "promote", "1", code=FAILED)
        self.wrong("is not delayed", "job", "delay", "1", "1s", code=FAILED)
        self.run_cli("job", "priority", "2", 0, "--lifo")
        self.assertEqual(["1", "2"], self.ids("wait"), "2 is next")
        self.consistent()

    def test_data_and_progress(self):
        self.many(1)
        self.run_cli("job", "data", "1", '{"to": "ann"}')
        self.assertEqual('{"to": "ann"}', self.job("1")["data"])
        self.run_cli("job", "data", "1", "-", stdin="[1,2]")
        self.assertEqual("[1,2]", self.job("1")["data"])
        self.run_cli("job", "data", "1", "@" + self.file("data.json", '"x"'))
        self.assertEqual('"x"', self.job("1")["data"])
        self.wrong("is not valid JSON", "job", "data", "1", "{", code=FAILED)
        self.wrong("/nowhere", "job", "data", "1", "@/nowhere", code=FAILED)
        self.run_cli("job", "progress", "1", "50")
        self.assertEqual("50", self.job("1")["progress"])
        self.assertEqual([{"event": "progress", "jobId": "1", "data": "50"}], [fields for _, fields, _ in self.view().value["events"] if fields["event"] == "progress"])

    def test_remove(self):
        self.many(3)
        self.r.cmd("SET", "bull:q:2:lock", "token")
        self.assertEqual("job 1 of queue q: would be removed\n", self.run_cli("job", "remove", "1", "--dry-run").out)
        result = self.run_cli("job", "remove", "1", "2", "3", "-q", "q", "--yes", code=FAILED)
        self.assertEqual("job 1 of queue q: 1 job removed\njob 3 of queue q: 1 job removed\n", result.out)
        self.assertIn("job 2 of queue q:", result.err)
        self.assertEqual(["2"], self.ids("wait"))

    def test_remove_a_tree_or_what_is_waited_for(self):
        self.add_flow()
        self.assertEqual("job p of queue q: its unprocessed children would be removed\n", self.run_cli("job", "remove", "p", "--unprocessed", "-n").out)
        out = self.run_cli("job", "remove", "p", "--unprocessed", "--yes").out
        self.assertEqual("job p of queue q: 4 jobs removed\n", out)
        self.assertEqual(["p"], self.ids("wait"))
        self.consistent()
        self.r.cmd("FLUSHALL")
        self.add_flow()
        self.assertEqual("job p of queue q: 5 jobs removed\n", self.run_cli("job", "remove", "p", "--children", "--yes").out)
        self.assertEqual([], [key for key in self.r.scan("bull:*") if key.rsplit(":", 1)[-1] in ("p", "a", "b", "c", "d")])

    def test_detach(self):
        self.add_flow()
        for child in "abc":
            self.assertEqual(f"job {child} of queue r: detached from its parent\n", self.run_cli("job", "detach", child).out)
        self.assertEqual(["p"], self.ids("wait"))
        self.wrong("is not a child that a parent waits for", "job", "detach", "a", code=FAILED)
        self.consistent()

    def test_release(self):
        self.run_cli("add", "q", "x", "--dedup", "d")
        self.assertEqual("job 1 of queue q: its deduplication id is free\n", self.run_cli("job", "release", "1").out)
        self.assertEqual(0, self.r.cmd("EXISTS", "bull:q:de:d"))
        self.wrong("owns no deduplication id", "job", "release", "1", code=FAILED)

    def test_on_a_terminal_it_asks(self):
        self.many(1)
        terminal = self.terminal("job", "remove", "1")
        terminal.until("Remove job 1 of queue q? [y/N] ")
        terminal.type("n\n")
        self.assertEqual(FAILED, terminal.end())
        terminal = self.terminal("job", "remove", "1")
        terminal.until("[y/N] ")
        terminal.type("y\n")
        self.assertEqual(OK, terminal.end())
        self.assertEqual([], self.ids("wait"))


if __name__ == "__main__":
    rig.main()
