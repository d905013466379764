"""One damaged job among 49 good ones: they settle, it fails with a reason (or is run, where a stock worker would run it).

Every field of the hash is damaged in turn, from outside, as a broken producer or an operator's slip would do it.
One droverd serves a queue per damage."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import rig
from cases import QueueCase
from producer import Producer
from queue_view import QueueView
from rig import wait_until

BATCH = 50
BAD = "25"

# name: (how, what is allowed at the end). FAILS: must be in `failed` with a reason. ENDS: stock workers run such a
# job, or it cannot matter: completed, or failed with a reason. GONE: there is nothing left to keep.
FAILS, ENDS, GONE = "fails", "ends", "gone"


def field(name, value):
    return lambda r, key: r.cmd("HSET", key, name, value)


def without(*names):
    return lambda r, key: r.cmd("HDEL", key, *names)


def instead(*command):
    """Another type in the hash's place."""
    def damage(r, key):
        r.cmd("DEL", key)
        r.cmd(command[0], key, *command[1:])
    return damage


DAMAGES = {
    "opts-no-json": (field("opts", "{not json"), FAILS),
    "opts-array": (field("opts", "[1,2]"), FAILS),
    "opts-empty-text": (field("opts", ""), ENDS),
    "opts-attempts-text": (field("opts", '{"attempts":"many"}'), FAILS),
    "opts-attempts-negative": (field("opts", '{"attempts":-5}'), ENDS),
    "opts-attempts-huge": (field("opts", '{"attempts":1e300}'), ENDS),
    "opts-backoff-number-text": (field("opts", '{"attempts":2,"backoff":"soon"}'), FAILS),
    "opts-keep-odd": (field("opts", '{"attempts":0,"removeOnComplete":{"count":"x"}}'), FAILS),
    "opts-bytes": (field("opts", "\udcff\udcfe\0{"), FAILS),
    "opts-deep": (field("opts", '{"a":' * 3000 + "1" + "}" * 3000), ENDS),
    "opts-missing": (without("opts"), ENDS),
    "data-no-json": (field("data", "{{{"), ENDS),
    "data-missing": (without("data"), ENDS),
    "data-bytes": (field("data", "\udc80\udcff\0"), ENDS),
    "name-missing": (without("name"), ENDS),
    "name-bytes": (field("name", "\udcff\udcc3("), ENDS),
    "name-long": (field("name", "n" * 100000), ENDS),
    "timestamp-text": (field("timestamp", "yesterday"), ENDS),
    "delay-text": (field("delay", "later"), ENDS),
    "priority-text": (field("priority", "high"), ENDS),
    "priority-huge": (field("priority", "9" * 40), ENDS),
    "atm-text": (field("atm", "x"), FAILS),
    "atm-real": (field("atm", "1.5"), FAILS),
    "atm-huge": (field("atm", "9" * 30), FAILS),
    "ats-text": (field("ats", "x"), FAILS),
    "ats-negative": (field("ats", "-7"), ENDS),
    "stc-text": (field("stc", "x"), ENDS),
    "stacktrace-no-json": (field("stacktrace", "[1,"), ENDS),
    "stacktrace-object": (field("stacktrace", '{"a":1}'), ENDS),
    "defa-empty": (field("defa", ""), ENDS),
    "defa-set": (field("defa", "told to fail"), FAILS),
    "parent-no-json": (lambda r, key: r.cmd("HSET", key, "parent", "{", "parentKey", "bull:other:1"), ENDS),
    "parent-odd": (lambda r, key: r.cmd("HSET", key, "parent", '{"id":{"a":1},"queueKey":5}', "parentKey", "nonsense"), ENDS),
    "parent-key-type": (lambda r, key: (r.cmd("SET", key + "x", "1"), r.cmd("HSET", key, "parentKey", key + "x")), ENDS),
    "deid-dangling": (field("deid", "nobody"), ENDS),
    "processedOn-text": (field("processedOn", "x"), ENDS),
    "returnvalue-no-json": (field("returnvalue", "{"), ENDS),
    "hash-is-text": (instead("SET", "hello"), GONE),
    "hash-is-list": (instead("RPUSH", "a", "b"), GONE),
    "hash-is-gone": (lambda r, key: r.cmd("DEL", key), GONE),
    "hash-is-empty": (lambda r, key: (r.cmd("DEL", key), r.cmd("HSET", key, "colour", "red")), ENDS),
    "dependencies-type": (lambda r, key: r.cmd("SET", key + ":dependencies", "x"), ENDS),
    "lock-type": (lambda r, key: r.cmd("RPUSH", key + ":lock", "x"), ENDS),
    "logs-type": (lambda r, key: r.cmd("SET", key + ":logs", "x"), ENDS),
}


class Corrupt(QueueCase):
    def test_forty_nine_settle_and_the_bad_one_ends_with_a_reason(self):
        for name, (damage, _) in DAMAGES.items():
            producer = Producer(self.r, name)
            producer.many(BATCH)
            damage(self.r, f"bull:{name}:{BAD}")
        self.droverd({"queues": {name: {"concurrency": BATCH, "handler": "noop", "stalled_interval": "1s"} for name in DAMAGES}})
        for name, (_, wanted) in DAMAGES.items():
            with self.subTest(damage=name):
                self.check_queue(name, wanted)

    def check_queue(self, name, wanted):
        p = f"bull:{name}:"

        def settled():
            return self.r.cmd("LLEN", p + "wait") == 0 and self.r.cmd("LLEN", p + "active") == 0 and \
                self.r.cmd("ZCARD", p + "delayed") == 0

        wait_until(settled, 15, lambda: f"{name}: {QueueView(self.r, name).counts()}\n" + "\n".join(self.lines_with(self.daemons[0], name)[-15:]))
        completed = set(self.r.cmd("ZRANGE", p + "completed", 0, -1))
        failed = set(self.r.cmd("ZRANGE", p + "failed", 0, -1))
        good = {str(n) for n in range(1, BATCH + 1)} - {BAD}
        self.assertEqual(set(), good - completed, "every good job completed")
        self.assertEqual(set(), failed - {BAD})
        locks = [k for k in self.r.scan(p + "*:lock") if not (name == "lock-type" and k.startswith(p + BAD))]
        self.assertEqual([], locks, "no lock stays")
        if wanted == GONE:
            return
        self.assertIn(BAD, completed | failed)
        if wanted == FAILS:
            self.assertIn(BAD, failed)
        if BAD in failed:
            self.assertTrue(self.r.cmd("HGET", p + BAD, "failedReason"), "a reason is given")

    def test_ids_that_are_no_jobs_do_not_stay_active(self):
        ids = Producer(self.r, "q").many(20)
        self.r.cmd("RPUSH", "bull:q:wait", "0:0", "ghost", "0:1795300804162", "", "with space", "\udcff\udcfe")
        self.r.cmd("ZADD", "bull:q:prioritized", 2**33 + 1, "prio-ghost")
        self.r.cmd("ZADD", "bull:q:delayed", 4096, "old-ghost")
        daemon = self.droverd({"queues": {"q": {"concurrency": 5, "handler": "noop"}}})
        wait_until(lambda: set(ids) <= set(self.r.cmd("ZRANGE", "bull:q:completed", 0, -1)), 15, daemon.tail)
        wait_until(lambda: self.r.cmd("LLEN", "bull:q:active") == 0 and self.r.cmd("LLEN", "bull:q:wait") == 0, 10, daemon.tail)
        self.assertEqual(0, self.r.cmd("ZCARD", "bull:q:prioritized"))
        self.assertEqual(0, self.r.cmd("ZCARD", "bull:q:delayed"))

    def test_damaged_queue_keys_are_said_and_others_go_on(self):
        for name in ("bad-wait", "bad-active", "bad-meta", "bad-events", "bad-delayed", "bad-marker"):
            self.r.cmd("SET", f"bull:{name}:{name[4:]}", "not what it should be")
        ids = Producer(self.r, "good").many(10)
        config = {name: {"concurrency": 1, "handler": "noop"} for name in
                  ("good", "bad-wait", "bad-active", "bad-meta", "bad-events", "bad-delayed", "bad-marker")}
        daemon = self.droverd({"queues": config, "stop": {"drain_timeout": "1s"}}, wait=False)
        self.ends("good", completed=len(ids))
        for name in config:
            if name in ("good", "bad-meta", "bad-events"):
                continue
            wait_until(lambda n=name: self.lines_with(daemon, n, "WRONGTYPE"), 15, lambda n=name: f"{n}\n{daemon.tail()}")
        lines = len(daemon.lines)
        self.assertLess(lines, 2000, "an error that repeats is not said each time")
        self.assertEqual(0, daemon.drain())


if __name__ == "__main__":
    rig.main()
