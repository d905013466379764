"""The exec handler through a whole droverd: what a program gets, what its end means, what is ended with it."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import rig
from cases import QueueCase
from producer import Producer
from rig import wait_until

SHOW = r'''#!/usr/bin/env python3
import json, os, sys
print(json.dumps({"env": dict(os.environ), "stdin": sys.stdin.read(), "cwd": os.getcwd(), "fds": sorted(int(f) for f in os.listdir("/proc/self/fd")),
                  "pgid": os.getpgid(0), "pid": os.getpid(), "sid": os.getsid(0)}))
'''


class Exec(QueueCase):
    def run_jobs(self, jobs, queue_options, completed, failed=0):
        """jobs: (name, data, opts). Returns {id: hash}."""
        ids = Producer(self.r, "q").bulk(jobs)
        daemon = self.droverd({"queues": {"q": {"concurrency": 4, **queue_options}}})
        view = self.ends("q", completed=completed, failed=failed)
        self.daemon = daemon
        return [view.job(i) for i in ids]

    def test_what_a_program_is_given(self):
        show = self.script("show.py", SHOW)
        data = {"text": "ä € 漢", "n": [1, 2.5, None]}
        os.environ["DROVER_TEST_SECRET"] = "must not reach a handler"
        self.addCleanup(os.environ.pop, "DROVER_TEST_SECRET")
        (job,) = self.run_jobs([("show", data, {"attempts": 4, "jobId": "my-id"})], {
            "timeout": "20s", "handler": {"exec": [show], "env": {"COLOUR": "red"}, "directory": "/usr"}}, completed=1)
        got = json.loads(job["returnvalue"])
        env = got["env"]
        self.assertEqual(data, json.loads(got["stdin"]))
        self.assertEqual("/usr", got["cwd"])
        self.assertEqual([0, 1, 2], [f for f in got["fds"] if f < 3])
        self.assertLessEqual(len(got["fds"]), 4, f"no descriptor of the worker leaks: {got['fds']}")
        self.assertEqual(got["pid"], got["pgid"], "a process group of its own")
        self.assertNotEqual(got["pid"], got["sid"], "in the worker's session")
        self.assertEqual(("q", "my-id", "show", "1", "4", "red"),
                         tuple(env[k] for k in ("DROVER_QUEUE", "DROVER_JOB_ID", "DROVER_JOB_NAME", "DROVER_ATTEMPT",
                                                "DROVER_ATTEMPTS_MAX", "COLOUR")))
        self.assertTrue(0 < int(env["DROVER_DEADLINE_MS"]) <= 20000, env)
        for name in ("DROVER_IDEMPOTENCY_KEY", "DROVER_FENCING_TOKEN", "DROVER_WORKER", "PATH", "LANG", "HOME"):
            self.assertTrue(env.get(name), name)
        self.assertNotIn("DROVER_TEST_SECRET", env)
        foreign = [k for k in env if not k.startswith("DROVER_") and k not in ("PATH", "LANG", "HOME", "COLOUR", "LC_CTYPE", "PWD")]
        self.assertEqual([], foreign, "a clean environment")

    def test_what_its_output_means(self):
        say = self.script("say", '#!/bin/sh\nexec cat\n')
        rows = [({"a": [1]}, '{"a": [1]}'), ("text", '"text"'), (None, "null"), (17, "17")]
        jobs = [("cat", data, {}) for data, _ in rows]
        done = self.run_jobs(jobs, {"handler": {"exec": [say]}}, completed=len(rows))
        for job, (data, _) in zip(done, rows):
            self.assertEqual(data, json.loads(job["returnvalue"]))

    def test_output_that_is_no_json_becomes_a_text(self):
        cases = {"plain": ("hello world\\n", "hello world"), "two": ("a\\nb\\n", "a\nb"), "empty": ("", None), "quote": ('say \\"x\\"', 'say "x"'),
                 "bytes": ("\\377\\376", "\ufffd\ufffd"), "half": ("{\\\"a\\\":", '{"a":')}
        types = {name: {"handler": {"exec": [self.script(name, f"#!/bin/sh\nprintf \"{text}\"\n")]}} for name, (text, _) in cases.items()}
        done = self.run_jobs([(name, {}, {}) for name in cases], {"types": types}, completed=len(cases))
        for job, (name, (_, wanted)) in zip(done, cases.items()):
            self.assertEqual(wanted, json.loads(job["returnvalue"]), name)

    def test_what_its_exit_means(self):
        retryable, permanent = [1, 69, 70, 71, 75, 76, 99, 126, 127, 255], [64, 65, 66, 67, 68, 77, 78]
        types = {f"x{code}": {"handler": {"exec": [self.script(f"x{code}", f"#!/bin/sh\nexit {code}\n")]}} for code in retryable + permanent}
        types["signal"] = {"handler": {"exec": [self.script("signal", "#!/bin/sh\nkill -9 $$\n")]}}
        types["absent"] = {"handler": {"exec": ["/nonexistent/program"]}}
        jobs = [(name, {}, {"attempts": 2}) for name in types]
        done = self.run_jobs(jobs, {"types": types}, completed=0, failed=len(types))
        by_name = {job["name"]: job for job in done}
        for code in retryable:
            self.assertEqual("2", by_name[f"x{code}"]["atm"], f"exit {code} is tried again")
            self.assertIn(str(code), by_name[f"x{code}"]["failedReason"])
        for code in permanent:
            self.assertEqual("1", by_name[f"x{code}"]["atm"], f"exit {code} is final")
        self.assertIn("SIGKILL", by_name["signal"]["failedReason"])
        self.assertIn("/nonexistent/program", by_name["absent"]["failedReason"])

    def test_reason_is_the_end_of_stderr(self):
        noisy = self.script("noisy", "#!/bin/sh\ni=0\nwhile [ $i -lt 3000 ]; do echo \"line $i\" >&2; i=$((i+1)); done\necho 'the true reason' >&2\necho >&2\nexit 1\n")
        (job,) = self.run_jobs([("noisy", {}, {})], {"handler": {"exec": [noisy]}}, completed=0, failed=1)
        self.assertTrue(job["failedReason"].rstrip().endswith("the true reason"), job["failedReason"][-200:])
        self.assertLessEqual(len(job["failedReason"]), 4096)

    def test_too_much_output_fails_the_job(self):
        flood = self.script("flood", "#!/bin/sh\nexec head -c 3000000 /dev/zero\n")
        (job,) = self.run_jobs([("flood", {}, {})], {"handler": {"exec": [flood], "max_output": "64KiB"}}, completed=0, failed=1)
        self.assertRegex(job["failedReason"], "output|64")

    def test_a_big_payload_reaches_a_program_that_reads_it_and_one_that_does_not(self):
        count = self.script("count", "#!/bin/sh\nwc -c\n")
        ignore = self.script("ignore", "#!/bin/sh\nexit 0\n")
        data = "x" * 1_500_000
        jobs = self.run_jobs([("count", data, {}), ("ignore", data, {})], {
            "types": {"count": {"handler": {"exec": [count]}}, "ignore": {"handler": {"exec": [ignore]}}}}, completed=2)
        self.assertEqual(len(data) + 2, int(json.loads(jobs[0]["returnvalue"])))
        self.assertEqual("null", jobs[1]["returnvalue"])

    def test_a_time_out_ends_the_whole_process_group(self):
        trace = os.path.join(self.scratch, "pids")
        stubborn = self.script("stubborn", f"#!/bin/sh\ntrap '' TERM\necho $$ >> {trace}\n"
                                           f"(trap '' TERM; sleep 300) & echo $! >> {trace}\nwait\nsleep 300\n")
        (job,) = self.run_jobs([("slow", {}, {"attempts": 2})], {
            "timeout": "300ms", "kill_grace": "200ms", "handler": {"exec": [stubborn]}}, completed=0, failed=1)
        self.assertRegex(job["failedReason"], r"timed out after 300\s?ms")
        self.assertEqual("2", job["atm"], "a time-out is a failed attempt, and tried again")
        with open(trace, encoding="ascii") as f:
            pids = [int(line) for line in f]
        self.assertEqual(4, len(pids))
        wait_until(lambda: not [p for p in pids if rig.Proc(p).alive], 5, "the whole group is gone")

    def test_a_soft_end_is_enough_for_a_program_that_obeys(self):
        said = os.path.join(self.scratch, "said")
        polite = self.script("polite", f"#!/bin/sh\ntrap 'echo bye > {said}; exit 0' TERM\nsleep 300 & wait\n")
        (job,) = self.run_jobs([("slow", {}, {})], {
            "timeout": "2s", "kill_grace": "2s", "handler": {"exec": [polite]}}, completed=0, failed=1)
        self.assertRegex(job["failedReason"], "timed out", "even when the program then says 0")
        with open(said, encoding="ascii") as f:
            self.assertEqual("bye\n", f.read())

    def test_a_background_child_that_keeps_stdout_open_hangs_nothing(self):
        trace = os.path.join(self.scratch, "pids")
        daemonish = self.script("daemonish", f"#!/bin/sh\nsleep 300 &\necho $! >> {trace}\necho '\"done\"'\nexit 0\n")
        (job,) = self.run_jobs([("bg", {}, {})], {"handler": {"exec": [daemonish]}}, completed=1)
        self.assertEqual("done", json.loads(job["returnvalue"]))
        with open(trace, encoding="ascii") as f:
            pid = int(f.read())
        wait_until(lambda: not rig.Proc(pid).alive, 5, "what the program left behind is ended")


if __name__ == "__main__":
    rig.main()
