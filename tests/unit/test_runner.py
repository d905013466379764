"""What tests/run.py makes of its test programs: a wrong count there would hide every other failure."""

import os
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "tests"))

from runner import process, tally  # noqa: E402

CRITERION = """<?xml version="1.0"?>
<testsuites name="Criterion Tests" tests="4" failures="2" errors="1" disabled="1">
  <testsuite name="a" tests="4">
    <testcase name="good" status="PASSED" time="0.0"></testcase>
    <testcase name="bad" status="FAILED"><failure type="assert" message="1 assertion(s) failed."><![CDATA[x.c:3: no]]>
    </failure></testcase>
    <testcase name="crash" status="ERRORED"><error type="crash" message="The test crashed." /></testcase>
    <testcase name="left" status="SKIPPED"><skipped/></testcase>
  </testsuite>
</testsuites>
"""
TAP = """TAP version 13
# Subtest: plain
ok 1 - plain
  ---
  duration_ms: 1
  ...
# Subtest: group
    # Subtest: inner
    ok 1 - inner
      ---
      duration_ms: 1
      ...
    # Subtest: wrong
    not ok 2 - wrong
      ---
      duration_ms: 1
      failureType: 'testCodeFailure'
      error: |-
        ok 1 - this is text
      ...
    # Subtest: away
    ok 3 - away # SKIP no server
      ---
      duration_ms: 1
      ...
    1..3
not ok 2 - group
  ---
  duration_ms: 3
  type: 'suite'
  failureType: 'subtestsFailed'
  ...
# Subtest: all well
    # Subtest: one
    ok 1 - one
      ---
      duration_ms: 1
      ...
    1..1
ok 3 - all well
  ---
  duration_ms: 2
  ...
1..3
"""


class Scratch(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="drover-", dir="/var/tmp")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.log = self.file("log", "")

    def file(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        return path


class Counts(Scratch):
    def test_criterion(self):
        log = self.file("log", "[SKIP] a::left: because\n")
        found = tally.read_criterion("prog", self.file("x.xml", CRITERION), log)
        self.assertEqual(found.passed, 1)
        self.assertEqual([name for name, _ in found.failed], ["prog a::bad", "prog a::crash"])
        self.assertIn("x.c:3: no", found.failed[0][1])
        self.assertEqual(found.skipped, [("prog a::left", "because")])

    def test_tap_counts_leaves(self):
        found = tally.read_tap("f", self.file("log", TAP))
        self.assertEqual(found.passed, 3 - 1 + 1)  # plain, inner, one
        self.assertEqual([name for name, _ in found.failed], ["f wrong"])
        self.assertEqual(found.skipped, [("f away", "no server")])

    def test_a_group_that_fails_by_itself_is_a_failure(self):
        text = TAP.replace("'subtestsFailed'", "'hookFailed'")
        found = tally.read_tap("f", self.file("log", text))
        self.assertEqual([name for name, _ in found.failed], ["f wrong", "f group"])

    def test_a_broken_result_counts_nothing(self):
        self.assertEqual(tally.read_criterion("p", self.file("x.xml", "<testsu"), self.log).passed, 0)
        self.assertEqual(tally.read_unittest(os.path.join(self.folder, "none")).passed, 0)


class Verdicts(Scratch):
    def finished(self, code=0, timed_out=False):
        return process.Finished(code, 1.0, timed_out, self.log)

    def test_exit_code_against_a_clean_result(self):
        self.assertEqual(len(tally.judge("p", self.finished(code=-11), tally.Tally(passed=3)).failed), 1)

    def test_ending_well_without_tests(self):
        self.assertEqual(len(tally.judge("p", self.finished(), tally.Tally()).failed), 1)

    def test_time_out(self):
        self.assertEqual(len(tally.judge("p", self.finished(code=-9, timed_out=True), tally.Tally(passed=3)).failed), 1)

    def test_all_well(self):
        self.assertEqual(tally.judge("p", self.finished(), tally.Tally(passed=3)), tally.Tally(passed=3))


class Processes(Scratch):
    """In a process of its own: becoming a subreaper changes the whole process."""

    def run_inside(self, text):
        program = f"import sys\nsys.path.insert(0, {os.path.join(ROOT, 'tests')!r})\n" \
                  f"from runner import process\nprocess.become_subreaper()\nlog = {self.log!r}\n{text}"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_a_hanging_program_and_its_children_are_killed(self):
        begin = time.monotonic()
        out = self.run_inside("done = process.run(['sh', '-c', 'sleep 600 & sleep 600'], log, 0.5)\n"
                              "print(done.timed_out, process.survivors())")
        self.assertEqual(out, "True []\n")
        self.assertLess(time.monotonic() - begin, 50)

    def test_what_outlives_its_program_is_found_even_in_another_session(self):
        out = self.run_inside("done = process.run(['sh', '-c', 'env -i setsid sleep 600 & exit 0'], log, 20)\n"
                              "found = process.survivors()\nprint(done.code, len(found), process.survivors())")
        self.assertEqual(out, "0 1 []\n")

    def test_an_ended_run_starts_nothing_more(self):
        out = self.run_inside(
            "import concurrent.futures, time\n"
            "def one_after_the_other(_):\n"
            "    while True:\n"
            "        process.run(['sleep', '600'], log, 600)\n"
            "pool = concurrent.futures.ThreadPoolExecutor(2)\n"
            "threads = [pool.submit(one_after_the_other, n) for n in range(2)]\n"
            "while len(process._running) < 2:\n"
            "    time.sleep(0.01)\n"
            "process.end_everything()\n"
            "print([type(thread.exception(30)).__name__ for thread in threads], process.survivors())")
        self.assertEqual(out, "['Ending', 'Ending'] []\n")

    def test_no_standard_input(self):
        self.run_inside("done = process.run(['cat'], log, 20)\nassert done.code == 0 and not done.timed_out")
