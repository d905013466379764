"""documents.py - what the documents hold that a test can check: the commands that they name, and the tests.

A document tells a reader what to type in two ways, and no other:

    ```sh           every line is a command (comments and here-documents as in a script)
    ```console      a line that begins with "$ " is a command, what follows it is what the reader then sees
    `drover ps`     in a sentence or a table: a command, when it begins with the name of one of COMMANDS and a blank

"# exit 78" at the end of a command is the exit code that it has; without it, that is 0.

In what the reader sees, "…" stands for anything, alone on its line also for any number of lines; points in time, process
ids, durations and sizes stand for any others; all else is as it is shown, but for the width of blanks.
"""

import os
import re

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

COMMANDS = ("drover", "droverd", "./dev", "systemctl", "journalctl", "systemd-analyze", "systemd-sysusers", "redis-cli",
            "redis-server", "meson", "ninja", "apt", "apt-get", "dpkg", "sudo", "node", "npm", "python3", "coredumpctl")
RUN = ("sh", "console")
# Blocks that nobody types. A line in them that looks like a command all the same is refused.
SHOWN = ("yaml", "ini", "json", "js", "text", "c", "python", "mermaid")
FENCE = re.compile(r"^\s*```\s*(\w*)\s*$")
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
HEREDOC = re.compile(r"<<-?\s*['\"]?(\w+)['\"]?")
EXIT = re.compile(r"#.*\bexit (\d+)\s*$")


class Wrong(Exception):
    """The document does not keep to the rules above; the text begins with its place."""


class Command:
    """One command line: where it stands, its text, the lines that are shown after it, the exit code it has."""

    def __init__(self, path, number, text, inline=False):
        self.place = f"{path}:{number}"
        self.text = text
        self.inline = inline
        self.shown = []
        found = EXIT.search(text.split("\n")[0])
        self.code = int(found.group(1)) if found else 0

    def __repr__(self):
        return f"{self.place}: {self.text}"


def lines_of(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return list(enumerate(file.read().split("\n"), 1))


def blocks_of(path):
    """(language, [(number, line), …]) of each fenced block, and ("", …) of each line between them."""
    language, block = None, []
    for number, line in lines_of(path):
        fence = FENCE.match(line)
        if language is None and fence:
            language, block = fence.group(1), []
            if not language:
                raise Wrong(f"{path}:{number}: a block without a language")
        elif language is None:
            yield "", [(number, line)]
        elif fence and not fence.group(1):
            yield language, block
            language = None
        else:
            block.append((number, line))
    if language is not None:
        raise Wrong(f"{path}: a block has no end")


def looks_like_command(text):
    words = text.strip().lstrip("$#").split()
    return len(words) > 1 and words[0] in COMMANDS


def commands_of(path):
    """Every command line of a document, in order."""
    found = []
    for language, block in blocks_of(path):
        if language == "sh":
            found += _script(path, block)
        elif language == "console":
            found += _console(path, block)
        elif language == "":
            found += _sentence(path, *block[0])
        elif language in SHOWN:
            for number, line in block:
                if looks_like_command(line):
                    raise Wrong(f"{path}:{number}: a command in a block of {language}, which nobody runs: {line.strip()}")
        else:
            raise Wrong(f"{path}:{block[0][0]}: a block of {language}: is it to be run or not? ({', '.join(RUN + SHOWN)})")
    return found


def _script(path, block):
    found, rows = [], iter(block)
    for number, line in rows:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        text = [line]
        end = HEREDOC.search(line)
        while text[-1].endswith("\\") or (end and text[-1] != end.group(1)):
            text.append(next(rows)[1])
        found.append(Command(path, number, "\n".join(text)))
    return found


def _console(path, block):
    found = []
    for number, line in block:
        if line.startswith("$ "):
            found.append(Command(path, number, line[2:]))
        elif not found:
            raise Wrong(f"{path}:{number}: something is shown before any command")
        elif line.strip():
            found[-1].shown.append(line)
    return found


def _sentence(path, number, line):
    if line.startswith("    ") and looks_like_command(line):
        raise Wrong(f"{path}:{number}: a command in an indented block; fence it as sh or console: {line.strip()}")
    return [Command(path, number, text, inline=True) for text in INLINE.findall(line) if looks_like_command(text)]


# ---- what is shown ----

# What differs from run to run stands for anything of its kind.
VARIES = [
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[+-]\d\d:\d\d|Z)?", r"\d{4}-\d\d-\d\d[T ][\d:.]+\S*"),
    (r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \w+", r"\w{3} \d{4}-\d\d-\d\d [\d:]+ \w+"),
    (r"\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d\d \d\d:\d\d:\d\d", r"\w{3} \d\d [\d:]+"),
    (r"\b[0-9a-f]{32}\b", r"[0-9a-f]{32}"),
    (r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", r"[0-9a-f-]{36}"),
    (r"\b\d+(?:\.\d+)?(?: ms|ms|us|s|min|h|KiB|MiB|GiB|K|M)\b", r"\d+(?:\.\d+)?(?: ms|ms|us|s|min|h|KiB|MiB|GiB|B|K|M)"),
    (r"\b\d{3,}\b", r"\d+"),
    (r"…", r".*"),
]
ANY = re.compile("|".join(f"({kind})" for kind, _ in VARIES))


def pattern(line):
    """A regular expression for one line that is shown."""
    out, at = [], 0
    line = line.strip()
    for match in ANY.finditer(line):
        out.append(re.escape(line[at:match.start()]))
        out.append(VARIES[match.lastindex - 1][1])
        at = match.end()
    out.append(re.escape(line[at:]))
    # The width of columns depends on what stands in them. (re.escape writes a blank as "\ ".)
    return re.sub(r"(?:\\ )+", r"\\s+", "".join(out))


def missing(shown, output):
    """The first line that is shown and does not come, or comes elsewhere; None when all is as shown."""
    rows = [row.strip() for row in output.splitlines() if row.strip()]
    at, anywhere = 0, True  # what is shown may begin anywhere; then it goes on line by line
    for line in shown:
        if line.strip() == "…":
            anywhere = True
            continue
        wanted = re.compile(pattern(line))
        places = range(at, len(rows)) if anywhere else range(at, min(at + 1, len(rows)))
        place = next((index for index in places if wanted.fullmatch(rows[index])), None)
        if place is None:
            return line
        at, anywhere = place + 1, False
    return None


# ---- the tests that a document names ----

NAMED = re.compile(r"`(tests/[\w./-]+\.(?:py|c|mjs))(?:::([^`]+))?`")
_TITLES = {
    ".py": lambda name: rf"^\s*def {re.escape(name)}\(",
    ".c": lambda name: rf"^Test\(\w+,\s*{re.escape(name)}\b",
    ".mjs": lambda name: rf"^\s*(?:test|it)\([`'\"].*{re.escape(name)}",
}


def named_tests(path):
    """(place, file, name or None) of every test that a document names: `tests/lua/turn/test_x.c::name`."""
    return [(f"{path}:{number}", *found) for number, line in lines_of(path) for found in NAMED.findall(line)]


def find_test(file, name):
    """None when the test is there, else what is wrong. In Python NAME is Class.test or test, in C the second word of
    Test(suite, name), in JavaScript a part of the title."""
    where = os.path.join(ROOT, file)
    if not os.path.exists(where):
        return f"there is no {file}"
    if not name:
        return None
    with open(where, encoding="utf-8") as source:
        text = source.read()
    group, _, short = name.rpartition(".") if file.endswith(".py") else ("", "", name)
    if group:
        _, found, text = text.partition(f"\nclass {group}(")
        if not found:
            return f"there is no class {group} in {file}"
        text = re.split(r"\n(?=\S)", text, maxsplit=1)[0]
    ending = os.path.splitext(file)[1]
    return None if re.search(_TITLES[ending](short), text, re.MULTILINE) else f"there is no test {name} in {file}"
