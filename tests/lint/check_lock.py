"""npm's lock files name every package that their packages depend on, optional ones of other platforms too.

npm 9 makes up for what is missing, npm 11 refuses the whole file; an installed node_modules hides both.
"""

import json

import lintlib

problems = []
for path in lintlib.files("package-lock.json"):
    with open(path) as file:
        packages = json.load(file)["packages"]
    for place, package in packages.items():
        if "resolved" in package:
            problems.append(f"{path}: {place}: a download address stands in it (omit-lockfile-registry-resolved)")
        for kind in ("dependencies", "optionalDependencies"):
            for name in package.get(kind, {}):
                # As Node looks it up: beside the package's own dependencies, then one folder up after the other.
                folders = [place]
                while folders[-1]:
                    folders.append(folders[-1].rpartition("node_modules/")[0].rstrip("/"))
                if not any(f"{folder}/node_modules/{name}".lstrip("/") in packages for folder in folders):
                    problems.append(f"{path}: {place or 'the project'}: {name} is not in the lock file")
lintlib.finish(problems)
