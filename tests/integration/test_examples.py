"""conf/examples: each file is right as it stands, its programs do what they say, and nothing of them is left out of an installation."""

import glob
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import rig
from cases import QueueCase
from producer import Producer
from rig import wait_until

EXAMPLES = os.path.join(rig.ROOT, "conf", "examples")
PASSWORDS = {"redis-main": "main's", "redis-cache": "cache's"}


def files(pattern="**"):
    return sorted(path for path in glob.glob(os.path.join(EXAMPLES, pattern), recursive=True) if os.path.isfile(path))


class Files(rig.Case):
    def test_check_takes_each_of_them(self):
        for name, password in PASSWORDS.items():
            self.script(name, password)
        mains = [path for path in files("**/*.yaml") if "queues.d" not in path]
        self.assertGreater(len(mains), 5)
        for path in mains:
            result = self.cli("check", "--json", "-c", path, env={"CREDENTIALS_DIRECTORY": self.scratch})
            self.assertEqual((0, ""), (result.code, result.err), path)
            # Programs and the node that run them are the operator's to install.
            others = [finding for finding in result.json["findings"] if "there is no program /srv/drover/" not in finding["text"]
                      and "there is no program /usr/bin/node" not in finding["text"]]
            self.assertEqual([], others, path)

    def test_the_unit_gets_the_credentials(self):
        path = os.path.join(EXAMPLES, "several-redis.yaml")
        with open(path, encoding="utf-8") as f:
            said = re.findall(r"^#   (LoadCredential=.*)$", f.read(), re.M)
        self.assertEqual(len(PASSWORDS), len(said))
        self.assertEqual(said, re.findall(r"^LoadCredential=.*$", self.cli("unit", "-c", path).out, re.M))

    def test_split_files_are_one_configuration(self):
        path = os.path.join(EXAMPLES, "split", "drover.yaml")
        self.assertEqual(["index", "mail", "reindex"], sorted(self.cli("check", "--list", "queues", "-c", path).out.split()))
        effective = self.cli("check", "--effective", "-c", path).out
        self.assertRegex(effective, r"queues\.mail\.attempts = 8  # .*/queues\.d/mail\.yaml:")
        self.assertRegex(effective, r"queues\.index\.attempts = 3  # .*/drover\.yaml:")

    def test_every_program_that_a_file_names_is_there(self):
        for path in files("*.yaml"):
            with open(path, encoding="utf-8") as f:
                for name in re.findall(r"/srv/drover/([\w.-]+)", f.read()):
                    self.assertTrue(os.access(os.path.join(EXAMPLES, name), os.X_OK), f"{path}: {name}")

    def test_all_of_them_are_installed(self):
        with open(os.path.join(rig.ROOT, "conf", "meson.build"), encoding="utf-8") as f:
            listed = re.findall(r"'examples/([\w./-]+)'", f.read())
        for path in files():
            relative = os.path.relpath(path, EXAMPLES)
            self.assertIn(relative.split("/")[0] if "/" in relative else relative, listed)


class Programs(QueueCase):
    def run_example(self, name, *changes):
        """droverd on the example's file, with programs where they are and changed as given."""
        with open(os.path.join(EXAMPLES, f"{name}.yaml"), encoding="utf-8") as f:
            text = f.read()
        for old, new in (("/srv/drover/", EXAMPLES + "/"), *changes):
            self.assertIn(old, text)
            text = text.replace(old, new)
        return self.droverd(text, args=("--set", f"redis.default.url={self.server.url}", "--set", f"control={self.scratch}/control",
                                        "--set", "log.format=json"))

    def test_nightly_archive(self):
        data, backups = (os.path.join(self.scratch, name) for name in ("data", "backups"))
        os.mkdir(data)
        os.mkdir(backups)
        with open(os.path.join(data, "letter"), "w", encoding="ascii") as f:
            f.write("dear all")
        producer = Producer(self.r, "nightly")
        producer.add("archive", jobId="archive-2026-11-22")
        producer.add("archive", jobId="../elsewhere")
        self.run_example("nightly", ("/srv/app/data", data), ("/var/backups/app", backups))
        view = self.ends("nightly", completed=1, failed=1)
        self.assertEqual(["archive-2026-11-22.tar.gz"], os.listdir(backups), "and no draft")
        with tarfile.open(os.path.join(backups, "archive-2026-11-22.tar.gz")) as archive:
            self.assertEqual(b"dear all", archive.extractfile("./letter").read())
        self.assertEqual(os.path.getsize(os.path.join(backups, "archive-2026-11-22.tar.gz")),
                         json.loads(view.job("archive-2026-11-22")["returnvalue"])["bytes"])
        self.assertIn("no name for a file", view.job("../elsewhere")["failedReason"])

    def test_nightly_archive_that_is_interrupted_leaves_no_draft(self):
        backups = os.path.join(self.scratch, "backups")
        os.mkdir(backups)
        self.script("tar", "#!/bin/sh\nexec sleep 60\n")
        env = {**os.environ, "PATH": f"{self.scratch}:{os.environ['PATH']}", "DROVER_JOB_ID": "a"}
        with subprocess.Popen([os.path.join(EXAMPLES, "nightly.sh"), self.scratch, backups], env=env, start_new_session=True, stderr=subprocess.DEVNULL) as process:
            try:
                wait_until(lambda: rig.descendants(process.pid), 10, "tar runs")
                os.killpg(process.pid, 15)
                self.assertEqual(75, process.wait(10 * rig.PATIENCE))
            finally:
                process.kill()
        self.assertEqual([], os.listdir(backups))

    def test_payments_are_sent_once_and_judged_by_the_answer(self):
        got, answers = [], {"later": [503, 200], "never": [422]}

        class Service(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                payment = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                got.append((self.path, payment["account"], self.headers["Idempotency-Key"]))
                left = answers.get(payment["account"], [200])
                body = json.dumps({"paid": payment["cents"]}).encode()
                self.send_response(left.pop(0))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        service = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
        self.addCleanup(service.server_close)
        threading.Thread(target=service.serve_forever, daemon=True).start()
        self.addCleanup(service.shutdown)
        producer = Producer(self.r, "payments")
        ids = {name: producer.add("charge", {"account": name, "cents": 5}) for name in ("now", "later", "never")}
        bad = producer.add("refund", {"account": "now", "cents": "5"})
        self.run_example("payments", ("https://payments.example.org/v1", f"http://127.0.0.1:{service.server_port}"), ("delay: 10s", "delay: 100ms"))
        view = self.ends("payments", completed=2, failed=2)
        self.assertEqual({"paid": 5}, json.loads(view.job(ids["now"])["returnvalue"]))
        self.assertEqual("1", view.job(ids["never"])["atm"], "422 is for good")
        self.assertEqual("2", view.job(ids["later"])["atm"])
        self.assertIn("a whole number", view.job(bad)["failedReason"])
        self.assertEqual({"/charge"}, {path for path, _, _ in got})
        keys = [key for _, account, key in got if account == "later"]
        self.assertEqual((2, 1), (len(keys), len(set(keys))), "both attempts with the same key")
        self.assertEqual(3, len({key for _, _, key in got}))

    @unittest.skipUnless(shutil.which("node"), "no Node.js here (./dev deps interop)")
    def test_thumbnails(self):
        convert = self.script("convert", '#!/bin/sh\n[ "$2 $3" = "-thumbnail 320x" ] || exit 9\n'
                                         'grep -q broken "$1" && { echo "not a picture" >&2; exit 1; }\nhead -c 3 "$1" >"$4"\n')
        for name, text in (("cat.jpg", "meow!"), ("bad.jpg", "broken")):
            with open(os.path.join(self.scratch, name), "w", encoding="ascii") as f:
                f.write(text)
        producer = Producer(self.r, "thumbnails")

        def picture(name):
            return producer.add("resize", {"from": os.path.join(self.scratch, name), "to": os.path.join(self.scratch, "small-" + name)})

        ids = {name: picture(name) for name in ("cat.jpg", "bad.jpg", "none.jpg")}
        nothing = producer.add("resize", {})
        self.run_example("thumbnails", ("/usr/bin/node", shutil.which("node")), ("/usr/bin/convert", convert), ("delay: 5s", "delay: 50ms"))
        view = self.ends("thumbnails", completed=1, failed=3)
        self.assertEqual({"bytes_before": 5, "bytes": 3}, json.loads(view.job(ids["cat.jpg"])["returnvalue"]))
        with open(os.path.join(self.scratch, "small-cat.jpg"), encoding="ascii") as f:
            self.assertEqual("meo", f.read())
        self.assertEqual(("4", "not a picture"), tuple(view.job(ids["bad.jpg"])[k] for k in ("atm", "failedReason")))
        self.assertEqual("1", view.job(ids["none.jpg"])["atm"])
        self.assertIn("from", view.job(nothing)["failedReason"])
        self.assertEqual([], [name for name in os.listdir(self.scratch) if name.startswith(".") and name.endswith(".jpg")])


if __name__ == "__main__":
    rig.main()
