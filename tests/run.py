"""run.py [LAYER…] [--coverage] - runs layers of drover's tests; called by ./dev test.

Prints a line per layer with its time and its budget, the details of what failed, and closes with the sum. A skipped
test names its reason and counts as a failure when CI is set. A layer that takes more than half as long again as its
budget fails, and so does one that leaves a process behind.
"""

import difflib
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

from runner import builds, layers, process  # noqa: E402
from runner.tally import Tally  # noqa: E402

# name, function, budget in seconds on two cores
LAYERS = [
    ("build", layers.build, 3 * 60),
    ("unit", layers.unit, 3 * 60),
    ("lua", layers.lua, 2 * 60),
    ("integration", layers.integration, 4 * 60),
    ("interop", layers.interop, 5 * 60),
    ("pages", layers.pages, 2 * 60),
    ("systemd", layers.systemd, 4 * 60),
    ("package", layers.package, 4 * 60),
    ("chaos", layers.chaos, 8 * 60),
    ("fuzz", layers.fuzz, 3 * 60),
    ("lint", layers.lint, 6 * 60),
    ("sanitize", layers.sanitize, 8 * 60),
]
COVERAGE = ("coverage", layers.covered, 14 * 60)
OVER_BUDGET = 1.5
EXIT_USAGE = 64
IN_CI = bool(os.environ.get("CI"))


def main(argv):
    chosen = choose(argv)
    process.become_subreaper()
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupted)
    total = Tally()
    for name, function, budget_s in chosen:
        total.add(run_layer(name, function, budget_s))
    failed = len(total.failed) + (len(total.skipped) if IN_CI else 0)
    print(f"\n{total.passed} passed, {len(total.failed)} failed, {len(total.skipped)} skipped", flush=True)
    return 1 if failed else 0


def interrupted(number, _frame):
    """Nothing that the tests have started outlives the runner."""
    process.end_everything()
    print(f"\ntest: interrupted by {signal.Signals(number).name}", file=sys.stderr, flush=True)
    os._exit(128 + number)


def choose(argv):
    known = {row[0]: row for row in LAYERS + [COVERAGE]}
    names = [word for word in argv if word != "--coverage"]
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known) or list(known)
            print(f"test: there is no layer \"{name}\"; did you mean: {' '.join(close)}?", file=sys.stderr)
            sys.exit(EXIT_USAGE)
    if "--coverage" in argv and not names:
        return [COVERAGE]
    chosen = [row for row in LAYERS if not names or row[0] in names]
    if "--coverage" in argv or "coverage" in names:
        chosen.append(COVERAGE)
    return chosen


def run_layer(name, function, budget_s):
    begin = time.monotonic()
    limit_s = budget_s * OVER_BUDGET
    try:
        tally = function(layers.Context(layer=name, limit_s=limit_s))
    except builds.BuildFailed as failure:
        tally = Tally(failed=[(f"{name}: the build it needs", str(failure))])
    for line in process.survivors():
        tally.fail(f"{name}: left a process behind", line)
    seconds = time.monotonic() - begin
    if seconds > limit_s:
        tally.fail(f"{name}: budget", f"took {seconds:.0f} s, half as long again as its {budget_s} s and more")
    if not (tally.passed or tally.failed or tally.skipped):
        tally.fail(name, "there is not a single test in this layer")
    show(name, tally, seconds, budget_s)
    return tally


def show(name, tally, seconds, budget_s):
    print(f"{name:<12}{tally.passed:>6} passed {len(tally.failed):>4} failed {len(tally.skipped):>4} skipped"
          f"{seconds:>8.1f} s of {budget_s} s", flush=True)
    for note in tally.notes:
        print(f"  {note}", flush=True)
    for title, reason in tally.skipped:
        print(f"  skipped{', which CI does not accept' if IN_CI else ''}: {title}: {reason}", flush=True)
    for title, text in tally.failed:
        print(f"  FAILED: {title}", flush=True)
        for line in text.rstrip().splitlines():
            print(f"    {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
