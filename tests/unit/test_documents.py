"""tests/support/documents.py: which lines of a document are commands, and when what is shown is what comes."""

import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import documents


class Page(unittest.TestCase):
    def commands(self, text):
        with tempfile.NamedTemporaryFile("w", suffix=".md", dir="/var/tmp") as file:
            file.write(text)
            file.flush()
            return documents.commands_of(file.name)

    def refused(self, text):
        with self.assertRaises(documents.Wrong) as caught:
            self.commands(text)
        return str(caught.exception)

    def test_every_line_of_a_script_but_comments(self):
        found = self.commands("```sh\n# first\n\ndrover check   # why\ncat >x <<'END'\ndrover: no command\nEND\nls \\\n  /\n```\n")
        self.assertEqual(["drover check   # why", "cat >x <<'END'\ndrover: no command\nEND", "ls \\\n  /"], [c.text for c in found])
        self.assertEqual([4, 5, 8], [int(c.place.rpartition(":")[2]) for c in found])

    def test_a_console_shows_what_comes(self):
        (first, second) = self.commands("```console\n$ drover ps\nPID\n…\n$ false  # exit 1\n```\n")
        self.assertEqual((["PID", "…"], 0, [], 1), (first.shown, first.code, second.shown, second.code))

    def test_sentences_and_tables(self):
        found = self.commands("| `drover ps` | `drover` and `timeout`: `systemctl stop drover` |\n")
        self.assertEqual(["drover ps", "systemctl stop drover"], [c.text for c in found])

    def test_no_command_hides_from_the_test(self):
        self.assertIn(":2: a command in a block of text", self.refused("```text\n$ drover ps\n```\n"))
        self.assertIn(":1: a block without a language", self.refused("```\ndrover ps\n```\n"))
        self.assertIn(":1: a command in an indented block", self.refused("    drover ps\n"))
        self.assertIn("a block of perl", self.refused("```perl\n1\n```\n"))
        self.assertIn("a block has no end", self.refused("```sh\ndrover ps\n"))


class Shown(unittest.TestCase):
    OUTPUT = " PID  QUEUE  STATE    UP   BUSY\n   7  mail   serving  12s  0/8\n\nend\n"

    def test_what_varies_may_vary(self):
        self.assertIsNone(documents.missing([" PID  QUEUE  STATE  UP  BUSY", "7213  mail  serving  1s  0/8"], self.OUTPUT))
        self.assertIsNone(documents.missing(["at 2026-01-02T03:04:05.678Z, 2.9MiB"], "at 2031-11-12T13:14:15.167Z, 14KiB"))

    def test_all_else_may_not(self):
        for shown in (["7213  mail  serving  1s  0/9"], ["7213  mial  serving  1s  0/8"], ["end", "PID  QUEUE  STATE  UP  BUSY"],
                      [" PID  QUEUE  STATE  UP  BUSY", "end"], ["serving"]):
            self.assertEqual(shown[-1], documents.missing(shown, self.OUTPUT))

    def test_dots_stand_for_anything(self):
        self.assertIsNone(documents.missing(["PID…", "…", "end"], self.OUTPUT))
        self.assertIsNone(documents.missing(["…serving…"], self.OUTPUT))


class Named(unittest.TestCase):
    def test_a_test_is_found_by_its_name(self):
        here = "tests/unit/test_documents.py"
        self.assertIsNone(documents.find_test(here, None))
        self.assertIsNone(documents.find_test(here, "Named.test_a_test_is_found_by_its_name"))
        self.assertIn("there is no test", documents.find_test(here, "Page.test_a_test_is_found_by_its_name"))
        self.assertIn("there is no class", documents.find_test(here, "Nobody.test_x"))
        self.assertIn("there is no tests/unit/none.py", documents.find_test("tests/unit/none.py", None))
        self.assertIsNone(documents.find_test("tests/unit/base/test_fd.c", "reading_stops_at_the_limit"))
        self.assertIn("there is no test", documents.find_test("tests/unit/base/test_fd.c", "reading_stops"))


if __name__ == "__main__":
    unittest.main()
