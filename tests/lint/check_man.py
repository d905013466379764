"""Manual pages as they are installed: no mistakes that mandoc knows of, one for each program, one date, and what they say
of other pages, exit codes and signals agrees with the rest.

The pages are those of build/clang, which the lint layer builds before: all are made or filled in by the build.
"""

import json
import os
import re

import lintlib

BUILD = "build/clang"
OURS = re.compile(r"(?<![\w./-])(drover[\w.@-]*)\((\d)\)")
# Style that is not asked for: long lines, since one line is one sentence; .Os, since the pages are drover's and no system's;
# pages that this machine has not; `cred:` and `env:`, which end in no sentence's colon.
PASSED_OVER = ("longer than 80 bytes", "operating system explicitly specified", "referenced manual not found",
               "no blank before trailing delimiter", "outdated mandoc.db")
# Where docs/operations.md has a column of exit codes, and where the page of that program says the same.
EXIT_COLUMNS = {"droverd": "droverd.8", "drover": "drover.1", "drover-worker": "drover-worker.8"}
# 71 of drover-exec is a code of its own (workers/exec/exec_status.h).
EXEC_PAGE = "drover-exec.8"


def installed():
    """Paths below the prefix that an installation makes, with where the build has them."""
    code, output = lintlib.run(["meson", "introspect", "--installed", BUILD])
    return {target: source for source, target in json.loads(output).items()} if code == 0 else {}


def rendered(path):
    """A page as text, with lines that nothing breaks."""
    code, output = lintlib.run(["mandoc", "-Tutf8", "-Owidth=900", path])
    return re.sub(r".\x08", "", output) if code == 0 else ""


def check_lint(pages):
    _, output = lintlib.run(["mandoc", "-Tlint", "-Wstyle", *pages.values()])
    return [line for line in output.split("\n") if line and not any(words in line for words in PASSED_OVER)]


def check_programs(targets, pages):
    for target in targets:
        folder, name = os.path.split(target)
        if re.search(r"/(?:s?bin|libexec/drover)$", folder) and not {f"{name}.1", f"{name}.8"} & set(pages):
            yield f"{target}: this program has no manual page"


def check_dates(pages):
    dates = {}
    for name, path in pages.items():
        head = [line for _, line in lintlib.lines(path) if line.startswith((".Dd ", ".TH "))]
        date = re.search(r'^\.Dd (.+)$|^\.TH \S+ \d "([^"]+)"', head[0] if head else "")
        dates.setdefault((date.group(1) or date.group(2)) if date else "none", []).append(name)
    if len(dates) > 1:
        yield f"meson.build: pages bear different dates, not all of them manual_date: {dates}"


def check_references(texts, names):
    """What pages, documents and units call a page of ours is one."""
    for path in lintlib.files(".md", ".in", ".c"):
        if not path.startswith("tests/"):
            for number, line in lintlib.lines(path):
                texts.append((f"{path}:{number}", line))
    for place, text in texts:
        for name, number in OURS.findall(text):
            if f"{name}.{number}" not in names:
                yield f"{place}: there is no page {name}({number})"


def section(text, title):
    found = re.search(rf"^{title}$\n(.*?)(?=^\S|\Z)", text, re.M | re.S)
    return found.group(1) if found else ""


def operations_table(heading):
    """Rows of a table of docs/operations.md, as lists of cells."""
    rows, inside = [], False
    for _, line in lintlib.lines("docs/operations.md"):
        inside = line.lstrip("#") == f" {heading}" or (inside and not line.startswith("#"))
        if inside and line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def codes_of_program(text):
    """What EXIT STATUS says of the program itself: a page may go on about the programs of jobs."""
    own = section(text, "EXIT STATUS").split("Of a program of handler")[0]
    return {int(code) for code in re.findall(r"^ {4,8}(\d+)\b", own, re.M)}


def check_exit_codes(texts):
    header = "\n".join(line for _, line in lintlib.lines("common/base/exit_code.c"))
    values = "\n".join(line for _, line in lintlib.lines("common/base/exit_code.h"))
    numbers = {name: int(value) for name, value in re.findall(r"(EXIT_CODE_\w+)\s*=\s*(\d+)", values)}
    real = {numbers[name] for name in re.findall(r"\{ (EXIT_CODE_\w+),", header)}
    head, _, *rows = operations_table("Exit codes") or [[], []]
    for program, page in EXIT_COLUMNS.items():
        said = codes_of_program(texts[page])
        if not said or said - real:
            yield f"{page}: its exit codes are {sorted(said)}, those of exit_code.c {sorted(real)}"
        if program not in head:
            yield f"docs/operations.md: its exit codes have no column for {program}"
            continue
        column = head.index(program)
        table = {int(row[0]) for row in rows if row[column] != "–" and not row[column].startswith("set aside")}
        if said != table:
            yield f"{page}: its exit codes are {sorted(said)}, those of docs/operations.md {sorted(table)}"
    exec_header = "\n".join(line for _, line in lintlib.lines("workers/exec/exec_status.h"))
    own = {int(code) for code in re.findall(r"EXEC_EXIT_CODE (\d+)", exec_header)}
    if codes_of_program(texts[EXEC_PAGE]) != own:
        yield f"{EXEC_PAGE}: its exit codes are not {sorted(own)}, that of exec_status.h"


def check_signals(texts):
    """The signals that the master and a worker listen to are those of their pages and of the handbook."""
    def numbers(path):
        text = "\n".join(line for _, line in lintlib.lines(path))
        found = re.search(r"int \w+\[\w*\] = \{([^}]*SIG[^}]*)\}", text)
        return set(re.findall(r"SIG[A-Z]+", found.group(1))) - {"SIGCHLD"} if found else set()

    def said(page):
        lists = re.findall(r"^ {4,8}(SIG[A-Z]+(?:, SIG[A-Z]+)*)(?=$|  )", section(texts[page], "SIGNALS"), re.M)
        return set(re.findall(r"SIG[A-Z]+", " ".join(lists)))

    handbook = {name for row in operations_table("Signals to droverd") for name in re.findall(r"SIG[A-Z]+", row[0])}
    for page, path in {"droverd.8": "supervisor/master/supervisor.c", "drover-worker.8": "workers/worker/worker.c"}.items():
        if not numbers(path) or said(page) != numbers(path):
            yield f"{page}: its signals are {sorted(said(page))}, those of {path} {sorted(numbers(path))}"
    if handbook != said("droverd.8"):
        yield f"docs/operations.md: its signals are {sorted(handbook)}, those of droverd.8 {sorted(said('droverd.8'))}"


def main():
    targets = installed()
    named = {os.path.basename(target): source for target, source in targets.items() if "/man/man" in target}
    # A link is told by its name alone; that it leads somewhere is seen by the test that installs.
    pages = {name: source for name, source in named.items() if os.path.isabs(source) and os.path.exists(source)}
    if len(pages) < 7:
        return [f"{BUILD} has {len(pages)} manual pages: {' '.join(sorted(pages)) or 'is it built?'}"]
    texts = {name: rendered(path) for name, path in pages.items()}
    return [*check_lint(pages), *check_programs(targets, pages), *check_dates(pages),
            *check_references(list(texts.items()), named), *check_exit_codes(texts), *check_signals(texts)]


lintlib.finish(main())
