"""systemd-analyze finds nothing to say about the units and drop-ins as they are installed, and each directive says why.

A directive is explained by the comment right above it; only what names the unit to people explains itself.
"""

import glob
import os
import tempfile

import lintlib

PLAIN = ("Description", "Documentation")
# Of a newer systemd than the oldest that is served.
UNKNOWN_TO_252 = ("notify-reload.conf",)


def installable(text):
    """The programs are not installed on this machine; everything else is taken as it stands."""
    lines = []
    for line in text.split("\n"):
        name, _, value = line.partition("=")
        lines.append(f"{name}=/bin/true" if name in ("ExecStart", "ExecReload") and value else line)
    return "\n".join(lines) + "\n"


def verify(texts, name):
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, name)
        with open(copy, "w") as file:
            file.write("\n".join(installable(text) for text in texts))
        code, output = lintlib.run(["systemd-analyze", "verify", "--man=no", copy])
        said = [line for line in output.split("\n") if name in line or copy in line]
        return [output.strip()] if code or said else []


def unexplained(path, text):
    problems = []
    above = ""
    for number, line in enumerate(text.split("\n"), 1):
        name = line.partition("=")[0]
        if line and not line.startswith(("#", "[")) and name not in PLAIN:
            # A list is taken back by an empty line of the same name.
            if not above.startswith("#") and above != f"{name}=":
                problems.append(f"{path}:{number}: {name}= does not say why it is there")
        above = line
    return problems


def main():
    units = sorted(glob.glob("build/clang/systemd/*.service"))
    dropins = sorted(glob.glob("build/clang/systemd/*.conf"))
    problems = [] if len(units) == 2 and dropins else ["systemd/: the build makes no units or drop-ins"]
    texts = {}
    for path in units + dropins:
        with open(path) as file:
            texts[path] = file.read()
        problems += unexplained(path, texts[path])
    for unit in units:
        problems += verify([texts[unit]], os.path.basename(unit))
    for dropin in dropins:
        if os.path.basename(dropin) not in UNKNOWN_TO_252:
            problems += verify([texts[units[0]], texts[dropin]], os.path.basename(units[0]))
    return problems


lintlib.finish(main())
