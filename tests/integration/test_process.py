"""The process handler through a whole droverd: the programs of its page as they stand there, many jobs in one program,
and what becomes of jobs when a program dies, hangs or is told to go."""

import json
import os
import re
import shutil
import signal
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import rig
from cases import QueueCase
from producer import Producer
from queue_view import QueueView, check_idle
from rig import wait_until

PAGE = os.path.join(rig.ROOT, "docs", "protocols", "handler.md")

# Jobs by name; FOLDER/pids gets a line per start of the program, FOLDER/runs "id attempt pid" per job.
PROGRAM = r'''#!/usr/bin/env python3
import json, os, signal, sys, time
FOLDER = os.path.dirname(os.path.abspath(__file__))
waiting = {}  # request id -> params

def trace(name, text):
    with open(os.path.join(FOLDER, name), "a", encoding="utf-8") as f:
        f.write(text + "\n")

def once(name):
    """True the first time."""
    try:
        os.close(os.open(os.path.join(FOLDER, name), os.O_CREAT | os.O_EXCL))
        return True
    except FileExistsError:
        return False

def send(**message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()

def run(ident, job):
    trace("runs", f"{job['job']} {job['attempt']} {os.getpid()}")
    name = job["name"]
    if name == "together":  # answers when as many as data says are here
        waiting[ident] = job
        if len(waiting) == job["data"]:
            for other in list(waiting):
                send(id=other, result=os.getpid())
                waiting.pop(other)
    elif name == "params":
        send(id=ident, result=job)
    elif name == "wait":
        waiting[ident] = job
    elif name == "die" and (job["data"] or once("died")):
        sys.stderr.write("last words\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGSEGV)
    elif name == "hang" and once("hung"):
        trace("hangs", str(os.getpid()))
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    elif name == "not-now" and once("refused"):
        send(id=ident, error={"code": -32003, "message": "busy", "data": {"retry_after_ms": 200}})
    elif name == "report":
        send(method="job.progress", params={"id": ident, "progress": {"step": 1}})
        send(method="job.log", params={"id": ident, "line": "one"})
        send(method="job.log", params={"id": ident, "line": "two"})
        send(id=ident, result=None)
    elif name == "fail":
        send(id=ident, error={"code": job["data"], "message": "as told", "data": {"stack": "at a line"}})
    else:
        send(id=ident, result="done")

trace("pids", str(os.getpid()))
for line in sys.stdin:
    message = json.loads(line)
    method, params = message.get("method"), message.get("params", {})
    if method == "initialize":
        send(id=message["id"], result={"protocol": 1})
    elif method == "job.run":
        run(message["id"], params)
    elif method == "job.cancel":
        trace("cancels", json.dumps(params))
        if waiting.pop(params["id"], None):
            send(id=params["id"], error={"code": -32004, "message": "cancelled"})
    else:
        trace("told", line.strip())
trace("told", "end of file")
'''


class Process(QueueCase):
    def setUp(self):
        super().setUp()
        self.program = self.script("program", PROGRAM)

    def trace(self, name):
        try:
            with open(os.path.join(self.scratch, name), encoding="utf-8") as f:
                return f.read().splitlines()
        except FileNotFoundError:
            return []

    def traced(self, name, count, deadline=15):
        wait_until(lambda: len(self.trace(name)) >= count, deadline, lambda: f"{count} lines in {name}\n{self.logs()}")
        return self.trace(name)

    def start(self, handler=None, top=None, **queue):
        return self.droverd({**(top or {}), "queues": {"q": {
            "concurrency": 4, "handler": {"process": [self.program], "parallel": 4, **(handler or {})}, **queue}}})

    def run_jobs(self, jobs, completed, failed=0, **options):
        ids = Producer(self.r, "q").bulk(jobs)
        self.daemon = self.start(**options)
        view = self.ends("q", completed=completed, failed=failed)
        return [view.job(i) for i in ids]

    # -- the page

    def page_example(self, language, name):
        with open(PAGE, encoding="utf-8") as f:
            found = re.search(rf"\n```{language}\n(#!.*?\n)```\n", f.read(), re.S)
        return self.script(name, found[1])

    def run_example(self, path, parallel):
        jobs = [("echo", {"text": "ä\u2028€", "n": [1, None]}, {}), ("steps", {}, {}), ("nothing", {}, {"attempts": 3})]
        ids = Producer(self.r, "q").bulk(jobs)
        self.droverd({"queues": {"q": {"concurrency": 2 * parallel, "handler": {"process": [path], "parallel": parallel}}}})
        view = self.ends("q", completed=2, failed=1)
        echo, steps, nothing = (view.job(i) for i in ids)
        self.assertEqual(jobs[0][1], json.loads(echo["returnvalue"]))
        self.assertEqual(("done", 50), (json.loads(steps["returnvalue"]), json.loads(steps["progress"])))
        self.assertEqual(["half way"], view.value[f"{ids[1]}:logs"])
        self.assertEqual(("1", "no such job"), (nothing["atm"], nothing["failedReason"]), "failed for good")
        self.assertEqual([], self.lines_with(self.daemons[-1], "program.lines_dropped"))

    def test_the_example_in_sh(self):
        self.run_example(self.page_example("sh", "example.sh"), 1)

    def test_the_example_in_python(self):
        self.run_example(self.page_example("python", "example.py"), 4)

    @unittest.skipUnless(shutil.which("node"), "no Node.js here (./dev deps interop)")
    def test_the_example_in_javascript(self):
        self.run_example(self.page_example("js", "example.mjs"), 4)

    # -- jobs

    def test_what_a_job_is_given(self):
        os.environ["DROVER_TEST_SECRET"] = "must not reach a handler"
        self.addCleanup(os.environ.pop, "DROVER_TEST_SECRET")
        data = {"text": "ä € 漢", "metadata": {"correlationId": "order-9"}}
        (job,) = self.run_jobs([("params", data, {"attempts": 4, "jobId": "my-id", "priority": 7})], 1, timeout="20s")
        got = json.loads(job["returnvalue"])
        self.assertEqual(data, got["data"])
        self.assertEqual(("my-id", "params", 1, 4, "q", 7, "order-9", "q:my-id", int(job["timestamp"])),
                         tuple(got[k] for k in ("job", "name", "attempt", "attempts_max", "queue", "priority", "correlation_id",
                                                "idempotency_key", "added_at_ms")))
        self.assertTrue(0 < got["deadline_ms"] <= 20000, got)
        self.assertTrue(got["fencing_token"])

    def test_many_jobs_are_in_few_programs_at_once(self):
        jobs = self.run_jobs([("together", 4, {}) for _ in range(8)], 8, concurrency=8, handler={"children": 2})
        pids = {job["returnvalue"] for job in jobs}
        self.assertEqual(2, len(pids), "each of the two had four at a time, or none would have been answered")
        self.assertEqual(pids, set(self.trace("pids")), "started once")

    def test_reports_reach_redis(self):
        (job,) = self.run_jobs([("report", {}, {})], 1)
        view = QueueView(self.r, "q")
        (job_id,) = view.ids("completed")
        self.assertEqual({"step": 1}, json.loads(job["progress"]))
        self.assertEqual(["one", "two"], view.value[f"{job_id}:logs"])
        self.assertEqual(1, len(view.events("progress")))

    def test_errors_are_tried_again_or_not_by_their_code(self):
        jobs = self.run_jobs([("fail", code, {"attempts": 2}) for code in (-32001, -32002, -32603)], 0, failed=3)
        self.assertEqual(["2", "1", "2"], [job["atm"] for job in jobs])
        for job in jobs:
            self.assertEqual("as told", job["failedReason"])
            self.assertIn("at a line", job["stacktrace"])

    def test_not_now_uses_no_attempt(self):
        (job,) = self.run_jobs([("not-now", {}, {"attempts": 1})], 1)
        self.assertEqual(("1", '"done"'), (job["atm"], job["returnvalue"]))
        self.assertEqual(2, len(self.trace("runs")))

    # -- programs that die or hang

    def test_a_death_with_one_job_in_it_is_a_failed_attempt(self):
        (job,) = self.run_jobs([("die", True, {"attempts": 2})], 0, failed=1, concurrency=1, handler={"parallel": 1})
        self.assertEqual(("2", "killed by signal 11 (SIGSEGV): last words"), (job["atm"], job["failedReason"]))
        self.assertEqual(2, len({line.split()[2] for line in self.trace("runs")}), "a new program each time")

    def test_a_death_in_company_costs_no_attempt(self):
        ids = Producer(self.r, "q").bulk([("wait", {}, {"attempts": 1}), ("die", False, {"attempts": 1})])
        self.start(timeout="10m", top={"stop": {"drain_timeout": "200ms"}})
        wait_until(lambda: QueueView(self.r, "q").ids("completed") == [ids[1]], 20, self.logs)
        self.traced("runs", 4)
        self.assertEqual([f"{ids[0]} 1", f"{ids[1]} 1"], sorted({line.rpartition(" ")[0] for line in self.trace("runs")}))

    def test_a_job_that_does_not_end_ends_with_its_program(self):
        ids = Producer(self.r, "q").bulk([("hang", {}, {"attempts": 2})])
        self.start(concurrency=1, handler={"parallel": 1}, timeout="1s", kill_grace="200ms")
        (pid,) = self.traced("hangs", 1)
        wait_until(lambda: not rig.Proc(int(pid)).alive, 10, "the program is killed")
        view = self.ends("q", completed=1)
        self.assertEqual("2", view.job(ids[0])["atm"], "the time-out was an attempt")
        self.assertEqual(2, len(self.trace("pids")))

    def test_a_killed_program_is_replaced_at_once(self):
        self.start(handler={"children": 1}, top={"start": {"restart_first": "10m", "restart_max": "10m"}})
        (pid,) = self.traced("pids", 1)
        Producer(self.r, "q").many(1)
        self.ends("q", completed=1)
        rig.send_signal(int(pid), signal.SIGKILL)
        self.traced("pids", 2)
        Producer(self.r, "q").many(20)
        self.ends("q", completed=21)

    def test_one_that_ends_without_ever_having_had_a_job_backs_off(self):
        self.start(handler={"children": 1}, top={"start": {"restart_first": "10m", "restart_max": "10m"}})
        (pid,) = self.traced("pids", 1)
        rig.send_signal(int(pid), signal.SIGKILL)
        (ended,) = self.daemons[0].wait_event("program.ended")
        self.assertGreaterEqual(ended["restart_ms"], 480000)  # ten minutes, less the jitter of a fifth

    def test_programs_die_with_their_worker(self):
        daemon = self.start(handler={"children": 1})
        (pid,) = self.traced("pids", 1)
        (worker,) = daemon.workers("q")
        rig.send_signal(worker.pid, signal.SIGKILL)
        wait_until(lambda: not rig.Proc(int(pid)).alive, 5, "the program is gone")
        self.traced("pids", 2)
        Producer(self.r, "q").many(4)
        self.ends("q", completed=4)

    # -- the end

    def test_a_stop_is_told_and_gives_back_without_an_attempt(self):
        ids = Producer(self.r, "q").bulk([("wait", {}, {}), ("wait", {}, {})])
        daemon = self.start(top={"stop": {"drain_timeout": "500ms"}})
        self.traced("runs", 2)
        self.assertEqual(0, daemon.drain(), daemon.tail())
        view = check_idle(self, self.r, "q")
        self.assertEqual(set(ids), set(view.ids("wait")))
        for job_id in ids:
            self.assertIn(view.job(job_id).get("atm"), (None, "0"))
        cancels = [json.loads(line) for line in self.trace("cancels")]
        self.assertEqual({"stop"}, {c["reason"] for c in cancels})
        self.assertEqual(2, len(cancels))
        told = self.trace("told")
        self.assertTrue(any('"drain"' in line and '"timeout_ms":' in line for line in told), told)
        self.assertEqual(["end of file"], told[-1:], told)
        self.assertTrue(any('"shutdown"' in line for line in told), told)

    def test_a_worker_is_not_ready_without_its_programs(self):
        broken = self.script("broken", "#!/bin/sh\necho 'no database' >&2\nexit 1\n")
        daemon = self.droverd({"start": {"timeout": "2s"}, "queues": {"q": {"handler": {"process": [broken]}}}}, wait=False)
        daemon.wait_event("program.ended", was_ready=False, cause="exit code 1", count=2)
        self.assertTrue(self.lines_with(daemon, "program.said", "no database"))
        self.assertEqual([], daemon.find("worker.ready"))


if __name__ == "__main__":
    rig.main()
