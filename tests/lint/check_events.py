"""The log events are one set: what the programs log, what the table of events explains (common/base/log_events_*.c),
and what the documents name. An operator greps for them. Their fields become fields of the journal: their names must
be its kind of names, and not those that mean something to it."""

import re

import lintlib

NAME = re.compile(r"`([a-z]+\.[a-z]+(?:_[a-z]+)*)`")
CALL = re.compile(r"\b(?:log_(?:debug|info|warn|error|at|words|unlimited)|emit|write_event)\(")
EVENT = re.compile(r'"([a-z]+\.[a-z_]+)"')
TABLE = re.compile(r"\b([a-z_]+)\[[a-z_]+\],")
FIELD = re.compile(r'\bLOG_(?:INT|UINT|STR|BOOL|REAL)\("([^"]*)"')
FIELD_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
# systemd.journal-fields(7): what the journal itself puts into an entry, or journalctl reads from one.
RESERVED = {"message", "message_id", "priority", "event", "syslog_identifier", "syslog_pid", "errno", "level", "time"}
PAGES = ("docs/operations.md", "docs/guarantees.md", "docs/states.md", "docs/security.md")
ROW = re.compile(r'\.name = "([^"]+)",\s+\.id = "([^"]+)"')


def arguments(text, start):
    """The arguments of the call whose ( ends before `start`, up to the first field."""
    depth, at = 1, start
    while depth and at < len(text):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        at += 1
    return re.split(r"\bLOG_[A-Z]+\(", text[start:at])[0]


def events_of(text):
    for call in CALL.finditer(text):
        words = arguments(text, call.end())
        yield from EVENT.findall(words)
        for table in TABLE.findall(words):
            body = re.search(rf"\b{table}\[\] = \{{(.*?)\}};", text, re.S)
            yield from EVENT.findall(body.group(1)) if body else ()


logged, rows, problems = set(), {}, []
for path in lintlib.product_sources():
    source = "\n".join(text for _, text in lintlib.lines(path))
    logged.update(events_of(source))
    for event, identity in ROW.findall(source):
        if not re.fullmatch(r"[0-9a-f]{32}", identity) or identity in rows.values():
            problems.append(f"{path}: the id of {event} is not 32 digits, or another event's")
        rows[event] = identity
    for field in FIELD.findall(source):
        if not FIELD_NAME.fullmatch(field) or field in RESERVED:
            problems.append(f"{path}: the journal cannot have a field {field}")
problems += [f"{name} is logged, but no row of common/base/log_events_*.c explains it" for name in sorted(logged - set(rows))]
problems += [f"{name} has a row in common/base/log_events_*.c, but no program logs it" for name in sorted(set(rows) - logged)]
areas = {name.partition(".")[0] for name in logged}
keys = set(re.findall(r"`([a-z_.*<>]+)`", "\n".join(text for _, text in lintlib.lines("docs/configuration.md"))))
for path in PAGES:
    for number, text in lintlib.lines(path):
        for name in NAME.findall(text):
            if name.partition(".")[0] in areas and name not in logged and name not in keys and not name.endswith((".c", ".h")):
                problems.append(f"{path}:{number}: no program logs an event {name}")
lintlib.finish(problems if logged else ["no event was found in the sources: this check is broken"])
