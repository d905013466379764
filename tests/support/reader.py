"""reader.py - a machine like that of somebody who follows a document, and the shell that they type into.

Runs under tests/support/with-systemd, whose namespaces make it possible: a systemd of its own, a network of its own in
which every port is free. What the reader writes lands in memory: layers lie over the folders that an installation
touches and over the tree of sources, and the machine underneath keeps no trace.
"""

import os
import shutil
import signal
import subprocess
import time

import rig

LAYERS = "/run/reader"
RELEASE = "/run/reader-release"  # what one document has built, the next one does not build again
UNITS = "/etc/systemd/system"  # with-systemd's own, empty
FOLDERS = ("/usr", "/etc", "/var/lib", "/srv", rig.ROOT)
HOST = "queue1"


def _run(*argv):
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


class Machine:
    def __init__(self):
        self.mounted = []

    def __enter__(self):
        self.units = set(os.listdir(UNITS))
        os.makedirs(LAYERS, exist_ok=True)
        self._mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", LAYERS)
        os.mkdir(f"{LAYERS}/units")
        _run("mount", "--bind", UNITS, f"{LAYERS}/units")
        self.mounted.append(f"{LAYERS}/units")
        for number, folder in enumerate(FOLDERS):
            upper, work = f"{LAYERS}/{number}", f"{LAYERS}/{number}.work"
            os.mkdir(upper)
            os.mkdir(work)
            self._mount("-t", "overlay", "-o", f"lowerdir={folder},upperdir={upper},workdir={work}", "overlay", folder)
        _run("mount", "--bind", f"{LAYERS}/units", UNITS)
        self.mounted.append(UNITS)
        release = os.path.join(rig.ROOT, "build", "release")
        for folder in (RELEASE, release):
            os.makedirs(folder, exist_ok=True)
        _run("mount", "--bind", RELEASE, release)
        self.mounted.append(release)
        _run("hostname", HOST)
        return self

    def _mount(self, *words):
        _run("mount", *words)
        self.mounted.append(words[-1])

    def __exit__(self, *_):
        # No layer lies over this folder, as systemd looks into it from outside: what one document has put there, a drop-in
        # for instance, must not meet the next.
        for name in set(os.listdir(UNITS)) - self.units:
            path = os.path.join(UNITS, name)
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
        while self.mounted:
            # Whatever still runs in there keeps what it has open; the names are the machine's again.
            _run("umount", "--lazy", self.mounted.pop())


class Ended:
    def __init__(self, code, output):
        self.code, self.output = code, output

    def __repr__(self):
        return f"exit {self.code}\n{self.output}"


class Shell:
    """One bash, as if typed into: variables, aliases and background jobs stay from one command to the next."""

    def __init__(self, directory, env):
        self.directory, self.env, self.number = directory, env, 0
        self.folder = os.path.join(LAYERS, "shell")
        os.makedirs(self.folder, exist_ok=True)
        self.process = subprocess.Popen(["bash", "--noprofile", "--norc"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, cwd=directory, env=env, text=True)
        self.process.stdin.write("shopt -s expand_aliases\n")

    def run(self, text, deadline=120):
        """What it printed, without what jobs in the background print, and its exit code."""
        self.number += 1
        script, output = (os.path.join(self.folder, f"{self.number}.{name}") for name in ("sh", "out"))
        with open(script, "w", encoding="utf-8") as file:
            file.write(text + "\n")
        self.process.stdin.write(f". {script} >{output} 2>&1 </dev/null; echo $?\n")
        self.process.stdin.flush()
        alarm = signal.signal(signal.SIGALRM, lambda *_: self._hangs(text, output))
        signal.alarm(int(deadline * rig.PATIENCE))
        try:
            code = self.process.stdout.readline()
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, alarm)
        if not code:
            raise AssertionError(f"the shell has ended: {text}\n{self._read(output)}")
        return Ended(int(code), self._read(output))

    def run_until(self, text, seen, deadline=60):
        """A command that ends only by Ctrl-C, which it gets when it has shown `seen`."""
        output = os.path.join(self.folder, "endless.out")
        with open(output, "w") as file:
            process = subprocess.Popen(["bash", "-c", "exec " + text], stdin=subprocess.DEVNULL, stdout=file,
                                       stderr=subprocess.STDOUT, cwd=self.directory, env=self.env, start_new_session=True)
        try:
            rig.wait_until(lambda: seen in self._read(output) or process.poll() is not None, deadline,
                           lambda: f"{text} shows {seen}:\n{self._read(output)}")
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            code = process.wait(20 * rig.PATIENCE)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        return Ended(0 if code in (130, -signal.SIGINT) else code, self._read(output))

    def look_until(self, text, good, deadline=15):
        """A command that only looks, typed again until the reader sees what they wait for; the last of what was seen."""
        end = time.monotonic() + deadline * rig.PATIENCE
        while True:
            ended = self.run(text)
            if good(ended) or time.monotonic() > end:
                return ended
            time.sleep(0.1)

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(5 * rig.PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def _hangs(self, text, output):
        raise rig.TimedOut(f"does not end: {text}\n{self._read(output)}")

    @staticmethod
    def _read(path):
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
