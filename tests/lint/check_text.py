"""The tree's text: no marks of unfinished work, no paths or addresses of one machine, no file of two ideas."""

import re

import lintlib

SOURCES = (".c", ".h", ".lua", ".py", ".mjs", ".js", ".sh", ".build", ".txt", ".yaml", ".service", ".md", ".json")
# Files that are wrong on purpose.
TEST_DATA = ("tests/unit/config/broken/", "tests/fuzz/corpus/")
LONGEST = 700
# Spelt so that this file does not find itself.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK|not imple" r"mented|unimple" r"mented)\b")
MACHINE = re.compile(r'(^|[^A-Za-z0-9_.~/-])/(wo' r'rk|fa' r'rm)/|/var/tmp/bui' r'ld-')
ADDRESS = re.compile(r'"resol' r'ved":\s*"http')


def look_at(path):
    rows = lintlib.lines(path)
    for number, line in rows:
        if UNFINISHED.search(line):
            yield f"{path}:{number}: mark of unfinished work: {line.strip()[:100]}"
        if MACHINE.search(line):
            yield f"{path}:{number}: path of one machine: {line.strip()[:100]}"
        if ADDRESS.search(line):
            yield f"{path}:{number}: download address in a lock file"
        if line != line.rstrip() and not path.endswith(".md"):
            yield f"{path}:{number}: blanks at the end of the line"
    if path.endswith((".c", ".h", ".lua", ".py")) and len(rows) - 1 > LONGEST:
        print(f"note: {path} has {len(rows) - 1} lines, more than {LONGEST}: is it still one idea?")
    if rows[-1][1] != "":
        yield f"{path}:{len(rows)}: no newline at the end"


def main():
    paths = [path for path in lintlib.files(*SOURCES) if not path.startswith(TEST_DATA)] + ["dev", ".ci/run"]
    return [problem for path in paths for problem in look_at(path)]


lintlib.finish(main())
