"""What drover logs under systemd: fields that can be searched for, words that explain, and no secrets."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

import rig
import service
from service import journal, journalctl, show, systemctl

SECRET = "hunter2-geheim"
CATALOG = "/usr/lib/systemd/catalog"
DATABASE = "/var/lib/systemd/catalog"

# A long-lived program: the first attempt of a job fails, the second completes; it says something each time.
TALKER = r"""
import json, os, sys
def send(**message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()
for line in sys.stdin:
    asked = json.loads(line)
    if asked["method"] == "initialize":
        send(id=asked["id"], result={"protocol": 1})
    elif asked["method"] == "job.run":
        job = asked["params"]
        sys.stderr.write(f"working on it, stream={os.environ.get('JOURNAL_STREAM')} password=SECRET\n")
        sys.stderr.flush()
        send(method="job.log", params={"id": asked["id"], "line": "half way, token=SECRET"})
        if job["attempt"] == 1:
            send(id=asked["id"], error={"code": -32001, "message": "cannot reach redis://u:SECRET@db"})
        else:
            send(id=asked["id"], result="done SECRET")
    elif asked["method"] == "shutdown":
        send(id=asked["id"], result=None)
        break
""".replace("SECRET", SECRET)

# The same as a program per job.
SCRIPT = r"""#!/bin/sh
echo "working on it, stream=$JOURNAL_STREAM password=SECRET" >&2
printf '%s\n' '-----BEGIN PRIVATE KEY-----' MIIEgeheim '-----END PRIVATE KEY-----' >&2
[ "$DROVER_ATTEMPT" != 1 ] || { echo "cannot reach redis://u:SECRET@db" >&2; exit 75; }
echo '"done SECRET"'
""".replace("SECRET", SECRET)


def entries(*match, unit="drover"):
    """Entries of the unit since this test began that match, oldest first. Chosen here: after a cursor that does not
    match itself, journalctl 252 leaves out the first entry that does."""
    text = journalctl("-o", "json", "--all", f"--after-cursor={service.Unit.journal_begin}")
    wanted = dict(row.split("=", 1) for row in (f"_SYSTEMD_UNIT={unit}.service", *match))
    rows = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [row for row in rows if all(row.get(name) == value for name, value in wanted.items())]


def ids_by_event():
    """The message ids that the table of events has."""
    found = {}
    for name in ("jobs", "workers", "master"):
        with open(os.path.join(rig.ROOT, "common", "base", f"log_events_{name}.c")) as file:
            found.update(re.findall(r'\.name = "([^"]+)",\s+\.id = "([^"]+)"', file.read()))
    return found


class Journal(service.Unit):
    def setUp(self):
        super().setUp()
        self.talker = os.path.join(service.HOME, "talker.py")
        with open(self.talker, "w") as file:
            file.write(TALKER)
        self.work = os.path.join(service.HOME, "work.sh")
        with open(self.work, "w") as file:
            file.write(SCRIPT)
        os.chmod(self.work, 0o755)

    def start(self, queues, log=None):
        self.configure(queues, log={"format": "auto", **(log or {})})
        systemctl("start", "drover")

    def add(self, queue, job, *more):
        done = rig.Cli()("add", queue, "pay", json.dumps({"iban": SECRET, "correlationId": f"order-{job}"}),
                         "--redis", self.server.url, "--id", job, *more)
        self.assertEqual(done.code, 0, done)

    def wait_entries(self, count, *match):
        rig.wait_until(lambda: len(entries(*match)) >= count, 15, lambda: f"{count} of {match}\n{journal()}")
        return entries(*match)

    def check_life(self, queue, job):
        self.add(queue, job, "--attempts", "3", "--backoff", "fixed:100ms")
        self.wait_entries(1, f"QUEUE={queue}", f"JOB_ID={job}", "EVENT=job.completed")
        found = journalctl("-o", "json", "--all", f"QUEUE={queue}", f"JOB_ID={job}")  # as an operator looks for it
        life = [json.loads(line) for line in found.splitlines()]
        told = [entry["EVENT"] for entry in life if entry["EVENT"] not in ("program.said", "job.said")]
        self.assertEqual(told, ["job.started", "job.retried", "job.started", "job.completed"], life)
        return life

    def check_fields(self, life, queue, job):
        ids = ids_by_event()
        for entry in life:
            self.assertEqual(entry["JOB_TYPE"], "pay", entry)
            self.assertEqual(entry["CORRELATION_ID"], f"order-{job}", entry)
            self.assertEqual(entry["GENERATION"], "1", entry)
            self.assertIn(queue, entry["WORKER"], entry)
            self.assertEqual(entry["SYSLOG_IDENTIFIER"], "drover-worker", entry)
            self.assertEqual(entry["_SYSTEMD_UNIT"], "drover.service", entry)
            self.assertEqual(entry["_TRANSPORT"], "journal", entry)
            self.assertEqual(entry["MESSAGE_ID"], ids[entry["EVENT"]], entry)
            self.assertTrue(entry["MESSAGE"].startswith(f"{entry['EVENT']} queue={queue} "), entry)
        first, retried = life[0], [entry for entry in life if entry["EVENT"] == "job.retried"][0]
        self.assertLess(abs(int(first["__REALTIME_TIMESTAMP"]) / 1e6 - time.time()), 60)
        added = int(self.server.client().hgetall(f"bull:{queue}:{job}")["timestamp"])
        self.assertEqual(first["ADDED_AT"],
                         time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(added // 1000)) + f".{added % 1000:03}Z")
        self.assertEqual((first["PRIORITY"], retried["PRIORITY"]), ("6", "4"))
        self.assertEqual((retried["ATTEMPT"], retried["DELAY_MS"]), ("1", "100"))
        self.assertIn("cannot reach redis://u:[redacted]@db", retried["REASON"])

    def test_a_jobs_life_is_found_whatever_runs_it(self):
        self.start({"money": {"log_jobs": "all", "handler": {"process": ["/usr/bin/python3", "-I", self.talker]}},
                    "mail": {"log_jobs": "all", "handler": {"exec": [self.work]}}})
        for queue, job in (("money", "m42"), ("mail", "e42")):
            with self.subTest(queue=queue):
                life = self.check_life(queue, job)
                self.check_fields(life, queue, job)
                said = [entry["TEXT"] for entry in life if entry["EVENT"] == "program.said"]
                self.assertIn("working on it, stream=", said[0])
                self.assertNotRegex(said[0], r"stream=\d", "a handler has no stream to the journal")
        self.assertEqual([entry["TEXT"] for entry in entries("EVENT=job.said")], ["half way, token=[redacted]"] * 2)
        # Nothing that anybody logged has the secret: not the data, not the result, not what programs said.
        everything = journalctl("-o", "json", "--all", f"--after-cursor={service.Unit.journal_begin}")
        self.assertIn("[redacted]", everything)
        self.assertNotIn(SECRET, everything)
        self.assertNotIn("MIIEgeheim", everything)

    def test_by_default_failures_are_told_and_successes_are_not(self):
        self.start({"mail": {"handler": {"exec": [self.work]}}})
        self.add("mail", "a1", "--attempts", "2")
        self.add("mail", "a2")
        self.wait_entries(1, "JOB_ID=a1", "EVENT=job.retried")
        failed = self.wait_entries(1, "JOB_ID=a2", "EVENT=job.failed")[0]
        self.assertEqual((failed["PRIORITY"], failed["ATTEMPT"]), ("3", "1"))
        client = self.server.client()
        rig.wait_until(lambda: client.hgetall("bull:mail:a1").get("returnvalue"), 10, journal)
        self.assertEqual(entries("EVENT=job.started") + entries("EVENT=job.completed"), [])
        self.assertEqual(len(entries("PRIORITY=3")), 1)

    def test_journalctl_explains_an_entry(self):
        for folder in (CATALOG, DATABASE):  # of this throw-away systemd alone: the machine's stay as they are
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
            self.addCleanup(subprocess.run, ["umount", folder], check=True)
        shutil.copy(os.path.join(rig.BUILD, "common", "base", "drover.catalog"), CATALOG)
        subprocess.run(["journalctl", "--update-catalog"], check=True)
        self.start({"mail": {"handler": {"exec": ["/bin/false"]}}})
        self.add("mail", "x1")
        self.wait_entries(1, "JOB_ID=x1", "EVENT=job.failed")
        text = journalctl("-x", "QUEUE=mail", "JOB_ID=x1")
        self.assertIn("Subject: A job has failed for good", text)
        self.assertIn("job x1 of queue mail failed", text)
        self.assertIn("Defined-By: drover", text)
        identity = ids_by_event()["job.failed"]
        self.assertEqual(len(entries(f"MESSAGE_ID={identity}")), 1)

    def test_each_level_has_its_priority_and_each_program_its_name(self):
        self.start({"q": {"handler": "noop"}}, log={"level": "debug"})
        os.kill(service.worker_pids()[0], signal.SIGKILL)
        self.wait_entries(1, "EVENT=worker.recovered")
        found = {(entry["SYSLOG_IDENTIFIER"], entry["EVENT"]): entry for entry in entries()
                 if "EVENT" in entry}
        self.assertEqual(found["droverd", "slot.changed"]["PRIORITY"], "7")
        self.assertEqual(found["droverd", "droverd.ready"]["PRIORITY"], "6")
        self.assertEqual(found["droverd", "worker.exited"]["PRIORITY"], "4")
        self.assertEqual(found["drover-worker", "worker.ready"]["PRIORITY"], "6")
        self.assertEqual(found["drover-worker", "worker.ready"]["GENERATION"], "1")
        self.assertEqual(found["droverd", "droverd.ready"]["_PID"], show("MainPID"))

    def test_repeats_are_counted(self):
        self.start({"mail": {"concurrency": 4, "handler": {"exec": ["/bin/false"]}}},
                   log={"burst": 5, "interval": "2s"})
        done = rig.Cli()("add", "mail", "pay", "{}", "--count", "60", "--redis", self.server.url)
        self.assertEqual(done.code, 0, done)
        client = self.server.client()
        rig.wait_until(lambda: client.cmd("ZCARD", "bull:mail:failed") == 60, 30, journal)

        def told():
            suppressed = [int(entry["COUNT"]) for entry in entries("EVENT=log.suppressed", "REPEATED=job.failed")]
            return len(entries("EVENT=job.failed")) + sum(suppressed)

        # Nothing more is logged: the count comes by itself, and the sum comes out.
        rig.wait_until(lambda: told() == 60, 10, lambda: f"{told()} of 60\n{journal()}")
        self.assertLess(len(entries("EVENT=job.failed")), 60)

    def test_the_end_tells_what_was_left_out(self):
        self.start({"mail": {"concurrency": 4, "handler": {"exec": ["/bin/false"]}}},
                   log={"burst": 2, "interval": "1h"})
        rig.Cli()("add", "mail", "pay", "{}", "--count", "20", "--redis", self.server.url)
        client = self.server.client()
        rig.wait_until(lambda: client.cmd("ZCARD", "bull:mail:failed") == 20, 30, journal)
        self.assertEqual(entries("EVENT=log.suppressed", "REPEATED=job.failed"), [])
        systemctl("stop", "drover")
        self.assertEqual([entry["COUNT"] for entry in entries("EVENT=log.suppressed", "REPEATED=job.failed")], ["18"])
        self.assertEqual(len(entries("EVENT=job.failed")), 2)

    def test_own_patterns_are_hidden_too(self):
        self.start({"mail": {"handler": {"exec": ["/bin/sh", "-c", "echo ssn 123-45-6789 >&2; exit 70"]}}},
                   log={"redact": ["[0-9]{3}-[0-9]{2}-[0-9]{4}"]})
        self.add("mail", "p1")
        failed = self.wait_entries(1, "JOB_ID=p1", "EVENT=job.failed")[0]
        self.assertIn("ssn [redacted]", failed["REASON"])
        self.assertNotIn("123-45-6789", journal())

    def test_lines_when_they_are_asked_for_or_stderr_is_a_pipe(self):
        self.start({"q": {"handler": "noop"}}, log={"format": "json"})
        self.assertEqual(entries("EVENT=droverd.ready"), [])
        self.assertEqual(len(service.events("droverd.ready")), 1)
        # As started by hand from a unit's shell: the variable is there, stderr leads elsewhere.
        master = rig.Proc(int(show("MainPID"))).pid
        with open(f"/proc/{master}/environ") as file:
            stream = dict(row.partition("=")[::2] for row in file.read().split("\0")).get("JOURNAL_STREAM")
        self.assertRegex(stream, r"^\d+:\d+$")
        systemctl("stop", "drover")
        self.configure({"q": {"handler": "noop"}}, control=os.path.join(self.shared, "control"),
                       log={"format": "auto"})
        done = subprocess.Popen([os.path.join(service.HOME, "droverd"), "-c", f"{service.HOME}/drover.yaml"],
                                stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                                env={**os.environ, "JOURNAL_STREAM": stream})
        for line in done.stderr:
            if json.loads(line)["event"] == "droverd.ready":
                break
        done.send_signal(signal.SIGTERM)
        lines = [json.loads(line) for line in done.stderr]
        done.stderr.close()
        self.assertIn("droverd.stopped", [line["event"] for line in lines])
        self.assertEqual(done.wait(30), 0)
