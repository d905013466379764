"""bounds_world.py - a queue with very many jobs in every state, made quickly, and calls of scripts on it that are counted."""

import script_bounds

PREFIX, QUEUE = "bull", "b"
P = f"{PREFIX}:{QUEUE}:"
PRIVATE = f"drover:{{{PREFIX}:{QUEUE}}}:"
KEYS = [P + name for name in (
    "wait", "paused", "active", "prioritized", "delayed", "waiting-children", "completed", "failed", "marker", "id", "pc", "meta",
    "events", "stalled", "stalled-check", "limiter")]
NOW = 1700000000000
UUID = "00000000-0000-4000-8000-00000000000a"

# ARGV: prefix, private prefix, state, first, last, now. Ids are "<letter><n>".
FILL = """
local P, private, state, now = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[6])
local letter = string.sub(state, 1, 1) .. string.sub(state, -1)
for n = tonumber(ARGV[4]), tonumber(ARGV[5]) do
    local id = letter .. n
    local priority = state == 'prioritized' and n % 5 + 1 or 0
    if state == 'workers' then
        redis.call('HSET', private .. 'worker:' .. id, 'beat_at_ms', '1', 'host', 'h')
        redis.call('ZADD', private .. 'workers', n, id)
        redis.call('ZADD', private .. 'live', n, id)
    elseif state == 'repeat' then
        redis.call('HSET', P .. 'repeat:' .. id, 'name', 'n', 'every', '1000', 'ic', '1')
        redis.call('ZADD', P .. 'repeat', now + n, id)
    elseif state == 'events' then
        redis.call('XADD', P .. 'events', '*', 'event', 'waiting', 'jobId', id)
    else
        redis.call('HSET', P .. id, 'name', 'n', 'data', '{}', 'opts', '{}', 'timestamp', now - n, 'delay', '0', 'priority', priority)
        if state == 'wait' or state == 'paused' or state == 'active' then
            redis.call('LPUSH', P .. state, id)
        elseif state == 'prioritized' then
            redis.call('ZADD', P .. state, string.format('%.0f', priority * 4294967296 + n), id)
        elseif state == 'delayed' then
            redis.call('ZADD', P .. state, string.format('%.0f', (now - 50000 + n) * 4096), id)
        else
            redis.call('ZADD', P .. state, string.format('%.0f', now - n), id)
        end
        if state == 'active' then
            redis.call('HSET', P .. id, 'ats', '1', 'processedOn', '1')
            redis.call('SADD', P .. 'stalled', id)
            if n % 2 == 0 then
                redis.call('SET', P .. id .. ':lock', ARGV[7] .. ':1')
            end
        elseif state == 'waiting-children' then
            redis.call('SADD', P .. id .. ':dependencies', P .. 'child' .. n)
        elseif state == 'completed' or state == 'failed' then
            redis.call('HSET', P .. id, 'ats', '1', 'atm', '1', 'finishedOn', now - n,
                state == 'failed' and 'failedReason' or 'returnvalue', state == 'failed' and 'boom' or '1')
        end
    end
end
"""
STATES = ("wait", "paused", "active", "prioritized", "delayed", "waiting-children", "completed", "failed", "workers", "repeat", "events")


def letter_of(state):
    return state[0] + state[-1]


class World:
    def __init__(self, redis, jobs):
        self.redis, self.jobs, self.serial = redis, jobs, 0
        self.fill_all()

    def fill_all(self):
        piece = 10000
        self.redis.cmd("FLUSHALL")
        self.redis.cmd("HSET", P + "meta", "opts.maxLenEvents", "1000")
        for state in STATES:
            for first in range(1, self.jobs + 1, piece):
                self.redis.cmd("EVAL", FILL, 0, P, PRIVATE, state, first, min(first + piece - 1, self.jobs), NOW, UUID)

    def ids(self, state, count, first=1):
        """Ids of that state; those of `active` from the oldest on."""
        return [f"{letter_of(state)}{n}" for n in range(first, first + count)]

    def locked(self, count, first=2):
        """Active jobs that have a lock of UUID: (id, token)."""
        return [(f"{letter_of('active')}{n}", f"{UUID}:1") for n in range(first, first + 2 * count, 2)]

    def pipe(self, commands):
        for reply in self.redis.pipe(commands):
            if isinstance(reply, Exception):
                raise reply

    def run(self, name, argv, keys=None):
        """Runs a script, counting. Returns (measured, its own answer)."""
        keys = KEYS if keys is None else keys
        argv = [P, PRIVATE, *map(str, argv)]
        self.redis.cmd("CONFIG", "RESETSTAT")
        reply = self.redis.cmd("EVAL", script_bounds.instrument(script_bounds.text(name)), len(keys), *keys, *argv)
        calls, extra, most, worst, linear, answer = reply
        seen = self._calls_that_redis_counted()
        if seen != calls + extra:
            raise AssertionError(f"{name}: {calls} calls were counted, Redis has seen {seen - extra}")
        return Measured(name, argv, calls, most, worst, set(linear)), answer

    def _calls_that_redis_counted(self):
        total = 0
        for line in self.redis.cmd("INFO", "commandstats").split("\r\n"):
            name, _, rest = line.partition(":")
            if name.startswith("cmdstat_") and name.split("|")[0] not in ("cmdstat_eval", "cmdstat_config", "cmdstat_info"):
                total += int(rest.split(",")[0].split("=")[1])
                total += int(dict(part.split("=") for part in rest.split(",")).get("rejected_calls", 0))
        return total


class Measured:
    def __init__(self, name, argv, calls, most, worst, linear):
        self.name, self.calls, self.most, self.worst, self.linear = name, calls, most, worst, linear
        bounds = script_bounds.Bounds(name)
        self.calls_max, self.most_max = bounds.calls.value(argv), bounds.elements.value(argv)
        self.linear_stated = bounds.linear

    def problems(self):
        found = []
        if self.calls > self.calls_max:
            found.append(f"{self.calls} calls, stated {self.calls_max}")
        if self.most > self.most_max:
            found.append(f"{self.worst} touches {self.most}, stated {self.most_max}")
        if self.linear - self.linear_stated:
            found.append(f"not stated as linear: {', '.join(sorted(self.linear - self.linear_stated))}")
        return found

    def __str__(self):
        return (f"{self.name:<14} calls {self.calls:>6} of {self.calls_max:<7} elements {self.most:>6} of {self.most_max:<6} "
                f"({self.worst.split(':')[-1]}) {' '.join(sorted(self.linear))}")
