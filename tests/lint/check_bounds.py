"""Every Lua script states in its head how much work one run of it is (tests/support/script_bounds.py says how)."""

import os
import sys

import lintlib

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(lintlib.ROOT, "tests", "support"))
import script_bounds  # noqa: E402


def main():
    problems = []
    for name in script_bounds.names():
        try:
            script_bounds.Bounds(name)
        except script_bounds.BadBounds as problem:
            problems.append(f"common/queue/lua/{name}.lua:1: {problem}")
    return problems


lintlib.finish(main())
