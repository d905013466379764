"""No script does unbounded work: each is run at its documented maxima on a queue that has very many jobs in every state,
and its calls and what they touch are counted against what its head states (tests/support/script_bounds.py).

A script without a case here fails the test. By hand:

    DROVER_BOUNDS_JOBS=1000000 python3 tests/integration/test_bounds.py     a million in every state; prints the slow log
    DROVER_BOUNDS_SHOW=1 …                                                 every measurement
"""

import json
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import rig
import script_bounds
from bounds_world import KEYS, NOW, P, PREFIX, PRIVATE, QUEUE, UUID, World

JOBS = int(os.environ.get("DROVER_BOUNDS_JOBS", "100000"))
SHOW = os.environ.get("DROVER_BOUNDS_SHOW") or JOBS > 100000

CASES = {}


def case(name, what):
    """A generator of argument lists (from ARGV[3] on), or of (arguments, keys). What it does between two of them comes
    after the first one's call."""
    def note(function):
        CASES.setdefault(name, []).append((what, function))
        return function
    return note


def calls_of(name, what, *argv):
    CASES.setdefault(name, []).append((what, lambda _: iter([list(argv)])))


# ---- adding ----

def new_jobs(world, count, place, **more):
    world.serial += 1
    fields = []
    for n in range(count):
        job_id = f"new-{world.serial}-{n}" if more.get("own") else ""
        fields += [place, job_id, "n", "{}", "{}", NOW, 5000 if place == "d" else 0, 3 if place == "p" else 0]
        fields += more.get("relation", [])
    return fields


@case("add", "the most, of each kind")
def _(world):
    for place in "wldp":
        yield [500, *new_jobs(world, 500, place, own=True)]


@case("add", "duplicates")
def _(world):
    jobs = new_jobs(world, 500, "w", own=True)
    yield [500, *jobs]
    yield [500, *jobs]


def parent_json(job_id):
    return json.dumps({"id": job_id, "queueKey": f"{PREFIX}:{QUEUE}", "fpof": True})


@case("relate", "children of a job that waits for many")
def _(world):
    parent = "wn1"
    for place in "wdp":
        yield [500, *new_jobs(world, 500, place, own=True,
                              relation=[f"{PREFIX}:{QUEUE}", parent, parent_json(parent), "", 0, ""])]


@case("relate", "deduplication in every mode, with an owner and without")
def _(world):
    for mode in ("", "e", "r", "er", "k", "s"):
        for ttl in (0, 60000):
            for _ in range(2):
                jobs = []
                for n in range(500):
                    one = new_jobs(world, 1, "d", own=True, relation=["", "", "", f"d{mode}{ttl}-{n}", ttl, mode])
                    jobs += one
                yield [500, *jobs]


@case("relate", "deduplication, the owner runs among very many")
def _(world):
    world.pipe([("SET", f"{P}de:busy{n}", job_id) for n, job_id in enumerate(world.ids("active", 500))])
    jobs = []
    for n in range(500):
        jobs += new_jobs(world, 1, "w", own=True, relation=["", "", "", f"busy{n}", 0, "k"])
    yield [500, *jobs]


@case("flow", "the largest tree in the most queues")
def _(world):
    queues = [f"{PREFIX}:{QUEUE}{n}:" for n in range(100)]
    nodes = [1, "c", "root", "n", "{}", "{}", NOW, 0, 0, "", "", ""]
    for n in range(999):
        nodes += [n % 100 + 1, "wdp"[n % 3], f"leaf{n}", "n", "{}", "{}", NOW, 5000 if n % 3 == 1 else 0, n % 3,
                  f"{PREFIX}:{QUEUE}0", "root", json.dumps({"id": "root", "queueKey": f"{PREFIX}:{QUEUE}0"})]
    argv = [NOW, 100, 1000, *queues, *nodes]
    keys = KEYS + [queue + "id" for queue in queues]
    yield argv, keys
    yield argv, keys  # all of them are there


# ---- a worker's calls ----

def turn(world, settles=(), want=64, alone=0, live=1):
    world.serial += 1
    return [NOW, UUID, world.serial, 30000, "w", want, live, 1 << 30, 3, alone, 0, 0, 15, len(settles), *(x for s in settles for x in s)]


@case("turn", "settles and fetches the most, ordinary jobs")
def _(world):
    yield turn(world, [(job, token, "c", "", "1") for job, token in world.locked(64)])


KEEP = "10 3600 1000"


@case("turn", "keep rules that remove the most")
def _(world):
    yield turn(world, [(job, token, "c", KEEP, "1") for job, token in world.locked(64, first=1002)])
    yield turn(world, [(job, token, "f", f"{10 + n} {n} 1000", "boom", "[]", 1)
                       for n, (job, token) in enumerate(world.locked(64, first=2002))])


@case("turn", "every other way to settle")
def _(world):
    first = 4002
    for kind, *rest in (("r", "boom", "[]"), ("R", "boom", "[]"), ("l", "boom", "[]", 500), ("d", 500), ("g",), ("G", "2026-01-01T00:00:00Z x"),
                        ("x", "", "boom", "[]", 1)):
        yield turn(world, [(job, token, kind, *rest) for job, token in world.locked(64, first=first)], want=0)
        first += 200


def relate(world, jobs):
    """Gives each a parent of its own in another queue, and a deduplication with a next job."""
    commands = []
    for n, (job, _) in enumerate(jobs):
        parent = f"{PREFIX}:other{n}"
        commands += [
            ("HSET", P + job, "parentKey", f"{parent}:p", "parent", json.dumps({"id": "p", "queueKey": parent, "fpof": True}), "deid", job),
            ("HSET", f"{parent}:p", "name", "n", "priority", "2", "delay", "0"), ("ZADD", f"{parent}:waiting-children", "1", "p"),
            ("SADD", f"{parent}:p:dependencies", P + job), ("SET", f"{P}de:{job}", job),
            ("HSET", f"{P}dn:{job}", "name", "n", "data", "{}", "opts", json.dumps({"priority": 2}), "jid", f"next-{job}"),
        ]
    world.pipe(commands)


@case("turn", "parents in as many queues, and deduplications with a next job")
def _(world):
    for first, kind, rest in ((6002, "c", ("1",)), (7002, "f", ("boom", "[]", 1))):
        jobs = world.locked(64, first=first)
        relate(world, jobs)
        yield turn(world, [(job, token, kind, "", *rest) for job, token in jobs])


@case("turn", "damaged jobs: settled, due and waiting ones")
def _(world):
    jobs = world.locked(64, first=8002)
    relate(world, jobs)
    world.pipe([("HSET", P + job, "atm", "x") for job, _ in jobs])
    for state, first in (("wait", 5000), ("prioritized", 1)):
        for job in world.ids(state, 300, first=first):
            world.pipe([("HSET", P + job, "priority", "x")])
    due = world.redis.cmd("ZRANGE", P + "delayed", 0, 250)
    world.pipe([("HSET", P + job, "priority", "x") for job in due])
    waiting = world.redis.cmd("LRANGE", P + "wait", -300, -1)
    world.pipe([("HSET", P + job, "priority", "x") for job in waiting])
    yield turn(world, [(job, token, "c", "", "1") for job, token in jobs])


@case("turn", "fetches alone, and passes over what must run alone")
def _(world):
    waiting = world.redis.cmd("LRANGE", P + "wait", -300, -1)
    world.pipe([("HSET", P + job, "gbc", "2") for job in waiting])
    yield turn(world)
    world.pipe([("HDEL", P + job, "gbc") for job in waiting])
    yield turn(world, alone=1)


@case("renew", "the most, half of them without a lock")
def _(world):
    jobs = world.redis.cmd("LRANGE", P + "active", -1000, -1)
    yield [UUID, 30000, 60000, 1000, *(x for job in jobs for x in (job, f"{UUID}:1", 1)), "host", "h"]


@case("outcome", "the most, half of them without a lock")
def _(world):
    jobs = world.redis.cmd("LRANGE", P + "active", -64, -1)
    yield [UUID, 10 ** 9, 64, *(x for job in jobs for x in (job, f"{UUID}:1", 10 ** 6))]
    world.pipe([("DEL", f"{PRIVATE}turn:{UUID}")])


def walk(world, name, before, anchors_of, most=4):
    """A piece from the head, and some that go on."""
    reply = None
    for _ in range(most):
        reply = yield [*before, *(anchors_of(reply) if reply else [])]


@case("adopt", "pieces that adopt, and that give back")
def _(world):
    for want in (256, 0):
        for n in range(3):
            world.serial += 1
            anchors = world.redis.cmd("LRANGE", P + "active", 400 * n, 400 * n + 11) if n else []
            yield [NOW, UUID, 30000, want, 500, 10 ** 6 + world.serial, 0, *anchors]
    world.pipe([("DEL", f"{PRIVATE}turn:{UUID}")])


@case("recover", "pieces of a walk, counted and not")
def _(world):
    for death in ("", "2026-01-01T00:00:00Z killed", "2026-01-01T00:00:00Z killed", "2026-01-01T00:00:00Z killed"):
        anchors = world.redis.cmd("LRANGE", P + "active", 400, 411)
        yield [NOW, UUID, death, 1 if death else 3, 500, *anchors]
    world.pipe([("DEL", f"{PRIVATE}fence:{UUID}")])


@case("stalled", "suspects, and those that are marked")
def _(world):
    world.pipe([("DEL", P + "stalled-check")])
    yield [NOW, 30000, 0, "begin"]
    for from_ in ("suspects", "suspects", "0", "2000", str(JOBS)):
        yield [NOW, 30000, 0, from_]
    world.pipe([("DEL", P + "stalled")])
    yield [NOW, 30000, 0, "suspects"]


calls_of("fence", "a process", "somebody")
calls_of("leave", "a process", "wsks1")
calls_of("counts", "all states")


@case("workers", "pages of a large registry")
def _(world):
    for cursor in ("0", "1", "17"):
        yield [cursor, "host", "pid"]
    gone = world.redis.cmd("ZSCAN", PRIVATE + "workers", "0", "COUNT", "100")[1][::2]
    world.pipe([("DEL", f"{PRIVATE}worker:{uuid}") for uuid in gone])
    yield ["0", "host"]


# ---- looking ----

EVERYWHERE = ("wait", "paused", "active", "prioritized", "delayed", "waiting-children", "completed", "failed")


def of_each_state(world, *more):
    for state in EVERYWHERE:
        yield [f"{state[0]}{state[-1]}{JOBS // 2}", *more]
    yield ["nobody", *more]


def big_job(world):
    """A finished parent with as many children as there are jobs, and as many log rows."""
    key = P + "big"
    if not world.redis.cmd("EXISTS", key):
        world.pipe([("HSET", key, "name", "n", "data", "{}", "opts", "{}", "timestamp", "1", "delay", "0", "priority", "0"),
                    ("ZADD", P + "failed", "1", "big")])
        for command, part, value in (("HSET", "processed", "1"), ("HSET", "failed", "x"), ("SADD", "dependencies", None),
                                     ("ZADD", "unsuccessful", "1"), ("RPUSH", "logs", None)):
            world.redis.cmd("EVAL", """
                for n = 1, tonumber(ARGV[3]) do
                    local member = ARGV[4] .. 'child' .. n
                    if ARGV[1] == 'ZADD' then redis.call('ZADD', ARGV[2], n, member)
                    elseif ARGV[5] ~= '' then redis.call(ARGV[1], ARGV[2], member, ARGV[5])
                    else redis.call(ARGV[1], ARGV[2], member) end
                end""", 0, command, f"{key}:{part}", JOBS, P, value or "")
    return "big"


for script in ("view", "state", "finished"):
    case(script, "a job of each state")(of_each_state)


@case("dependencies", "pages of a parent of very many")
def _(world):
    big = big_job(world)
    for kind in ("processed", "unprocessed", "ignored", "failed"):
        for page in (20, 1000):
            yield [big, kind, "0", page]


@case("dependency_counts", "a parent of very many")
def _(world):
    yield [big_job(world)]


@case("children", "pages of a parent of very many")
def _(world):
    big = big_job(world)
    for kind in ("processed", "failed", "unsuccessful", "dependencies"):
        yield [P + big, kind, "0", 500]


@case("node", "a parent of very many")
def _(world):
    yield [big_job(world), 1000]


@case("logs", "rows of very many")
def _(world):
    for order in ("asc", "desc"):
        yield [big_job(world), 10, 1000, order]


@case("clear_logs", "a piece, and all")
def _(world):
    yield [big_job(world), 100, 1000]
    yield [big_job(world), 0, 1000]


calls_of("events", "the most", "0-0", 1000)
calls_of("metrics", "the most", "completed", 0, 1000)
calls_of("priorities", "a hundred", *range(100))


@case("range", "the most, whole jobs, in both orders")
def _(world):
    for state in ("waiting", "paused", "active", "prioritized", "delayed", "waiting-children", "completed", "failed"):
        for order in ("asc", "desc"):
            yield [state, 500, 1000, order, "all"]
        yield [state, JOBS - 10, 1000, "asc", "some", "name", "data"]


# ---- changing one ----

calls_of("log", "a row", "cd1", "row", 10)
calls_of("progress", "a job", "cd1", "1")
calls_of("data", "a job", "cd1", "{}")
calls_of("settings", "set", "set", "max", "1", "duration", "1")
calls_of("settings", "removed", "remove", "max", "duration")
calls_of("apply_concurrency", "set", 1000000)
calls_of("apply_concurrency", "taken back", 0)
calls_of("rate_limit", "begin", "begin", 1000)
calls_of("rate_limit", "ttl", "ttl", 0)
calls_of("rate_limit", "end", "end")


@case("undedup", "by id and by job")
def _(world):
    world.pipe([("SET", P + "de:x", "cd1"), ("HSET", P + "cd1", "deid", "x")])
    yield ["", "cd1"]
    yield ["x", ""]


@case("pause", "pieces")
def _(world):
    for _ in range(3):
        yield [1000]


@case("resume", "pieces")
def _(world):
    for _ in range(3):
        yield [1000]


@case("pause", "of a paused queue")
def _(world):
    world.pipe([("HSET", P + "meta", "paused", "1")])
    yield [1000]
    world.pipe([("HDEL", P + "meta", "paused")])


@case("priority", "of a job in each state")
def _(world):
    for state in EVERYWHERE:
        for front in (0, 1):
            for priority in (0, 7):
                yield [f"{state[0]}{state[-1]}{JOBS // 2 + 10}", priority, front]


@case("delay", "of a delayed job")
def _(world):
    yield [NOW, f"dd{JOBS - 5}", 5000]


@case("detach", "the last child of a parent")
def _(world):
    job = f"wt{JOBS // 2}"
    world.pipe([("HSET", P + job, "parentKey", P + "wn7", "parent", json.dumps({"id": "wn7", "queueKey": f"{PREFIX}:{QUEUE}"})),
                ("DEL", P + "wn7:dependencies"), ("SADD", P + "wn7:dependencies", P + job)])
    yield [NOW, job]


def with_parents(world, ids, letter):
    world.pipe([command for n, job in enumerate(ids) for command in (
        ("HSET", P + job, "parentKey", f"{PREFIX}:{letter}{n}:p", "deid", job), ("SET", f"{P}de:{job}", job), ("HSET", f"{P}dn:{job}", "name", "n"),
        ("HSET", f"{PREFIX}:{letter}{n}:p", "name", "n", "priority", "1"), ("ZADD", f"{PREFIX}:{letter}{n}:waiting-children", "1", "p"),
        ("SADD", f"{PREFIX}:{letter}{n}:p:dependencies", P + job))])


@case("promote", "named ones, and a page")
def _(world):
    yield [NOW, 500, 0, 0, *world.ids("delayed", 500, first=JOBS // 2)]
    yield [NOW, 0, 0, 500]
    yield [NOW, 0, 1000, 500]


@case("retry", "named ones, and a page; children of parents in as many queues")
def _(world):
    for state in ("failed", "completed"):
        ids = world.ids(state, 500, first=JOBS // 2)
        with_parents(world, ids, f"r{state[0]}")
        yield [NOW, state, 1, 1, 500, 0, 0, NOW, *ids]
        yield [NOW, state, 0, 0, 0, 0, 500, NOW]


@case("remove", "the most, children of parents in as many queues")
def _(world):
    for state in ("wait", "active", "delayed", "completed", "waiting-children"):
        ids = world.ids(state, 201, first=JOBS // 3 + 1)
        ids = ids[::2] if state == "active" else ids[:100]
        with_parents(world, ids, f"m{state[0]}{state[-1]}")
        yield [NOW, "look", 0, 100, "", *(P + job for job in ids)]
        yield [NOW, "remove", 0, 100, "", *(P + job for job in ids[:100])]


@case("remove", "trees, whole and too large")
def _(world):
    commands = []
    for n in range(199):
        commands += [("HSET", f"{P}tree{n}", "name", "n", "parentKey", P + "top", "priority", "0"), ("LPUSH", P + "wait", f"tree{n}"),
                     ("SADD", P + "top:dependencies", f"{P}tree{n}")]
    world.pipe([*commands, ("HSET", P + "top", "name", "n"), ("ZADD", P + "waiting-children", "1", "top")])
    yield [NOW, "look", 1, 200, "", P + "top"]
    yield [NOW, "remove", 1, 200, "", P + "top"]
    yield [NOW, "remove", 1, 200, "", P + big_job(world)]


# ---- many ----

@case("sweep", "pieces of each state; children of parents in as many queues")
def _(world):
    for state in ("wait", "paused", "active", "delayed", "prioritized", "completed", "failed"):
        first = (world.redis.cmd("LRANGE", P + state, -500, -1) if state in ("wait", "paused", "active")
                 else world.redis.cmd("ZRANGE", P + state, 0, 499))
        with_parents(world, first, f"s{state[0]}{state[-1]}")
        yield [NOW, state, "", 0, 500, 500]
        yield [NOW, state, NOW, 0, 500, 500]
        yield [NOW, state, 1, 0, 500, 500]


# ---- job schedulers ----

def scheduler(name, *, every="", due="", pattern="", data="{}", opts="{}"):
    return [NOW, name, every, pattern, due, "n", data, opts, "UTC" if pattern else "", "", "", "", ""]


def iteration(world, name, due, place, **fields):
    """The pending job of a scheduler, in that list or set."""
    job = f"repeat:{name}:{due}"
    hash_fields = {"name": "n", "data": "{}", "opts": '{"repeat":{"every":1000,"count":1}}', "rjk": name, **fields}
    world.pipe([("ZADD", P + "repeat", due, name), ("HSET", f"{P}repeat:{name}", "name", "n", "every", "1000", "ic", "1"),
                ("HSET", P + job, *[word for pair in hash_fields.items() for word in pair]),
                ("RPUSH", P + place, job) if place in ("wait", "paused", "active") else ("ZADD", P + place, "1", job)])
    return job


@case("upsert", "in each place, with a deduplication and a parent; taken slots")
def _(world):
    for place in ("wait", "paused", "delayed", "prioritized", "active"):
        name = f"up-{place}"
        job = iteration(world, name, NOW, place, deid=name, parentKey=f"{PREFIX}:{place}:parent")
        world.pipe([("SET", f"{P}de:{name}", job), ("SADD", f"{PREFIX}:{place}:parent:dependencies", P + job),
                    ("HSET", f"{PREFIX}:{place}:parent", "name", "n"), ("ZADD", f"{PREFIX}:{place}:waiting-children", "1", "parent")])
        yield scheduler(name, every=1000, data='{"a":1}', opts='{"priority":3}')
        yield scheduler(name, due=NOW + 5000, pattern="* * * * *")
    world.pipe([("HSET", f"{P}repeat:up-new:{NOW + 1000 * n}", "name", "n") for n in range(32)])
    yield scheduler("up-new", every=1000, opts='{"delay":1,"lifo":true}')
    world.pipe([("HSET", f"{P}repeat:up-full:{NOW + 1000 * n}", "name", "n") for n in range(33)])
    yield scheduler("up-full", every=1000)


@case("iterate", "a next one, taken slots, a second time, and none")
def _(world):
    for n, opts in enumerate(('{"repeat":{"every":1000,"count":1},"priority":2}', "{damaged")):
        job = iteration(world, f"it{n}", NOW, "active", opts=opts, data='{"a":1}')
        world.pipe([("HSET", f"{P}repeat:it{n}:{NOW + 1000 * taken}", "name", "n") for taken in range(1, 32)])
        yield [NOW, job, f"it{n}", ""]
        yield [NOW, job, f"it{n}", ""]
    yield [NOW, "repeat:none:1", "none", ""]


@case("unschedule", "with its delayed job, and one that is not there")
def _(world):
    iteration(world, "gone", NOW, "delayed")
    yield [NOW, "gone"]
    yield [NOW, "gone"]


@case("schedulers", "pages of very many in both orders, and one")
def _(world):
    for ascending in (0, 1):
        yield ["", 0, 200, ascending]
        yield ["", JOBS - 200, 200, ascending]
    yield ["rt1", 0, 1, 1]


@case("orphan_lists", "a piece of each list")
def _(world):
    for name in ("wait", "paused", "active"):
        yield ["", name, 5000, 1000]


@case("orphan_scan", "pieces")
def _(world):
    for cursor in ("0", "5", "77"):
        yield ["", cursor, 1000, NOW]


@case("orphan_settle", "ids that are nowhere, and those that are somewhere")
def _(world):
    ids = [f"lost{n}" for n in range(50)]
    world.pipe([("HSET", P + job, "name", "n", "data", "{}", "opts", "{}", "timestamp", "1", "priority", "0") for job in ids])
    yield [NOW, "report", 0, *ids]
    yield [NOW, "repair", 0, *ids]
    yield [NOW, "repair", 0, *ids]
    yield [NOW, "report", 0, *world.ids("active", 50, first=JOBS // 2)]


@case("obliterate", "a piece")
def _(world):
    world.pipe([("HSET", P + "meta", "paused", "1")])
    for _ in range(3):
        yield [NOW, 1, 500, 1]
    for state in ("active", "wait", "paused", "delayed", "prioritized", "completed", "failed", "waiting-children"):
        world.pipe([("UNLINK", P + state)])
        yield [NOW, 1, 500, 0]
    yield [NOW, 1, 500, 1]


@case("litter", "a piece")
def _(world):
    yield ["0", 1000]


@case("trim_events", "to few, and to none")
def _(world):
    for keep in (JOBS // 2, 0):
        yield [keep]


LAST = ("litter", "obliterate")  # they leave no queue behind


class Bounds(rig.Case):
    def test_every_script_keeps_the_bounds_that_it_states(self):
        names = script_bounds.names()
        self.assertEqual(sorted(set(names) - set(CASES)), [], "scripts without a case in this file")
        self.assertEqual(sorted(set(CASES) - set(names)), [], "cases of scripts that are not there")
        redis = self.redis(options=["--slowlog-log-slower-than", "10000", "--slowlog-max-len", "1000"]).client(timeout=600.0)
        world = World(redis, JOBS)
        redis.cmd("SLOWLOG", "RESET")
        problems, slow = [], {}
        for name in [n for n in names if n not in LAST] + [n for n in LAST[::-1] if n in names]:
            for what, function in CASES[name]:
                for given in function(world):
                    argv, keys = given if isinstance(given, tuple) else (given, None)
                    measured, answer = world.run(name, argv, keys)
                    if isinstance(answer, Exception):
                        problems.append(f"{name}, {what}: {answer}")
                    problems += [f"{name}, {what}: {problem}" for problem in measured.problems()]
                    if SHOW:
                        print(measured, what, file=sys.stderr)
                for entry in redis.cmd("SLOWLOG", "GET", "1000"):
                    if entry[3][0] == "EVAL" and len(entry[3]) > 3:
                        slow[name, what] = max(slow.get((name, what), 0), entry[2])
                redis.cmd("SLOWLOG", "RESET")
        if SHOW:
            for (name, what), microseconds in sorted(slow.items(), key=lambda row: -row[1]):
                print(f"slow: {name}, {what}: {microseconds / 1000:.1f} ms", file=sys.stderr)
        self.assertEqual(problems, [])


if __name__ == "__main__":
    unittest.main()
