"""Every Python file compiles, and every JSON file of the tree is JSON."""

import json

import lintlib

problems = []
for path in lintlib.files(".py"):
    with open(path) as file:
        try:
            compile(file.read(), path, "exec")
        except SyntaxError as wrong:
            problems.append(f"{path}:{wrong.lineno}: {wrong.msg}")
for path in lintlib.files(".json"):
    with open(path) as file:
        try:
            json.load(file)
        except ValueError as wrong:
            problems.append(f"{path}: {wrong}")
lintlib.finish(problems)
