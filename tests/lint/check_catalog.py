"""systemd takes the message catalogue as the build makes it, with an entry for each event."""

import glob
import os
import re
import shutil
import tempfile

import lintlib

ENTRY = re.compile(r"^-- [0-9a-f]{32}$", re.M)


def main():
    made = glob.glob("build/clang/common/base/drover.catalog")
    if not made:
        return ["common/base: the build makes no drover.catalog"]
    with open(made[0]) as file:
        entries = len(ENTRY.findall(file.read()))
    with tempfile.TemporaryDirectory() as root:
        for folder in ("usr/lib/systemd/catalog", "var/lib/systemd/catalog"):
            os.makedirs(os.path.join(root, folder))
        shutil.copy(made[0], os.path.join(root, "usr/lib/systemd/catalog"))
        code, output = lintlib.run(["journalctl", "--update-catalog", f"--root={root}"])
        database = os.path.join(root, "var/lib/systemd/catalog/database")
        if code or output.strip() or not os.path.exists(database):
            return [f"drover.catalog: journalctl --update-catalog: {code} {output.strip()}"]
        code, output = lintlib.run(["journalctl", f"--root={root}", "--list-catalog"])
    listed = len([line for line in output.split("\n") if line.strip()])
    return [] if listed == entries > 100 else [f"drover.catalog: {entries} entries, journalctl lists {listed}"]


lintlib.finish(main())
