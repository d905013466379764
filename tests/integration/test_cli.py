"""The `drover` command against a Redis of its own: every command, its JSON, its exit codes, its errors."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import rig
from producer import Producer
from rig import wait_until

OK, FAILED, USAGE, UNAVAILABLE, CONFIG = 0, 1, 64, 69, 78
COMMANDS = ("check", "add", "status", "queue", "job", "ps", "reload", "scale")


class CliCase(rig.Case):
    """`self.run_cli` ends with --redis of this test's server, `self.configured` with -c of a file."""

    def setUp(self):
        super().setUp()
        self.server = self.redis()
        self.r = self.server.client()

    def run_cli(self, *args, code=OK, **kwargs):
        result = self.cli(*args, "--redis", self.server.url, **kwargs)
        self.assertEqual(code, result.code, result)
        return result

    def file(self, name, text):
        path = os.path.join(self.scratch, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def config(self, queues, redis=None):
        return self.file("drover.yaml", json.dumps({"redis": redis or {"default": {"url": self.server.url}}, "queues": queues}))

    def configured(self, path, *args, code=OK, **kwargs):
        result = self.cli(*args, "-c", path, **kwargs)
        self.assertEqual(code, result.code, result)
        return result

    def job(self, job_id, queue="q"):
        fields = self.r.cmd("HGETALL", f"bull:{queue}:{job_id}")
        return dict(zip(fields[::2], fields[1::2]))


class General(CliCase):
    def test_help_version_and_unknown_commands(self):
        for args in ((), ("--help",), ("-h",), ("help",)):
            result = self.cli(*args)
            self.assertEqual(OK if args else USAGE, result.code)
            for command in COMMANDS:
                self.assertIn(f"\n  {command} ", result.out if args else result.err)
        self.assertRegex(self.cli("--version").out, r"^drover \d+\.\d+\.\d+\n$")
        for command in COMMANDS:
            for args in ((command, "--help"), ("help", command)):
                result = self.cli(*args)
                self.assertEqual((OK, ""), (result.code, result.err))
                self.assertIn(f"Usage: drover {command}", result.out)
                self.assertIn("Examples:", result.out)
        result = self.cli("stauts")
        self.assertEqual(USAGE, result.code)
        self.assertIn("did you mean drover status?", result.err)
        self.assertIn("did you mean --priority?", self.cli("add", "q", "x", "--prioritt=1").err)

    def test_wrong_lines_are_usage_errors_and_do_nothing(self):
        for args in (
            ("add",), ("add", "q"), ("add", "q", "x", "{}", "{}"), ("add", "q", "x", "{}", "--data", "{}"),
            ("add", "q", "x", "--priority", "-1"), ("add", "q", "x", "--priority", "2097152"), ("add", "q", "x", "--delay", "5"),
            ("add", "q", "x", "--id", "12"), ("add", "q", "x", "--id", "a:b"), ("add", "q", "x", "--id", "meta"),
            ("add", "q", "x", "--backoff", "5s"), ("add", "q", "x", "--keep-failed", "some"), ("add", "q", "x", "--count", "2", "--id", "a"),
            ("add", "q", "x", "--on-failure", "ignore"), ("add", "q", "x", "--parent", "p", "--redis", "redis://127.0.0.1:1"),
            ("add", "q", "x", "--parent", "p:1", "--on-failure", "x"), ("add", "q", "x", "--parent", "p:1", "--dedup", "d"),
            ("add", "q", "x", "--dedup-ttl", "1s"), ("add", "q", "x", "--dedup", "d", "--dedup-extend"), ("add", "q", "x", "--dedup", ""),
            ("add", "q", "x", "--dedup", "d", "--dedup-replace", "--dedup-reschedule"), ("add", "q", "x", "--extra", "[]"),
            ("add", "q", "x", "--extra", '{"delay":1}'), ("add", "--flow", "-", "q"), ("add", "--flow", "-", "--priority", "1"),
            ("add", "--flow", "-", "--dedup", "d"), ("add", "--flow", "-", "--lines", "-"),
            ("add", "q", "x", "--lines", "-", "--data", "1"), ("job",), ("job", "1", "2"), ("job", ""), ("status", "--every", "1s"),
            ("status", "--watch", "--every", "1ms"), ("status", "--nothing"), ("add", "q", "x", "-c", "/nowhere"),
        ):
            result = self.cli(*args, "--redis", self.server.url)
            self.assertEqual(USAGE, result.code, (args, result))
            self.assertRegex(result.err, r"^drover: .*\n(.*\n)*Try: drover \w+ --help\n$")
            self.assertEqual("", result.out)
        for args in (("status", "--prefix", "x"), ("check", "file.yaml"), ("check", "--set", "novalue")):
            self.assertEqual(USAGE, self.cli(*args).code, args)
        self.assertEqual(0, self.r.cmd("DBSIZE"))

    def test_output_that_nobody_reads(self):
        self.run_cli("add", "q", "x", "--count", 3)
        with open("/dev/full", "w", encoding="ascii") as full:
            process = subprocess.run([rig.program("drover"), "status", "--redis", self.server.url], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(FAILED, process.returncode)
        self.assertIn("No space left", process.stderr)
        process = subprocess.Popen([rig.program("drover"), "status", "--redis", self.server.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.close()
        err = process.stderr.read()
        process.stderr.close()
        self.assertEqual((FAILED, b""), (process.wait(), err), "a closed pipe is no news")


class Reaching(CliCase):
    def test_redis_that_is_not_there_names_url_and_place(self):
        for args in (("add", "q", "x"), ("status",), ("job", "1")):
            result = self.cli(*args, "--redis", f"unix://{self.scratch}/no.sock")
            self.assertEqual(UNAVAILABLE, result.code, result)
            self.assertIn(f"Redis at unix://{self.scratch}/no.sock, from --redis", result.err)
        path = self.file("drover.yaml", f"redis:\n  default:\n    url: unix://{self.scratch}/no.sock\nqueues:\n  q:\n    handler: noop\n")
        result = self.cli("status", "-c", path)
        self.assertEqual(UNAVAILABLE, result.code, result)
        self.assertIn(f"from {path}:3:", result.err)

    def test_password(self):
        self.r.cmd("CONFIG", "SET", "requirepass", "s3cret word")
        result = self.cli("add", "q", "x", "--redis", self.server.url)
        self.assertEqual(UNAVAILABLE, result.code, result)
        self.assertEqual(OK, self.cli("add", "q", "x", "--redis", self.server.url, env={"DROVER_REDIS_PASSWORD": "s3cret word"}).code)
        secret = self.file("secret", "s3cret word\n")
        self.assertEqual(OK, self.cli("add", "q", "x", "--redis", self.server.url, "--password-file", secret).code)
        result = self.cli("add", "q", "x", "--redis", "redis://u:s3cret@localhost")
        self.assertEqual(USAGE, result.code)
        self.assertNotIn("s3cret", result.err, "a password is never repeated")
        result = self.cli("add", "q", "x", "--redis", self.server.url, "--password-file", f"{self.scratch}/none")
        self.assertEqual(FAILED, result.code)

    def test_no_configuration_says_what_to_do(self):
        result = self.cli("status")
        if os.path.exists("/etc/drover/drover.yaml"):
            self.skipTest("this machine has a configuration")
        self.assertEqual(CONFIG, result.code)
        self.assertIn("-c FILE", result.err)
        self.assertIn("--redis URL", result.err)
        for args in (("status",), ("add", "q", "x"), ("job", "1")):
            result = self.cli(*args, "-c", "/no/such.yaml")
            self.assertEqual(CONFIG, result.code, result)
            self.assertIn("/no/such.yaml", result.err)

    def test_prefix(self):
        self.run_cli("add", "q", "x", "--prefix", "{other}")
        self.assertEqual(1, self.r.cmd("EXISTS", "{other}:q:1"))
        self.assertEqual(["q"], [q["queue"] for q in self.run_cli("status", "--json", "--prefix", "{other}").json["queues"]])
        self.assertEqual([], self.run_cli("status", "--json").json["queues"])

    def test_full_server_refuses_and_keeps_nothing(self):
        self.r.cmd("CONFIG", "SET", "maxmemory", "1")
        result = self.run_cli("add", "q", "x", "--count", 700, code=UNAVAILABLE)
        self.assertIn("full", result.err)
        self.assertEqual(0, self.r.cmd("DBSIZE"))


class Check(CliCase):
    GOOD = "redis:\n  default:\n    url: redis://localhost:6379\nqueues:\n  mail:\n    concurrency: 3\n    handler: noop\n"

    def test_good_file(self):
        path = self.file("a.yaml", self.GOOD)
        result = self.configured(path, "check")
        self.assertIn(f"{path}: good: 1 queue, ", result.out)
        self.assertIn("3 jobs at once", result.out)
        self.assertEqual("", result.err)
        data = self.configured(path, "check", "--json").json
        self.assertEqual((True, 0, 0, []), (data["ok"], data["errors"], data["warnings"], data["findings"]))

    def test_lists_of_names(self):
        path = self.file("a.yaml", self.GOOD)
        self.assertEqual("mail\n", self.configured(path, "check", "--list", "queues").out)
        settings = self.configured(path, "check", "--list", "settings").out.splitlines()
        for setting in ("redis.default.url=", "log.level=debug", "queues.mail.concurrency=", "queues.mail.enforce=true", "queues.mail.enforce=false"):
            self.assertIn(setting, settings)
        self.assertEqual([], [setting for setting in settings if "=" not in setting])
        keys = self.configured("/nowhere", "check", "--list", "keys").out.splitlines()
        for key in ("log.level", "queues.*.concurrency", "queues.*.types.*.attempts", "defaults.attempts"):
            self.assertIn(key, keys)
            self.assertEqual(OK, self.cli("check", "--explain", key).code)
        wrong = self.configured(self.file("b.yaml", "queues: 1\n"), "check", "--list", "queues", code=CONFIG)
        self.assertEqual("", wrong.out)
        for args in (("--list", "jobs"), ("--list", "queues", "--json"), ("--list", "keys", "--explain"), ("--list", "queues", "--effective"),
                     ("--list", "queues", "--unit")):
            self.assertEqual(USAGE, self.configured(path, "check", *args, code=USAGE).code)

    def test_every_mistake_with_its_place(self):
        path = self.file("a.yaml", self.GOOD.replace("concurrency: 3", "concurency: 3\n    lock: soon"))
        result = self.configured(path, "check", code=CONFIG)
        self.assertEqual("", result.out)
        self.assertIn(f"{path}:6:5: error: ", result.err)
        self.assertIn("concurrency", result.err, "did you mean")
        self.assertIn(f"{path}:7:", result.err)
        data = self.configured(path, "check", "--json", code=CONFIG).json
        self.assertFalse(data["ok"])
        self.assertEqual(2, data["errors"])
        self.assertEqual([6, 7], [f["line"] for f in data["findings"]])
        for finding in data["findings"]:
            self.assertEqual({"severity", "file", "line", "column", "key", "text"}, set(finding))

    def test_set_effective_and_explain(self):
        path = self.file("a.yaml", self.GOOD)
        result = self.configured(path, "check", "--set", "queues.mail.concurrency=50", "--effective", "--json")
        self.assertEqual(50, result.json["queues.mail.concurrency"]["value"])
        self.assertEqual("--set", result.json["queues.mail.concurrency"]["from"])
        self.assertRegex(self.configured(path, "check", "--effective").out, r"(?m)^queues\.mail\.concurrency.*a\.yaml:6:")
        self.assertEqual(CONFIG, self.cli("check", "-c", path, "--set", "queues.mail.concurrency=many").code)
        result = self.cli("check", "--explain", "queues.*.concurrency")
        self.assertEqual(OK, result.code, result)
        self.assertIn("concurrency", result.out)
        self.assertGreater(len(self.cli("check", "--explain").out.splitlines()), 20)
        result = self.cli("check", "--explain", "queues.*.concurency")
        self.assertEqual(FAILED, result.code)
        self.assertIn("concurrency", result.err)

    def test_the_keys_of_a_program_that_stays(self):
        text = """control: /run/drover-2/control
defaults: {max_givebacks: 2}
queues:
  resize:
    concurrency: 8
    handler:
      process: [/bin/cat]
      children: CHILDREN
      parallel: 4
      heartbeat: 10s
"""
        path = self.file("a.yaml", text.replace("CHILDREN", "2"))
        self.assertIn("good: 1 queue, 1 worker process, 8 jobs at once", self.configured(path, "check").out)
        lines = self.configured(path, "check", "--effective").out.splitlines()
        for line in (f"control = /run/drover-2/control  # {path}:1:10", f"queues.resize.max_givebacks = 2  # {path}:2:27",
                     f'queues.resize.handler.process = ["/bin/cat"]  # {path}:7:16',
                     f"queues.resize.handler.children = 2  # {path}:8:17",
                     f"queues.resize.handler.heartbeat = 10s  # {path}:10:18",
                     "queues.resize.handler.max_output = 1MiB  # default"):
            self.assertIn(line, lines)
        path = self.file("b.yaml", text.replace("CHILDREN", "auto"))
        data = self.configured(path, "check", "--effective", "--json").json
        self.assertEqual({"value": "auto", "from": f"{path}:8:17"}, data["queues.resize.handler.children"])
        self.assertEqual(4, data["queues.resize.handler.parallel"]["value"])
        path = self.file("c.yaml", text.replace("CHILDREN", "3"))
        result = self.configured(path, "check", code=CONFIG)
        self.assertIn(f"{path}:8:17: error: queues.resize.handler.children: children (3) times parallel (4) is 12 jobs at once, "
                      "but the queue's concurrency is 8; write children: 2 or concurrency: 12", result.err)
        self.assertIn("default: auto", self.cli("check", "--explain", "queues.resize.handler.children").out)
        self.assertIn("change:  restart", self.cli("check", "--explain", "control").out)


class Add(CliCase):
    def test_one_job_with_everything(self):
        result = self.run_cli("add", "q", "mail", '{"to": "ann", "ü": 1}', "--id", "order-1", "--attempts", 5, "--backoff",
                              "exponential:2s:0.5", "--keep-completed", 10, "--keep-failed", "7d", "--priority", 3)
        self.assertEqual("added job order-1 to queue q\n", result.out)
        job = self.job("order-1")
        self.assertEqual('{"to": "ann", "ü": 1}', job["data"], "byte for byte")
        self.assertEqual(
            {"attempts": 5, "jobId": "order-1", "priority": 3, "backoff": {"type": "exponential", "delay": 2000, "jitter": 0.5},
             "removeOnComplete": 10, "removeOnFail": {"age": 604800}},
            json.loads(job["opts"]))
        self.assertEqual(["order-1"], self.r.cmd("ZRANGE", "bull:q:prioritized", 0, -1))
        result = self.run_cli("add", "q", "mail", "--id", "order-1")
        self.assertIn("is there already", result.out)
        self.assertEqual("mail", self.job("order-1")["name"])

    def test_places(self):
        self.run_cli("add", "q", "a")
        self.run_cli("add", "q", "b")
        self.run_cli("add", "q", "c", "--lifo")
        self.run_cli("add", "q", "d", "--delay", "1h")
        self.assertEqual(["2", "1", "3"], self.r.cmd("LRANGE", "bull:q:wait", 0, -1))
        self.assertEqual(["4"], self.r.cmd("ZRANGE", "bull:q:delayed", 0, -1))
        self.assertEqual("3600000", self.job("4")["delay"])

    def test_data_from_everywhere(self):
        self.run_cli("add", "q", "x", "-", stdin="[1,\n2]\n")
        self.run_cli("add", "q", "x", "@" + self.file("d.json", '"text"'))
        self.run_cli("add", "q", "x", "--data", "null")
        self.run_cli("add", "q", "x")
        self.assertEqual(["[1,\n2]\n", '"text"', "null", "{}"], [self.job(n)["data"] for n in range(1, 5)])
        for bad in ("text", "", "{", "@/no/such/file"):
            result = self.run_cli("add", "q", "x", "--data", bad, code=FAILED)
            self.assertIn("data", result.err)
        self.assertEqual(4, self.r.cmd("LLEN", "bull:q:wait"))

    def test_json_is_a_line_per_job(self):
        rows = self.run_cli("add", "q", "x", "--count", 1203, "--json").rows
        self.assertEqual([{"id": str(n), "duplicate": False} for n in range(1, 1204)], rows)
        self.run_cli("add", "q", "x", "--id", "a")
        self.assertEqual([{"id": "a", "duplicate": True}], self.run_cli("add", "q", "x", "--id", "a", "--json").rows)

    def test_lines_in_chunks_with_bad_ones(self):
        lines = [json.dumps({"n": n}) for n in range(1100)]
        lines[7] = "{bad"
        lines[700] = ""
        lines[1050] = "nan"
        result = self.run_cli("add", "q", "x", "--lines", "-", "--attempts", 2, stdin="\n".join(lines), code=FAILED)
        self.assertEqual(1097, self.r.cmd("LLEN", "bull:q:wait"))
        self.assertIn("added 1097 jobs", result.out)
        self.assertIn("2 bad", result.out)
        self.assertEqual(["8", "1051"], re.findall(r"line (\d+):", result.err))
        stored = [json.loads(self.job(i)["data"])["n"] for i in reversed(self.r.cmd("LRANGE", "bull:q:wait", 0, -1))]
        self.assertEqual([n for n in range(1100) if n not in (7, 700, 1050)], stored, "in the order of the file")
        rows = self.run_cli("add", "r", "x", "--lines", self.file("l", "1\n{\n2"), "--json", code=FAILED).rows
        self.assertEqual(["1", "2"], [r["id"] for r in rows if "id" in r])
        self.assertEqual([2], [r["line"] for r in rows if "error" in r])
        self.assertEqual(FAILED, self.cli("add", "q", "x", "--lines", "/no/file", "--redis", self.server.url).code)
        self.assertIn("added no job", self.run_cli("add", "q", "x", "--lines", "-", stdin="\n\n").out)

    def test_big_data_and_many_big_jobs(self):
        big = json.dumps("x" * 3_000_000)
        self.run_cli("add", "q", "x", "-", stdin=big)
        self.assertEqual(big, self.job(1)["data"])
        line = json.dumps("y" * 50_000)
        self.run_cli("add", "q", "x", "--lines", "-", stdin=f"{line}\n" * 200)
        self.assertEqual(201, self.r.cmd("LLEN", "bull:q:wait"))

    def test_spoilt_queue_refuses_whole(self):
        self.r.cmd("SET", "bull:q:wait", "x")
        result = self.run_cli("add", "q", "x", "--count", 3, code=FAILED)
        self.assertIn("bull:q:wait", result.err)
        self.assertEqual(1, self.r.cmd("DBSIZE"))

    def test_configuration_fills_what_is_not_given(self):
        path = self.config({"q": {"handler": "noop", "types": {
            "mail": {"attempts": 4, "backoff": {"type": "fixed", "delay": "3s"}, "keep": {"completed": 7}}}}})
        self.configured(path, "add", "q", "mail")
        self.configured(path, "add", "q", "mail", "--attempts", 2, "--keep-completed", "none")
        self.configured(path, "add", "q", "other")
        self.assertEqual({"attempts": 4, "backoff": {"type": "fixed", "delay": 3000}, "removeOnComplete": 7}, json.loads(self.job(1)["opts"]))
        self.assertEqual({"attempts": 2, "backoff": {"type": "fixed", "delay": 3000}, "removeOnComplete": True}, json.loads(self.job(2)["opts"]))
        self.assertEqual({"attempts": 0}, json.loads(self.job(3)["opts"]))
        result = self.configured(path, "add", "qq", "mail", code=FAILED)
        self.assertIn("did you mean q?", result.err)


class AddRelations(CliCase):
    def test_parent_policy_telemetry_and_options_of_ones_own(self):
        self.run_cli("add", "p", "dad", "--id", "dad")
        self.run_cli("add", "q", "kid", "--parent", "p:dad", "--on-failure", "ignore", "--telemetry", "t", "--omit-context", "--extra", '{"mine":[1]}')
        self.assertEqual({"attempts": 0, "parent": {"id": "dad", "queue": "bull:p"}, "idof": True, "tm": "t", "omc": True, "mine": [1]},
                         json.loads(self.job(1)["opts"]))
        self.assertEqual({"id": "dad", "queueKey": "bull:p", "idof": True}, json.loads(self.job(1)["parent"]))
        self.assertEqual(["bull:q:1"], self.r.cmd("SMEMBERS", "bull:p:dad:dependencies"))
        result = self.run_cli("add", "q", "kid", "--parent", "p:none", "--json", code=FAILED)
        self.assertEqual(['there is no parent "bull:p:none"'], [row["error"] for row in result.rows])

    def test_deduplication_is_told(self):
        args = ("add", "q", "x", "--dedup", "d", "--dedup-keep-last", "--delay", "1h")
        self.assertIn("added job 1 ", self.run_cli(*args).out)
        self.assertEqual("job 1 has that deduplication id, no other was added, in queue q\n", self.run_cli(*args).out)
        self.assertEqual([{"id": "1", "duplicate": False, "deduplicated": True, "next": False}], self.run_cli(*args, "--json").rows)
        result = self.run_cli("add", "q", "x", "--dedup", "e", "--count", 4)
        self.assertEqual("added job 4 to queue q; 3 were not, by their deduplication id\n", result.out)
        self.assertEqual("added no job to queue q\n", self.run_cli("add", "q", "x", "--lines", "-", "--dedup", "d", stdin="").out)

    def test_flow_with_a_configuration(self):
        tree = {"name": "page", "queueName": "a", "children": [
            {"name": "text", "queueName": "a", "data": {"n": 1}}, {"name": "image", "queueName": "b", "opts": {"attempts": 2}}]}
        path = self.config({"a": {"handler": "noop", "types": {"page": {"attempts": 4}}}, "b": {"handler": "noop", "attempts": 9}})
        result = self.configured(path, "add", "--flow", self.file("flow.json", json.dumps(tree)))
        found = re.fullmatch(r"added a flow of 3 jobs: job (\S{36}) in queue a waits for the others\n", result.out)
        self.assertEqual(4, json.loads(self.job(found[1], "a")["opts"])["attempts"])
        [image] = self.r.cmd("LRANGE", "bull:b:wait", 0, -1)
        self.assertEqual(2, json.loads(self.job(image, "b")["opts"])["attempts"])
        tree["children"][1]["queueName"] = "bb"
        result = self.configured(path, "add", "--flow", "-", stdin=json.dumps(tree), code=FAILED)
        self.assertIn("did you mean b?", result.err)

    def test_flow_over_two_servers_is_refused(self):
        path = self.file("two.yaml", json.dumps({
            "redis": {"default": {"url": self.server.url}, "other": {"url": self.server.url + "?db=1"}}, "tiers": {"ephemeral": {"redis": "other"}},
            "queues": {"a": {"handler": "noop"}, "b": {"handler": "noop", "tier": "ephemeral"}}}))
        tree = {"name": "x", "queueName": "a", "children": [{"name": "x", "queueName": "b"}]}
        result = self.configured(path, "add", "--flow", "-", stdin=json.dumps(tree), code=FAILED)
        self.assertIn('queue b is in Redis "other", queue a in "default"', result.err)
        result = self.configured(path, "add", "a", "x", "--parent", "b:1", code=FAILED)
        self.assertIn("must be in one", result.err)
        self.assertEqual(0, self.r.cmd("DBSIZE"))

    def test_flow_that_is_there_and_flow_that_is_wrong(self):
        tree = {"name": "x", "queueName": "q", "opts": {"jobId": "r"}, "children": [{"name": "k", "queueName": "q", "opts": {"jobId": "k"}}]}
        self.run_cli("add", "--flow", "-", stdin=json.dumps(tree))
        self.assertIn("are there already, nothing was changed", self.run_cli("add", "--flow", "-", stdin=json.dumps(tree)).out)
        tree["children"].append({"name": "new", "queueName": "q"})
        self.assertIn("added a flow of 3 jobs, of which 2 were there already", self.run_cli("add", "--flow", "-", stdin=json.dumps(tree)).out)
        keys = self.r.cmd("DBSIZE")
        for change, words in (({"opts": {"jobId": "12"}}, 'children[2]: id "12" is a whole number'), ({"opts": {"dellay": 1}}, 'did you mean "delay"?'),
                              ({"queueName": "a:b"}, "children[2]: queue name"), ({"name": None}, "children[2]: name: must be a string")):
            wrong = {**tree, "children": tree["children"] + [{"name": "x", "queueName": "q", **change}]}
            result = self.run_cli("add", "--flow", "-", stdin=json.dumps(wrong), code=FAILED)
            self.assertIn(words, result.err)
        self.assertIn("open", self.run_cli("add", "--flow", "/no/file", code=FAILED).err)
        self.assertEqual(keys, self.r.cmd("DBSIZE"))


class Status(CliCase):
    def test_counts_of_every_state(self):
        producer = Producer(self.r, "q")
        for options in ({}, {}, {"priority": 2}, {"delay": 60000}):
            producer.add("ok", **options)
        self.r.cmd("ZADD", "bull:q:failed", 1, "f")
        self.r.cmd("ZADD", "bull:q:completed", 1, "c", 2, "d")
        self.r.cmd("LPUSH", "bull:q:active", "a")
        self.r.cmd("HSET", "bull:other:meta", "opts.maxLenEvents", "10000")
        self.r.cmd("HSET", "x:bull:no:meta", "a", "b")
        data = self.run_cli("status", "--json").json
        self.assertEqual(["other", "q"], [q["queue"] for q in data["queues"]])
        queue = data["queues"][1]
        expected = {"waiting": 2, "prioritized": 1, "active": 1, "delayed": 1, "waiting_children": 0, "failed": 1, "completed": 2,
                    "paused": False, "workers": 0}
        self.assertEqual(expected, {key: queue[key] for key in expected})
        self.assertGreaterEqual(queue["oldest_waiting_age_ms"], 0)
        self.assertEqual(int(self.job(1)["timestamp"]), queue["oldest_waiting_at_ms"])
        self.assertIsNone(data["queues"][0]["oldest_waiting_at_ms"])
        lines = self.run_cli("status", "q").out.splitlines()
        self.assertEqual(["QUEUE", "WAITING", "PRIORITIZED", "ACTIVE", "DELAYED", "PARENTS", "FAILED", "COMPLETED", "WORKERS", "OLDEST"], lines[0].split())
        self.assertEqual(["q", "2", "1", "1", "1", "0", "1", "2", "0"], lines[1].split()[:9])
        self.assertEqual(2, len(lines))

    def test_paused_workers_and_names_that_try_to_harm(self):
        self.run_cli("add", "a\x1b[2Jb", "x")
        self.r.cmd("HSET", "bull:q:meta", "paused", "1")
        self.run_cli("add", "q", "x")
        worker, events = self.server.client(), self.server.client()
        worker.cmd("CLIENT", "SETNAME", "bull:cQ==:w:host-q-0")
        events.cmd("CLIENT", "SETNAME", "bull:cQ==:qe")
        result = self.run_cli("status")
        self.assertNotIn("\x1b", result.out)
        self.assertIn("a\\x1b[2Jb", result.out)
        queue = self.run_cli("status", "q", "--json").json["queues"][0]
        self.assertEqual((True, 1, 1), (queue["paused"], queue["waiting"], queue["workers"]))
        self.assertRegex(self.run_cli("status", "q").out, r"(?m)^q .* paused$")

    def test_server_that_does_not_list_clients(self):
        self.run_cli("add", "q", "x")
        self.r.cmd("ACL", "SETUSER", "shy", "on", ">pw", "~*", "+@all", "-client|list")
        path = self.file("c.yaml", json.dumps({"redis": {"default": {"url": self.server.url, "username": "shy", "password": "file:" + self.file("pw", "pw")}}, "queues": {"q": {"handler": "noop"}}}))
        os.chmod(os.path.join(self.scratch, "pw"), 0o600)
        queue = self.configured(path, "status", "--json").json["queues"][0]
        self.assertIsNone(queue["workers"])
        self.assertEqual(1, queue["waiting"])

    def test_queues_of_a_configuration_on_two_servers(self):
        second = self.redis("second")
        path = self.file("two.yaml", json.dumps({
            "redis": {"default": {"url": self.server.url}, "volatile": {"url": second.url}},
            "tiers": {"important": {"redis": "default"}, "ephemeral": {"redis": "volatile"}},
            "queues": {"a": {"handler": "noop"}, "b": {"handler": "noop", "tier": "ephemeral"}}}))
        self.configured(path, "check")
        self.configured(path, "add", "a", "x")
        self.configured(path, "add", "b", "x", "--count", 2)
        self.assertEqual(2, second.client().cmd("LLEN", "bull:b:wait"))
        queues = self.configured(path, "status", "--json").json["queues"]
        self.assertEqual({"a": 1, "b": 2}, {q["queue"]: q["waiting"] for q in queues})
        self.assertEqual(["b"], [q["queue"] for q in self.configured(path, "status", "b", "--json").json["queues"]])
        self.assertEqual(FAILED, self.cli("status", "nope", "-c", path).code)
        self.assertIn("of queue b", self.configured(path, "job", "1", "-q", "b").out)
        self.assertEqual(2, self.configured(path, "job", "1").out.count("Job 1 of queue"))

    def test_watch_goes_on_until_it_is_stopped(self):
        self.run_cli("add", "q", "x")
        process = self.popen([rig.program("drover"), "status", "--redis", self.server.url, "--watch", "--every", "100ms", "--json"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(1, json.loads(process.stdout.readline())["queues"][0]["waiting"])
        self.run_cli("add", "q", "x")
        wait_until(lambda: json.loads(process.stdout.readline())["queues"][0]["waiting"] == 2)
        self.server.kill()
        process.stdout.read()
        self.assertEqual(UNAVAILABLE, process.wait(20))
        self.assertIn("drover: ", process.stderr.read())
        process.stdout.close()
        process.stderr.close()


class Job(CliCase):
    def test_story_of_a_job(self):
        self.run_cli("add", "q", "mail", '{"to":"ann"}', "--attempts", 3, "--id", "j\x1b1")
        self.r.cmd("HSET", "bull:q:j\x1b1", "failedReason", "boom\x07", "ats", 1, "atm", 1, "stacktrace", '["Error: boom\\n  at x"]')
        self.r.cmd("RPUSH", "bull:q:j\x1b1:logs", "row one", "row \x1b[31mtwo")
        self.r.cmd("XADD", "bull:q:events", "*", "event", "active", "jobId", "j\x1b1", "prev", "waiting")
        result = self.run_cli("job", "j\x1b1", "-q", "q")
        for text in ("Job j\\x1b1 of queue q: mail, waiting", "1 made, 1 started, 3 allowed", '{"to":"ann"}', "boom\\x07", "Error: boom", "row one",
                     "row \\x1b[31mtwo", "Story", "added", "active, was waiting"):
            self.assertIn(text, result.out)
        self.assertNotIn("\x1b", result.out)
        self.assertRegex(result.out, r"added +\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d\n")
        data = self.run_cli("job", "j\x1b1", "--json").json
        self.assertEqual(("q", "j\x1b1", "waiting", "mail", {"to": "ann"}), tuple(data[k] for k in ("queue", "id", "state", "name", "data")))
        self.assertEqual(["added", "waiting", "active"], [e["event"] for e in data["events"]])
        self.assertEqual(["row one", "row \x1b[31mtwo"], data["logs"])
        self.assertEqual((1, 1, 3), (data["attempts_made"], data["attempts_started"], data["opts"]["attempts"]))
        self.assertIsNone(data["lock_ttl_ms"])

    def test_states_and_lock(self):
        self.run_cli("add", "q", "x", "--delay", "1h")
        self.assertEqual("delayed", self.run_cli("job", 1, "--json").json["state"])
        self.r.cmd("ZREM", "bull:q:delayed", 1)
        self.r.cmd("LPUSH", "bull:q:active", 1)
        self.r.cmd("SET", "bull:q:1:lock", "t", "PX", 30000)
        data = self.run_cli("job", 1, "--json").json
        self.assertEqual("active", data["state"])
        self.assertGreater(data["lock_ttl_ms"], 10000)

    def test_long_data_is_cut_unless_full(self):
        self.run_cli("add", "q", "x", json.dumps("d" * 5000))
        self.assertLess(len(self.run_cli("job", 1).out), 2000)
        self.assertIn("d" * 5000, self.run_cli("job", 1, "--full").out)
        self.assertEqual(5000, len(self.run_cli("job", 1, "--json").json["data"]))

    def test_job_that_is_not_there(self):
        self.run_cli("add", "q", "x")
        for args in (("job", "2"), ("job", "2", "-q", "q"), ("job", "1", "-q", "other"), ("job", "show", "wait", "-q", "q"), ("job", "meta", "-q", "q")):
            result = self.run_cli(*args, code=FAILED)
            self.assertIn("there is no job", result.err)
            self.assertEqual("", result.out)

    def test_terminal_gets_no_control_characters(self):
        """On a terminal, as people see it: what a job's name holds never reaches it."""
        self.run_cli("add", "q", "n\x1b]0;title\x07ame")
        master, slave = pty.openpty()
        process = subprocess.Popen([rig.program("drover"), "job", "1", "--redis", self.server.url], stdout=slave, stderr=slave, stdin=slave)
        os.close(slave)
        seen, end = b"", time.monotonic() + 20 * rig.PATIENCE
        while time.monotonic() < end:
            if not select.select([master], [], [], 0.2)[0]:
                if process.poll() is not None:
                    break
                continue
            try:
                part = os.read(master, 4096)
            except OSError:
                break
            if not part:
                break
            seen += part
        os.close(master)
        self.assertEqual(0, process.wait(10))
        self.assertIn(b"n\\x1b]0;title\\x07ame", seen)
        self.assertNotRegex(seen, rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")


class Interrupted(CliCase):
    def test_server_that_hangs_ends_with_an_unknown_outcome(self):
        """A request was sent and no answer comes: the command says that it may have happened."""
        path = self.config({"q": {"handler": "noop"}}, {"default": {"url": self.server.url, "command_timeout": "500ms"}})
        lines = self.popen([rig.program("drover"), "add", "q", "x", "--lines", "-", "-c", path], stdin=subprocess.PIPE, stderr=subprocess.PIPE,
                           stdout=subprocess.PIPE, text=True)
        lines.stdin.write("1\n" * 500)
        lines.stdin.flush()
        wait_until(lambda: self.r.cmd("LLEN", "bull:q:wait") == 500)
        os.kill(self.server.pid, signal.SIGSTOP)
        try:
            out, err = lines.communicate("1\n" * 500, 30 * rig.PATIENCE)
        finally:
            os.kill(self.server.pid, signal.SIGCONT)
        self.assertEqual(UNAVAILABLE, lines.returncode, err)
        self.assertIn("may have been done or not", err)
        self.assertIn("added 500 jobs", out)


if __name__ == "__main__":
    rig.main()
