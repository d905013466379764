"""Every command line in README.md and docs/operations.md is run, in the order of the document, on a machine like its
reader's, and does what the document shows.

tests/support/documents.py says what counts as a command line, tests/support/reader.py makes the machine. A command that
cannot be run here stands in ELSEWHERE with the test that runs it.
"""

import os
import re
import subprocess
import tempfile
import time
import unittest

import documents
import rig
import service
from reader import Machine, Shell
from service import systemctl

# Commands that go on until Ctrl-C, and what they have shown by then.
ENDLESS = {
    r"\./dev demo": "All stays up until Ctrl-C",
}
# Commands that take minutes, and the part of the same that is run here.
SHORTENED = {
    r"\./dev bench": "./dev bench --rounds 1 --only memory",
}
# Commands that cannot be run inside a test, and the one that runs them.
ELSEWHERE = {
    r"\./dev test( .*)?": "tests/unit/test_runner.py",
    r"\./dev deb": "tests/package/test_contents.py::Contents.test_it_is_the_projects_version",
    r"apt purge drover": "tests/package/test_life.py::Life.test_remove_keeps_the_configuration_purge_does_not",
    r"apt install .*": "tests/package/test_life.py::Life.test_three_steps_after_the_installation_a_job_runs",
}
# Commands that change nothing: the reader looks again until what the document shows is there.
LOOKING = re.compile(r"(drover (--instance \w+ )?(status|ps|job|check|queue (show|jobs))|systemctl (status|show|is-)|journalctl|redis-cli)\b")


def matching(table, text):
    return next((pattern for pattern in table if re.fullmatch(pattern, text)), None)


def without_comment(text):
    return re.sub(r"\s+#.*$", "", text) if "\n" not in text else text


class Document(rig.Case):
    """What both documents share. A subclass names its document and says what the reader has before they begin."""

    stands_for = {}  # the words in capitals of a sentence
    seconds = {}  # by command, for those who ask why the test takes long

    def setUp(self):
        super().setUp()
        machine = Machine()
        machine.__enter__()
        self.addCleanup(machine.__exit__)
        env = rig.clean_env({"HOME": self.scratch, "PAGER": "cat", "SYSTEMD_PAGER": "cat", "LC_ALL": "C.UTF-8"})
        self.shell = Shell(rig.ROOT, env)
        self.addCleanup(self.shell.close)
        self.addCleanup(self.stop_everything)
        # Where a program of the reader finds the package that they have installed by npm.
        bullmq = os.path.join(rig.ROOT, "tests", "interop", "node_modules", "bullmq6")
        self.assertTrue(os.path.exists(bullmq), "the packages of tests/interop are not installed: npm ci")
        os.makedirs(os.path.join(rig.ROOT, "node_modules"), exist_ok=True)
        os.symlink(bullmq, os.path.join(rig.ROOT, "node_modules", "bullmq"))

    def stop_everything(self):
        """A failure may leave anything running."""
        for unit in systemctl("list-units", "--plain", "--no-legend", "--all", "drover*", check=False).stdout.splitlines():
            systemctl("stop", unit.split()[0], check=False)
        subprocess.run(["redis-cli", "shutdown", "nosave"], check=False, capture_output=True)

    def follow(self, path):
        """Runs the document, and gives what it has not used of the tables above."""
        commands = documents.commands_of(path)
        self.assertGreater(len(commands), 10, f"{path} has hardly a command: the test does not see them")
        for command in commands:
            with self.subTest(command.place):
                begin = time.monotonic()
                self.obey(command)
                self.seconds[f"{command}"] = time.monotonic() - begin
            if self._failed():
                return  # what follows stands on it

    def obey(self, command):
        text = without_comment(command.text)
        if command.inline:
            text = command.text = re.sub(r"\b[A-Z]+\b", lambda word: self.stands_for.get(word[0], word[0]), text)
        elsewhere = matching(ELSEWHERE, text)
        if elsewhere:
            file, _, name = ELSEWHERE[elsewhere].partition("::")
            self.assertIsNone(documents.find_test(file, name), f"{command} is said to be run by it")
            return
        active = command.inline and systemctl("is-active", "drover", check=False).returncode == 0
        ended = self.run_one(command, text)
        self.assertEqual(command.code, ended.code, f"{command}\n{ended}\n{service.journalctl('-n', '15')}")
        line = documents.missing(command.shown, ended.output)
        self.assertIsNone(line, f"{command}\nshows no such line; what it shows:\n{ended.output}")
        if active and systemctl("is-active", "drover", check=False).returncode != 0:
            systemctl("start", "drover")  # a sentence about stopping does not mean that the reader stops here

    def run_one(self, command, text):
        if matching(ENDLESS, text):
            return self.shell.run_until(text, ENDLESS[matching(ENDLESS, text)])
        if matching(SHORTENED, text):
            return self.shell.run(SHORTENED[matching(SHORTENED, text)])
        if LOOKING.match(text):
            return self.shell.look_until(command.text, lambda ended: ended.code == command.code and
                                         not documents.missing(command.shown, ended.output))
        return self.shell.run(command.text)


class Pages(unittest.TestCase):
    def test_a_configuration_that_is_shown_is_a_good_one(self):
        for path in ("README.md", "docs/operations.md"):
            for language, block in documents.blocks_of(path):
                if language != "yaml":
                    continue
                with self.subTest(f"{path}:{block[0][0]}"), tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                    file.write("\n".join(line for _, line in block) + "\n")
                    file.flush()
                    checked = rig.Cli()("check", "-c", file.name)
                    self.assertEqual(0, checked.code, checked)

    def test_the_tables_hold_nothing_that_no_document_says(self):
        texts = [without_comment(command.text) for path in ("README.md", "docs/operations.md")
                 for command in documents.commands_of(path)]
        for table in (ENDLESS, SHORTENED, ELSEWHERE):
            for row in table:
                self.assertTrue(any(re.fullmatch(row, text) for text in texts), row)


class Readme(Document):
    stands_for = {"QUEUE": "greetings", "N": "8"}

    def test_runs_as_it_stands(self):
        self.follow("README.md")


class Operations(Document):
    stands_for = {"QUEUE": "mail", "N": "20", "ID": "1 -q mail", "NAME": "welcome", "KEY": "'queues.*.lock'"}

    def test_runs_as_it_stands(self):
        # The page begins on a host with a Redis.
        self.popen(["redis-server", "--port", "6379", "--save", ""], cwd=self.scratch, stdout=subprocess.DEVNULL)
        rig.wait_until(lambda: self.shell.run("redis-cli ping").output.strip() == "PONG", 10, "redis-server answers")
        self.follow("docs/operations.md")
