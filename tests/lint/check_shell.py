"""shellcheck over every file that starts with a shell's #! line, and over the completion for bash that the build makes."""

import os

import lintlib

scripts = []
for path in lintlib.files(""):
    with open(path, "rb") as file:
        first = file.readline(80)
    if first.startswith(b"#!") and first.split(b"/")[-1].strip() in (b"sh", b"bash", b"env bash"):
        scripts.append(path)
# Sourced, never run: it says itself which shell reads it.
completion = "build/clang/supervisor/cli/completion/drover"
if os.path.exists(completion):
    scripts.append(completion)
code, output = lintlib.run(["shellcheck", "--format=gcc", *scripts])
lintlib.finish(output.strip().split("\n") if code else [])
