"""The Debian package from its installation to its purge, on a Debian 12 with a systemd of its own."""

import json
import os
import re

import rig
from packaged import PackageCase

# What a purge may leave: the mirror's download, our own copies, and what other packages write about all packages.
NOT_OURS = ("/root/", "/var/cache/apt/", "/var/lib/apt/", "/var/log/", "/proc/", "/sys/", "/dev/", "/run/systemd/", "/run/log/")


def three_steps():
    """The commands of README.Debian."""
    with open(os.path.join(rig.ROOT, "debian", "README.Debian")) as file:
        return re.findall(r"(?m)^ {6}(\S.*)$", file.read())


class Life(PackageCase):
    def test_three_steps_after_the_installation_a_job_runs(self):
        said = self.install(self.old)
        self.assertNotIn("drover:", said)
        self.assertEqual(f"install ok installed {self.version}", self.dpkg_state())
        self.assertEqual("/usr/sbin/nologin", self.out("getent", "passwd", "drover").split(":")[-1])
        self.assertEqual("750 root drover", self.out("stat", "-c", "%a %U %G", "/etc/drover"))
        self.assertEqual(("enabled", "inactive"), (self.out("systemctl", "is-enabled", "drover"), self.show("ActiveState")))
        self.systemctl("start", "drover")  # nothing to start is no failure, at boot neither
        self.assertEqual(("inactive", "running"), (self.show("ActiveState"), self.out("systemctl", "is-system-running")))

        steps = three_steps()
        self.assertEqual(3, len(steps), steps)
        for step in steps:
            self.machine.sh(step)
        self.assertIn("active (running)", self.out("systemctl", "status", "drover"))
        self.assertEqual("drover", self.out("ps", "-o", "user=", "-p", self.show("MainPID")))
        self.run_in("drover", "add", "greetings", "hello", '{"to": "world"}')
        self.wait_completed(1, "greetings")
        self.assertEqual(1, len(json.loads(self.out("drover", "ps", "--json"))["processes"]))
        self.systemctl("reload", "drover")

    def test_its_messages_are_in_the_catalogue(self):
        self.install(self.old)
        files = [path for path in self.out("dpkg", "-L", "drover").splitlines() if path.endswith(".catalog")]
        listed = self.out("journalctl", "--list-catalog")
        for path in files:
            ids = re.findall(r"(?m)^-- ([0-9a-f]{32})", self.out("cat", path))
            self.assertTrue(ids, path)
            self.assertEqual([], [one for one in ids if one not in listed])

    def test_remove_keeps_the_configuration_purge_does_not(self):
        self.install(self.old)
        self.configure()
        self.systemctl("start", "drover")
        self.add(2, 0)
        self.wait_completed(2)

        self.apt("remove", "drover")
        self.assertEqual([], self.processes())
        self.assertFalse(self.machine.exists("/usr/sbin/droverd"))
        self.assertFalse(self.machine.exists("/run/drover"))
        self.assertTrue(self.machine.exists("/etc/drover/drover.yaml"))
        self.redis("rpush", "mine", "untouched")

        self.install(self.old)
        self.assert_runs_installed_files()
        self.add(1, 0)
        self.wait_completed(3)
        keys = self.redis("keys", "*")

        self.apt("purge", "drover")
        self.assertEqual([], self.processes())
        self.assertEqual("", self.dpkg_state())
        self.assertEqual([], self.left_over())
        self.assertEqual("active", self.show("ActiveState", "redis-server"))
        self.assertLessEqual({"mine", "bull:work:completed"}, set(self.redis("keys", "*")) & set(keys))

    def test_installs_where_nothing_may_be_started(self):
        for name, prepare, restore in (
                ("policy-rc.d", "printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d",
                 "rm /usr/sbin/policy-rc.d"),
                # As in a container image that is being made: no systemd runs there.
                ("no systemd", "mount -t tmpfs tmpfs /run/systemd", "umount /run/systemd")):
            with self.subTest(name):
                self.machine.sh(prepare)
                self.configure()
                self.install(self.old)
                self.assertEqual(f"install ok installed {self.version}", self.dpkg_state())
                self.assertEqual([], self.processes())
                self.apt("install", "--reinstall", self.old)
                self.machine.sh(restore)
                self.systemctl("daemon-reload")
                self.assertEqual("enabled", self.out("systemctl", "is-enabled", "drover"))
                self.systemctl("start", "redis-server", "drover")
                self.assert_runs_installed_files()
                self.apt("purge", "drover")
                self.assertEqual([], self.processes())

    def processes(self):
        """Of drover, by the user that they run as and by their programs."""
        done = self.machine.sh("ps -eo user:20=,args= | grep -E '^drover |/drover' | grep -v grep", check=False)
        return done.stdout.splitlines()

    def left_over(self):
        """Files that bear drover's name or belong to its user."""
        found = self.machine.sh("find / /run /etc/systemd/system -xdev \\( -iname '*drover*' -o -user drover -o -group drover \\) -print; "
                                "grep -rl drover /var/lib/systemd /var/lib/dpkg/info /etc/systemd || true").stdout.splitlines()
        return [path for path in found if not path.startswith(NOT_OURS)]
