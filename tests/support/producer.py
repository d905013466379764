"""producer.py - puts jobs into a queue as a stock producer does (wire format 3), from Python.

Independent of drover's own add code on purpose: what drover reads here was not written by drover. One
MULTI/EXEC per chunk keeps every id in exactly one set at any moment.
"""

import json
import time

MARKER = "0"


class Producer:
    def __init__(self, redis, queue, prefix="bull", max_events=1000000):
        self.redis, self.p = redis, f"{prefix}:{queue}:"
        redis.cmd("HSET", self.p + "meta", "opts.maxLenEvents", max_events, "version", "bullmq:5.81.5")

    def add(self, name="ok", data=None, **opts):
        return self.bulk([(name, {} if data is None else data, opts)])[0]

    def bulk(self, jobs, chunk=500):
        """jobs: (name, data, opts). Returns the ids. Options: delay, priority, lifo, jobId, attempts, backoff, …"""
        ids = []
        for start in range(0, len(jobs), chunk):
            ids += self._chunk(jobs[start : start + chunk])
        return ids

    def many(self, count, name="ok", **opts):
        return self.bulk([(name, {"n": n}, opts) for n in range(count)])

    def _chunk(self, jobs):
        p, now = self.p, int(time.time() * 1000)
        last = self.redis.cmd("INCRBY", p + "id", len(jobs))
        paused = self.redis.cmd("HEXISTS", p + "meta", "paused")
        ids, commands = [], [("MULTI",)]
        for offset, (name, data, opts) in enumerate(jobs):
            job_id = str(opts.get("jobId") or last - len(jobs) + 1 + offset)
            ids.append(job_id)
            stamp = opts.get("timestamp", now)
            delay, priority = opts.get("delay", 0), opts.get("priority", 0)
            stored = {"attempts": 0, **opts}
            commands.append(("HSET", p + job_id, "name", name, "data", json.dumps(data), "opts", json.dumps(stored),
                             "timestamp", stamp, "delay", delay, "priority", priority))
            commands.append(("XADD", p + "events", "*", "event", "added", "jobId", job_id, "name", name))
            if delay:
                due = stamp + delay
                commands.append(("ZADD", p + "delayed", due * 4096 + offset % 4096, job_id))
                commands.append(("ZADD", p + "marker", "LT", due, "1"))
                commands.append(("XADD", p + "events", "*", "event", "delayed", "jobId", job_id, "delay", due))
                continue
            if priority:
                counter = self.redis.cmd("INCR", p + "pc")
                commands.append(("ZADD", p + "prioritized", priority * 2**32 + counter, job_id))
            else:
                target = "paused" if paused else "wait"
                commands.append(("RPUSH" if opts.get("lifo") else "LPUSH", p + target, job_id))
            commands.append(("XADD", p + "events", "*", "event", "waiting", "jobId", job_id))
        if not paused:
            commands.append(("ZADD", p + "marker", 0, MARKER))
        commands.append(("EXEC",))
        replies = self.redis.pipe(commands, chunk=len(commands))
        for reply in replies[1:]:
            if isinstance(reply, Exception):
                raise reply
        return ids
