"""packaged.py - what the tests of the Debian package share: the package that ./dev deb made, and a machine to put it on."""

import glob
import json
import os
import re
import shutil
import subprocess

import rig
from machine import Machine

DEB_FOLDER = os.path.join(rig.ROOT, "build", "deb")
MACHINE = os.path.join(rig.ROOT, "build", "package", "machine.tar")  # tests/support/debian-machine make
# Each job leaves its id in a list when it begins and when it ends, so that one which ran twice is seen.
HANDLER = """#!/bin/sh
redis-cli rpush began "$DROVER_JOB_ID" >/dev/null
read -r seconds
sleep "$seconds"
redis-cli rpush ended "$DROVER_JOB_ID" >/dev/null
"""


def package(name="drover"):
    """The path of the package."""
    found = glob.glob(os.path.join(DEB_FOLDER, f"{name}_*.deb"))
    if len(found) != 1:
        raise AssertionError(f"{DEB_FOLDER} holds {len(found)} packages (./dev deb makes one)")
    return found[0]


def field(path, name):
    return subprocess.run(["dpkg-deb", "--field", path, name], text=True, capture_output=True, check=True).stdout.strip()


def repacked(path, version, folder):
    """The same package as another version, without a second build."""
    tree = os.path.join(folder, "tree")
    subprocess.run(["dpkg-deb", "--raw-extract", path, tree], check=True)
    control = os.path.join(tree, "DEBIAN", "control")
    with open(control) as file:
        text = file.read()
    with open(control, "w") as file:
        file.write(re.sub(r"(?m)^Version: .*$", f"Version: {version}", text))
    out = os.path.join(folder, f"drover_{version}.deb")
    subprocess.run(["dpkg-deb", "-Zgzip", "-z1", "--build", tree, out], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(tree)
    return out


class PackageCase(rig.Case):
    """A machine for each test; `self.old` is the package that was built, `self.new` the next version, both as paths inside."""

    def setUp(self):
        super().setUp()
        built = package()
        self.version = field(built, "Version")
        self.next_version = self.version + "+next1"
        following = repacked(built, self.next_version, self.scratch)
        self.old, self.new = (os.path.join("/root", os.path.basename(path)) for path in (built, following))
        self.machine = Machine(MACHINE, [built, following], os.path.join(self.scratch, "machine.log"))
        self.addCleanup(self.machine.close)
        self.run_in, self.out, self.show = self.machine.run, self.machine.out, self.machine.show

    # ---- apt, dpkg ----

    def install(self, path):
        """Also what is older than what is there. Gives what was said beside apt's own progress."""
        return self.apt("install", "--allow-downgrades", path)

    def apt(self, *words):
        done = self.run_in("apt-get", "-q", "-y", *words)
        self.assertNotIn("error", done.stderr)
        return done.stdout + done.stderr

    def dpkg_state(self):
        return self.run_in("dpkg-query", "-W", "-f", "${Status} ${Version}", "drover", check=False).stdout

    # ---- drover inside ----

    def systemctl(self, *words):
        done = self.run_in("systemctl", *words, check=False)
        if done.returncode != 0:
            raise AssertionError(f"systemctl {' '.join(words)}: {done.returncode}\n{done.stderr}\n{self.journal()}")

    def configure(self, stop="30s", name="drover"):
        """A queue `work` on the machine's redis-server; a job's data is for how many seconds it runs."""
        self.machine.write("/usr/local/bin/handler", HANDLER)
        self.run_in("chmod", "755", "/usr/local/bin/handler")
        self.machine.write(f"/etc/drover/{name}.yaml", json.dumps({
            "stop": {"drain_timeout": stop},
            "queues": {"work" if name == "drover" else name: {
                "concurrency": 3, "handler": {"exec": ["/usr/local/bin/handler"]}}}}))

    def add(self, count, seconds, queue="work", config="drover"):
        self.run_in("drover", "add", "-c", f"/etc/drover/{config}.yaml", queue, "sleep", str(seconds), "--count", str(count))

    def redis(self, *words):
        return self.out("redis-cli", *words).splitlines()

    def completed(self, queue="work"):
        return int(self.redis("zcard", f"bull:{queue}:completed")[0])

    def wait_completed(self, count, queue="work"):
        rig.wait_until(lambda: self.completed(queue) == count, 60, lambda: f"{count} completed jobs, there are "
                       f"{self.completed(queue)}\n{self.journal()}", every=0.1)

    def wait_began(self, count):
        rig.wait_until(lambda: int(self.redis("llen", "began")[0]) >= count, 30,
                       lambda: f"{count} jobs began\n{self.journal()}", every=0.05)

    def journal(self):
        return self.run_in("journalctl", "--no-pager", "-u", "drover*", "-n", "60", check=False).stdout

    def assert_each_ran_once(self, count, queue="work"):
        """All completed at their first attempt, none failed, each handler began and ended once."""
        self.wait_completed(count, queue)
        self.assertEqual(["0"], self.redis("zcard", f"bull:{queue}:failed"))
        ids = self.redis("zrange", f"bull:{queue}:completed", "0", "-1")
        for mark in ("began", "ended"):
            self.assertEqual(sorted(ids), sorted(self.redis("lrange", mark, "0", "-1")), mark)
        self.assertEqual({"1"}, {self.redis("hget", f"bull:{queue}:{job}", "atm")[0] for job in ids})

    def assert_runs_installed_files(self, unit="drover"):
        """Every process of the unit is of the files that are there now, not of ones that dpkg has replaced."""
        self.assertEqual("active", self.show("ActiveState", unit), self.journal())
        programs = self.programs(unit)
        self.assertIn("/usr/sbin/droverd", programs)
        self.assertIn("/usr/libexec/drover/drover-worker", programs)
        self.assertEqual([], [path for path in programs if path.endswith("(deleted)")])

    def programs(self, unit="drover"):
        """The executables of drover's own processes in the unit."""
        group = self.show("ControlGroup", unit)
        # A process of a moment (a handler's, or one that only looks) may have ended between list and look.
        done = self.machine.sh(f'for pid in $(cat /sys/fs/cgroup{group}/cgroup.procs); do '
                               'readlink /proc/$pid/exe || [ ! -e /proc/$pid/exe ] || exit 1; done')
        return [line for line in done.stdout.splitlines() if "drover" in line]
