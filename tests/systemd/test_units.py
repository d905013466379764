"""The shipped units and drop-ins under a real systemd: scores, what handlers may in the sandbox, instances, credentials.

The shipped User=drover is DynamicUser=yes here (no user is made on this machine), which changes none of the lines that
are tested; test_documents.py has the service with its real user.
"""

import glob
import json
import os
import re
import shutil
import subprocess

import rig
import service
from service import HOME, UNITS, journal, show, systemctl

SHIPPED = os.path.join(rig.BUILD, "systemd")
NODE = "/usr/bin/node"


def systemd_analyze(*words):
    done = subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    return done.returncode, done.stdout + done.stderr


class Files(rig.Case):
    """What systemd says of the files alone."""

    def setUp(self):
        super().setUp()
        self.folder = os.path.join("/run", "drover-units")
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        self.addCleanup(shutil.rmtree, self.folder)

    def unit(self, name, *dropins):
        """A copy with the drop-ins applied, and programs that exist."""
        texts = []
        for file in (name, *dropins):
            with open(os.path.join(SHIPPED, file)) as source:
                texts.append(source.read())
        text = "\n".join(texts)
        for program in ("droverd", "drover"):
            text = text.replace(f"bin/{program} ", f"bin/env {program} ").replace("/usr/local/sbin/env", "/usr/bin/env")
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text.replace("/usr/local/bin/env", "/usr/bin/env"))
        return path

    def score(self, path):
        code, text = systemd_analyze("security", "--offline=true", "--json=short", path)
        self.assertEqual(0, code, text)
        _, summary = systemd_analyze("security", "--offline=true", "--no-pager", path)
        return float(summary.rpartition(": ")[2].split()[0])

    def test_exposure(self):
        for name in ("drover.service", "drover@.service"):
            self.assertLessEqual(self.score(self.unit(name)), 1.5, name)
        self.assertLessEqual(self.score(self.unit("drover.service", "users.conf")), 2.7)

    def test_verify_finds_nothing(self):
        for name, dropins in (("drover.service", ()), ("drover@.service", ()), ("drover.service", ("users.conf",))):
            code, text = systemd_analyze("verify", "--man=no", self.unit(name, *dropins))
            self.assertEqual((0, ""), (code, text), (name, dropins))

    def test_what_drover_unit_takes_for_granted_is_what_is_shipped(self):
        with open(os.path.join(rig.ROOT, "supervisor", "cli", "unit_needs.h")) as file:
            header = file.read()
        with open(os.path.join(SHIPPED, "drover.service")) as file:
            unit = file.read()
        with open(os.path.join(SHIPPED, "users.conf")) as file:
            users = file.read()

        def define(name):
            return re.search(rf'#define {name} +"?([^"\n]*?)"?(?: +/\*.*)?$', header, re.M).group(1)

        self.assertIn(f"TimeoutStopSec={int(define('UNIT_STOP_MS')) // 1000}\n", unit)
        self.assertIn(f"TimeoutStartSec={int(define('UNIT_START_MS')) // 1000}\n", unit)
        self.assertIn(f"LimitNOFILE={define('UNIT_DESCRIPTORS')}\n", unit)
        self.assertIn(f"User={define('UNIT_USER')}\n", unit)
        self.assertIn(f"CapabilityBoundingSet={define('UNIT_RIGHTS')}\n", users)

    def test_nothing_forbids_node_to_make_code(self):
        for path in glob.glob(os.path.join(SHIPPED, "*")):
            with open(path) as file:
                lines = [line for line in file if not line.startswith("#")]
            self.assertFalse([line for line in lines if line.startswith("MemoryDenyWriteExecute")], path)


class Sandbox(service.Unit):
    """Handlers inside the default profile: they inherit it."""

    def run_job(self, argv, data="null", wanted="completed"):
        """The result of one job that runs argv, inside the unit."""
        self.configure({"q": {"concurrency": 2, "handler": {"exec": argv, "max_output": "64KiB"}, "attempts": 1}})
        systemctl("restart", "drover")
        redis = self.server.client()
        added = rig.Cli()("add", "q", "probe", data, "--redis", self.server.url, "--id", "probe")
        self.assertEqual(added.code, 0, added)
        rig.wait_until(lambda: "finishedOn" in redis.hgetall("bull:q:probe"), 20, journal)
        job = redis.hgetall("bull:q:probe")
        redis.cmd("DEL", "bull:q:probe", "bull:q:completed", "bull:q:failed")
        self.assertEqual("completed" if "returnvalue" in job else "failed", wanted, job)
        return json.loads(job["returnvalue"]) if wanted == "completed" else job["failedReason"]

    def test_node_runs(self):
        if not os.path.exists(NODE):
            self.skipTest("no Node.js in /usr/bin")
        script = ("const os=require('os'),fs=require('fs'),cp=require('child_process');"
                  "let f=(n)=>n<2?n:f(n-1)+f(n-2);f(25);"  # hot enough for the compiler
                  "fs.writeFileSync('/tmp/x','1');"
                  "console.log(JSON.stringify({node:process.version,net:Object.keys(os.networkInterfaces()).length>0,"
                  "cpus:os.cpus().length>0,mem:os.totalmem()>0,child:cp.execFileSync('/bin/echo',['hi']).toString().trim(),"
                  "uid:process.getuid()}))")
        out = self.run_job([NODE, "-e", script])
        self.assertTrue(out["net"] and out["cpus"] and out["mem"], out)
        self.assertEqual("hi", out["child"])
        self.assertNotEqual(0, out["uid"])

    def test_python_runs(self):
        script = ("import json,os,socket,subprocess,sys,ctypes,threading,mmap;"
                  "json.dump({'in':json.load(sys.stdin),'child':subprocess.check_output(['/bin/echo','hi'],text=True),"
                  "'dns':len(socket.getaddrinfo('localhost',80))>0,'cpus':len(os.sched_getaffinity(0))>0},sys.stdout)")
        out = self.run_job(["/usr/bin/python3", "-c", script], data='{"a": 1}')
        self.assertEqual(({"a": 1}, "hi\n", True, True), (out["in"], out["child"], out["dns"], out["cpus"]))

    def test_what_a_handler_cannot(self):
        # name: a command that must fail, because of the directive behind it
        attempts = {
            "ProtectSystem /etc": "touch /etc/drover-was-here",
            "ProtectSystem /usr": "touch /usr/drover-was-here",
            "ProtectSystem /var": "touch /var/lib/drover-was-here",
            "ProtectSystem /run": "touch /run/drover-was-here",
            "ProtectHome": "ls -A /root /home | grep -v -e : -e '^$'",
            "PrivateTmp": f"test -e {self.scratch}",
            "User": "setpriv --reuid 0 true",
            "RestrictNamespaces": "unshare --user true",
            "ProtectClock": "date -s @0",
            "ProtectHostname": "hostname other",
            "ProtectKernelLogs": "dmesg",
            "ProtectKernelTunables": "sh -c 'echo 1 >/proc/sys/vm/drop_caches'",
            "ProtectProc": "test -e /proc/1/status",
            "ProtectControlGroups": "mkdir /sys/fs/cgroup/drover-was-here",
            "RestrictSUIDSGID": "sh -c 'cp /bin/true /tmp/s && chmod u+s /tmp/s'",
            "RestrictRealtime": "chrt -f 1 true",
            "PrivateDevices": "ls /dev/kmsg /dev/mem /dev/vda /dev/sda",
            "SystemCallFilter": "mount -t tmpfs tmpfs /mnt",
        }
        allowed = {
            "its own folder": f"touch {self.shared}/x",
            "a temporary file": "touch /tmp/x /var/tmp/x",
            "a device that is harmless": "head -c 1 /dev/urandom >/dev/null",
            "its own processes": "test -e /proc/self/status",
            "a lower priority": "nice -n 5 true",
        }
        probe = os.path.join(HOME, "probe.py")
        with open(probe, "w") as file:
            file.write("import json, subprocess, sys\n"
                       "ran = {name: subprocess.run(['/bin/sh', '-c', line], capture_output=True, text=True)\n"
                       "       for name, line in json.load(sys.stdin).items()}\n"
                       "json.dump({name: [done.returncode, done.stderr[-80:]] for name, done in ran.items()}, sys.stdout)\n")
        out = self.run_job(["/usr/bin/python3", probe], data=json.dumps({**attempts, **allowed}))
        self.assertEqual([name for name in attempts if out[name][0] == 0], [], "the sandbox lets this through")
        self.assertEqual({name: out[name] for name in allowed if out[name][0] != 0}, {})
        self.assertFalse(os.path.exists("/etc/drover-was-here"))

    def test_no_capability_and_no_way_to_one(self):
        out = self.run_job(["/bin/sh", "-c", "printf '\"%s\"' \"$(grep -E '^(Cap|NoNewPrivs)' /proc/self/status | tr '\\n\\t' '; ')\""])
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertIn(f"{name}: 0000000000000000;", out)
        self.assertIn("NoNewPrivs: 1;", out)

    def test_the_drop_in_of_drover_unit_lets_a_handler_write(self):
        folder = os.path.join(HOME, "data")
        os.makedirs(folder)
        os.chmod(folder, 0o777)
        queues = {"q": {"handler": {"exec": ["/bin/sh", "-c", "echo 1 >written; cat written"], "directory": folder},
                        "attempts": 1}}
        self.dropin = "ProtectSystem=strict\n"
        self.install("drover")

        def outcome(number):
            self.configure(queues)
            systemctl("restart", "drover")
            rig.Cli()("add", "q", "probe", "--redis", self.server.url, "--id", f"job{number}")
            redis = self.server.client()
            rig.wait_until(lambda: "finishedOn" in redis.hgetall(f"bull:q:job{number}"), 20, journal)
            return redis.hgetall(f"bull:q:job{number}")

        job = outcome(1)
        self.assertIn("Read-only file system", job.get("failedReason", ""), job)
        self.configure(queues)
        check = rig.Cli()("check", "--unit", "-c", f"{HOME}/drover.yaml")
        self.assertEqual(78, check.code, check)
        self.assertIn(f"drover.service: error: ReadWritePaths: lacks {folder}: queues.q.handler.directory", check.err)
        printed = rig.Cli()("unit", "-c", f"{HOME}/drover.yaml", "--user", "nobody")
        needs = os.path.join(UNITS, "drover.service.d", "zz-needs.conf")
        with open(needs, "w") as file:
            file.write(printed.out)
        self.addCleanup(os.unlink, needs)
        systemctl("daemon-reload")
        self.assertEqual(0, rig.Cli()("check", "--unit", "-c", f"{HOME}/drover.yaml").code)
        self.assertEqual("1", outcome(2).get("returnvalue"))


class CheckUnit(service.Unit):
    def check(self, *words, **config):
        self.configure({"q": {"handler": "noop"}}, **config)
        return rig.Cli()("check", "--unit", "-c", f"{HOME}/drover.yaml", *words)

    def test_the_shipped_unit_fits_an_ordinary_configuration(self):
        result = self.check()
        self.assertEqual((0, ""), (result.code, result.err), result)

    def test_a_stop_that_takes_longer_than_systemd_waits(self):
        result = self.check(stop={"drain_timeout": "2m"})
        self.assertEqual(78, result.code)
        self.assertIn("drover.service: error: TimeoutStopSec: is 1m, less than the 139s of stop.drain_timeout", result.err)
        self.install("drover", "TimeoutStopSec=139\n")
        self.assertEqual(0, self.check(stop={"drain_timeout": "2m"}).code)
        result = self.check(stop={"drain_timeout": "none"})
        self.assertIn("set it to infinity", result.err)
        rows = json.loads(self.check("--json", stop={"drain_timeout": "none"}).out)
        self.assertEqual((False, "drover.service", "TimeoutStopSec"),
                         (rows["ok"], rows["findings"][0]["file"], rows["findings"][0]["key"]))

    def test_a_unit_that_somebody_bent(self):
        self.install("drover", "Type=simple\nKillMode=control-group\nLimitNOFILE=50\n"
                               "OOMPolicy=stop\nRestartPreventExitStatus=\nTimeoutStartSec=10\n")
        result = self.check()
        self.assertEqual(78, result.code)
        for line in ("error: Type: is simple", "error: KillMode: is control-group", "error: LimitNOFILE: is 50, less than", "warning: OOMPolicy: is stop",
                     "warning: RestartPreventExitStatus: lacks 78", "error: TimeoutStartSec: is 10s"):
            self.assertIn(line, result.err)

    def test_a_credential_that_the_unit_does_not_load(self):
        redis = {"default": {"url": self.server.url, "password": "cred:redis"}}
        result = self.check(redis=redis)
        self.assertIn("error: LoadCredential: lacks redis: cred:redis stands in the configuration", result.err)
        with open(f"{HOME}/secret", "w") as file:
            file.write("x")
        self.install("drover", f"LoadCredential=redis:{HOME}/secret\n")
        self.assertEqual(0, self.check(redis=redis).code)

    def test_no_such_unit(self):
        result = self.check("drover-nowhere.service")
        self.assertEqual(69, result.code)
        self.assertIn("systemd has no unit drover-nowhere.service (not-found)", result.err)


class Credentials(service.Unit):
    redis_options = ("--requirepass", "open sesame")

    def configure(self, queues, name="drover.yaml", **more):
        super().configure(queues, name, redis={"default": {"url": self.server.url, "password": "cred:redis"}}, **more)

    def test_the_password_of_redis_comes_from_systemd(self):
        secret = os.path.join(HOME, "redis.password")
        with open(secret, "w") as file:
            file.write("open sesame\n")
        os.chmod(secret, 0o600)  # root's: droverd itself could not read it
        self.install("drover", f"LoadCredential=redis:{secret}\n")
        systemctl("start", "drover")
        redis = self.server.client(password="open sesame")
        added = rig.Cli()("add", "q", "x", "--redis", self.server.url, "--id", "one",
                          env={"DROVER_REDIS_PASSWORD": "open sesame"})
        self.assertEqual(added.code, 0, added)
        rig.wait_until(lambda: redis.cmd("ZSCORE", "bull:q:completed", "one"), 20, journal)
        self.assertNotIn("sesame", journal())

    def test_without_the_credential_it_does_not_start_and_says_what_to_add(self):
        self.assertNotEqual(0, systemctl("start", "drover", check=False).returncode)
        self.assertEqual("78", show("ExecMainStatus"))
        self.logged("LoadCredential=redis:/PATH")


class Instances(service.Unit):
    def test_two_instances_and_the_service_at_once(self):
        template = os.path.join(UNITS, "drover@.service")
        shutil.copy(os.path.join(SHIPPED, "drover@.service"), template)
        os.makedirs(template + ".d", exist_ok=True)
        with open(os.path.join(template + ".d", "test.conf"), "w") as file:
            file.write("[Unit]\nConditionPathExists=\n[Service]\nExecStart=\n"
                       f"ExecStart={HOME}/droverd -c {HOME}/%i/drover.yaml --set control=/run/drover-%i/control\n"
                       f"ExecReload=\nExecReload={HOME}/drover reload --socket /run/drover-%i/control\n"
                       "DynamicUser=yes\n")
        units = ["drover", "drover@one", "drover@two"]
        for name in ("one", "two"):
            os.makedirs(os.path.join(HOME, name, "queues.d"))
            self.configure({name: {"handler": "noop"}}, f"{name}/drover.yaml")
            self.addCleanup(self.stop, f"drover@{name}")
        with open(os.path.join(HOME, "two", "queues.d", "more.yaml"), "w") as file:
            file.write("queues: {more: {handler: noop}}\n")
        systemctl("daemon-reload")
        systemctl("start", *units)
        self.assertEqual(["active"] * 3, [show("ActiveState", unit) for unit in units])
        self.assertEqual([1, 1, 2], [len(service.worker_pids(unit)) for unit in units])
        for words, queues in (((), {"q"}), (("-i", "one"), {"one"}), (("--instance", "two"), {"two", "more"})):
            rows = json.loads(rig.Cli()(*words, "ps", "--json").out)
            self.assertEqual(queues, {row["queue"] for row in rows["processes"]}, rows)
        before = service.worker_pids("drover@two")
        systemctl("stop", "drover@one")
        systemctl("reload", "drover@two")
        self.assertEqual(before, service.worker_pids("drover@two"))
        self.assertEqual(["active", "inactive", "active"], [show("ActiveState", unit) for unit in units])
