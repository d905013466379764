"""The command line and droverd on a cluster, and on a master with Sentinels: what each command shows and says."""

import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import rig  # noqa: E402
from queue_view import QueueView  # noqa: E402
from redis_sets import Nodes, Watched, ask, slot_of  # noqa: E402


class Endpoints(rig.Case):
    def config(self, url, **more):
        return {"redis": {"default": {"url": url, **more.pop("redis", {})}}, "log": {"format": "json"}, **more}

    def file(self, config):
        path = os.path.join(self.scratch, "file.yaml")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(config, f)
        return path

    def good(self, *args, **kwargs):
        result = self.cli(*args, **kwargs)
        self.assertEqual(0, result.code, result)
        return result


class Cluster(Endpoints):
    QUEUES = ["{a}", "{b}", "{c}", "{d}"]

    def test_queues_on_every_node(self):
        nodes = Nodes(self)
        owners = {nodes.owner(slot_of(q)).port for q in self.QUEUES}
        self.assertGreater(len(owners), 1, "they lie on several nodes")
        daemon = self.droverd(self.config(nodes.url, queues={q: {"handler": "noop"} for q in self.QUEUES}))
        for queue in self.QUEUES:
            self.good("add", "-c", daemon.config_path, queue, "x", "--count", 3)
        for queue in self.QUEUES:
            client = nodes.client_of(queue)
            rig.wait_until(lambda c=client, q=queue: c.cmd("ZCARD", f"bull:{q}:completed") == 3, 15, daemon.tail)
            self.assertEqual([], QueueView(client, queue).check(idle=True))
            self.assertEqual(nodes.owner(slot_of(queue)).port, nodes.owner(slot_of(f"drover:{queue}:bull:{queue}:live")).port)

        shown = self.good("status", "-c", daemon.config_path, "--json").out
        found = self.good("status", "--redis", nodes.url, "--json").out
        for queue in self.QUEUES:
            self.assertIn(queue, shown)
            self.assertIn(queue, found, "SCAN of each node")
        job = self.good("job", "--redis", nodes.url, "--queue", "{c}", "1").out
        self.assertIn("completed", job)
        self.good("ps", "--cluster", "-c", daemon.config_path)

    def test_recovery_of_another_queues_dead_process(self):
        """A worker gives back the jobs of any queue of its endpoint, wherever that lies."""
        nodes = Nodes(self)
        program = self.script("slow", "#!/bin/sh\nexec sleep 600\n")
        daemon = self.droverd(self.config(nodes.url, stop={"drain_timeout": "1s"},
                                          queues={"{a}": {"handler": "noop"}, "{b}": {"handler": {"exec": [program]}, "types": {"x": {"kill_grace": "1s"}}}}))
        self.good("add", "-c", daemon.config_path, "{b}", "x")
        client = nodes.client_of("{b}")
        rig.wait_until(lambda: client.cmd("LLEN", "bull:{b}:active") == 1, 15, daemon.tail)
        victim = next(w for w in daemon.workers() if "{b}" in w.cmdline)
        rig.send_signal(victim.pid, 9)
        daemon.wait_event("worker.recovered", role="droverd")
        rig.wait_until(lambda: ask(nodes.owner(slot_of("{b}")), "HGET", "bull:{b}:1", "gbc") == "1", 15, daemon.tail)

    def test_mistakes(self):
        server = self.redis(port=0)
        result = self.cli("check", "-c", self.file(self.config("redis+cluster://h", queues={"plain": {"handler": "noop"}})))
        self.assertEqual(78, result.code)
        self.assertRegex(result.err + result.out, r"file\.yaml:1:\d+: error: queues\.plain: redis\.default is a cluster")
        result = self.cli("add", "--redis", "redis+cluster://127.0.0.1:1", "{q}", "x")
        self.assertEqual(69, result.code, result)
        self.assertIn("127.0.0.1:1", result.err)
        self.assertIsNone(server.process.poll())


class Sentinels(Endpoints):
    def test_commands_find_the_master(self):
        watched = Watched(self)
        daemon = self.droverd(self.config(watched.url, queues={"q": {"handler": "noop", "wait_replicas": 2}}))
        self.good("add", "-c", daemon.config_path, "q", "x", "--count", 5)
        self.good("add", "--redis", watched.url, "q", "x")
        rig.wait_until(lambda: watched.master.client().cmd("ZCARD", "bull:q:completed") == 6, 15, daemon.tail)
        self.assertIn("q", self.good("status", "--redis", watched.url).out)
        self.assertIn("completed", self.good("job", "-c", daemon.config_path, "1").out)

    def test_what_is_stored_and_not_replicated_is_said(self):
        watched = Watched(self, replicas=1)
        config = self.config(watched.url, queues={"q": {"handler": "noop", "wait_replicas": 2, "wait_timeout": "100ms"}})
        result = self.cli("add", "-c", self.file(config), "--json", "q", "x")
        self.assertEqual(69, result.code, result)
        self.assertIn("it was stored, but only 1 of 2 replicas had it within 100 ms", result.err)
        self.assertEqual([{"id": "1", "duplicate": False}], result.rows)
        self.assertEqual(1, watched.master.client().cmd("LLEN", "bull:q:wait"))

    def test_no_sentinel_answers(self):
        result = self.cli("status", "--redis", "redis+sentinel://127.0.0.1:1,127.0.0.1:2/mymaster")
        self.assertEqual(69, result.code, result)
        self.assertIn("0 of 2 Sentinels answer, at least 1 are needed", result.err)

    def test_dev_says_what_it_cannot(self):
        config = self.config("redis+sentinel://h/m", queues={"q": {"handler": "noop", "wait_replicas": 1}})
        result = self.cli("dev", "-c", self.file(config), "--once", "--sample", "50")
        self.assertEqual(78, result.code, result)
        self.assertIn("queue q waits for replicas", result.err)

    def test_dev_replaces_them_by_its_own(self):
        for url, prefix in (("redis+sentinel://h/m", "bull"), ("redis+cluster://h", "{bull}")):
            config = self.config(url, redis={"prefix": prefix}, queues={"noop": {"handler": "noop"}, "exec": {"handler": {"exec": ["/bin/cat"]}}})
            config.pop("log")
            process = self.popen([rig.program("drover"), "dev", "-c", self.file(config), "--once", "--sample", "50"], text=True, cwd=self.scratch,
                                 env={**os.environ, "TMPDIR": self.scratch}, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            out, err = process.communicate(timeout=60 * rig.PATIENCE)
            self.assertEqual(0, process.returncode, f"{out}\n{err}")


del Endpoints  # its children are the tests

if __name__ == "__main__":
    rig.main()
