"""Manual pages, written or made by the build, have no mistakes that mandoc knows of, beyond style."""

import glob

import lintlib

SECTIONS = (".1", ".5", ".7", ".8")
pages = [path for path in lintlib.files(*SECTIONS) if path.startswith("docs/")]
pages += [path for path in sorted(glob.glob("build/clang/**/*", recursive=True))
          if path.endswith(SECTIONS) and "/meson-" not in path]
code, output = lintlib.run(["mandoc", "-Tlint", "-Wwarning", *pages]) if pages else (0, "")
# A page made by the build bears no date: the same sources must give the same page.
lintlib.finish([line for line in output.split("\n") if line and "missing date" not in line])
