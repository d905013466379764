"""procs.py - waiting for conditions, and what /proc says of processes. Used through rig.py."""

import ctypes
import os
import time

RUN_MARK = "DROVER_TEST_RUN"  # in the environment of all that a test starts
PR_SET_CHILD_SUBREAPER = 36
# Slow machines (sanitizers, a busy CI) stretch every deadline by this.
PATIENCE = float(os.environ.get("DROVER_TEST_PATIENCE", "1"))


class TimedOut(AssertionError):
    pass


def wait_until(condition, deadline=20.0, what=None, every=0.02):
    """Polls condition() until it is truthy and returns that value; TimedOut after `deadline` seconds.
    `what` (text, or a callable giving text) is added to the failure."""
    end = time.monotonic() + deadline * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            text = what() if callable(what) else what
            raise TimedOut(f"not within {deadline * PATIENCE:g} s: {text or condition}")
        time.sleep(every)


class Proc:
    """What /proc says of one process, read at once; None fields when it is gone."""

    def __init__(self, pid):
        self.pid = pid
        self.state = self.ppid = self.pgid = self.sid = None
        self.comm = ""
        self.cmdline = ""
        self.ticks = 0
        try:
            with open(f"/proc/{pid}/stat", "rb") as f:
                text = f.read().decode("utf-8", "replace")
            self.comm = text[text.index("(") + 1 : text.rindex(")")]
            rest = text[text.rindex(")") + 2 :].split()
            self.state, self.ppid, self.pgid, self.sid = rest[0], int(rest[1]), int(rest[2]), int(rest[3])
            self.ticks = int(rest[11]) + int(rest[12])
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                self.cmdline = f.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        except (FileNotFoundError, ProcessLookupError):
            pass

    @property
    def alive(self):
        return self.state is not None and self.state not in "ZX"

    def __repr__(self):
        return f"<{self.pid} {self.state} {self.comm}: {self.cmdline[:100]}>"


def all_processes():
    return [Proc(int(name)) for name in os.listdir("/proc") if name.isdigit()]


def descendants(pid, processes=None):
    processes = processes if processes is not None else all_processes()
    found, frontier = [], {pid}
    while frontier:
        children = [p for p in processes if p.ppid in frontier and p.state]
        found += children
        frontier = {p.pid for p in children}
    return found


def marked(mark):
    """Processes that carry this test's mark in their environment."""
    needle = f"{RUN_MARK}={mark}".encode()
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as f:
                if needle in f.read().split(b"\0"):
                    found.append(Proc(int(name)))
        except (OSError, ProcessLookupError):
            continue
    return found


def cpu_seconds(pid):
    return Proc(pid).ticks / os.sysconf("SC_CLK_TCK")


def memory(pid):
    """{"rss": bytes, "pss": bytes} of a process."""
    sizes = {"rss": 0, "pss": 0}
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        for line in f:
            key, _, value = line.partition(":")
            if key in ("Rss", "Pss"):
                sizes[key.lower()] = int(value.split()[0]) * 1024
    return sizes


def send_signal(pid, number):
    """kill() that accepts a process that is already gone; never a group, never pid <= 0."""
    assert pid > 0
    try:
        os.kill(pid, number)
        return True
    except ProcessLookupError:
        return False


def become_subreaper():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def reap_orphans(keep):
    """Collects dead children that arrived here as orphans; `keep`: pids that Popen objects wait for."""
    for proc in all_processes():
        if proc.ppid == os.getpid() and proc.state == "Z" and proc.pid not in keep:
            try:
                os.waitpid(proc.pid, os.WNOHANG)
            except ChildProcessError:
                pass
