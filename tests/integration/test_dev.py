"""`drover dev`: runs a thousand jobs and goes, leaves nothing behind, says why when it cannot."""

import json
import os
import re
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import rig  # noqa: E402

SLOW = """
stop: {drain_timeout: 50s}
queues:
  slow:
    handler: {exec: [/bin/sleep, '50']}
"""


def output(process, deadline=60):
    out, err = process.communicate(timeout=deadline * rig.PATIENCE)
    return out, err


class Dev(rig.Case):
    """The scratch folder of `drover dev` is made in this test's folder, so that what is left shows."""

    def setUp(self):
        super().setUp()
        self.tmp = os.path.join(self.scratch, "tmp")
        os.mkdir(self.tmp)

    def dev(self, *args, env=None):
        return self.popen([rig.program("drover"), "dev", *args], text=True, cwd=self.scratch,
                          env={**os.environ, "TMPDIR": self.tmp, **(env or {})},
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def finish(self, process, code):
        out, err = output(process)
        self.assertEqual(process.returncode, code, f"{out}\n{err}")
        self.assertEqual(os.listdir(self.tmp), [], "a scratch folder is left")
        rig.wait_until(lambda: not self._left(), 5, lambda: f"left: {self._left()}")
        return out, err

    def file(self, name, text):
        path = os.path.join(self.scratch, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def folder(self):
        """The scratch folder of the one that runs, once Redis listens in it."""
        def found():
            names = os.listdir(self.tmp)
            path = os.path.join(self.tmp, names[0]) if names else ""
            return path if os.path.exists(os.path.join(path, "redis.sock")) else None
        return rig.wait_until(found, what="the private Redis listens")

    def wait_log(self, folder, *texts):
        def seen():
            with open(os.path.join(folder, "droverd.log"), encoding="utf-8") as f:
                text = f.read()
            return all(word in text for word in texts)
        rig.wait_until(seen, what=f"{texts} in droverd's log")

    def child(self, process, name):
        found = [p for p in rig.descendants(process.pid) if p.comm.startswith(name)]
        self.assertEqual(len(found), 1, f"{name}: {found}")
        return found[0].pid


class Once(Dev):
    def test_a_thousand_jobs(self):
        out, err = self.finish(self.dev("--once"), 0)
        self.assertEqual(err, "")
        self.assertRegex(out, r"1000 jobs added, 1000 ended")
        rows = dict(re.findall(r"^(noop|exec) +(0 +0 +0 +0 +\d+ +\d+)$", out, re.M))
        ended = [int(n) for row in rows.values() for n in row.split()[4:]]
        self.assertEqual(sum(ended), 1000, out)
        self.assertEqual(int(rows["exec"].split()[5]), 1, "one fails for good")
        self.assertEqual(int(rows["noop"].split()[5]), 0)
        story = re.findall(r"^  \+ *[\d.]+ s  ([\w-]+)", out, re.M)
        self.assertEqual(story, ["added", "waiting", "active", "delayed", "waiting", "active", "completed"])
        self.assertIn('result: {"worked_at_attempt": 2}', out)
        self.assertIn("last failure: the other side is busy (attempt 1 of 3)", out)

    def test_json(self):
        out, _ = self.finish(self.dev("--once", "--json", "--sample", "60"), 0)
        lines = [json.loads(line) for line in out.splitlines()]
        summary = next(line["summary"] for line in lines if "summary" in line)
        story = next(line["story"] for line in lines if "story" in line)
        kept = next(line["kept"] for line in lines if "kept" in line)
        self.assertEqual((summary["added"], summary["ended"]), (60, 60))
        self.assertEqual(story["id"], "demo-retried")
        times = [event["at_ms"] for event in story["events"]]
        self.assertEqual(times, sorted(times))
        self.assertGreaterEqual(times[-1] - times[0], 400, "the back-off of the retry")
        self.assertEqual((kept["state"], kept["atm"]), ("completed", "2"))

    def test_a_producer_is_part_of_the_sample(self):
        command = ('set -e; [ "$DROVER_DEMO_JOBS" = 40 ] && [ "$DROVER_DEMO_PREFIX" = bull ]; '
                   'for n in 1 2 3; do "$DROVER" add --redis unix://$DROVER_DEMO_SOCKET noop tick --count 10 >/dev/null; '
                   'echo "added 10 jobs"; done')
        out, _ = self.finish(self.dev("--once", "--sample", "100", "--producer", command,
                                      env={"DROVER": rig.program("drover")}), 0)
        self.assertIn("producer: added 10 jobs", out)
        self.assertIn("drover's library: added 65 jobs", out)
        self.assertIn("100 jobs added, 100 ended", out)

    def test_a_producer_that_is_not_there(self):
        out, _ = self.finish(self.dev("--once", "--sample", "60", "--producer", "echo no bullmq; exit 69"), 0)
        self.assertIn("producer: no bullmq", out)
        self.assertIn("60 jobs added, 60 ended", out)

    def test_own_configuration_with_a_producer(self):
        path = self.file("own.yaml", "queues: {mine: {concurrency: 4, handler: noop}}\n"
                                     "redis: {a: {url: 'redis://192.0.2.1/0', prefix: p}}\n")
        command = '"$DROVER" add --redis unix://$DROVER_DEMO_SOCKET --prefix p mine any --count 20 >/dev/null; echo added 20'
        out, _ = self.finish(self.dev("--once", "-c", path, "--producer", command,
                                      env={"DROVER": rig.program("drover")}), 0)
        self.assertIn("20 jobs added, 20 ended", out)


class Staying(Dev):
    def test_ctrl_c_lets_jobs_finish(self):
        path = self.file("own.yaml", "queues: {mine: {handler: {exec: [/bin/sleep, '1.5']}}}\n")
        process = self.dev("-c", path)
        folder = self.folder()
        self.wait_log(folder, "worker.ready")
        rig.Cli()("add", "--redis", f"unix://{folder}/redis.sock", "mine", "job")
        rig.wait_until(lambda: [p for p in rig.descendants(process.pid) if p.comm == "sleep"])
        process.send_signal(signal.SIGINT)
        out, _ = self.finish(process, 0)
        self.assertIn("running jobs may finish", out)

    def test_second_ctrl_c_ends_at_once(self):
        process = self.dev("-c", self.file("slow.yaml", SLOW))
        folder = self.folder()
        self.wait_log(folder, "worker.ready")
        rig.Cli()("add", "--redis", f"unix://{folder}/redis.sock", "slow", "job")
        rig.wait_until(lambda: [p for p in rig.descendants(process.pid) if p.comm == "sleep"])
        process.send_signal(signal.SIGINT)
        self.wait_log(folder, "drain")
        process.send_signal(signal.SIGINT)
        out, err = output(process, 25)  # well before the job, or the drain time-out, would end
        self.assertEqual(process.returncode, 0, f"{out}\n{err}")
        self.assertEqual(os.listdir(self.tmp), [])


class Failing(Dev):
    def test_droverd_dies(self):
        process = self.dev("-c", self.file("slow.yaml", SLOW))
        self.wait_log(self.folder(), "worker.ready")
        os.kill(self.child(process, "droverd"), signal.SIGKILL)
        _, err = self.finish(process, 1)
        self.assertIn("droverd was killed by signal 9", err)
        self.assertIn("worker.ready", err, "the end of its log is shown")

    def test_redis_dies(self):
        process = self.dev("-c", self.file("slow.yaml", SLOW))
        self.wait_log(self.folder(), "worker.ready")
        os.kill(self.child(process, "redis-server"), signal.SIGKILL)
        _, err = self.finish(process, 1)
        self.assertIn("redis-server was killed by signal 9", err)

    def test_interrupted_once_is_a_failure(self):
        process = self.dev("--once")
        self.folder()
        process.send_signal(signal.SIGTERM)
        _, err = self.finish(process, 1)
        self.assertIn("interrupted", err)

    def test_a_producer_that_fails(self):
        _, err = self.finish(self.dev("--once", "--producer", "echo nothing works >&2; exit 3"), 1)
        self.assertIn("the producer exited with code 3", err)

    def test_no_redis_server(self):
        _, err = self.finish(self.dev("--once", env={"PATH": "/nonexistent"}), 1)
        self.assertIn("apt-get install redis-server", err)

    def test_bad_configuration(self):
        path = self.file("bad.yaml", "queues:\n  mine: {concurency: 2, handler: noop}\n")
        _, err = self.finish(self.dev("-c", path), 78)
        self.assertRegex(err, r"bad\.yaml:2:10: error: .*concurrency")

    def test_secrets_are_not_for_the_private_redis(self):
        secret = self.file("secret", "x\n")
        path = self.file("own.yaml", f"redis: {{default: {{password: 'file:{secret}'}}}}\n"
                                     "queues: {mine: {handler: noop}}\n")
        _, err = self.finish(self.dev("-c", path), 78)
        self.assertIn("has a user or password", err)

    def test_command_line(self):
        own = self.file("own.yaml", "queues: {mine: {handler: noop}}\n")
        for args, text in ((("--sample", "3"), "--sample is 0 or 50"), (("extra",), "unexpected argument"),
                           (("-c", own, "--once"), "--once needs jobs"),
                           (("-c", own, "--sample", "60"), "has no queue noop")):
            with self.subTest(args=args):
                _, err = self.finish(self.dev(*args), 64)
                self.assertIn(text, err)


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")
