"""Manual pages have no mistakes that mandoc knows of, beyond style."""

import lintlib

pages = lintlib.files(".1", ".5", ".7", ".8")
pages = [path for path in pages if path.startswith("docs/")]
code, output = lintlib.run(["mandoc", "-Tlint", "-Wwarning", *pages]) if pages else (0, "")
lintlib.finish(output.strip().split("\n") if code else [])
