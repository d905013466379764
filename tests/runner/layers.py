"""layers.py - what each layer of the tests runs. A layer is a function that takes a Context and returns a Tally."""

import concurrent.futures
import glob
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field

from runner import builds, coverage, process
from runner.tally import Tally, judge, read_criterion, read_tap, read_unittest

TESTS = os.path.join(builds.ROOT, "tests")
PARALLEL = max(1, min(4, os.cpu_count() or 1))


@dataclass
class Context:
    layer: str
    limit_s: float  # for the whole layer, and so for each of its programs
    begin_s: float = field(default_factory=time.monotonic)
    build: str = "gcc"
    patience: float = 1.0  # how much longer than usual everything may take
    env: dict = field(default_factory=dict)

    def left_s(self, wanted_s=None):
        """Seconds that a program may take: what is left to the layer, or less when it wants less."""
        left_s = max(1.0, self.begin_s + self.limit_s - time.monotonic())
        return min(left_s, wanted_s) if wanted_s else left_s

    def log(self, name):
        path = os.path.join(builds.LOGS, self.layer, name.replace("/", "_") + ".log")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "w").close()
        return path


def _each(jobs, run_one, parallel=PARALLEL):
    """Runs all jobs, some at a time, and adds up."""
    total = Tally()
    with concurrent.futures.ThreadPoolExecutor(parallel) as pool:
        for part in pool.map(run_one, jobs):
            total.add(part)
    return total


# ---- C: the suites that meson knows ----


def _criterion_suite(context, suite):
    path = builds.prepare(context.build)

    def run_one(test):
        log = context.log(test["name"])
        with tempfile.TemporaryDirectory(prefix="drover-run-", dir="/var/tmp") as scratch:
            result_path = os.path.join(scratch, "result.xml")
            env = {"DROVER_BUILD_DIR": path, "DROVER_TEST_PATIENCE": str(context.patience), **context.env, **test["env"]}
            limit_s = max(60, test["timeout"]) * context.patience
            argv = test["argv"] + ["--verbose", "-j1", f"--xml={result_path}"]
            done = process.run(argv, log, context.left_s(limit_s), env, test["cwd"])
            return judge(test["name"], done, read_criterion(test["name"], result_path, log))

    return _each(builds.tests_of(path, suite), run_one)


def unit(context):
    total = _criterion_suite(context, "unit")
    if context.build == "gcc":
        # The runner's own tests, which no compiler of ours touches.
        total.add(_python_folder(context, "unit"))
    return total


def lua(context):
    return _criterion_suite(context, "lua")


# ---- Python: tests/<layer>/test_*.py ----


def _python_folder(context, name, prefix=(), parallel=PARALLEL, built=True):
    path = builds.prepare(context.build) if built else builds.folder(context.build)

    def run_one(file):
        base = os.path.basename(file)
        log = context.log(base)
        with tempfile.TemporaryDirectory(prefix="drover-run-", dir="/var/tmp") as scratch:
            result_path = os.path.join(scratch, "result.json")
            env = {"DROVER_BUILD_DIR": path, "DROVER_TEST_PATIENCE": str(context.patience), **context.env,
                   "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
            runner = os.path.join(TESTS, "runner", "unittest_json.py")
            done = process.run([*prefix, sys.executable, runner, file, result_path], log,
                               context.left_s(), env, builds.ROOT)
            return judge(base, done, read_unittest(result_path))

    return _each(sorted(glob.glob(os.path.join(TESTS, name, "test_*.py"))), run_one, parallel)


def integration(context):
    total = _criterion_suite(context, "integration")
    total.add(_python_folder(context, "integration"))
    return total


def chaos(context):
    # One at a time: these tests take the machine to its limits on purpose.
    return _python_folder(context, "chaos", parallel=1)


def systemd(context):
    if os.geteuid() != 0:
        return Tally(skipped=[("systemd", "a throw-away systemd needs root")])
    # A document's reader has stock bullmq; inside there is no network to fetch it from.
    problem = _node_packages(context, os.path.join(TESTS, "interop"))
    if problem:
        return Tally(failed=[("systemd npm ci", problem)])
    return _python_folder(context, "systemd", prefix=[os.path.join(TESTS, "support", "with-systemd")], parallel=1)


# ---- the Debian package ----

NO_MACHINE = 69  # EX_UNAVAILABLE


def package(context):
    """The package is made, and beside that the machine that it is tried on; the tests need nothing else that is built."""
    if os.geteuid() != 0:
        return Tally(skipped=[("package", "a machine to install it on needs root")])
    machine = os.path.join(builds.ROOT, "build", "package", "machine.tar")
    steps = {"deb": [os.path.join(builds.ROOT, "dev"), "deb"],
             "machine": [os.path.join(TESTS, "support", "debian-machine"), "make", machine]}

    def run_one(name):
        done = process.run(steps[name], context.log(name), context.left_s(), cwd=builds.ROOT)
        if name == "machine" and done.code == NO_MACHINE:
            return Tally(skipped=[("package", done.tail(3))])
        return judge(f"package: {name}", done, Tally(passed=1 if done.code == 0 else 0))

    total = _each(steps, run_one)
    if not (total.failed or total.skipped):
        total.add(_python_folder(context, "package", built=False))
    return total


# ---- Node: tests/interop/*.test.mjs, tests/pages/*.test.mjs ----


def interop(context):
    return _node_folder(context, "interop")


def pages(context):
    if not shutil.which("chromium"):
        return Tally(skipped=[("pages", "no Chromium here (./dev deps pages)")])
    # What starts servers and stock clients there is the rig of interop.
    return _node_folder(context, "pages", ["interop"])


def _node_folder(context, name, also=()):
    path = builds.prepare(context.build)
    folder = os.path.join(TESTS, name)
    if not shutil.which("npm"):
        return Tally(skipped=[(name, f"no Node.js here (./dev deps {name})")])
    for each in (*also, name):
        problem = _node_packages(context, os.path.join(TESTS, each))
        if problem:
            return Tally(failed=[(f"{name} npm ci", problem)])

    def run_one(file):
        base = os.path.basename(file)
        log = context.log(base)
        env = {"DROVER_BUILD_DIR": path, "DROVER_TEST_PATIENCE": str(context.patience), **context.env}
        done = process.run(["node", "--test", "--test-reporter=tap", file], log, context.left_s(), env, folder)
        return judge(base, done, read_tap(base, log))

    return _each(sorted(glob.glob(os.path.join(folder, "*.test.mjs"))), run_one)


def _node_packages(context, folder):
    """Installs what the lock file pins, when that is not there yet; gives the text of a failure."""
    lock = os.path.join(folder, "package-lock.json")
    mark = os.path.join(folder, "node_modules", ".package-lock.json")
    if os.path.exists(mark) and os.path.getmtime(mark) >= os.path.getmtime(lock):
        return None
    done = process.run(["npm", "ci", "--no-audit", "--no-fund"], context.log("npm-ci"), 300, cwd=folder)
    return None if done.code == 0 else done.tail()


# ---- the rest ----


def build(context):
    total = Tally()
    for kind in ("gcc", "clang"):
        try:
            builds.prepare(kind)
            total.passed += 1
        except builds.BuildFailed as failure:
            total.fail(f"build with {kind}", str(failure))
    total.add(_installs(context))
    return total


PROGRAMS = ["bin/drover", "sbin/droverd", "libexec/drover/drover-worker", "libexec/drover/drover-exec"]
SHIPPED = ["lib/systemd/system/drover.service", "lib/systemd/system/drover@.service", "lib/sysusers.d/drover.conf",
           "lib/tmpfiles.d/drover.conf", "lib/systemd/catalog/drover.catalog", "share/drover/users.conf",
           "share/drover/notify-reload.conf",
           "share/bash-completion/completions/drover", "share/zsh/site-functions/_drover",
           "share/doc/drover/examples/thumbnails.mjs", "share/doc/drover/examples/split/queues.d/mail.yaml",
           *(f"share/man/{page}" for page in (
               "man1/drover.1", "man5/drover.yaml.5", "man7/drover-handler.7", "man8/droverd.8", "man8/drover-worker.8",
               "man8/drover-exec.8", "man8/drover.service.8", "man8/drover@.service.8"))]


def _installs(context):
    """meson install with DESTDIR puts everything under that folder, and the installed programs start."""
    total = Tally()
    with tempfile.TemporaryDirectory(prefix="drover-run-", dir="/var/tmp") as scratch:
        done = process.run(["meson", "install", "-C", builds.folder("gcc"), "--no-rebuild", "--destdir", scratch],
                           context.log("install"), 60, cwd=builds.ROOT)
        prefix = os.path.join(scratch, "usr", "local")
        missing = [path for path in PROGRAMS + SHIPPED if not os.path.exists(os.path.join(prefix, path))]
        if done.code != 0 or missing:
            total.fail("install to a DESTDIR", f"missing: {' '.join(missing)}\n{done.tail(10)}")
            return total
        for program in PROGRAMS[:2]:
            code, out, err = process.capture([os.path.join(prefix, program), "--version"], timeout_s=20)
            if code != 0 or not out.strip():
                total.fail(f"installed {program} --version", f"exit code {code}: {err}")
    total.passed += 0 if total.failed else 1
    return total


FUZZ_S = 15


def fuzz(context):
    path = builds.prepare("fuzz")
    programs = builds.programs_under(path, "tests/fuzz")

    def run_one(program):
        name = os.path.basename(program)
        with tempfile.TemporaryDirectory(prefix="drover-run-", dir="/var/tmp") as scratch:
            # New inputs go to the first folder; the seeds in the tree stay as they are.
            seeds = [folder for folder in _seeds(name) if os.path.isdir(folder)]
            argv = [program, f"-max_total_time={FUZZ_S}", "-timeout=10", "-rss_limit_mb=1024", "-close_fd_mask=1",
                    f"-artifact_prefix={builds.LOGS}/{context.layer}/{name}-", scratch, *seeds]
            done = process.run(argv, context.log(name), context.left_s(FUZZ_S * 4 + 60), context.env)
        if done.code == 0 and not done.timed_out:
            return Tally(passed=1)
        return Tally(failed=[(name, f"the input that fails is kept in build/log/{context.layer}/\n{done.tail(40)}")])

    return _each(programs, run_one)


def _seeds(name):
    short = name.replace("fuzz_", "").replace("fuzz-", "")
    return [os.path.join(TESTS, "fuzz", "corpus", variant) for variant in dict.fromkeys((name, short))]


def lint(context):
    checks = sorted(glob.glob(os.path.join(TESTS, "lint", "check_*.py")))
    total = Tally()
    try:
        # The analysers read how clang is called, and headers that the build makes.
        builds.prepare("clang")
    except builds.BuildFailed as failure:
        total.fail("lint: build with clang", str(failure))

    def run_one(check):
        name = os.path.basename(check)[len("check_") : -3]
        done = process.run([sys.executable, check], context.log(name), context.left_s(), {"PYTHONDONTWRITEBYTECODE": "1"},
                           builds.ROOT)
        notes = [line for line in done.tail(200).split("\n") if line.startswith("note: ")]
        if done.code == 0 and not done.timed_out:
            return Tally(passed=1, notes=notes)
        return Tally(failed=[(f"lint {name}", done.tail(60))])

    total.add(_each(checks, run_one))
    return total


def sanitize(context):
    """Unit, lua and integration tests in programs built with ASan and UBSan; any report fails, leaks included."""
    context.build = "asan"
    context.patience = 3.0
    total = Tally()
    with tempfile.TemporaryDirectory(prefix="drover-asan-", dir="/var/tmp") as reports:
        os.chmod(reports, 0o1777)
        # A leak is reported after Criterion has given its verdict, so only the report files tell.
        context.env = {
            # Not strict_string_checks: hiredis searches in the counted, not terminated text of a command.
            "ASAN_OPTIONS": f"log_path={reports}/asan:detect_leaks=1:detect_stack_use_after_return=1:handle_sigill=1",
        }
        for part in (unit, lua, integration):
            total.add(part(context))
        for report in sorted(os.listdir(reports)):
            with open(os.path.join(reports, report), errors="replace") as file:
                total.fail(f"sanitizer report {report}", file.read(4000))
    return total


def covered(context):
    """--coverage: the same three layers under gcov, then the share of lines and branches they reach."""
    context.build = "cov"
    context.patience = 2.0
    total = Tally()
    coverage.forget(builds.folder("cov"))
    for part in (unit, lua, integration):
        total.add(part(context))
    total.add(coverage.report(builds.ROOT, builds.folder("cov"), context.log("gcovr")))
    return total
