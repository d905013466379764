"""docs/man/from_markdown.py: what it makes of each form that the documents use, and what it refuses."""

import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.join(ROOT, "docs", "man", "from_markdown.py")


def convert(text):
    """(exit code, page, errors) for a document with that text under its title."""
    with tempfile.NamedTemporaryFile("w", suffix=".md", prefix="drover-run-", dir="/var/tmp", encoding="utf-8") as file:
        file.write(f"# Title\n\n{text}\n")
        file.flush()
        done = subprocess.run(
            [sys.executable, PROGRAM, "--date", "May 1, 2026", "--version", "1.2", "--see", "a(5),b-c(8)", "x-y(7)", "sums up", file.name],
            capture_output=True, text=True, check=False, timeout=20)
    return done.returncode, done.stdout, done.stderr.replace(file.name, "FILE")


class Manual(unittest.TestCase):
    def made(self, text):
        """The lines between DESCRIPTION and SEE ALSO."""
        code, page, errors = convert(text)
        self.assertEqual((code, errors), (0, ""))
        return page.partition(".SH DESCRIPTION\n")[2].partition('.SH "SEE ALSO"\n')[0].split("\n")[:-1]

    def refused(self, text, error):
        code, page, errors = convert(text)
        self.assertNotEqual(code, 0)
        self.assertEqual(page, "")
        self.assertIn(error, errors)

    def test_frame(self):
        _, page, _ = convert("Text.")
        lines = page.split("\n")
        self.assertEqual(lines[1:5], ['.TH X\\-Y 7 "May 1, 2026" "drover 1.2"', ".SH NAME", "x\\-y \\- sums up", ".SH DESCRIPTION"])
        self.assertEqual(lines[5:], ["Text.", '.SH "SEE ALSO"', ".BR a (5),", ".BR b\\-c (8)", ""])

    def test_inline(self):
        self.assertEqual(self.made("A `b-c`, **d** and *e*; [here](#there), [there](https://x.org)."),
                         ["A \\fBb\\-c\\fR, \\fBd\\fR and \\fIe\\fR; here, there (\\fIhttps://x.org\\fR)."])

    def test_one_sentence_a_line(self):
        self.assertEqual(self.made("One is\nhere. Two is `x`. Three."), ["One is here.", "Two is \\fBx\\fR.", "Three."])

    def test_nothing_becomes_a_command(self):
        self.assertEqual(self.made(".dot `\\n`"), ["\\&.dot \\fB\\en\\fR"])
        self.assertEqual(self.made("```\n.x\n'y\n\\z\n```")[1:5], [".nf", "\\&.x", "\\(aqy", "\\ez"])

    def test_other_scripts(self):
        self.assertEqual(self.made("a → b…"), ["a \\[u2192] b\\[u2026]"])

    def test_headings(self):
        self.assertEqual(self.made("T.\n\n## Big one\n\n### small `x`\n\nU."),
                         ["T.", '.SH "BIG ONE"', '.SS "small \\fBx\\fR"', "U."])

    def test_list(self):
        self.assertEqual(self.made("T.\n\n- one\n  goes on\n- two"), ["T.", ".IP \\(bu 2", "one goes on", ".IP \\(bu 2", "two"])

    def test_table(self):
        self.assertEqual(self.made("T.\n\n| a | b | c |\n|---|---|---|\n| `x` | y | z |\n| v | | |"),
                         ["T.", ".TP", "\\fBx\\fR (y)", "z", ".TP", "v", "\\&"])
        self.assertEqual(self.made("T.\n\n| a | b |\n|---|---|\n| x | y |"), ["T.", ".TP", "x", "y"])

    def test_refuses_what_it_does_not_know(self):
        for text in ("> quoted", "1. numbered", "* starred", "![image](x.png)", "<b>", "#### deep", "- one\n  - nested", "---"):
            with self.subTest(text=text):
                self.refused(f"T.\n\n{text}", "FILE:")
        self.refused("T.\n\n> quoted", "FILE:5: ")

    def test_refuses_what_has_no_end(self):
        self.refused("```\nx", "FILE:3: the code has no end")

    def test_refuses_uneven_tables(self):
        self.refused("| a | b |\n|---|---|\n| x | y | z |", "FILE:5: a row with another number of cells")
        self.refused("| a | b | c | d |\n|---|---|---|---|\n| x | y | z | v |", "two or three columns")
        self.refused("| a | b |", "a table has a head")


if __name__ == "__main__":
    unittest.main()
