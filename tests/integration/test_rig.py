"""The test rig itself: what it promises to notice, it notices."""

import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import rig
from cases import QueueCase
from producer import Producer
from queue_view import QueueView, foreign_keys
from rig import wait_until


class View(QueueCase):
    def setUp(self):
        super().setUp()
        producer = Producer(self.r, "q")
        producer.many(3)
        producer.add("ok", delay=60000)
        producer.add("ok", priority=4)
        producer.add("ok", lifo=True, jobId="own")

    def test_a_sound_queue_has_no_violations(self):
        view = QueueView(self.r, "q")
        self.assertEqual([], view.check(idle=True))
        self.assertEqual(["3", "2", "1", "own"], view.ids("wait"))
        self.assertEqual(6, len(view.jobs()))

    def test_each_violation_is_seen(self):
        now = "1795300804162"
        breaks = {
            "twice": [("RPUSH", "bull:q:active", "1")],
            "ghost": [("LPUSH", "bull:q:wait", "ghost")],
            "orphan hash": [("HSET", "bull:q:orphan", "name", "x")],
            "lost job": [("LREM", "bull:q:wait", 1, "1")],
            "lock left": [("SET", "bull:q:1:lock", "token")],
            "unknown key": [("SET", "bull:q:mine", "x")],
            "unknown field": [("HSET", "bull:q:1", "id", "1")],
            "number": [("HSET", "bull:q:1", "atm", "1.0")],
            "result": [("HSET", "bull:q:1", "returnvalue", "undefined")],
            "stack": [("HSET", "bull:q:1", "stacktrace", '"text"')],
            "score of priority": [("ZADD", "bull:q:prioritized", 1, "5")],
            "score of delay": [("ZADD", "bull:q:delayed", 12345, "4")],
            "marker": [("ZADD", "bull:q:marker", 0, "2")],
            "paused": [("HSET", "bull:q:meta", "paused", 1)],
            "left paused": [("RENAME", "bull:q:wait", "bull:q:paused")],
            "event": [("XADD", "bull:q:events", "*", "event", "completed", "jobId", "1", "returnvalue", "undefined")],
            "active": [("LMOVE", "bull:q:wait", "bull:q:active", "RIGHT", "LEFT")],
            "completed": [("LREM", "bull:q:wait", 1, "1"), ("ZADD", "bull:q:completed", now, "1")],
            "kept logs": [("RPUSH", "bull:q:77:logs", "row")],
        }
        self.r.cmd("SAVE")
        for name, commands in breaks.items():
            with self.subTest(name):
                before = {k: self.r.cmd("DUMP", k) for k in self.r.scan()}
                for command in commands:
                    self.r.cmd(*command)
                self.assertNotEqual([], QueueView(self.r, "q").check(idle=True))
                self.r.cmd("FLUSHALL")
                for key, value in before.items():
                    self.r.cmd("RESTORE", key, 0, value)
                self.assertEqual([], QueueView(self.r, "q").check(idle=True))

    def test_foreign_keys(self):
        self.r.cmd("SET", "drover:{bull:q}:live", 1)
        self.assertEqual([], foreign_keys(self.r))
        self.r.cmd("SET", "elsewhere", 1)
        self.assertEqual(["elsewhere"], foreign_keys(self.r))


class Servers(rig.Case):
    def test_what_an_aof_server_acknowledged_survives_a_kill(self):
        server = self.redis(aof=True)
        server.client().cmd("SET", "a", 1)
        server.kill()
        server.start()
        self.assertEqual("1", server.client().cmd("GET", "a"))
        server.kill()
        server.wipe()
        server.start()
        self.assertIsNone(server.client().cmd("GET", "a"))

    def test_the_proxy_loses_a_reply_after_the_effect(self):
        server = self.redis()
        proxy = self.proxy(server)
        client = rig.Redis(path=proxy.path)
        self.assertEqual(1, client.cmd("INCR", "n"))
        proxy.drop_replies(1, b"INCR")
        self.assertEqual("PONG", client.cmd("PING"))
        with self.assertRaises(ConnectionError):
            client.cmd("INCR", "n")
        client.close()
        self.assertEqual("2", server.client().cmd("GET", "n"))

    def test_a_paused_server_does_not_answer(self):
        server = self.redis()
        client = server.client(timeout=0.3)
        server.pause()
        with self.assertRaises(TimeoutError):
            client.cmd("PING")
        server.resume()
        self.assertEqual("PONG", server.client().cmd("PING"))


class Leaks(unittest.TestCase):
    def test_a_process_that_outlives_its_test_fails_it_and_is_ended(self):
        pids = []

        class Leaky(rig.Case):
            def runTest(self):
                # Its own session, a clean environment, an orphan: nothing of the test is left on it.
                process = subprocess.run(["setsid", "sh", "-c", "sleep 60 >/dev/null & echo $!"], env={"PATH": os.environ["PATH"]},
                                         stdout=subprocess.PIPE, check=True)
                pids.append(int(process.stdout))

        result = unittest.TestResult()
        unittest.TestSuite([Leaky()]).run(result)
        self.assertEqual(1, len(result.failures), result.errors)
        self.assertIn("sleep 60", result.failures[0][1])
        wait_until(lambda: not rig.Proc(pids[0]).alive, 5)


if __name__ == "__main__":
    rig.main()
