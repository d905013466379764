"""`drover unit`, `drover --instance`, and what `drover check` says of credentials. No systemd here: see tests/systemd."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import rig

OK, USAGE, CONFIG = 0, 64, 78


class UnitCommand(rig.Case):
    def file(self, config, name="drover.yaml"):
        path = os.path.join(self.scratch, name)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file)
        return path

    def unit(self, config, *more, code=OK):
        result = self.cli("unit", "-c", self.file(config), *more)
        self.assertEqual(code, result.code, result)
        return result.out

    def directives(self, config, *more):
        rows = json.loads(self.unit(config, "--json", *more))
        return [row["line"] for row in rows["directives"]], rows["notes"]

    def test_nothing_is_needed(self):
        config = {"queues": {"q": {"handler": {"exec": ["/bin/cat"]}}}}
        self.assertEqual(([], []), self.directives(config))
        self.assertIn("# Nothing: the shipped unit is enough.", self.unit(config))

    def test_each_need_has_its_line_and_its_reason(self):
        # This test's own folder lies under /var/tmp, which the sandbox hides.
        app = os.path.join(self.scratch, "app 100%")
        os.mkdir(app)
        script = os.path.join(app, "run.sh")
        with open(script, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n")
        os.chmod(script, 0o755)
        config = {
            "redis": {"default": {"url": "redis://127.0.0.1", "password": "cred:redis"},
                      "b": {"url": "redis://127.0.0.1:2", "password": "cred:redis"}},
            "stop": {"drain_timeout": "2m"}, "start": {"timeout": "2m"},
            "queues": {
                "one": {"concurrency": 20000, "handler": {"exec": [script], "directory": app}},
                "two": {"types": {"t": {"handler": {"process": ["/bin/cat", script], "parallel": 1}}}},
            },
        }
        lines, notes = self.directives(config)
        quoted = f'"{self.scratch}/app 100%%"'
        self.assertEqual(lines, [f"BindReadOnlyPaths={quoted}", f"BindPaths={quoted}",
                                 "LoadCredential=redis:/etc/drover/credentials/redis", "TimeoutStopSec=139",
                                 "TimeoutStartSec=135", "LimitNOFILE=80064"])
        self.assertEqual(notes, [])
        text = self.unit(config)
        for line in lines:
            self.assertEqual(1, text.count(line), text)
        self.assertIn("# queues.one.handler: ", text)
        self.assertNotIn("infinity", text)

    def test_a_drain_without_end(self):
        lines, _ = self.directives({"stop": {"drain_timeout": "none"}, "queues": {"q": {"handler": "noop"}}})
        self.assertEqual(["TimeoutStopSec=infinity"], lines)

    def test_paths_that_are_not_there_are_told_and_not_bound(self):
        config = {"queues": {"q": {"handler": {"exec": ["/bin/cat", "/home/nobody-here/x", "/api/v1"],
                                               "directory": "/srv/not-there"}}}}
        lines, notes = self.directives(config)
        self.assertEqual([], lines)
        self.assertEqual(2, len(notes))
        self.assertIn("/home/nobody-here/x does not exist", notes[0])
        self.assertIn("queues.q.handler.directory: /srv/not-there does not exist", notes[1])

    def test_what_the_user_may_is_looked_at(self):
        # Not below the test's folder: that is nobody's but root's.
        if os.geteuid() != 0:
            self.skipTest("folders of other users are made by root")
        config = {"queues": {"q": {"handler": {"exec": ["/bin/cat"], "directory": "/etc/ssl/private"}}}}
        if os.path.isdir("/etc/ssl/private"):
            self.assertEqual([], self.directives(config, "--user", "nobody")[0])
        config["queues"]["q"]["handler"]["directory"] = "/run/lock"  # 1777
        for user in ("nobody", "no-such-user-here"):  # who may what everybody may
            self.assertEqual((["ReadWritePaths=/run/lock"], []), self.directives(config, "--user", user), user)

    def test_handlers_of_other_users_take_the_drop_in(self):
        config = {"queues": {"q": {"handler": {"exec": ["/bin/cat"], "user": "nobody"}},
                             "p": {"handler": {"exec": ["/bin/cat"], "user": "nobody"}}}}
        text = self.unit(config)
        for line in (" --set user=drover", "User=root", "CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_KILL CAP_SYS_RESOURCE",
                     "# queues.q.handler.user: nobody is not the user of the workers"):
            self.assertEqual(1, text.count(line), text)
        config["user"] = "nobody"
        self.assertNotIn("User=root", self.unit(config))
        config["queues"]["q"]["handler"]["nice"] = -5
        self.assertIn("# queues.q.handler.nice: -5 is lower", self.unit(config))

        rows = json.loads(self.unit(config, "--json"))["directives"]
        self.assertIn("User=root", [row["line"] for row in rows])
        self.assertFalse([row for row in rows if "\n" in row["line"]])

    def test_the_file_is_named_from_the_root(self):
        config = {"queues": {"q": {"handler": {"exec": ["/bin/cat"], "user": "nobody"}}}}
        path = self.file(config, "of mine.yaml")
        link = os.path.join(self.scratch, "link.yaml")
        os.symlink("of mine.yaml", link)
        self.assertIn(f'droverd -c "{path}" --set', self.cli("unit", "-c", link).out)

    def test_no_name_begins_another_directive(self):
        folder = os.path.join(self.scratch, "a\nExecStartPre=/bin/evil")
        os.makedirs(folder)
        config = {"queues": {"q": {"handler": {"exec": ["/bin/cat"], "directory": folder}}}}
        text = self.unit(config)
        self.assertIn(r"a\x0aExecStartPre=/bin/evil", text)
        self.assertFalse([line for line in text.splitlines() if line.startswith("ExecStartPre")], text)
        for name in ("a:b", "a b", "a\nb", "../a", ""):
            config["redis"] = {"default": {"url": "redis://127.0.0.1", "password": f"cred:{name}"}}
            self.unit(config, code=CONFIG)

    def test_a_wrong_configuration_has_no_unit(self):
        result = self.cli("unit", "-c", self.file({"queues": {"q": {"handler": "noop", "lok": "5s"}}}))
        self.assertEqual((CONFIG, ""), (result.code, result.out))
        self.assertIn("did you mean", result.err)
        self.assertEqual(USAGE, self.cli("unit", "word").code)
        self.assertEqual(USAGE, self.cli("unit", "--set", "nothing").code)

    def test_check_does_not_need_the_credentials_of_the_service(self):
        path = self.file({"redis": {"default": {"url": "redis://127.0.0.1", "password": "cred:redis"}},
                          "queues": {"q": {"handler": "noop"}}})
        result = self.cli("check", "-c", path)
        self.assertEqual(OK, result.code, result)
        self.assertIn("warning: redis.default.password: credential redis is for the service alone", result.err)
        # Who would log in with it is told that it is not there.
        result = self.cli("status", "-c", path)
        self.assertNotEqual(OK, result.code)
        self.assertIn("CREDENTIALS_DIRECTORY", result.err)

    def test_without_systemd_a_unit_cannot_be_looked_at(self):
        if os.path.isdir("/run/systemd/system"):
            self.skipTest("this host is run by systemd; tests/systemd looks at units")
        result = self.cli("check", "--unit", "-c", self.file({"queues": {"q": {"handler": "noop"}}}))
        self.assertEqual(69, result.code, result)
        self.assertIn("systemd cannot be asked", result.err)

    def test_an_instance_is_named_once_for_every_command(self):
        for words in (["--instance", "one"], ["--instance=one"], ["-i", "one"]):
            result = self.cli(*words, "check")
            self.assertIn("/etc/drover/one/drover.yaml", result.err)
            self.assertIn("/run/drover-one/control (of instance one)", self.cli(*words, "ps").err)
        self.assertIn("/run/drover-two/control", self.cli("ps", env={"DROVER_INSTANCE": "two"}).err)
        for words in (["-i"], ["-i", ""], ["-i", "../etc", "ps"]):
            self.assertEqual(USAGE, self.cli(*words).code, words)
        self.assertEqual(USAGE, self.cli("ps", env={"DROVER_INSTANCE": "a/b"}).code)


if __name__ == "__main__":
    rig.main()
