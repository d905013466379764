"""What the documents point at is there: files and headings behind links, tests, configuration keys, exit codes."""

import os
import re
import sys

import lintlib

sys.path.insert(0, os.path.join(lintlib.ROOT, "tests", "support"))
import documents  # noqa: E402

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*$")
CODE = re.compile(r"`([^`]+)`")
KEY = re.compile(r"[a-z_*]+(?:\.[a-z_*]+)+")
PROSE_ENDINGS = (".c", ".h", ".py", ".mjs", ".lua", ".md", ".yaml", ".yml", ".json", ".service", ".socket", ".conf", ".sh", ".txt", ".js",
                 ".catalog", ".user", ".procs", ".kill", ".log", ".target", ".mount", ".d", ".install")


def prose(path):
    """(number, line) of what is not in a fenced block."""
    fenced = False
    for number, line in lintlib.lines(path):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, line


def anchors(path):
    """As GitHub makes them: lower case, punctuation gone, blanks to hyphens; the second of a name gets -1."""
    found = {}
    for _, line in prose(path):
        heading = HEADING.match(line)
        if heading:
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.group(1)).replace("`", "").lower()
            slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
            count = found.get(slug, 0)
            found[slug] = count + 1
            if count:
                found[f"{slug}-{count}"] = 1
    return set(found)


def check_links(path):
    for number, line in prose(path):
        for target in LINK.findall(line):
            if re.match(r"[a-z]+:", target):
                continue
            file, _, anchor = target.partition("#")
            where = os.path.normpath(os.path.join(os.path.dirname(path), file)) if file else path
            if not os.path.exists(where):
                yield f"{path}:{number}: the link leads nowhere: {target}"
            elif anchor and where.endswith(".md") and anchor not in anchors(where):
                yield f"{path}:{number}: there is no such heading: {target}"


def check_tests(path):
    for place, file, name in documents.named_tests(path):
        wrong = documents.find_test(file, name)
        if wrong:
            yield f"{place}: {wrong}"


def known_keys():
    """Every key of the reference under each name that a sentence may give it: `backoff.max`, `queues.*.backoff.max`."""
    keys, sections = set(), []
    for _, line in lintlib.lines("docs/configuration.md"):
        if line.startswith("### "):
            sections = [name for name in CODE.findall(line)]
        elif line.startswith("#### "):
            name = CODE.findall(line)[0]
            keys.update([name, *(f"{section}.{name}" for section in sections)])
    branches = {key.rpartition(".")[0] for key in keys} - {""}
    return keys | branches | {f"{branch}.*" for branch in branches}


def logged_events():
    text = "\n".join("\n".join(line for _, line in lintlib.lines(path)) for path in lintlib.product_sources())
    return set(re.findall(r'"([a-z]+\.[a-z_]+)"', text))


def check_keys(path, keys, events):
    roots = {key.partition(".")[0] for key in keys}
    for number, line in prose(path):
        for code in CODE.findall(line):
            if not KEY.fullmatch(code) or code.partition(".")[0] not in roots or code.endswith(PROSE_ENDINGS):
                continue
            if code not in keys and code not in events:
                yield f"{path}:{number}: there is no key {code}"


def check_exit_codes(path):
    header = "\n".join(text for _, text in lintlib.lines("common/base/exit_code.h"))
    real = {int(code) for code in re.findall(r"EXIT_CODE_\w+\s*=\s*(\d+)", header)}
    rows, inside = set(), False
    for _, line in lintlib.lines(path):
        inside = line == "## Exit codes" or (inside and not line.startswith("## "))
        row = re.match(r"\| (\d+) \|", line)
        if inside and row:
            rows.add(int(row.group(1)))
    if rows != real:
        yield f"{path}: its exit codes are {sorted(rows)}, those of exit_code.h {sorted(real)}"


def main():
    keys, events, problems = known_keys(), logged_events(), []
    if len(keys) < 40 or len(events) < 40:
        return [f"{len(keys)} keys, {len(events)} events were found: this check is broken"]
    for path in lintlib.files(".md"):
        problems += [*check_links(path), *check_tests(path), *check_keys(path, keys, events)]
    return problems + list(check_exit_codes("docs/operations.md"))


lintlib.finish(main())
