"""The log events that the documents name are those that the programs log: an operator greps for them."""

import re

import lintlib

NAME = re.compile(r"`([a-z]+\.[a-z]+(?:_[a-z]+)*)`")
LOGGED = re.compile(r'log_(?:debug|info|warn|error|at|write)\([^"]*"([a-z]+\.[a-z_]+)"')
PAGES = ("docs/operations.md", "docs/guarantees.md", "docs/states.md", "docs/security.md")

logged = set()
for path in lintlib.product_sources():
    logged.update(LOGGED.findall("\n".join(text for _, text in lintlib.lines(path))))
areas = {name.partition(".")[0] for name in logged}
keys = set(re.findall(r"`([a-z_.*<>]+)`", "\n".join(text for _, text in lintlib.lines("docs/configuration.md"))))
problems = []
for path in PAGES:
    for number, text in lintlib.lines(path):
        for name in NAME.findall(text):
            if name.partition(".")[0] in areas and name not in logged and name not in keys and not name.endswith((".c", ".h")):
                problems.append(f"{path}:{number}: no program logs an event {name}")
lintlib.finish(problems if logged else ["no event was found in the sources: this check is broken"])
