"""lintlib.py - what the lint checks share: which files there are, and how a check ends.

A check is a program check_<name>.py: it prints file:line: text for each finding and ends with 1 when there is any.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
SKIPPED_FOLDERS = {".git", "build", "node_modules", "__pycache__", ".cache"}
os.chdir(ROOT)


def files(*endings):
    """Paths of the tree that end so, sorted; what git ignores is left out by folder name, as git may be missing."""
    found = []
    for folder, folders, names in os.walk("."):
        folders[:] = [name for name in folders if name not in SKIPPED_FOLDERS and not name.startswith("build-")]
        found += [os.path.relpath(os.path.join(folder, name)) for name in names if name.endswith(tuple(endings))]
    return sorted(found)


def product_sources():
    """The C files that ship; tests use Criterion's macros, which trip the analysers at every assertion."""
    return [path for path in files(".c") if path.startswith(("common/", "supervisor/", "workers/"))]


def lines(path):
    """(number, text) of each line."""
    with open(path, errors="surrogateescape") as file:
        return list(enumerate(file.read().split("\n"), 1))


def run(argv, **options):
    """Output and code of a tool."""
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, **options)
    return done.returncode, done.stdout + done.stderr


def run_each(argv_of, paths):
    """Runs a tool per path, a few at a time; gives (path, code, output) in the order of the paths."""
    with ThreadPoolExecutor(max(1, os.cpu_count() or 1)) as pool:
        return [(path, *result) for path, result in zip(paths, pool.map(lambda path: run(argv_of(path)), paths))]


def finish(problems):
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)
