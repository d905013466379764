"""Upgrades of the Debian package while jobs run: none is lost, none fails, none runs twice."""

import rig
from packaged import PackageCase


class Upgrade(PackageCase):
    def setUp(self):
        super().setUp()
        self.install(self.old)
        self.configure()
        self.systemctl("start", "drover")

    def test_running_jobs_end_and_waiting_ones_wait(self):
        self.add(24, 0.7)
        self.wait_began(2)
        self.install(self.new)
        self.assertEqual(f"install ok installed {self.next_version}", self.dpkg_state())
        self.assert_runs_installed_files()
        self.assertLess(self.completed(), 24, "it was upgraded while jobs ran")
        self.assert_each_ran_once(24)

        # And back.
        self.redis("del", "began", "ended", "bull:work:completed")
        self.add(12, 0.7)
        self.wait_began(2)
        self.install(self.old)
        self.assertEqual(f"install ok installed {self.version}", self.dpkg_state())
        self.assert_runs_installed_files()
        self.assert_each_ran_once(12)

    def test_a_job_that_is_longer_than_the_drain_goes_back_without_an_attempt(self):
        self.configure(stop="500ms")
        self.run_in("drover", "reload")
        self.machine.write("/usr/local/bin/handler", "#!/bin/sh\nredis-cli incr runs\n"
                           "[ -e /etc/drover/quick ] || exec sleep 300\n")
        self.add(1, 0)
        rig.wait_until(lambda: self.redis("get", "runs") == ["1"], 20, self.journal, every=0.05)
        self.machine.write("/etc/drover/quick", "")
        self.install(self.new)
        self.assert_runs_installed_files()
        self.wait_completed(1)
        self.assertEqual((["2"], ["1"]), (self.redis("get", "runs"), self.redis("hget", "bull:work:1", "atm")))

    def test_a_refused_configuration_leaves_the_old_one_running(self):
        before = self.show("MainPID")
        self.machine.write("/etc/drover/drover.yaml", "queues:\n  work: {concurency: 2, handler: noop}\n")
        said = self.install(self.new)
        self.assertEqual(f"install ok installed {self.next_version}", self.dpkg_state())
        self.assertIn("drover.yaml:2:", said)
        self.assertIn("left running as it was", said)
        self.assertIn("systemctl restart drover", said)
        self.assertEqual(("active", before), (self.show("ActiveState"), self.show("MainPID")))
        self.configure()
        self.add(3, 0)
        self.assert_each_ran_once(3)
        self.systemctl("restart", "drover")
        self.assert_runs_installed_files()

    def test_the_configuration_is_judged_as_the_unit_reads_it(self):
        # Another file, with a password that is a credential of the unit: only with both is there nothing to refuse.
        self.redis("config", "set", "requirepass", "open")
        self.machine.write("/etc/drover/secret", "open")
        self.machine.write("/etc/drover/drover.yaml", "queues: wrong\n")
        self.machine.write("/etc/drover/mine.yaml", 'redis: {default: {password: "cred:redis"}}\nqueues: {work: {handler: noop}}\n')
        self.machine.write("/etc/systemd/system/drover.service.d/mine.conf",
                           "[Service]\nLoadCredential=redis:/etc/drover/secret\nExecStart=\n"
                           "ExecStart=/usr/sbin/droverd -c /etc/drover/mine.yaml\n")
        self.systemctl("daemon-reload")
        self.systemctl("restart", "drover")
        self.assertEqual(78, self.run_in("droverd", "--check", "-c", "/etc/drover/mine.yaml", check=False).returncode)
        said = self.install(self.new)
        self.assertNotIn("left running", said)
        self.assert_runs_installed_files()

    def test_running_instances_are_restarted_too(self):
        # A template of the operator's goes before the package's own.
        self.machine.sh("sed 's,drover/drover.yaml,drover/%i.yaml,; s,^RuntimeDirectory=.*,RuntimeDirectory=drover-%i,; "
                        "/^ExecReload/d; /^ExecStart=/s,$, --set control=/run/drover-%i/control,' "
                        "/lib/systemd/system/drover.service >/etc/systemd/system/drover@.service; systemctl daemon-reload")
        self.configure(name="second")
        self.systemctl("enable", "--now", "drover@second")
        self.install(self.new)
        self.assert_runs_installed_files()
        self.assert_runs_installed_files("drover@second")
        self.add(2, 0, queue="second", config="second")
        self.assert_each_ran_once(2, queue="second")
        self.apt("purge", "drover")
        self.assertEqual("inactive", self.show("ActiveState", "drover@second"))
        self.assertEqual("", self.machine.sh("find /etc/systemd/system/*.wants -name 'drover*'").stdout)

    def test_what_is_disabled_stays_so(self):
        self.systemctl("disable", "--now", "drover")
        self.install(self.new)
        self.assertEqual(("disabled", "inactive"),
                         (self.run_in("systemctl", "is-enabled", "drover", check=False).stdout.strip(), self.show("ActiveState")))
