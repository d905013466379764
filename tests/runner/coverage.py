"""coverage.py - line and branch coverage of the product's own folders, by gcovr."""

import glob
import os

from runner import process
from runner.tally import Tally

FOLDERS = ["common", "supervisor", "workers"]
LEAST_LINES_PERCENT = 80


def forget(build):
    """Removes the counts of earlier runs."""
    for path in glob.glob(os.path.join(build, "**", "*.gcda"), recursive=True):
        os.unlink(path)


def report(root, build, log):
    argv = ["gcovr", "--root", root, "--object-directory", build, "--fail-under-line", str(LEAST_LINES_PERCENT),
            "--exclude-unreachable-branches", "--exclude-throw-branches", "--print-summary",
            "--gcov-ignore-parse-errors", build]
    for folder in FOLDERS:
        argv += ["--filter", f"{folder}/"]
    code, out, err = process.capture(argv, cwd=root)
    with open(log, "w") as file:
        file.write(out + err)
    print(out, flush=True)
    if code == 0:
        return Tally(passed=1)
    return Tally(failed=[(f"at least {LEAST_LINES_PERCENT} % of lines", err.strip()[-1000:])])
