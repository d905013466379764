"""builds.py - the build folders under build/, one per way to compile, and what meson knows of their tests."""

import contextlib
import fcntl
import json
import os

from runner import process

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
LOGS = os.path.join(ROOT, "build", "log")
BUILD_LIMIT_S = 900
# UBSan traps, and ASan writes the report of the trap to its log_path: beside ASan, UBSan's own texts go to stderr, where
# nobody would see them. gcc 12's -Wmaybe-uninitialized and -Wnull-dereference see ghosts through the sanitizers' own code.
SANITIZE = ["-Db_sanitize=address,undefined", "-Db_lundef=false",
            "-Dc_args=-fsanitize-undefined-trap-on-error -fno-omit-frame-pointer -Wno-maybe-uninitialized -Wno-null-dereference"]
KINDS = {
    "gcc": ("gcc", ["-Dwerror=true"]),
    "clang": ("clang", ["-Dwerror=true", "-Dfuzzers=false"]),
    "asan": ("gcc", SANITIZE),
    "fuzz": ("clang", ["-Dfuzzers=true", "-Db_lundef=false"]),
    "cov": ("gcc", ["-Db_coverage=true", "-Doptimization=0"]),
}


class BuildFailed(Exception):
    pass


def folder(kind):
    return os.path.join(ROOT, "build", kind)


_prepared = {}  # kind -> BuildFailed or None: once in a run is enough


def prepare(kind):
    """Configures build/<kind> when that is needed and builds it; returns the folder."""
    if kind not in _prepared:
        try:
            _prepared[kind] = None
            _build(kind)
        except BuildFailed as failure:
            _prepared[kind] = BuildFailed(f"build/{kind} is broken, see above")
            raise failure
    if _prepared[kind]:
        raise _prepared[kind]
    return folder(kind)


def _build(kind):
    compiler, options = KINDS[kind]
    path = folder(kind)
    log = os.path.join(LOGS, f"build-{kind}.log")
    os.makedirs(LOGS, exist_ok=True)
    with _alone(kind):
        open(log, "w").close()
        if not os.path.exists(os.path.join(path, "build.ninja")):
            _step(["meson", "setup", path, ROOT, *options], log, {"CC": compiler})
        elif not _has_options(path, options):
            _step(["meson", "configure", path, *options], log, {})
        # A folder that is there knows the targets of its last build; a new fuzzer would be missed.
        _step(["ninja", "-C", path, "build.ninja"], log, {})
        # Of the fuzz folder only the fuzzers are run, so nothing else is built there.
        targets = [os.path.relpath(name, path) for name in programs_under(path, "tests/fuzz")] if kind == "fuzz" else []
        _step(["ninja", "-C", path, *targets], log, {})


@contextlib.contextmanager
def _alone(kind):
    """Two runs at the same time must not build in the same folder; ./dev takes the same lock."""
    with open(os.path.join(LOGS, f"{kind}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _step(argv, log, env):
    result = process.run(argv, log, BUILD_LIMIT_S, env=env, cwd=ROOT)
    if result.code != 0:
        with open(log, errors="replace") as file:
            text = file.read()
        at = text.find("FAILED: ")
        # When it is meson that fails, the reason stands before the FAILED line.
        shown = text[at : at + 6000] if at >= 0 and "FAILED: build.ninja" not in text else result.tail(20)
        raise BuildFailed(f"{' '.join(argv[:3])}: exit code {result.code}\n{shown}\nthe whole log: {log}")


def _has_options(path, options):
    """Whether the folder was configured with these values; `./dev build` makes build/gcc without -Dwerror."""
    now = {row["name"]: row["value"] for row in _introspect(path, "--buildoptions")}
    for option in options:
        name, value = option[2:].split("=", 1)
        if name == "werror" and str(now.get(name)).lower() != value:
            return False
    return True


def _introspect(path, what):
    code, out, err = process.capture(["meson", "introspect", what, path])
    if code != 0:
        raise BuildFailed(f"meson introspect {what}: exit code {code}\n{err}")
    return json.loads(out)


def tests_of(path, suite):
    """The tests of one suite: name, command, environment, seconds."""
    found = []
    for row in _introspect(path, "--tests"):
        suites = {name.split(":")[-1] for name in row["suite"]}
        if suite in suites:
            found.append({"name": row["name"], "argv": row["cmd"], "env": dict(row["env"]),
                          "cwd": row["workdir"], "timeout": row["timeout"]})
    return sorted(found, key=lambda row: row["name"])


def programs_under(path, source_folder):
    """The executables that are built from a folder of the sources: the fuzzers."""
    prefix = os.path.join(ROOT, source_folder) + os.sep
    return sorted(row["filename"][0] for row in _introspect(path, "--targets")
                  if row["type"] == "executable" and row["defined_in"].startswith(prefix))
