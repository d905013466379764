"""drover ps, reload, scale and status against a running droverd: what they show, change and refuse, and who may."""

import json
import os
import pwd
import re
import signal
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import rig
from cases import QueueCase
from producer import Producer
from rig import wait_until

OK, FAILED, USAGE, UNAVAILABLE = 0, 1, 64, 69
NOBODY = pwd.getpwnam("nobody")


class ControlCase(QueueCase):
    def start(self, queues, **kwargs):
        self.daemon = self.droverd({"queues": queues}, **kwargs)
        return self.daemon

    def ask(self, *args, code=OK, daemon=None, **kwargs):
        result = self.cli(*args, "--socket", (daemon or self.daemon).control, **kwargs)
        self.assertEqual(code, result.code, f"{args}: {result}\n{self.logs()}")
        return result

    def rewrite(self, queues, **more):
        self.daemon.rewrite(self.full_config({"queues": queues, **more}))

    def processes(self, *args):
        return self.ask("ps", "--json", *args).json["processes"]

    def serving(self):
        """uuid by (queue, pid) of the processes that fetch."""
        return {(p["queue"], p["pid"]): p["uuid"] for p in self.processes() if p["state"] == "serving"}

    def waiter(self):
        """A handler that runs until the file `go` is there; its path."""
        go = os.path.join(self.scratch, "go")
        return self.script("waiter", f"#!/bin/sh\nwhile [ ! -e {go} ]; do sleep 0.05; done\n"), go

    def go(self, path):
        with open(path, "w", encoding="ascii"):
            pass


class Ps(ControlCase):
    def test_processes_of_this_host(self):
        self.start({"a": {"concurrency": 3, "processes": 2, "handler": "noop"}, "b": {"handler": "noop"}})
        rows = self.processes()
        self.assertEqual([("a", 0), ("a", 1), ("b", 0)], [(p["queue"], p["slot"]) for p in rows])
        self.assertEqual(sorted(w.pid for w in self.daemon.workers()), sorted(p["pid"] for p in rows))
        self.assertEqual(["serving"] * 3, [p["state"] for p in rows])
        self.assertEqual(3, len({p["uuid"] for p in rows}))
        self.assertTrue(all(p["rss_bytes"] > 1 << 20 for p in rows), rows)
        self.assertEqual(["b"], [p["queue"] for p in self.processes("b")])
        Producer(self.r, "a").many(20)
        self.ends("a", completed=20)
        wait_until(lambda: sum(p["completed"] for p in self.processes("a")) == 20, 5, lambda: f"all are counted: {self.processes()}")
        lines, totals = (part.splitlines() for part in self.ask("ps").out.split("\n\n"))
        self.assertRegex(lines[0], r"^ *PID  QUEUE  SLOT  STATE +GEN +UP +BUSY +DONE +FAILED +RETRIED +WAITING +RSS$")
        self.assertEqual(4, len(lines))
        self.assertTrue(all(len(line) <= 100 for line in lines + totals), lines + totals)
        self.assertEqual("Totals of this host, over 1 start of droverd", totals[0])
        self.assertRegex(totals[1], r"^QUEUE +DONE +FAILED +RETRIED +LOST +BACK +DEATHS +SINCE$")
        self.assertRegex(totals[2], r"^a +20 +0 +0 +0 +0 +0 +20\d\d-\d\d-\d\d \d\d:\d\d:\d\d$")
        self.assertRegex(totals[3], r"^b +0 ")
        self.assertEqual(4, len(totals))
        self.assertEqual("no process runs\n", self.ask("ps", "nothing").out)

    def test_totals_outlive_what_has_counted(self):
        self.start({"a": {"concurrency": 2, "processes": 2, "handler": "noop"}, "b": {"handler": "noop"}})
        Producer(self.r, "a").many(30)
        self.ends("a", completed=30)
        self.ask("scale", "a", "0")
        wait_until(lambda: [p["queue"] for p in self.processes()] == ["b"], 10, self.logs)
        answer = self.ask("ps", "--json").json
        self.assertEqual(1, answer["starts"])
        self.assertEqual([("a", 30, 0, True), ("b", 0, 0, True)],
                         [(t["queue"], t["completed"], t["deaths"], t["served"]) for t in answer["totals"]])
        status = self.ask("status", "--json", "a", "-c", self.daemon.config_path).json
        self.assertEqual([("a", 30)], [(t["queue"], t["completed"]) for t in status["totals"]])
        self.assertIn("Totals of this host, over 1 start", self.ask("status", "-c", self.daemon.config_path).out)
        self.daemon.signal(signal.SIGHUP)
        self.daemon.wait_event("reload.done")
        wait_until(lambda: len(self.processes("a")) == 2, 10, self.logs)
        Producer(self.r, "a").many(3)
        wait_until(lambda: self.ask("ps", "--json", "a").json["totals"][0]["completed"] == 33, 10, self.logs)

    def test_running_jobs(self):
        path, go = self.waiter()
        self.start({"q": {"concurrency": 2, "handler": {"exec": [path]}}})
        ids = Producer(self.r, "q").many(2)
        self.becomes_active("q", 2)

        def shown():
            jobs = self.processes()[0]["jobs"]
            return jobs if len(jobs) == 2 and all(j["pid"] for j in jobs) else None

        jobs = wait_until(shown, 10, lambda: f"{self.processes()}\n{self.logs()}")
        self.assertEqual(sorted(ids), sorted(j["id"] for j in jobs))
        self.assertEqual([1, 1], [j["attempt"] for j in jobs])
        self.assertTrue(all(rig.Proc(j["pid"]).alive for j in jobs), jobs)
        text = self.ask("ps", "-j").out
        for job in jobs:
            self.assertRegex(text, rf"(?m)^q +\d+ +{job['id']} +.* +1 +{job['pid']}$")
        self.go(go)
        self.ends("q", completed=2)
        wait_until(lambda: "no job runs" in self.ask("ps", "--jobs").out, 5, "the jobs are gone from ps")

    def test_the_whole_cluster(self):
        first = self.start({"q": {"concurrency": 2, "processes": 2, "handler": "noop"}})
        second = self.droverd({"queues": {"q": {"handler": "noop"}}})
        pids = sorted(w.pid for d in (first, second) for w in d.workers())

        def rows():
            return self.cli("ps", "--cluster", "--json", "-c", first.config_path).json["processes"]

        wait_until(lambda: sorted(p["pid"] for p in rows()) == pids, 10, lambda: f"{pids} in {rows()}")
        for row in rows():
            self.assertEqual((socket.gethostname(), "q", False), (row["host"], row["queue"], row["silent"]))
        text = self.cli("ps", "--cluster", "--redis", self.server.url, "q").out
        self.assertEqual(1 + len(pids), len(text.splitlines()), text)
        self.assertEqual(FAILED, self.cli("ps", "--cluster", "-c", first.config_path, "nothing").code)
        second.drain()
        wait_until(lambda: len(rows()) == 2, 10, lambda: f"those that left are gone: {rows()}")

    def test_a_process_of_the_cluster_that_is_silent(self):
        self.start({"q": {"concurrency": 2, "processes": 2, "handler": "noop"}})
        self.assertEqual(OK, self.cli("add", "q", "x", "--redis", self.server.url).code)  # so that --redis finds the queue
        wait_until(lambda: self.r.cmd("ZCARD", "drover:{bull:q}:workers") == 2, 10, self.logs)
        silent, loud = self.processes()
        os.kill(silent["pid"], signal.SIGSTOP)
        self.addCleanup(rig.send_signal, silent["pid"], signal.SIGCONT)
        wait_until(lambda: rig.Proc(silent["pid"]).state == "T", 5, "it stands still")
        self.r.cmd("HSET", f"drover:{{bull:q}}:worker:{silent['uuid']}", "beat_at_ms", "1")
        text = self.cli("ps", "--cluster", "--redis", self.server.url).out
        self.assertRegex(text, rf"(?m)  {silent['uuid'][:8]}  silent$")
        self.assertRegex(text, rf"(?m)  {loud['uuid'][:8]}$")

    def test_the_dead_that_are_not_yet_recovered(self):
        path, go = self.waiter()
        self.start({"q": {"concurrency": 1, "handler": {"exec": [path]}}})
        Producer(self.r, "q").many(1)
        self.becomes_active("q")
        (process,) = self.processes()
        self.server.pause()
        os.kill(process["pid"], signal.SIGKILL)
        result = wait_until(lambda: (r := self.ask("ps", "--json").json) and r["recoveries"] and r, 10, self.logs)
        self.assertEqual([(process["uuid"], "q", "worker q/0: signal 9 (SIGKILL)")], [(r["uuid"], r["queue"], r["cause"]) for r in result["recoveries"]])
        text = self.ask("ps").out
        self.assertIn("Not yet recovered", text)
        self.assertRegex(text, rf"(?m)^{process['uuid']} +q +worker q/0: signal 9 \(SIGKILL\) ")
        self.server.resume()
        wait_until(lambda: not self.ask("ps", "--json").json["recoveries"], 20, self.logs)
        self.go(go)
        self.ends("q", completed=1)

    def test_status_names_them(self):
        path, go = self.waiter()
        other = self.redis("other")
        self.daemon = self.droverd({
            "redis": {"default": {"url": self.server.url}, "away": {"url": other.url}},
            "tiers": {"ephemeral": {"redis": "away"}},
            "queues": {"here": {"handler": "noop"}, "q": {"tier": "ephemeral", "handler": {"exec": [path]}}}})
        self.assertEqual([], self.ask("status", "--json", "-c", self.daemon.config_path).json["recoveries"])
        self.assertNotIn("recovered", self.ask("status", "-c", self.daemon.config_path).out)
        Producer(other.client(), "q").many(1)
        wait_until(lambda: self.processes("q")[0]["running"] == 1, 10, self.logs)
        (process,) = self.processes("q")
        other.pause()
        os.kill(process["pid"], signal.SIGKILL)
        seen = wait_until(lambda: self.ask("status", "here", "--json", "-c", self.daemon.config_path).json["recoveries"], 10, self.logs)
        self.assertEqual([process["uuid"]], [r["uuid"] for r in seen])
        self.assertRegex(self.ask("status", "here", "-c", self.daemon.config_path).out,
                         rf"(?m)^not yet recovered: 1 dead process of this host\n  {process['uuid']}  q  worker q/0: signal 9 \(SIGKILL\)$")
        other.resume()
        self.go(go)
        wait_until(lambda: self.ask("status", "--json", "-c", self.daemon.config_path).json["recoveries"] == [], 20, self.logs)

    def test_status_without_droverd(self):
        Producer(self.r, "q").many(1)
        result = self.cli("status", "--json", "--redis", self.server.url, "--socket", f"{self.scratch}/none")
        self.assertEqual((OK, "", None), (result.code, result.err, result.json["recoveries"]))


class Reload(ControlCase):
    QUEUES = {"same": {"handler": "noop"}, "size": {"concurrency": 2, "handler": "noop"},
              "new": {"concurrency": 2, "processes": 2, "handler": "noop", "timeout": "30s"}, "old": {"handler": "noop"}}

    def test_only_what_changed_is_touched(self):
        self.start(self.QUEUES)
        before = self.serving()
        self.rewrite({"same": {"handler": "noop"}, "size": {"concurrency": 5, "handler": "noop"},
                      "new": {"concurrency": 2, "processes": 2, "handler": "noop", "timeout": "1m"}, "more": {"handler": "noop"}})
        lines = self.ask("reload").out.splitlines()
        self.assertIn("same: unchanged", lines)
        self.assertIn("size: live, concurrency: 2 -> 5", lines)
        self.assertIn("more: started 1 worker", lines)
        self.assertTrue([line for line in lines if re.fullmatch(r"new: replaced 2 workers \(timeout: 30s -> 1m\)", line)], lines)
        self.assertTrue([line for line in lines if re.match(r"old: (draining|gone)", line)], lines)
        self.assertEqual("generation 2 is in force", lines[-1])
        after = self.serving()
        kept = {key for key in before if key[0] in ("same", "size")}
        self.assertEqual(kept, {key for key in after if key[0] in ("same", "size")})
        self.assertTrue(all(before[key] == after[key] for key in kept))
        self.assertFalse({key for key in before if key[0] == "new"} & set(after))
        wait_until(lambda: {key[0] for key in self.serving()} == {"same", "size", "new", "more"}, 10, self.logs)
        wait_until(lambda: [p["slots"] for p in self.processes("size")] == [5], 5, lambda: f"{self.processes('size')}")

    def test_json(self):
        self.start({"a": {"handler": "noop"}})
        self.rewrite({"a": {"concurrency": 3, "handler": "noop"}})
        result = self.ask("reload", "--json").json
        self.assertEqual((True, 0, 2), (result["ok"], result["code"], result["generation"]))
        self.assertEqual([("a", "live", "resized", "concurrency: 1 -> 3")],
                         [(q["queue"], q["kind"], q["outcome"], q["changes"]) for q in result["queues"]])

    def test_a_wrong_file_changes_nothing(self):
        self.start({"a": {"handler": "noop"}})
        before = self.serving()
        with open(self.daemon.config_path, encoding="utf-8") as f:
            good = f.read()
        self.daemon.rewrite("queues:\n  a:\n    concurency: 3\n    handler: noop\n  b:\n    handler: nope\n")
        result = self.ask("reload", code=FAILED)
        self.assertRegex(result.err, rf"(?m)^{re.escape(self.daemon.config_path)}:3:5: error: queues\.a\.concurency: .*concurrency")
        self.assertRegex(result.err, rf"(?m)^{re.escape(self.daemon.config_path)}:6:14: error: ")
        self.assertIn("generation 1 goes on, unchanged", result.err)
        self.assertEqual("", result.out)
        refused = self.ask("reload", "--json", code=FAILED)
        self.assertEqual((False, 1, 2), (refused.json["ok"], refused.json["generation"], len(refused.json["findings"])))
        self.assertEqual(before, self.serving())
        self.daemon.rewrite(json.loads(good))
        self.assertEqual(OK, self.ask("reload").code)
        self.assertEqual(before, self.serving())

    def test_a_pool_that_cannot_be_replaced(self):
        self.daemon = self.droverd({"start": {"timeout": "1s"}, "queues": {"a": {"handler": "noop"}}})
        before = self.serving()
        self.daemon.rewrite(self.full_config({"start": {"timeout": "1s"}, "redis": {"default": {"url": f"unix://{self.scratch}/none.sock"}},
                                              "queues": {"a": {"handler": "noop"}}}))
        result = self.ask("reload", code=FAILED, deadline=60)
        self.assertRegex(result.out, r"(?m)^a: failed \(")
        self.assertIn("1 queue is not as the file wants", result.err)
        self.assertEqual(before, self.serving())

    def test_who_leaves_does_not_disturb_it(self):
        self.start({"a": {"handler": "noop"}})
        before = self.serving()
        self.rewrite({"a": {"handler": "noop", "timeout": "1m"}})
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.connect(self.daemon.control)
            client.send(b'{"version":1,"verb":"reload"}')
        wait_until(lambda: self.daemon.ask("status")[0][0]["generation"] == 2, 15, self.logs)
        wait_until(lambda: self.serving() and not set(self.serving()) & set(before), 15, self.logs)

    def test_two_at_once_are_both_answered(self):
        self.start({"a": {"handler": "noop"}})
        self.rewrite({"a": {"handler": "noop", "timeout": "1m"}})
        both = [self.popen([rig.program("drover"), "reload", "--socket", self.daemon.control], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True) for _ in range(2)]
        for process in both:
            out, _ = process.communicate(timeout=30 * rig.PATIENCE)
            self.assertEqual(0, process.returncode, out)
            self.assertRegex(out, r"a: (replaced 1 worker|unchanged)")

    def test_the_socket_is_found_by_the_environment(self):
        self.start({"a": {"handler": "noop"}})
        self.assertEqual(OK, self.cli("reload", env={"DROVER_CONTROL": self.daemon.control}).code)

    def test_the_socket_is_found_by_the_configuration(self):
        self.start({"a": {"handler": "noop"}})
        path = os.path.join(self.scratch, "finds.yaml")
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"control": self.daemon.control, "queues": {"x": {"handler": "noop"}}}, f)
        result = self.cli("ps", "-c", path)
        self.assertEqual(OK, result.code, result)
        self.assertRegex(result.out, r"(?m)^ *\d+  a ")


class Scale(ControlCase):
    def running(self):
        return sum(p["running"] for p in self.processes("q"))

    def becomes(self, count):
        wait_until(lambda: self.running() == count, 10, lambda: f"{count} jobs at once: {self.processes('q')}\n{self.logs()}")

    def test_up_down_to_nothing_and_back(self):
        path, go = self.waiter()
        self.start({"q": {"concurrency": 1, "handler": {"exec": [path]}}, "other": {"handler": "noop"}})
        Producer(self.r, "q").many(8)
        self.becomes(1)
        self.assertEqual("q: concurrency 1 -> 4, until the next reload\n", self.ask("scale", "q", 4).out)
        self.becomes(4)
        self.assertEqual({"queue": "q", "from": 4, "to": 0, "kept": False}, self.ask("scale", "q", 0, "--json").json)
        self.go(go)
        wait_until(lambda: self.counts("q") == (4, 0, 0), 15, lambda: f"nothing is fetched any more: {self.counts('q')}\n{self.logs()}")
        Producer(self.r, "other").many(3)
        self.ends("other", completed=3)
        self.assertEqual((4, 0, 0), self.counts("q"), "still resting while another queue ran")
        self.assertIn("q: live, no longer scaled\n", self.ask("reload").out)
        self.ends("q", completed=8)

    def test_kept_over_reloads_or_not(self):
        path, go = self.waiter()
        self.start({"q": {"concurrency": 1, "handler": {"exec": [path]}}})
        Producer(self.r, "q").many(9)
        self.ask("scale", "q", 2)
        self.becomes(2)
        self.assertEqual("q: concurrency 2 -> 3, kept over reloads\n", self.ask("scale", "q", 3, "--keep").out)
        self.becomes(3)
        self.ask("reload")
        Producer(self.r, "q").many(1)
        self.assertEqual(3, self.running())
        self.assertEqual(3, sum(p["slots"] for p in self.processes("q")))
        self.ask("scale", "q", 2)
        self.ask("reload")
        wait_until(lambda: sum(p["slots"] for p in self.processes("q") if p["state"] == "serving") == 1, 10, lambda: f"{self.processes()}")
        self.go(go)
        self.ends("q", completed=10)

    def test_what_is_refused(self):
        self.start({"mail": {"handler": "noop"}})
        self.assertIn("did you mean mail?", self.ask("scale", "mial", 3, code=FAILED).err)
        self.ask("scale", "mail", 4000000000, code=USAGE)
        self.ask("scale", "mail", "x", code=USAGE)
        self.ask("scale", "mail", code=USAGE)
        self.assertEqual([1], [p["slots"] for p in self.processes()])


class Rights(ControlCase):
    def run_as(self, gid, *args, groups=()):
        """`drover …` as nobody of that group."""
        def become():
            os.setgroups(list(groups))
            os.setgid(gid)
            os.setuid(NOBODY.pw_uid)

        return subprocess.run([self.drover, *args, "--socket", self.daemon.control], preexec_fn=become, capture_output=True,
                              text=True, check=False, env=rig.clean_env(), cwd="/")

    def setUp(self):
        super().setUp()
        if os.getuid() != 0:
            self.skipTest("only root can become somebody else")
        os.chmod(self.scratch, 0o755)
        self.drover = shutil.copy2(rig.program("drover"), self.scratch)  # the build's folder may be closed to others
        os.chmod(self.drover, 0o755)

    def test_root_may_members_look_others_may_not(self):
        self.start({"q": {"handler": "noop"}})
        os.chmod(self.daemon.folder, 0o755)
        group = os.stat(self.daemon.control).st_gid
        self.assertEqual(0o660, os.stat(self.daemon.control).st_mode & 0o7777)
        for gid, groups in ((group, ()), (NOBODY.pw_gid, (group,))):
            looks = self.run_as(gid, "ps", groups=groups)
            self.assertEqual(0, looks.returncode, looks)
            self.assertIn("serving", looks.stdout)
            for command in (("reload",), ("scale", "q", "5")):
                changes = self.run_as(gid, *command, groups=groups)
                self.assertEqual((FAILED, ""), (changes.returncode, changes.stdout), changes)
                self.assertIn("that is for root", changes.stderr)
        stranger = self.run_as(NOBODY.pw_gid, "ps")
        self.assertEqual(FAILED, stranger.returncode, stranger)
        self.assertRegex(stranger.stderr, r"you may not use .*/control .*\n.*members of group ")
        self.assertEqual([1], [p["slots"] for p in self.processes()])
        self.assertEqual([], self.daemon.find("reload.accepted"))
        self.assertEqual(0, len(self.daemon.find("control.asked")), "what was refused was not begun")
        self.ask("scale", "q", 2)
        (asked,) = self.daemon.wait_event("control.asked")
        self.assertEqual(("scale", 0), (asked["verb"], asked["uid"]))


class Socket(ControlCase):
    def test_nobody_there(self):
        for args in (("ps",), ("reload",), ("scale", "q", "1")):
            result = self.cli(*args, "--socket", f"{self.scratch}/none")
            self.assertEqual(UNAVAILABLE, result.code, result)
            self.assertIn("systemctl start drover", result.err)

    def test_the_file_goes_with_droverd(self):
        self.start({"q": {"handler": "noop"}})
        self.assertTrue(os.path.exists(self.daemon.control))
        self.assertEqual(0, self.daemon.drain())
        self.assertFalse(os.path.exists(self.daemon.control))

    def test_a_stale_file_is_replaced(self):
        self.start({"q": {"handler": "noop"}})
        stale = self.daemon.control
        self.daemon.kill()
        self.assertIn("nobody answers", self.cli("ps", "--socket", stale).err)
        self.daemon = self.droverd({"queues": {"q": {"handler": "noop"}}}, args=("--set", f"control={stale}"))
        self.assertEqual(1, self.cli("ps", "--socket", stale).out.count("serving"))

    def test_a_second_droverd_on_the_same_socket_does_not_run(self):
        self.start({"q": {"handler": "noop"}})
        second = self.droverd({"queues": {"q": {"handler": "noop"}}}, args=("--set", f"control={self.daemon.control}"), wait=False)
        self.assertNotEqual(0, second.wait_end())
        self.assertIn(f"process {self.daemon.pid} listens", second.tail())
        self.assertEqual([], second.workers())
        self.assertEqual(1, len(self.processes()))

    def test_clients_that_misbehave_are_nobodys_business(self):
        self.start({"q": {"handler": "noop"}})
        clients = []
        for i in range(40):
            client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            client.connect(self.daemon.control)
            client.send([b"garbage", b'{"version":1,"verb":"ps"}', b'{"version":9,"verb":"ps"}', b"[" * 60000][i % 4])
            clients.append(client)
        self.assertEqual(1, len(self.processes()))
        self.assertIn("concurrency 1 -> 2", self.ask("scale", "q", 2).out)
        for client in clients:
            client.close()


if __name__ == "__main__":
    rig.main()
