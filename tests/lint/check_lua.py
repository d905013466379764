"""Lua scripts, put together as Redis gets them, parse as Lua 5.1, write no global and read none that Redis lacks."""

import glob
import os
import re
import sys
import tempfile

import lintlib

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(lintlib.ROOT, "common", "queue", "lua"))
import embed  # noqa: E402

# What Redis 7 gives a script.
GIVEN = {"redis", "KEYS", "ARGV", "cjson", "cmsgpack", "bit", "struct", "math", "string", "table", "assert", "error",
         "pcall", "xpcall", "ipairs", "pairs", "next", "select", "tonumber", "tostring", "type", "unpack", "rawget",
         "rawset", "rawequal", "setmetatable", "getmetatable", "collectgarbage"}


def main():
    problems = []
    for path in lintlib.files(".lua"):
        if not lintlib.lines(path)[0][1].startswith("--"):
            problems.append(f"{path}:1: no comment says what it does, its KEYS and ARGV")
    for path in sorted(glob.glob("common/queue/lua/*.lua")):
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as whole:
            whole.write(embed.resolve(path, {os.path.normpath(path)}))
            whole.flush()
            code, listing = lintlib.run(["luac5.1", "-l", "-p", whole.name])
        if code:
            problems.append(f"{path}: with its includes: {listing.strip()}")
            continue
        for found in re.finditer(r"\[(\d+)\]\s+(SETGLOBAL|GETGLOBAL)\s+\S+ \S+\s*; (\w+)", listing):
            where = f"{path}: line {found[1]} with its includes:"
            if found[2] == "SETGLOBAL":
                problems.append(f"{where} writes the global {found[3]}; make it local")
            elif found[3] not in GIVEN:
                problems.append(f"{where} reads {found[3]}, which nobody has set")
    return problems


lintlib.finish(main())
