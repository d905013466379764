"""What the package's machines and with-systemd rest on: systemds that run side by side have nothing in common."""

import os
import subprocess

import rig

WITH_SYSTEMD = os.path.join(rig.ROOT, "tests", "support", "with-systemd")
GROUPS = "find /sys/fs/cgroup -type d -name '*.service' -printf '%f\\n'"


class SideBySide(rig.Case):
    def test_the_units_of_one_are_not_in_the_tree_of_another(self):
        # Their /system.slice/drover.service was one group once: a unit that stopped took it from under one that started,
        # which then failed with 219/CGROUP.
        unit = "/run/systemd/system/only-here.service"
        first = subprocess.Popen(
            [WITH_SYSTEMD, "sh", "-c", f"printf '[Service]\\nExecStart=/bin/sleep 1000\\n' >{unit} && "
             f"systemctl start only-here && {GROUPS} && echo up && cat"],
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(first.wait)
        self.addCleanup(first.stdout.close)
        self.addCleanup(first.stdin.close)
        own = []
        for line in first.stdout:
            if line == "up\n":
                break
            own.append(line.strip())
        self.assertIn("only-here.service", own)
        second = subprocess.run([WITH_SYSTEMD, "sh", "-c", GROUPS], text=True, capture_output=True, check=True, timeout=120)
        self.assertIn("systemd-journald.service", second.stdout)
        self.assertNotIn("only-here.service", second.stdout)
