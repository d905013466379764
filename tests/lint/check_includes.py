"""Includes point one way: supervisor/ -> common/ <- workers/, and inside common from high to low."""

import lintlib

# folder -> what a file in it may include of the project
ALLOWED = {
    "common/base": ["common/base"],
    "common/process": ["common/base", "common/process"],
    "common/config": ["common/base", "common/config"],
    "common/channel": ["common/base", "common/channel"],
    "common/scoreboard": ["common/base", "common/process", "common/scoreboard"],
    "common/cron": ["common/base", "common/cron"],
    "common/redis": ["common/base", "common/config", "common/redis"],
    "common/queue": ["common/base", "common/config", "common/cron", "common/redis", "common/queue"],
    "common/client": ["common/base", "common/config", "common/redis", "common/queue", "common/client"],
    "supervisor": ["common", "supervisor"],
    "workers": ["common", "workers"],
    "include": [],  # self-contained: it is installed
    "docs": [],  # examples, which are built outside of the tree
    "tests": ["common", "supervisor", "workers", "tests"],
}
SUPERVISOR_PARTS = ("supervisor/master", "supervisor/cli")


def allowed_for(path):
    fitting = [folder for folder in ALLOWED if path.startswith(folder + "/")]
    return ALLOWED[max(fitting, key=len)] if fitting else None


def main():
    problems = []
    for path in lintlib.files(".c", ".h"):
        allowed = allowed_for(path)
        if allowed is None:
            problems.append(f"{path}:1: this folder has no rule in {__file__}")
            continue
        own_part = next((part for part in SUPERVISOR_PARTS if path.startswith(part + "/")), None)
        for number, line in lintlib.lines(path):
            if not line.startswith('#include "'):
                continue
            target = line.split('"')[1]
            other_part = next((part for part in SUPERVISOR_PARTS if target.startswith(part + "/")), None)
            if "/" not in target and target.endswith(".inc"):
                continue  # made by the build, beside the file that includes it
            if not any(target.startswith(folder + "/") for folder in allowed):
                problems.append(f"{path}:{number}: may not include {target}; allowed: {' '.join(allowed)}")
            elif own_part and other_part and own_part != other_part:
                problems.append(f"{path}:{number}: {own_part} may not include {other_part}")
    return problems


lintlib.finish(main())
