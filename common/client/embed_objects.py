#!/usr/bin/env python3
"""Makes a static library of one object whose only global symbols are those with a given prefix.

    embed_objects.py OUT.a PREFIX LD OBJCOPY AR NM INPUT...

The first INPUT is taken whole, of the others what it needs. So a program that links the library meets none of our
internal names, and the library's sources need no prefix on each of them.
"""
import os
import subprocess
import sys
import tempfile


def main(argv):
    out, prefix, ld, objcopy, ar, nm, first, *others = argv[1:]
    with tempfile.TemporaryDirectory() as scratch:
        whole = os.path.join(scratch, "drover-queue.o")
        subprocess.run([ld, "-r", "-o", whole, "--whole-archive", first, "--no-whole-archive", "--start-group", *others, "--end-group"],
                       check=True)
        subprocess.run([objcopy, "--wildcard", f"--keep-global-symbol={prefix}*", whole], check=True)
        names = subprocess.run([nm, "--defined-only", "--extern-only", "--format=posix", whole], check=True, capture_output=True, text=True)
        wrong = [line for line in names.stdout.splitlines() if line and not line.startswith(prefix)]
        if wrong or not names.stdout:
            raise SystemExit(f"{out}: global symbols without {prefix}: {wrong}")
        if os.path.exists(out):
            os.unlink(out)
        subprocess.run([ar, "rcsD", out, whole], check=True)


if __name__ == "__main__":
    main(sys.argv)
