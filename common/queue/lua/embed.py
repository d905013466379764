#!/usr/bin/env python3
"""Turns the Lua scripts into C: one `struct redis_script` each, and their list.

    embed.py OUT.c OUT.h SCRIPT.lua...

A line `--- include lib/x.lua` is replaced by that file (found from the script's own folder; each
file is taken once a script). Comments, indentation and empty lines are dropped: the server keeps
and hashes the text, people read the source. The SHA1 is of the text as sent.
"""
import hashlib
import os
import re
import sys

INCLUDE = re.compile(r"^\s*---\s*include\s+(\S+)\s*$")
LONG_OPEN = re.compile(r"\[(=*)\[")


def resolve(path, seen):
    """The file's text with its includes in place."""
    out = []
    with open(path, encoding="utf-8") as file:
        for line in file.read().split("\n"):
            match = INCLUDE.match(line)
            if not match:
                out.append(line)
                continue
            wanted = os.path.normpath(os.path.join(os.path.dirname(path), match.group(1)))
            if wanted not in seen:
                seen.add(wanted)
                out.append(resolve(wanted, seen))
    return "\n".join(out)


def strip(text, path):
    """Without comments, indentation and empty lines. Lua's strings are left alone."""
    out = []
    at = 0
    while at < len(text):
        if text.startswith("--", at):
            long_comment = LONG_OPEN.match(text, at + 2)
            if long_comment:
                close = text.find("]" + long_comment.group(1) + "]", at)
                if close < 0:
                    raise SystemExit(f"{path}: a long comment is not closed")
                at = close + 2 + len(long_comment.group(1))
            else:
                end = text.find("\n", at)
                at = len(text) if end < 0 else end
        elif text[at] in "'\"":
            quote = text[at]
            end = at + 1
            while end < len(text) and text[end] != quote:
                if text[end] == "\n":
                    raise SystemExit(f"{path}: a string is not closed: {text[at:end]}")
                end += 2 if text[end] == "\\" else 1
            out.append(text[at : end + 1])
            at = end + 1
        elif LONG_OPEN.match(text, at):
            raise SystemExit(f"{path}: long strings are not supported here")
        else:
            out.append(text[at])
            at += 1
    lines = (line.strip() for line in "".join(out).split("\n"))
    return "\n".join(line for line in lines if line) + "\n"


def c_text(text):
    """C string literals, one a line of Lua."""
    rows = []
    for line in text.splitlines(keepends=True):
        row = line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        if not row.isascii():
            raise SystemExit(f"not ASCII outside of comments: {row!r}")
        rows.append(f'        "{row}"')
    return "\n".join(rows)


def main(argv):
    out_c, out_h, paths = argv[1], argv[2], argv[3:]
    names = [os.path.basename(path)[: -len(".lua")] for path in paths]
    c_names = ["queue_script_" + name.replace("-", "_") for name in names]
    body = ["/* Made by common/queue/lua/embed.py from the scripts beside it. */",
            '#include "common/queue/lua/queue_scripts.h"', '#include "common/queue/queue.h"', ""]
    for path, name, c_name in zip(paths, names, c_names):
        text = strip(resolve(path, {os.path.normpath(path)}), path)
        sha = hashlib.sha1(text.encode()).hexdigest()
        body += [f"const struct redis_script {c_name} = {{",
                 f'    .name = "{name}",', "    .text =", c_text(text) + ",",
                 f"    .text_len = {len(text.encode())},", f'    .sha = "{sha}",', "};", ""]
    body += ["const struct redis_script *const queue_scripts[] = {"]
    body += [f"    &{c_name}," for c_name in c_names] + ["    NULL,", "};", ""]
    head = ["/* Made by common/queue/lua/embed.py: the scripts, see common/queue/lua. */",
            "#pragma once", "", '#include "common/queue/queue.h"', ""]
    head += [f"extern const struct redis_script {c_name};" for c_name in c_names]
    head += [""]
    for path, lines in ((out_c, body), (out_h, head)):
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(lines))


if __name__ == "__main__":
    main(sys.argv)
