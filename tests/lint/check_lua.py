"""Lua scripts parse as Redis' Lua 5.1 does, have a head comment, and write no global variable."""

import re

import lintlib

problems = []
for path in lintlib.files(".lua"):
    code, output = lintlib.run(["luac5.1", "-p", path])
    if code:
        problems.append(output.strip())
        continue
    if not lintlib.lines(path)[0][1].startswith("--"):
        problems.append(f"{path}:1: no comment says what the script does, its KEYS and ARGV")
    # luac lists the byte code; SETGLOBAL is an assignment that Redis refuses at run time.
    _, listing = lintlib.run(["luac5.1", "-l", "-p", path])
    for found in re.finditer(r"\[(\d+)\]\s+SETGLOBAL\s+\S+ \S+\s*; (\w+)", listing):
        problems.append(f"{path}:{found[1]}: writes the global {found[2]}; make it local")
lintlib.finish(problems)
