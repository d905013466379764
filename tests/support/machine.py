"""machine.py - a Debian 12 of its own under a real systemd (tests/support/debian-machine), driven from outside.

    machine = Machine(base_tar, ["drover_0.2.0_amd64.deb"])   # the packages lie in /root inside
    machine.run("apt-get", "install", "-y", "/root/drover_0.2.0_amd64.deb")
    machine.close()

Nothing of it is left when it is closed, or when the process that made it dies.
"""

import os
import subprocess
import time

import rig

ENVIRONMENT = ["HOME=/root", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8",
               "DEBIAN_FRONTEND=noninteractive"]
SCRIPT = os.path.join(rig.ROOT, "tests", "support", "debian-machine")
BOOT_S = 120  # most of it is apt's download


class Machine:
    def __init__(self, base, packages, log):
        self.log = log
        with open(log, "w") as out:
            self.outer = subprocess.Popen([SCRIPT, "boot", base, *packages], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.init = None
        try:
            rig.wait_until(self._is_up, BOOT_S, lambda: f"systemd is up in the machine\n{self._log_tail()}", every=0.1)
        except BaseException:
            self.close()
            raise

    def _is_up(self):
        if self.outer.poll() is not None:
            raise AssertionError(f"the machine ended with {self.outer.returncode}\n{self._log_tail()}")
        children = [p.pid for p in rig.all_processes() if p.ppid == self.outer.pid]
        if not children:
            return False
        self.init = children[0]
        # Before systemd takes its place, process 1 is a shell, and nsenter would find no systemctl that answers.
        return self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded")

    def _log_tail(self):
        with open(self.log, errors="replace") as file:
            return file.read()[-3000:]

    def run(self, *argv, check=True, limit_s=120, stdin=None):
        """A command inside, as root; fails with all that it said."""
        done = subprocess.run(["nsenter", "-t", str(self.init), "-a", "env", "-i", *ENVIRONMENT, *argv], text=True,
                              input=stdin if stdin is not None else "", capture_output=True, check=False,
                              timeout=limit_s * rig.PATIENCE)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(argv)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def out(self, *argv):
        return self.run(*argv).stdout.strip()

    def sh(self, script, check=True):
        return self.run("sh", "-c", script, check=check)

    def write(self, path, text):
        self.run("sh", "-c", 'mkdir -p "$(dirname "$1")" && cat >"$1"', "write", path, stdin=text)

    def exists(self, path):
        return self.run("test", "-e", path, check=False).returncode == 0

    def show(self, name, unit="drover"):
        return self.out("systemctl", "show", unit, "--value", "-p", name)

    def close(self):
        """The end of process 1 inside ends everything; unshare dies with it, or was told to."""
        if self.init is not None:
            rig.send_signal(self.init, 9)
        else:
            self.outer.kill()
        begin = time.monotonic()
        while self.outer.poll() is None and time.monotonic() - begin < 10:
            time.sleep(0.02)
        self.outer.kill()
        self.outer.wait()
