"""The library for C producers, installed: built against outside of the tree, as a stranger would, and run."""

import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import rig
from cases import QueueCase

EXAMPLE = os.path.join(rig.ROOT, "docs", "examples", "producer.c")
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
ENTIRE = """#include <drover/queue.h>
int main(void) { struct drover_job job = drover_job("a", "{}"); return job.keep_logs == -1 && drover_version() ? 0 : 1; }
"""


class InstalledLibrary(QueueCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        installed = json.loads(subprocess.run(["meson", "introspect", "--installed", rig.BUILD], check=True, capture_output=True).stdout)
        if not any(target.endswith("libdrover-queue.a") for target in installed.values()):
            raise AssertionError("the build installs no libdrover-queue.a")

    def setUp(self):
        super().setUp()
        self.dest = os.path.join(self.scratch, "dest")
        subprocess.run(["meson", "install", "-C", rig.BUILD, "--no-rebuild", "--quiet", "--destdir", self.dest], check=True,
                       stdout=subprocess.DEVNULL)
        self.config = self.find("drover-queue.pc")
        self.library = self.find("libdrover-queue.a")

    def find(self, name):
        found = [os.path.join(folder, name) for folder, _, files in os.walk(self.dest) if name in files]
        self.assertEqual(1, len(found), name)
        return found[0]

    def flags(self, *what):
        """As pkg-config says them, for the place where this test has put it all."""
        with open(self.config, encoding="utf-8") as file:
            prefix = next(line for line in file if line.startswith("prefix=")).strip().partition("=")[2]
        env = {**os.environ, "PKG_CONFIG_PATH": os.path.dirname(self.config)}
        out = subprocess.run(["pkg-config", f"--define-variable=prefix={self.dest}{prefix}", *what, "drover-queue"], check=True, env=env,
                             capture_output=True, text=True).stdout
        return out.split()

    def build(self, compiler, source, name, *flags):
        out = os.path.join(self.scratch, name)
        subprocess.run([*compiler, *STRICT, *self.sanitizers(), source, "-o", out, *self.flags("--cflags", "--libs"), *flags], check=True, cwd=self.scratch)
        return out

    def sanitizers(self):
        """What the library was built with must be linked."""
        names = subprocess.run(["nm", "-u", self.library], check=True, capture_output=True, text=True).stdout
        flags = ["-fsanitize=address,undefined"] if "__asan_" in names else []
        return flags + (["--coverage"] if "__gcov_" in names else [])

    def run_program(self, *args, code=0):
        done = subprocess.run(args, capture_output=True, text=True, timeout=60 * rig.PATIENCE)
        self.assertEqual(code, done.returncode, done)
        return done

    def test_the_example_is_built_outside_of_the_tree_and_its_jobs_run(self):
        self.droverd({"queues": {name: {"concurrency": 2, "handler": "noop"} for name in ("mail", "mail-parts")}})
        producer = self.build(["cc", "-std=gnu11"], EXAMPLE, "producer")
        for again in (False, True):
            done = self.run_program(producer, self.server.url, "mail")
            lines = done.stdout.splitlines()
            self.assertEqual(["a flow of 3 jobs", "completed: null"], lines[3:], done)
            self.assertEqual("job welcome-bob" + (" was there already" if again else ""), lines[1])
        parents = [job for job in self.r.cmd("ZRANGE", "bull:mail:completed", 0, -1) if self.r.cmd("EXISTS", f"bull:mail:{job}:processed")]
        self.assertEqual(2, len(parents))
        self.assertEqual(4, self.r.cmd("ZCARD", "bull:mail-parts:completed"))

    def test_what_goes_wrong_is_said(self):
        producer = self.build(["cc", "-std=gnu11"], EXAMPLE, "producer")
        self.assertIn("Connection refused", self.run_program(producer, "redis://127.0.0.1:1", code=1).stderr)
        self.assertIn("a Redis URL begins with", self.run_program(producer, "http://localhost", code=1).stderr)
        self.assertIn("contains ':'", self.run_program(producer, self.server.url, "a:b", code=1).stderr)
        self.r.cmd("SET", "bull:mail:wait", "x")
        self.assertIn("bull:mail:wait", self.run_program(producer, self.server.url, "mail", code=1).stderr)

    def test_the_header_stands_alone_in_c_and_in_cxx(self):
        for compiler, name in ((["cc", "-std=gnu99"], "entire.c"), (["cc", "-std=gnu17"], "entire.c"), (["c++", "-std=gnu++17"], "entire.cc")):
            source = os.path.join(self.scratch, name)
            with open(source, "w", encoding="utf-8") as file:
                file.write(ENTIRE)
            self.run_program(self.build(compiler, source, "entire"))

    def test_its_only_names_are_its_own(self):
        names = subprocess.run(["nm", "--defined-only", "--extern-only", "--format=posix", self.library], check=True, capture_output=True, text=True).stdout
        names = [line.split()[0] for line in names.splitlines() if line and not line.endswith(":")]
        self.assertGreater(len(names), 15)
        self.assertEqual([], [name for name in names if not name.startswith("drover_")])
        with open(self.find("queue.h"), encoding="utf-8") as file:
            header = file.read()
        for name in names:
            self.assertIn(name + "(", header, "every name is in the header")


if __name__ == "__main__":
    rig.main()
