"""tally.py - what a test program itself says of its tests, in one form for all kinds.

Counts are read from the machine-readable result of each kind (Criterion's XML, the JSON of unittest_json.py, node's
TAP), never guessed from an exit code; but an exit code that contradicts a clean result is a failure of its own.
"""

import json
import os
import re
import xml.etree.ElementTree as xml
from dataclasses import dataclass, field


@dataclass
class Tally:
    passed: int = 0
    failed: list = field(default_factory=list)  # (name, text)
    skipped: list = field(default_factory=list)  # (name, reason)
    notes: list = field(default_factory=list)  # worth reading, no verdict

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.notes += other.notes

    def fail(self, name, text):
        self.failed.append((name, text))


def judge(name, finished, tally):
    """Adds what the exit code tells beyond the result: a time-out, a crash, a failure that no test owns up to."""
    if finished.timed_out:
        tally.fail(name, f"not done after {finished.seconds:.0f} s, killed\n{finished.tail(15)}")
    elif finished.code != 0 and not tally.failed:
        tally.fail(name, f"ended with {_ending(finished.code)}\n{finished.tail()}")
    elif finished.code == 0 and not (tally.passed or tally.failed or tally.skipped):
        tally.fail(name, "ended well without running a single test")
    return tally


def _ending(code):
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def read_criterion(name, xml_path, log_path):
    tally = Tally()
    try:
        root = xml.parse(xml_path).getroot()
    except (OSError, xml.ParseError):
        return tally
    reasons = _criterion_skip_reasons(log_path)
    for suite in root.iter("testsuite"):
        for case in suite.iter("testcase"):
            title = f"{suite.get('name')}::{case.get('name')}"
            status = case.get("status")
            if status == "PASSED":
                tally.passed += 1
            elif status == "SKIPPED":
                tally.skipped.append((f"{name} {title}", reasons.get(title, "no reason given")))
            else:
                tally.fail(f"{name} {title}", _criterion_text(case))
    return tally


def _criterion_text(case):
    texts = []
    for child in case:
        texts.append(child.get("message") or "")
        texts.append((child.text or "").strip())
    return "\n".join(text for text in texts if text)


def _criterion_skip_reasons(log_path):
    reasons = {}
    with open(log_path, errors="replace") as log:
        for line in log:
            found = re.match(r"\[SKIP\] (\S+?::\S+?): (.*)", line)
            if found:
                reasons[found[1]] = found[2].strip()
    return reasons


def read_unittest(json_path):
    tally = Tally()
    if not os.path.exists(json_path):
        return tally
    with open(json_path) as file:
        result = json.load(file)
    tally.passed = result["passed"]
    tally.failed = [tuple(row) for row in result["failed"]]
    tally.skipped = [tuple(row) for row in result["skipped"]]
    return tally


TAP_POINT = re.compile(r"^( *)(not ok|ok) \d+ - (.*?)(?: # (SKIP|[T]ODO)\b ?(.*))?$")


def read_tap(name, log_path):
    """Counts the leaves: a point that has points one step deeper before it is a group, and its verdict is theirs,
    except when it failed by itself (a hook)."""
    tally = Tally()
    deeper = False
    depth_before = 0
    block = None  # indentation of the YAML block that is being read
    with open(log_path, errors="replace") as log:
        lines = log.read().split("\n")
    for at, line in enumerate(lines):
        if block is not None:
            if line == block + "...":
                block = None
            continue
        if line.strip() == "---":
            block = line[: line.index("-")]
            continue
        found = TAP_POINT.match(line)
        if not found:
            continue
        depth = len(found[1])
        deeper = depth < depth_before
        depth_before = depth
        title = f"{name} {found[3]}"
        details = _tap_details(lines, at)
        if found[2] == "not ok":
            if not (deeper and "failureType: 'subtestsFailed'" in details):
                tally.fail(title, details)
        elif found[4]:
            tally.skipped.append((title, found[5] or "no reason given"))
        elif not deeper and "type: 'suite'" not in details:
            tally.passed += 1
    return tally


def _tap_details(lines, at):
    details = []
    for line in lines[at + 1 :]:
        if line.strip() == "...":
            break
        details.append(line.strip())
    return "\n".join(details[1:30])
