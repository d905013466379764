"""script_bounds.py - what a Lua script states as its most work, and how much work a call of it really did.

Each script of common/queue/lua says in its head, one line each:

    -- Calls   20 + 9 * jobs; jobs = ARGV[3]
    -- Elements 500 + 8 * jobs; jobs = ARGV[3]
    -- Linear  LPOS active, LREM active

Calls     most redis.call and redis.pcall of one run of the script, in the worst case.
Elements  most values that one of them is given (behind its key), gets, or frees: what Redis touches at once. Up to 40, as
          the fields of one job, count as 1, and so does an approximate XTRIM (at most 100 nodes of the stream).
Linear    list commands that look through a whole list however long it is, because BullMQ's layout has no index there; no
          line: none. Only LREM, LPOS (without MAXLEN) and LINSERT may stand here, each with the last part of its key.

An expression has numbers, names, + - * ( ). The names follow a semicolon, separated by commas: ARGV[i] (a number of
this call), a number, or a constant in capitals that the script or one of its fragments sets (`local PIECE = 500`).

Measured is by `instrument`: the script's own text with a `redis` that counts. Redis' own figures (INFO commandstats) must
agree with it.
"""

import ast
import os
import re
import sys

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
LUA = os.path.join(ROOT, "common", "queue", "lua")
sys.path.insert(0, LUA)
import embed  # noqa: E402

LINE = re.compile(r"^--\s+(Calls|Elements|Linear)\s+(.*)$")
CONSTANTS = re.compile(r"^\s*local\s+([A-Z][A-Z0-9_]*(?:\s*,\s*[A-Z][A-Z0-9_]*)*)\s*=\s*([^\n]*?)\s*(?:--.*)?$", re.M)
LINEAR = {"LREM", "LPOS", "LINSERT"}
OPERATORS = {ast.Add: lambda a, b: a + b, ast.Sub: lambda a, b: a - b, ast.Mult: lambda a, b: a * b}


class BadBounds(Exception):
    pass


def names():
    """The scripts, without `.lua`."""
    return sorted(name[:-4] for name in os.listdir(LUA) if name.endswith(".lua"))


def source(name):
    """The script with its fragments, comments and all."""
    path = os.path.join(LUA, f"{name}.lua")
    return embed.resolve(path, {os.path.normpath(path)})


def text(name):
    """The script as Redis gets it."""
    return embed.strip(source(name), name)


def constants(whole):
    """Numbers that capitals name in a script."""
    found = {}
    for match in CONSTANTS.finditer(whole):
        values = [value.strip().strip("'\"") for value in match[2].split(",")]
        for name, value in zip(re.split(r"\s*,\s*", match[1]), values):
            if re.fullmatch(r"\d+", value):
                found[name] = int(value)
    return found


class Expression:
    """One stated bound."""

    def __init__(self, stated, known):
        formula, _, rest = stated.partition(";")
        self.given = {}
        for part in filter(None, (part.strip() for part in rest.split(","))):
            match = re.fullmatch(r"(\w+)\s*=\s*(?:(\d+)|ARGV\[(\d+)\]|([A-Z][A-Z0-9_]*))", part)
            if not match:
                raise BadBounds(f"'{part}' is not name = number, ARGV[i] or a constant")
            if match[4] and match[4] not in known:
                raise BadBounds(f"the script sets no number {match[4]}")
            self.given[match[1]] = int(match[2]) if match[2] else ("ARGV", int(match[3])) if match[3] else known[match[4]]
        try:
            self.tree = ast.parse(formula.strip(), mode="eval").body
        except SyntaxError:
            raise BadBounds(f"'{formula.strip()}' is not an expression") from None
        unused = set(self.given) - {node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name)}
        if unused:
            raise BadBounds(f"{', '.join(sorted(unused))} is given and not used")
        self.value([10**6] * 32)

    def value(self, argv):
        """For a call with these arguments (ARGV[1] is the first)."""
        return self._of(self.tree, argv)

    def _of(self, node, argv):
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            return OPERATORS[type(node.op)](self._of(node.left, argv), self._of(node.right, argv))
        if isinstance(node, ast.Constant) and type(node.value) is int:
            return node.value
        if isinstance(node, ast.Name) and node.id in self.given:
            given = self.given[node.id]
            return int(argv[given[1] - 1]) if isinstance(given, tuple) else given
        raise BadBounds("an expression has numbers, names that are given, + - * ( )")


class Bounds:
    """What the head of a script states."""

    def __init__(self, name, whole=None):
        whole = source(name) if whole is None else whole
        head = {}
        for line in whole.split("\n"):
            if not line.startswith("--") or line.startswith("---"):
                break
            match = LINE.match(line)
            if match and match[1] in head:
                raise BadBounds(f"two lines say {match[1]}")
            if match:
                head[match[1]] = match[2].strip()
        known = constants(whole)
        for wanted in ("Calls", "Elements"):
            if wanted not in head:
                raise BadBounds(f"the head has no line '-- {wanted} …'")
        self.calls = Expression(head["Calls"], known)
        self.elements = Expression(head["Elements"], known)
        self.linear = set()
        for part in filter(None, (part.strip() for part in head.get("Linear", "").split(","))):
            command, _, key = part.partition(" ")
            if command not in LINEAR or not re.fullmatch(r"[a-z-]+", key.strip()):
                raise BadBounds(f"'{part}' is not {', '.join(sorted(LINEAR))} and the last part of a key")
            self.linear.add(f"{command} {key.strip()}")


# A `redis` that counts. What is freed is asked before (`extra` counts that). An approximate XTRIM frees at most 100
# nodes of the stream, and counts as 1; UNLINK, EXPIRE and the like leave what is freed to another thread.
COUNTING = """
local counted = { calls = 0, extra = 0, most = 0, worst = '', linear = {} }
local redis = (function(real)
    local CARD = { hash = 'HLEN', list = 'LLEN', set = 'SCARD', zset = 'ZCARD', stream = 'XLEN' }
    local function freed(...)
        local sum = 0
        for at = 1, select('#', ...) do
            local key = select(at, ...)
            counted.extra = counted.extra + 1
            local card = CARD[real.call('TYPE', key).ok]
            if card then
                counted.extra = counted.extra + 1
                local size = real.call(card, key)
                sum = sum + (size > 40 and size or 1)
            else
                sum = sum + 1
            end
        end
        return sum
    end
    local function size(reply)
        if type(reply) ~= 'table' then
            return 1
        end
        local sum = #reply
        for _, part in ipairs(reply) do
            if type(part) == 'table' then
                sum = sum + #part
            end
        end
        return sum
    end
    -- An LPOS that says how far it looks.
    local function looked_at(...)
        for at = 3, select('#', ...) - 1 do
            if string.upper((select(at, ...))) == 'MAXLEN' then
                return tonumber((select(at + 1, ...)))
            end
        end
    end
    local function counting(run)
        return function(command, ...)
            local name = string.upper(command)
            for at = 1, select('#', ...) do
                local kind = type((select(at, ...)))
                assert(kind == 'string' or kind == 'number', name .. ': argument ' .. at .. ' is a ' .. kind)
            end
            local touched = select('#', ...) - 1
            if name == 'DEL' then
                touched = math.max(touched, freed(...))
            end
            counted.calls = counted.calls + 1
            local looks_at = name == 'LPOS' and looked_at(...)
            if looks_at then
                touched = math.min(looks_at, real.call('LLEN', (...)))
                counted.extra = counted.extra + 1
            elseif name == 'LREM' or name == 'LPOS' or name == 'LINSERT' then
                counted.linear[name .. ' ' .. string.match((...), '[^:]*$')] = true
            end
            local reply = run(command, ...)
            touched = math.max(touched, size(reply))
            touched = touched > 40 and touched or 1
            if touched > counted.most then
                counted.most, counted.worst = touched, name .. ' ' .. tostring((...))
            end
            return reply
        end
    end
    return setmetatable({ call = counting(real.call), pcall = counting(real.pcall) }, { __index = real })
end)(redis)
local function script()
"""
REPORT = """
end
local result = script()
local linear = {}
for what in pairs(counted.linear) do
    linear[#linear + 1] = what
end
return { counted.calls, counted.extra, counted.most, counted.worst, linear, result }
"""


def instrument(script_text):
    """The text that does the same, and answers: calls, calls of the counting itself, most elements, of which command,
    linear commands, and the script's own answer."""
    return COUNTING + script_text + REPORT
