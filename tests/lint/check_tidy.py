"""clang-tidy over the sources that ship; what it looks for, and why not for more, stands in .clang-tidy."""

import json
import os
import re

import lintlib


def main():
    with open("build/clang/compile_commands.json") as file:
        compiled = {os.path.relpath(os.path.join(row["directory"], row["file"])) for row in json.load(file)}
    paths = [path for path in lintlib.product_sources() if path in compiled]
    results = lintlib.run_each(lambda path: ["clang-tidy", "-p", "build/clang", "--quiet", path], paths)
    problems = [f"{path}: is in no build" for path in lintlib.product_sources() if path not in compiled]
    for path, code, output in results:
        # The first line of each finding; one in a header comes once per file that includes it.
        found = [line.replace(f"{lintlib.ROOT}/build/clang/../../", "").replace(f"{lintlib.ROOT}/", "")
                 for line in output.split("\n") if re.search(r": (warning|error): ", line)]
        problems += found
        if code != 0 and not found:
            problems.append(f"{path}: clang-tidy ended with {code}: {output.strip()}")
    return sorted(set(problems))


lintlib.finish(main())
