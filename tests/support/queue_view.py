"""queue_view.py - a whole BullMQ queue as it lies in Redis, and what must hold of it.

read() takes everything under one prefix; check() returns the violations of the invariants that stock
peers can see (wire format 13.1), as texts; dump() is a normalised form for comparing two queues, and
shapes() only the key patterns with their types and hash fields.
"""

import json
import re

LISTS = ("wait", "paused", "active")
ZSETS = ("prioritized", "delayed", "waiting-children", "completed", "failed")
STATES = LISTS + ZSETS
OTHER_KEYS = {"marker", "id", "pc", "meta", "events", "stalled", "stalled-check", "limiter", "repeat"}
JOB_SUFFIXES = {"lock": "string", "logs": "list", "dependencies": "set", "processed": "hash",
                "failed": "hash", "unsuccessful": "zset"}
JOB_FIELDS = {"name", "data", "opts", "timestamp", "delay", "priority", "parentKey", "parent", "rjk", "deid",
              "processedOn", "pb", "ats", "atm", "progress", "returnvalue", "failedReason", "stacktrace",
              "finishedOn", "stc", "defa", "nrjid", "tm", "gbc", "gbh"}
INTEGERS = ("timestamp", "delay", "priority", "processedOn", "finishedOn", "ats", "atm", "stc", "gbc")
PREFIXED = ("repeat:", "de:", "dn:", "metrics:")
SAMPLE_MAX = 8


def _glob(text):
    return re.sub(r"([*?\[\]\\])", r"\\\1", text)


class QueueView:
    """`prefix` without the queue: "bull"."""

    def __init__(self, redis, queue, prefix="bull", allow=()):
        self.p = f"{prefix}:{queue}:"
        self.redis = redis
        self.allow = set(allow)  # suffixes of keys that a test put there itself
        self.read()

    def read(self):
        r, p = self.redis, self.p
        for _ in range(5):  # keys of a running queue may go between SCAN and TYPE
            self.keys = sorted(r.scan(_glob(p) + "*"))
            types = r.pipe([("TYPE", k) for k in self.keys])
            reader = {"string": ("GET",), "list": ("LRANGE", 0, -1), "set": ("SMEMBERS",), "hash": ("HGETALL",),
                      "zset": ("ZRANGE", 0, -1, "WITHSCORES"), "stream": ("XRANGE", "-", "+")}
            present = [(k, t) for k, t in zip(self.keys, types) if t != "none"]
            values = r.pipe([(reader[t][0], k, *reader[t][1:]) for k, t in present])
            if len(present) == len(self.keys):
                break
        self.type, self.value = {}, {}
        for (key, kind), value in zip(present, values):
            suffix = key[len(p):]
            self.type[suffix] = kind
            if kind == "hash":
                value = dict(zip(value[::2], value[1::2]))
            elif kind == "zset":
                value = [(m, float(s)) for m, s in zip(value[::2], value[1::2])]
            elif kind == "stream":
                value = [(i, dict(zip(f[::2], f[1::2])), list(f[::2])) for i, f in value]
            self.value[suffix] = value
        return self

    # -- contents

    def ids(self, state):
        value = self.value.get(state, [])
        return [m for m, _ in value] if state in ZSETS else list(value)

    def scores(self, state):
        return dict(self.value.get(state, []))

    def counts(self):
        return {state: len(self.ids(state)) for state in STATES}

    def total(self):
        return sum(self.counts().values())

    def jobs(self):
        """{id: hash} of every job hash under the prefix."""
        return {s: v for s, v in self.value.items() if self._job_key(s) == (s, None)}

    def job(self, job_id):
        return self.value.get(job_id)

    def events(self, name=None):
        return [f for _, f, _ in self.value.get("events", []) if name is None or f.get("event") == name]

    def _job_key(self, suffix):
        """(id, sub key or None) when the suffix belongs to a job, else None."""
        if suffix in STATES or suffix in OTHER_KEYS or suffix.startswith(("de:", "dn:", "metrics:")):
            return None
        if suffix.startswith("repeat:"):
            parts = suffix.split(":")
            if len(parts) < 3:
                return None  # a scheduler's own hash
            tail = parts[-1] if parts[-1] in JOB_SUFFIXES else None
            return (":".join(parts[:-1]) if tail else suffix, tail)
        head, _, tail = suffix.rpartition(":")
        if head and tail in JOB_SUFFIXES:
            return head, tail
        return suffix, None

    # -- invariants

    def check(self, idle=False, allow_fields=()):
        """Texts of what is wrong. idle: nobody works on the queue now, so no job is active, no lock is held
        and nothing is suspected stalled."""
        bad = []
        where = {}
        for state in STATES:
            wanted = "list" if state in LISTS else "zset"
            if state in self.type and self.type[state] != wanted:
                bad.append(f"{state} is a {self.type[state]}")
                continue
            ids = self.ids(state)
            for job_id in ids:
                where.setdefault(job_id, []).append(state)
        for job_id, states in where.items():
            if len(states) > 1:
                bad.append(f"job {job_id} is in {states}")
            if job_id not in self.value:
                bad.append(f"job {job_id} in {states[0]} has no hash")
        for suffix, kind in self.type.items():
            bad += self._check_key(suffix, kind, where, allow_fields)
        bad += self._check_scores()
        bad += self._check_events()
        if "paused" in self.value.get("meta", {}):
            if self.ids("wait"):
                bad.append(f"paused queue has {len(self.ids('wait'))} ids in wait")
        elif self.ids("paused"):
            bad.append(f"queue is not paused and has {len(self.ids('paused'))} ids in paused")
        if idle:
            bad += [f"idle, but {s} holds {self.ids(s)[:SAMPLE_MAX]}" for s in ("active",) if self.ids(s)]
            locks = [s for s in self.type if s.endswith(":lock")]
            if locks:
                bad.append(f"idle, but locks are held: {locks[:SAMPLE_MAX]}")
        return bad

    def _check_key(self, suffix, kind, where, allow_fields):
        bad = []
        if suffix in STATES or suffix in OTHER_KEYS or suffix in self.allow:
            return bad
        owner = self._job_key(suffix)
        if owner is None:
            return bad
        job_id, sub = owner
        if sub:
            if kind != JOB_SUFFIXES[sub]:
                bad.append(f"{suffix} is a {kind}")
            if sub == "lock" and "active" not in where.get(job_id, []):
                bad.append(f"{suffix}: lock of a job that is not active ({where.get(job_id)})")
            elif job_id not in self.value:
                bad.append(f"{suffix}: its job does not exist")
            return bad
        if kind != "hash":
            bad.append(f"unknown key {suffix} ({kind})")
            return bad
        fields = self.value[suffix]
        if job_id not in where:
            bad.append(f"job hash {job_id} is in no set: {sorted(fields)}")
        unknown = set(fields) - JOB_FIELDS - set(allow_fields)
        if unknown:
            bad.append(f"job {job_id} has unknown fields {sorted(unknown)}")
        for name in INTEGERS:
            if name in fields and not re.fullmatch(r"-?[0-9]+", fields[name]):
                bad.append(f"job {job_id}: {name} is {fields[name]!r}")
        for name in ("returnvalue", "progress", "stacktrace"):
            if name in fields:
                try:
                    parsed = json.loads(fields[name])
                except ValueError:
                    bad.append(f"job {job_id}: {name} is not JSON: {fields[name][:60]!r}")
                    continue
                if name == "stacktrace" and not (isinstance(parsed, list) and all(isinstance(x, str) for x in parsed)):
                    bad.append(f"job {job_id}: stacktrace is no array of texts")
        state = where.get(job_id, [""])[0]
        if state == "completed" and not {"finishedOn", "returnvalue", "processedOn", "atm", "ats"} <= set(fields):
            bad.append(f"completed job {job_id} lacks fields: {sorted(fields)}")
        if state == "failed" and not {"finishedOn", "failedReason"} <= set(fields):
            bad.append(f"failed job {job_id} lacks fields: {sorted(fields)}")
        if state == "failed" and "defa" in fields:
            bad.append(f"failed job {job_id} still has defa")
        if state in ("completed", "failed") and fields.get("finishedOn") and \
                self.scores(state).get(job_id) != float(fields["finishedOn"]):
            bad.append(f"{state} score of {job_id} is not its finishedOn")
        return bad

    def _check_scores(self):
        bad = []
        for job_id, score in self.scores("prioritized").items():
            priority = int(self.value.get(job_id, {}).get("priority") or 0)
            if int(score) >> 32 != priority or priority == 0:
                bad.append(f"prioritized score {score:.0f} of {job_id} is not of priority {priority}")
        for job_id, score in self.scores("delayed").items():
            if not 10**12 < score / 4096 < 10**14:
                bad.append(f"delayed score {score:.0f} of {job_id} is no due time")
        for member in dict(self.value.get("marker", [])):
            if member not in ("0", "1"):
                bad.append(f"marker has member {member!r}")
        return bad

    def _check_events(self):
        bad = []
        for _, fields, order in self.value.get("events", []):
            if order[0] != "event":
                bad.append(f"event entry starts with {order[0]}")
            for name in ("returnvalue",) if fields.get("event") == "completed" else ("data",) \
                    if fields.get("event") == "progress" else ():
                try:
                    json.loads(fields[name])
                except (ValueError, KeyError):
                    bad.append(f"event {fields} has no JSON {name}")
        return bad

    # -- comparing

    def dump(self):
        """Everything with times, tokens and counters replaced, for comparing two queues."""
        out = {}
        for suffix, value in self.value.items():
            if suffix == "events":
                out[suffix] = [{k: self._norm(k, v) for k, v in f.items()} for _, f, _ in value]
            elif self.type[suffix] == "zset":
                out[suffix] = sorted(m for m, _ in value)
            elif self.type[suffix] == "set":
                out[suffix] = sorted(value)
            elif self.type[suffix] == "hash":
                out[suffix] = {k: self._norm(k, v) for k, v in value.items()}
            else:
                out[suffix] = value
        return out

    @staticmethod
    def _norm(name, value):
        if name in ("timestamp", "processedOn", "finishedOn", "delay", "prevTS", "version", "pb"):
            return f"<{name}>"
        if name in ("opts", "stacktrace", "data", "returnvalue", "parent"):
            try:
                parsed = json.loads(value)
            except ValueError:
                return value
            return f"<{len(parsed)} entries>" if name == "stacktrace" else parsed
        return value

    def shapes(self):
        """{key pattern: type or sorted union of hash fields}; job ids become <id>."""
        out = {}
        for suffix, kind in self.type.items():
            owner = self._job_key(suffix)
            pattern = suffix if owner is None else "<id>" + (f":{owner[1]}" if owner[1] else "")
            if kind == "hash":
                out.setdefault(pattern, set()).update(self.value[suffix])
            else:
                out.setdefault(pattern, kind)
        return {k: sorted(v) if isinstance(v, set) else v for k, v in out.items()}


def check_idle(case, redis, queue, prefix="bull", **kwargs):
    """Asserts in a test case that nothing is wrong with an idle queue; returns the view."""
    view = QueueView(redis, queue, prefix)
    bad = view.check(idle=True, **kwargs)
    case.assertEqual([], bad[:20], f"{len(bad)} violations")
    return view


def foreign_keys(redis, prefix="bull"):
    """Keys that are neither under the queue prefix nor drover's own."""
    return sorted(k for k in redis.scan("*") if not k.startswith((f"{prefix}:", "drover:")))
