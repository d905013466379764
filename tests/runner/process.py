"""process.py - runs one test program so that it can neither hang nor leave anything behind.

Each program is the leader of a session of its own, has no standard input, writes to a log file, and carries the
mark DROVER_TEST_RUN in its environment. The runner is child subreaper: a grandchild whose parents are gone becomes
the runner's child, so it is seen even when it has overwritten its environment (redis-server's title does that).
As an init would, the runner collects such children when they end: a test may be waiting for a pid to vanish.
Therefore every program is started here, under the lock: any other child is an orphan.
"""

import ctypes
import os
import signal
import subprocess
import threading
import time
import uuid
from dataclasses import dataclass

RUN_MARK = "DROVER_TEST_RUN"
RUN_ID = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
PR_SET_CHILD_SUBREAPER = 36

_running = set()  # pids of the programs that run() and capture() wait for at the moment
_ending = False  # set for good by end_everything: nothing is started any more
_start_lock = threading.Lock()  # held from a fork until its pid is in _running
REAP_EVERY_S = 0.02
KILL_WAIT_S = 10
GRACE_S = 1


class Ending(Exception):
    """A program was to be started although the run is being ended."""


@dataclass
class Finished:
    code: int  # exit code; -N when signal N ended it
    seconds: float
    timed_out: bool
    log: str  # path

    def tail(self, lines=40):
        with open(self.log, errors="replace") as file:
            return "".join(file.readlines()[-lines:]).rstrip()


def become_subreaper():
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    threading.Thread(target=_reap_orphans, daemon=True).start()


def _reap_orphans():
    while True:
        with _start_lock:
            for pid in _children():
                if pid not in _running:
                    _reap(pid, os.WNOHANG)
        time.sleep(REAP_EVERY_S)


def _children():
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/children") as file:
                yield from (int(pid) for pid in file.read().split())
        except OSError:
            pass  # the thread is gone


def _start(argv, **options):
    with _start_lock:
        if _ending:
            raise Ending(f"not started, the run is being ended: {argv[0]}")
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True, **options)
        _running.add(child.pid)
    return child


def capture(argv, cwd=None, timeout_s=120):
    """Runs a short program for its output; gives (code, standard output, standard error)."""
    child = _start(argv, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = child.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        _kill_session(child.pid)
        out, err = child.communicate()
        err += f"\nnot done after {timeout_s} s, killed"
    finally:
        _running.discard(child.pid)
    return child.returncode, out, err


def run(argv, log, timeout_s, env=None, cwd=None):
    """Runs argv to its end, at most timeout_s seconds; then its whole session is killed."""
    os.makedirs(os.path.dirname(log), exist_ok=True)
    full_env = dict(os.environ, **(env or {}), **{RUN_MARK: RUN_ID})
    begin = time.monotonic()
    timed_out = False
    with open(log, "ab") as output:
        child = _start(argv, stdout=output, stderr=subprocess.STDOUT, env=full_env, cwd=cwd)
    try:
        code = child.wait(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        timed_out = True
        _kill_session(child.pid)
        code = child.wait()
    except BaseException:
        _kill_session(child.pid)
        child.wait()
        raise
    finally:
        _running.discard(child.pid)
    return Finished(code, time.monotonic() - begin, timed_out, log)


def end_everything():
    """For a run that is interrupted: kills what runs, and what that had started. Nothing is started from now on: the
    runner's other threads would take the killed programs for ended, and go on with the next."""
    global _ending
    _ending = True
    for _ in range(3):  # a fork that was under way shows in _running a moment later
        for leader in list(_running):
            _kill_session(leader)
            _running.discard(leader)
        time.sleep(REAP_EVERY_S)
    survivors()


def survivors():
    """Ends every process that a finished test program left behind; gives one line of text for each. One that was
    killed by its test a moment ago is granted the time to die."""
    end = time.monotonic() + GRACE_S
    while _left_behind() and time.monotonic() < end:
        time.sleep(REAP_EVERY_S)
    found = []
    for pid, text, orphan in _left_behind():
        found.append(text)
        _kill(pid)
        if orphan:
            _reap(pid, 0)
    return found


def _left_behind():
    found = []
    for pid, stat in _processes():
        if pid in _running or pid == os.getpid() or stat["state"] in "ZX":
            continue
        orphan = stat["parent"] == os.getpid()
        if orphan or _is_marked(pid):
            found.append((pid, f"pid {pid}: {_command(pid) or stat['name']}", orphan))
    return found


def _processes():
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            stat = _stat(int(entry))
            if stat:
                yield int(entry), stat


def _stat(pid):
    try:
        with open(f"/proc/{pid}/stat", errors="replace") as file:
            text = file.read()
    except OSError:
        return None
    # The name stands in parentheses and may itself contain some.
    name = text[text.index("(") + 1 : text.rindex(")")]
    state, parent, _group, session = text[text.rindex(")") + 2 :].split()[:4]
    return {"name": name, "state": state, "parent": int(parent), "session": int(session)}


def _is_marked(pid):
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return f"{RUN_MARK}={RUN_ID}".encode() in file.read().split(b"\0")
    except OSError:
        return False


def _command(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace").strip()[:160]
    except OSError:
        return ""


def _kill_session(leader):
    """Kills until nobody of the session is seen alive; one that forks meanwhile is met in the next round."""
    end = time.monotonic() + KILL_WAIT_S
    while time.monotonic() < end:
        alive = [pid for pid, stat in _processes() if stat["session"] == leader and stat["state"] not in "ZX"]
        if not alive:
            return
        for pid in alive:
            _kill(pid)
        time.sleep(REAP_EVERY_S)


def _kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _reap(pid, flags):
    try:
        os.waitpid(pid, flags)
    except ChildProcessError:
        pass
