#!/usr/bin/env python3
"""Makes a manual page from a document: from_markdown.py NAME(SECTION) SUMMARY FILE.md > NAME.SECTION

Takes the Markdown that the documents use: headings, paragraphs, lists of one level, tables of two or three columns, fenced
code, and inside a line `code`, **strong**, *emphasis* and [links](target). Whatever else looks like Markdown is an error,
so that a document cannot grow something that its page shows wrongly.

A table becomes a list, since cells of whole sentences do not fit into a terminal's columns: the first cell is the term, a
middle one follows it in parentheses, the last one explains.
"""

import argparse
import os
import re
import sys

INLINE = re.compile(r"`(?P<code>[^`]+)`|\*\*(?P<strong>.+?)\*\*|\*(?P<soft>[^*\s][^*]*)\*|\[(?P<text>[^\]]+)\]\((?P<target>[^)\s]+)\)")
UNKNOWN = re.compile(r"^(?:>|\d+[.)] |[*+] |\s+[-*+] |!\[|<\w|={3,}$|-{3,}$|#{4,} )")
# Characters that groff would take for a command, or print as another one than meant.
SPECIAL = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti", '"': "\\(dq"}


class Unreadable(Exception):
    """What stands in the document and has no form in a page; the text begins with file:line."""


def plain(text):
    """Text as itself. Its hyphens are those that are typed: options and code are searched for and copied from pages."""
    out = "".join(SPECIAL.get(char, char) for char in text)
    return "".join(char if ord(char) < 128 else f"\\[u{ord(char):04X}]" for char in out)


def inline(text):
    out, end = [], 0
    for found in INLINE.finditer(text):
        out.append(plain(text[end:found.start()]))
        end = found.end()
        if found["code"]:
            out.append(f"\\fB{plain(found['code'])}\\fR")
        elif found["strong"]:
            out.append(f"\\fB{inline(found['strong'])}\\fR" if "`" not in found["strong"] else inline(found["strong"]))
        elif found["soft"]:
            out.append(f"\\fI{plain(found['soft'])}\\fR")
        else:
            out.append(link(found["text"], found["target"]))
    return "".join(out) + plain(text[end:])


def link(text, target):
    """A page is one text: a heading of it, and a file that lies beside the document, are named and not pointed to."""
    if re.match(r"[a-z]+:", target):
        return f"{inline(text)} (\\fI{plain(target)}\\fR)"
    return inline(text)


def line_of(text):
    """A line of a page; one that began with a dot would be a command."""
    return ("\\&" if text.startswith(".") else "") + text


def sentences(text):
    """One sentence a line, as pages are written."""
    return [line_of(part) for part in re.split(r"(?<=[a-z0-9)R]\.) (?=\S)", inline(text))]


def cells(row):
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


class Page:
    def __init__(self, path, lines):
        self.path, self.lines, self.at = path, lines, 0
        self.out = []

    def error(self, text, at=None):
        return Unreadable(f"{self.path}:{(self.at if at is None else at) + 1}: {text}")

    def line(self):
        return self.lines[self.at] if self.at < len(self.lines) else None

    def block(self, belongs):
        """The lines from here on that belong, and moves behind them."""
        begin = self.at
        while self.at < len(self.lines) and belongs(self.lines[self.at]):
            self.at += 1
        return self.lines[begin:self.at]

    def convert(self):
        while self.line() is not None:
            line = self.line()
            if not line.strip():
                self.at += 1
            elif line.startswith("```"):
                self.code()
            elif UNKNOWN.match(line):
                raise self.error(f"manual pages have no form for this: {line}")
            elif line.startswith("#"):
                self.heading()
            elif line.startswith("|"):
                self.table()
            elif line.startswith("- "):
                self.list()
            else:
                self.out += [".PP", *sentences(" ".join(self.paragraph()))]
        return tidy(self.out)

    def heading(self):
        level, _, text = self.line().partition(" ")
        if level == "##":
            self.out.append(f'.SH "{inline(text.upper())}"')
        elif level == "###":
            self.out.append(f'.SS "{inline(text)}"')
        else:
            raise self.error("a second title")
        self.at += 1

    def paragraph(self):
        lines = self.block(lambda line: line.strip() and not line.startswith(("#", "|", "- ", "```")))
        return [line.strip() for line in lines]

    def list(self):
        while self.line() is not None and self.line().startswith("- "):
            begin = self.line()[2:].strip()
            self.at += 1
            more = [line.strip() for line in self.block(lambda line: line.startswith("  ") and not UNKNOWN.match(line))]
            if self.line() is not None and UNKNOWN.match(self.line()):
                raise self.error("lists have one level here")
            self.out += [".IP \\(bu 2", *sentences(" ".join([begin, *more]))]

    def table(self):
        begin = self.at
        lines = self.block(lambda line: line.startswith("|"))
        columns = len(cells(lines[0]))
        if len(lines) < 2 or not re.fullmatch(r"[|\s:-]+", lines[1]) or columns not in (2, 3):
            raise self.error("a table has a head, a rule, and two or three columns", begin)
        for number, row in enumerate(lines[2:], begin + 2):
            term, *middle, last = cells(row)
            if len(middle) != columns - 2:
                raise self.error(f"a row with another number of cells: {row}", number)
            note = f" ({inline(middle[0])})" if middle and middle[0] else ""
            self.out += [".TP", line_of(inline(term) + note), *(sentences(last) if last else ["\\&"])]

    def code(self):
        begin = self.at
        self.at += 1
        lines = self.block(lambda line: not line.startswith("```"))
        if self.line() is None:
            raise self.error("the code has no end", begin)
        self.at += 1
        self.out += [".PP", ".RS 4", ".nf", *(line_of(plain(line)) if line else "\\&" for line in lines), ".fi", ".RE"]


def tidy(out):
    """Without paragraphs that begin where a heading already began one."""
    return [line for before, line in zip(["", *out], out) if not (line == ".PP" and before.startswith((".SH", ".SS")))]


def page(options, text):
    lines = text.split("\n")
    if not lines[0].startswith("# "):
        raise Unreadable(f"{options.file}:1: the document has no title")
    name, section = re.fullmatch(r"(.+)\((\d)\)", options.name).groups()
    body = Page(options.file, ["", *lines[1:]]).convert()
    see = [f".BR {plain(other[:-3])} {other[-3:]}" for other in options.see.split(",")]
    return "\n".join([
        f'.\\" Made from {os.path.basename(options.file)} by from_markdown.py: change it there.',
        f'.TH {plain(name.upper())} {section} "{options.date}" "drover {options.version}"',
        ".SH NAME", f"{plain(name)} \\- {plain(options.summary)}",
        ".SH DESCRIPTION", *body[1 if body[:1] == [".PP"] else 0:],
        '.SH "SEE ALSO"', *[entry + "," for entry in see[:-1]], see[-1], ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--date", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--see", required=True, help="other pages, as NAME(SECTION),NAME(SECTION)")
    parser.add_argument("name", help="NAME(SECTION)")
    parser.add_argument("summary")
    parser.add_argument("file")
    options = parser.parse_args()
    try:
        with open(options.file, encoding="utf-8") as file:
            made = page(options, file.read())
    except Unreadable as problem:
        sys.exit(str(problem))
    sys.stdout.write(made)


if __name__ == "__main__":
    main()
