"""cppcheck over the sources that ship; a false alarm is silenced at its line, with the reason."""

import json
import os

import lintlib

ARGUMENTS = ["cppcheck", "--enable=warning,performance,portability", "--inline-suppr", "--std=c11", "--quiet",
             "--error-exitcode=1", "--template={file}:{line}: {severity}: {message} [{id}]", "-I", ".", "-D_GNU_SOURCE",
             "-D__STDC_VERSION__=201710L", "--library=posix", "--suppressions-list=tests/lint/cppcheck.txt", "-j", str(os.cpu_count() or 1)]


def version():
    with open("build/clang/meson-info/intro-projectinfo.json") as file:
        return json.load(file)["version"]


def main():
    paths = lintlib.product_sources()
    if not paths:
        return []
    code, output = lintlib.run([*ARGUMENTS, f'-DDROVER_VERSION="{version()}"', *paths])
    return [output.strip()] if code != 0 or output.strip() else []


lintlib.finish(main())
