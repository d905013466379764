"""Masters fail over and slots move under load: Sentinel and Cluster, real servers on loopback.

`drover add` produces all the time; what it ended with exit code 0 for is acknowledged. Of that nothing may be lost
where replicas are waited for; where not, the number is printed. A job is known by a number in its data: the counter of
automatic ids goes back with a master that is lost. Runs, effects and overlaps as in test_supervision.py.
"""

import json
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import rig
from queue_view import QueueView
from redis_sets import Nodes, Watched, ask, info, slot_of
from rig import wait_until
from test_supervision import Books

BATCH = 20


class Feeder(threading.Thread):
    """Adds batches by the command line until it is stopped. A batch is acknowledged as a whole or not at all."""

    def __init__(self, case, config_path, queue):
        super().__init__(daemon=True)
        self.case, self.config_path, self.queue = case, config_path, queue
        self.acknowledged, self.doubtful, self.failures = [], [], []
        self.stopping = False

    def run(self):
        count = 0
        while not self.stopping:
            numbers = range(count, count + BATCH)
            count += BATCH
            lines = "".join(json.dumps({"ms": 10 + n % 20, "n": n}) + "\n" for n in numbers)
            result = self.case.cli("add", "-c", self.config_path, "--json", self.queue, "work", "--lines", "-", stdin=lines)
            if result.code == 0:
                self.acknowledged += numbers
            else:
                self.doubtful += numbers
                self.failures.append(result.err.strip().splitlines()[0] if result.err.strip() else str(result.code))
            time.sleep(0.05)

    def more(self, count=1, deadline=20):
        """So many more batches were acknowledged from now on."""
        want = len(self.acknowledged) + count * BATCH
        wait_until(lambda: len(self.acknowledged) >= want, deadline, lambda: f"acknowledged adds; {self.failures[-3:]}")

    def stop(self):
        self.stopping = True
        self.join()


class Failover(rig.Case):
    QUEUE = "{q}"

    def begin(self, url, **options):
        self.log = os.path.join(self.scratch, "runs.log")
        self.daemon = self.droverd({
            "redis": {"default": {"url": url, "command_timeout": "1s", "connect_timeout": "1s"}},
            "log": {"level": "info", "format": "json"},
            "stop": {"drain_timeout": "5s"},
            "queues": {self.QUEUE: {"concurrency": 12, "processes": 2, "lock": "10s", "stalled_interval": "5s", "max_stalled": 20,
                                    "attempts": 50, "enforce": True,
                                    "handler": {"process": [rig.program("work"), "process", self.log], "parallel": 6}, **options}}})
        self.feeder = Feeder(self, self.daemon.config_path, self.QUEUE)
        self.addCleanup(self.feeder.stop)
        self.feeder.start()
        self.feeder.more(2)

    def finish(self, client, deadline=60):
        """What is there comes to its end; returns the books and what was acknowledged and is not there."""
        key = f"bull:{self.QUEUE}:"
        self.feeder.stop()

        def idle():
            r = client()
            left = sum(r.cmd(c, key + s) for c, s in [("LLEN", "wait"), ("LLEN", "active"), ("ZCARD", "delayed"), ("ZCARD", "prioritized")])
            return left == 0

        wait_until(idle, deadline, self.daemon.tail, every=0.1)
        view = QueueView(client(), self.QUEUE)
        self.assertEqual([], view.check(idle=True)[:10])
        books = Books({"q": self.log})
        self.assertEqual([], view.ids("failed"))
        ended = {json.loads(view.job(i)["data"])["n"] for i in view.ids("completed")}
        lost = [n for n in self.feeder.acknowledged if n not in ended]
        self.say(acknowledged=len(self.feeder.acknowledged), lost=len(lost), unacknowledged=len(self.feeder.doubtful),
                 unacknowledged_but_there=len(ended & set(self.feeder.doubtful)), jobs=len(ended),
                 runs=sum(books.runs.values()), effects=sum(books.effects.values()), overlaps=sum(books.overlaps.values()))
        return books, lost

    def say(self, **figures):
        print(f"\n  {self._testMethodName}: " + ", ".join(f"{v} {k}" for k, v in figures.items()), file=sys.stderr)


class Sentinels(Failover):
    QUEUE = "q"

    def lose_the_master(self, wait):
        """The replicas are cut off; jobs are added that only the master knows; it dies; a replica takes over."""
        self.set = Watched(self)
        self.begin(self.set.url, **({"wait_replicas": 1, "wait_timeout": "300ms"} if wait else {}))
        old = self.set.master
        replicas = [s for s in self.set.servers if s is not old]
        tries = len(self.feeder.acknowledged) + len(self.feeder.failures)
        for replica in replicas:
            replica.pause()
        ask(old, "CLIENT", "KILL", "TYPE", "replica")
        wait_until(lambda: len(self.feeder.acknowledged) + len(self.feeder.failures) > tries + (2 if wait else 2 * BATCH), 20,
                   "adds while no replica listens")
        old.kill()
        for replica in replicas:
            replica.resume()
        self.set.wait_other_master(old)
        old.start()  # empty, and takes itself for the master
        self.feeder.more(3)
        result = self.finish(lambda: self.set.master.client())
        self.assertNotIn("cmdstat_evalsha", info(old, "commandstats"), "no script was run there")
        return result

    def test_nothing_acknowledged_is_lost_with_a_master_that_is_killed(self):
        books, lost = self.lose_the_master(wait=True)
        again = sum(books.runs.values()) - len(books.runs)
        self.assertLessEqual(again, 12, "at most what ran when the replicas were cut off runs again")
        self.assertEqual([], lost[:10])
        self.assertEqual({}, books.overlaps)
        self.assertTrue(any("it was stored, but only 0 of 1 replicas" in f for f in self.feeder.failures), self.feeder.failures[:5])
        self.assertTrue(self.daemon.find("replicas.missing"))
        self.assertTrue(self.daemon.find("replicas.back"))

    def test_without_waiting_for_replicas_such_jobs_are_lost(self):
        _, lost = self.lose_the_master(wait=False)
        self.assertGreater(len(lost), 0, "the fault is one: what is not waited for can be lost")
        self.assertEqual([], self.daemon.find("replicas.missing"))

    def test_a_frozen_master_wakes_up_and_is_not_written_to(self):
        self.set = Watched(self)
        self.begin(self.set.url, wait_replicas=1, wait_timeout="300ms")
        old = self.set.master
        old.pause()
        new = self.set.wait_other_master(old)
        self.feeder.more(2)
        old.resume()
        # What lay in its sockets when it froze is executed now; it was never acknowledged, and is asked about.
        self.assertEqual("master", info(old, "replication")["role"], "it takes itself for the master still")
        before = self.scripts_run(old)
        self.feeder.more(5)
        self.assertEqual("master", info(old, "replication")["role"], "it still does")
        self.assertEqual(before, self.scripts_run(old), "no script was run there")
        wait_until(lambda: info(old, "replication")["role"] == "slave", 30, "the Sentinels make it a replica", every=0.05)
        self.assertEqual(before, self.scripts_run(old), "nor later")
        self.feeder.more(2)
        books, lost = self.finish(lambda: new.client())
        self.assertEqual([], lost[:10])
        self.assertEqual({}, books.overlaps)
        moved = {e["server"] for e in self.daemon.find("redis.ready", role="worker") if "server" in e}
        self.assertEqual({f"redis 127.0.0.1:{old.port}", f"redis 127.0.0.1:{new.port}"}, moved)


    @staticmethod
    def scripts_run(server):
        return int(info(server, "commandstats")["cmdstat_evalsha"].split("calls=")[1].split(",")[0])


class Clusters(Failover):
    def test_slots_move_under_load(self):
        self.set = Nodes(self)
        self.begin(self.set.url)
        slot = slot_of(self.QUEUE)
        moves = 0
        for _ in range(6):
            owner = self.set.owner(slot)
            to = self.set.servers[(self.set.servers.index(owner) + 1) % 3]
            self.set.move(slot, to, step=50)
            moves += 1
            self.feeder.more(1)
        books, lost = self.finish(lambda: self.set.client_of(self.QUEUE))
        self.assertEqual([], lost[:10])
        self.assertEqual([], self.feeder.failures, "adds wait while the slot moves")
        self.assertEqual(len(self.feeder.acknowledged), sum(books.runs.values()), "each job ran once")
        self.assertEqual(books.runs, books.effects)
        self.assertEqual({}, books.overlaps)
        self.assertGreaterEqual(len(self.daemon.find("redis.moved", role="worker")), moves)
        self.assertEqual([], self.daemon.find("redis.lost"), "a move is no loss")

    def test_a_node_is_killed_under_load(self):
        self.set = Nodes(self, replicas=True)
        self.begin(self.set.url, wait_replicas=1, wait_timeout="300ms")
        slot = slot_of(self.QUEUE)
        old = self.set.owner(slot)
        old.kill()
        new = wait_until(lambda: self.owner_but(slot, old), 20, "its replica takes over")
        self.daemon.wait_event("replicas.missing")
        old.start()
        wait_until(lambda: info(old, "replication").get("master_link_status") == "up", 30, "it is a replica now")
        self.feeder.more(2)
        books, lost = self.finish(lambda: new.client())
        self.assertEqual([], lost[:10])
        self.assertEqual({}, books.overlaps)
        self.assertTrue(self.daemon.find("replicas.back"))

    def owner_but(self, slot, old):
        owner = self.set.owner(slot)
        return owner if owner is not old else None


del Failover  # its children are the tests

if __name__ == "__main__":
    rig.main()
