"""Every C file is in the layout of .clang-format (`./dev fmt` puts it there)."""

import re

import lintlib

paths = lintlib.files(".c", ".h")
_, output = lintlib.run(["clang-format", "--dry-run", "-Werror", *paths]) if paths else (0, "")
# One line per file is enough: the tool repairs them all.
wrong = sorted({found[1] for found in re.finditer(r"^([^:\s]+):\d+:\d+: error:", output, re.MULTILINE)})
lintlib.finish([f"{path}: not in the project's layout; ./dev fmt" for path in wrong])
