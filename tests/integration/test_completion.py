"""The completion of bash and zsh, driven as a user's keys drive it, offers what `drover help` lists and the configuration holds."""

import fcntl
import json
import os
import pty
import re
import select
import shlex
import shutil
import struct
import subprocess
import sys
import termios
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import rig

WAIT_S = 20 * rig.PATIENCE
BUILT = os.path.join(rig.BUILD, "supervisor", "cli", "completion")
# Names that would be run, split or globbed by a completion that evaluates what it offers.
QUEUES = ["mail", "money", "a b", "x$(touch ran)", "it's", "*"]


def help_of(*command):
    return subprocess.run([rig.program("drover"), "help", *command], capture_output=True, text=True, check=True).stdout


def commands():
    return re.findall(r"^  ([a-z]+) ", help_of().split("Commands:")[1].split("\n\n")[0], re.M)


def verbs(command):
    """Of a command that has some."""
    return re.findall(r"^  ([a-z-]+) ", help_of(command).split("Verbs:")[1].split("\n\n")[0], re.M)


def options_of(*command):
    """Of the help, letters and long names."""
    lines = re.findall(r"^  (?:(-\w), )?(--[a-z-]+) ", help_of(*command).split("Options:")[1], re.M)
    return [name for pair in lines for name in pair if name]


def split_line(line):
    """COMP_WORDS as readline makes them: word breaks that are no blanks are words too. Quotes keep what is in them."""
    parts = re.findall(r"""\s+|[=:@]+|(?:'[^']*'?|"[^"]*"?|\\.|[^\s=:@'"\\])+""", line)
    return [part for part in parts if not part.isspace()] + ([""] if line[-1:].isspace() else [])


class Bash:
    """The function alone, called as bash calls it."""

    def __init__(self, folder, env):
        self.folder, self.env = folder, env

    def candidates(self, line):
        words = split_line(line)
        script = (f". {shlex.quote(os.path.join(BUILT, 'drover'))}\n"
                  f"COMP_WORDS=({' '.join(shlex.quote(word) for word in words)}) COMP_CWORD={len(words) - 1}\n"
                  f"COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)}\n"
                  '_drover drover; ((${#COMPREPLY[@]} == 0)) || printf "%s\\n" "${COMPREPLY[@]}"\n')
        result = subprocess.run(["bash", "--norc", "--noprofile", "-c", script], cwd=self.folder, env=self.env, capture_output=True,
                                text=True, check=False, timeout=WAIT_S)
        if result.stderr:
            raise AssertionError(f"{line!r}: {result.stderr}")
        return result.stdout.splitlines()

    def close(self):
        pass


class Terminal:
    """A shell on a terminal, which is told what keys are pressed."""

    def __init__(self, argv, folder, env):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvpe(argv[0], argv, env)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 200, 400, 0, 0))
        self.seen = ""

    def press(self, keys):
        os.write(self.fd, keys.encode())

    def until(self, done, what):
        end = time.monotonic() + WAIT_S
        while not done():
            if time.monotonic() > end:
                raise AssertionError(f"{what}: not within {WAIT_S} s; the terminal shows {self.seen[-2000:]!r}")
            if select.select([self.fd], [], [], 0.02)[0]:
                try:
                    self.seen += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:
                    raise AssertionError(f"{what}: the shell has ended: {self.seen[-2000:]!r}") from None

    def close(self):
        os.close(self.fd)
        os.waitpid(self.pid, 0)


ZSH_START = r"""
PS1='ready> ' LISTMAX=0
unsetopt beep
fpath=({built} $fpath)
autoload -Uz compinit && compinit -D -u
compadd() {{
  if [[ $*[1,(i)--] == *' -'[OAD]* || $1 == -[OAD]* ]]; then builtin compadd "$@"; return; fi
  local -a hits
  builtin compadd -A hits "$@"
  (( $#hits )) && print -rl -- $hits >>$CAPTURE
  builtin compadd "$@"
}}
ended() {{ print -r -- '== end' >>$CAPTURE }}
zle -C offer list-choices offer_all
offer_all() {{ comppostfuncs=(ended); _main_complete }}
bindkey '^I' offer
"""


class Zsh(Terminal):
    def __init__(self, folder, env):
        self.capture = os.path.join(folder, "captured")
        start = os.path.join(folder, "start.zsh")
        with open(start, "w", encoding="utf-8") as f:
            f.write(ZSH_START.format(built=shlex.quote(BUILT)))
        super().__init__(["zsh", "-f", "-i"], folder, {**env, "CAPTURE": self.capture})
        self.press(f". {shlex.quote(start)}\r")
        self.until(lambda: "ready> " in self.seen.split("start.zsh")[-1], "start of zsh")

    def candidates(self, line):
        open(self.capture, "w", encoding="utf-8").close()

        def ended():
            with open(self.capture, encoding="utf-8") as f:
                self.lines = f.read().splitlines()
            return "== end" in self.lines

        self.press("\x15" + line + "\t")
        self.until(ended, f"completion of {line!r}")
        return self.lines[:self.lines.index("== end")]


class Offers:
    """What both shells must offer; `quoted` is how the shell hands out a name with special characters."""

    def setUp(self):
        super().setUp()
        self.folder = os.path.join(self.scratch, "there")
        os.mkdir(self.folder)
        self.config = os.path.join(self.folder, "drover.yaml")
        with open(self.config, "w", encoding="utf-8") as f:
            json.dump({"redis": {"default": {"url": "redis://127.0.0.1:1/0"}}, "queues": {name: {"handler": "noop"} for name in QUEUES}}, f)
        env = {**os.environ, "PATH": f"{os.path.dirname(rig.program('drover'))}:{os.environ['PATH']}", "TERM": "dumb", "HOME": self.folder}
        self.shell = self.shell_class(self.folder, env)
        self.addCleanup(self.shell.close)

    def offers(self, line, expected):
        self.assertEqual(sorted(expected), sorted(set(self.shell.candidates(line))), line)

    def test_commands(self):
        self.assertGreater(len(commands()), 5)
        self.offers("drover ", [*commands(), "help"])
        self.offers("drover help ", set(commands()) | self.help_extra)
        self.offers("drover s", [name for name in commands() if name.startswith("s")])

    def test_every_option_of_every_command(self):
        for command in commands():
            options = options_of(command)
            self.assertIn("--help", options)
            self.offers(f"drover {command} --", [name for name in options if name.startswith("--")])

    def test_verbs(self):
        for command in ("queue", "job"):
            self.assertGreater(len(verbs(command)), 10)
            self.offers(f"drover {command} ", verbs(command))
        self.offers("drover queue dr", ["drain"])
        self.offers("drover -i shop job re", ["retry", "release", "remove"])
        self.offers("drover queue drain -c drover.yaml m", ["mail", "money"])
        self.offers("drover queue pause -c drover.yaml mail m", ["mail", "money"])
        self.offers("drover job remove 17 -c drover.yaml -q m", ["mail", "money"])
        self.offers("drover queue jobs mail --state wai", ["waiting", "waiting-children"])
        self.offers("drover queue limit mail ", ["off"])
        self.assertEqual([], self.shell.candidates("drover queue drai mail "), "no verb")

    def test_every_option_of_every_verb(self):
        for command, verb in (("queue", "jobs"), ("queue", "retry"), ("queue", "schedule"), ("job", "remove"), ("job", "wait")):
            options = options_of(command, verb)
            self.assertIn("--json", options)
            self.offers(f"drover {command} {verb} --", [name for name in options if name.startswith("--")])

    def test_files(self):
        os.mkdir(os.path.join(self.folder, "drafts"))
        for line in ("drover status -c dr", "drover ps --config dr", "drover check --config=dr", "drover add mail welcome --lines dr",
                     "drover ps --socket dr", "drover add mail welcome @dr"):
            self.assertEqual(["drafts", "drover.yaml"], sorted(name.lstrip("@").rstrip("/") for name in self.shell.candidates(line)), line)

    def test_queues_of_the_configuration(self):
        for line in (f"drover ps -c {self.config} m", "drover status -c drover.yaml m", "drover status --config=drover.yaml mail m",
                     "drover job -c drover.yaml 17 -q m", "drover scale -c drover.yaml m", "drover add -c drover.yaml m"):
            self.offers(line, ["mail", "money"])
        self.assertEqual([], self.shell.candidates("drover scale -c drover.yaml mail "))
        self.assertEqual([], self.shell.candidates("drover ps --redis redis://localhost m"), "another server's queues are not in the file")
        self.assertEqual([], self.shell.candidates("drover ps -c nowhere.yaml "), "no file: silence")

    def test_names_are_quoted_and_never_run(self):
        self.offers("drover ps -c drover.yaml ", [self.quoted(name) for name in QUEUES])
        self.assertFalse(os.path.exists(os.path.join(self.folder, "ran")))

    def test_what_stands_before_the_command_is_passed_on(self):
        said = os.path.join(self.folder, "said")
        program = self.script("drover", f"#!/bin/sh\nprintf '%s ' \"$@\" >>'{said}'\necho mail\n")
        for before in ("-i shop", "--instance shop", "--instance=shop"):
            self.offers(f"{program} {before} ps m", ["mail"])
            with open(said, encoding="utf-8") as f:
                self.assertEqual(f"{before} check --list queues ", f.read())
            os.unlink(said)
            self.offers(f"drover {before} s", [name for name in commands() if name.startswith("s")])
        self.offers("drover --", ["--instance", "--help", "--version"])
        self.assertEqual([], self.shell.candidates("drover -i "))

    def test_words(self):
        self.offers("drover add mail welcome --keep-failed ", ["all", "none"])
        self.offers("drover add mail welcome --keep-completed=a", ["all"])
        self.offers("drover check --list ", ["keys", "queues", "settings"])
        self.offers("drover add mail welcome --backoff ", ["exponential:", "fixed:"])

    def test_keys_and_settings(self):
        got = self.shell.candidates("drover check --explain queues.*.loc" if self.shell_class is Bash else r"drover check --explain queues.\*.loc")
        self.assertEqual([self.quoted("queues.*.lock")], got)
        self.assertEqual([], self.shell.candidates("drover check queues."), "only with --explain")
        self.offers("drover check -c drover.yaml --set log.level=", self.values("log.level", "debug", "info", "warn", "error"))
        self.offers("drover check -c drover.yaml --set queues.mail.conc", ["queues.mail.concurrency="])
        self.offers("drover check -c drover.yaml --set queues.mail.enf", ["queues.mail.enforce=true", "queues.mail.enforce=false"])


class BashOffers(Offers, rig.Case):
    shell_class = Bash
    help_extra = frozenset()

    def values(self, key, *words):
        return words  # '=' breaks words: what stands before stays on the line

    def quoted(self, name):
        return subprocess.run(["bash", "-c", 'printf %q "$1"', "-", name], capture_output=True, text=True, check=True).stdout

    def test_a_word_that_goes_on_after_a_break(self):
        self.offers("drover add mail welcome --backoff fixed:", [""])
        self.offers("drover add mail welcome --backoff exp", ["exponential:"])
        self.offers("drover status --config=drover.yaml --", self.shell.candidates("drover status --"))

    def test_a_quote_that_is_open(self):
        self.offers("drover check --explain 'queues.*.loc", ["queues.*.lock"])

    def test_letters(self):
        for command in commands():
            self.offers(f"drover {command} -", options_of(command))

    def test_in_a_real_terminal(self):
        shell = Terminal(["bash", "--norc", "--noprofile", "-i"], self.folder, {**self.shell.env, "PS1": "ready> "})
        self.addCleanup(shell.close)
        shell.press(f"bind 'set enable-bracketed-paste off'; . {os.path.join(BUILT, 'drover')}\r")
        shell.press("drover() { printf 'got:%s;' \"$@\"; }\r")
        for typed, got in (("drover stat\t", "got:status;"), ("drover check --config=dro\t", "got:check;got:--config=drover.yaml;"),
                           ("command drover check --explain queues.*.sta\t 2>/dev/null >&2; echo got:\\;\r#", "got:;"),
                           ("drover add q x --backoff exp\t5s", "got:add;got:q;got:x;got:--backoff;got:exponential:5s;")):
            shell.press(typed + "\r")
            shell.until(lambda: got in shell.seen, typed)


@unittest.skipUnless(shutil.which("zsh"), "no zsh here (./dev deps test)")
class ZshOffers(Offers, rig.Case):
    shell_class = Zsh
    help_extra = frozenset({"help"})

    def values(self, key, *words):
        return [f"{key}={word}" for word in words]

    def quoted(self, name):
        return subprocess.run(["zsh", "-fc", 'print -r -- ${(q)1}', "-", name], capture_output=True, text=True, check=True).stdout.rstrip("\n")


if __name__ == "__main__":
    rig.main()
