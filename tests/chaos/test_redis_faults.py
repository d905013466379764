"""Redis fails in the middle of the work, in every way it can; afterwards every job is accounted for.

Three counts are kept apart. Runs: how often a handler was started (log lines of a program). Effects: how often it
came to its end. Overlaps: a run that started while an earlier run of the same job was still to come to its end.
A worker must not settle what it does not own: the program's result is its fencing token, and the token of the
stored result has to be the one of the job's last run.
"""

import os
import random
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import rig
from producer import Producer
from queue_view import QueueView, foreign_keys
from rig import wait_until

EXEC_SHARE = 12  # one job in so many is a program

RUN = """#!/bin/sh
echo "start $DROVER_JOB_ID $DROVER_FENCING_TOKEN" >> {log}
read -r data
case "$data" in *slow*) sleep 0.4 ;; esac
echo "end $DROVER_JOB_ID $DROVER_FENCING_TOKEN" >> {log}
echo "\\"$DROVER_FENCING_TOKEN\\""
"""


class Account:
    """What the programs' log says."""

    def __init__(self, path):
        self.runs, self.effects, self.overlaps, self.last = {}, {}, {}, {}
        open_runs = {}
        lines = []
        if os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                lines = [line.split() for line in f]
        ended = {(job, token) for kind, job, token in lines if kind == "end"}
        for kind, job, token in lines:
            if kind == "start":
                self.runs[job] = self.runs.get(job, 0) + 1
                self.last[job] = token
                # A run that was killed never ends and does not count against the next one.
                if any((job, t) in ended for t in open_runs.get(job, ())):
                    self.overlaps[job] = self.overlaps.get(job, 0) + 1
                open_runs.setdefault(job, set()).add(token)
            else:
                self.effects[job] = self.effects.get(job, 0) + 1
                open_runs.get(job, set()).discard(token)


class Chaos(rig.Case):
    def set_up(self, aof=False, proxy=False, processes=2, concurrency=40, duration="30ms", lock="5s", **options):
        self.server = self.redis(aof=aof, **options)
        self.r = self.server.client()
        self.log = os.path.join(self.scratch, "runs.log")
        self.program = self.script("run", RUN.format(log=self.log))
        self.proxy_ = self.proxy(self.server) if proxy else None
        url = self.proxy_.url if proxy else self.server.url
        self.daemon = self.droverd({
            "redis": {"default": {"url": url, "command_timeout": "1s", "connect_timeout": "1s"}},
            "log": {"level": "info", "format": "json"},
            "stop": {"drain_timeout": "5s"},
            "queues": {"q": {"concurrency": concurrency, "processes": processes, "lock": lock, "stalled_interval": "1s", "max_stalled": 20,
                             "handler": {"noop": {"duration": duration}}, "types": {"run": {"handler": {"exec": [self.program]}}}}}})
        self.ids = []

    def produce(self, count, client=None, **opts):
        producer = Producer(client or self.r, "q")
        jobs = [("run" if n % EXEC_SHARE == 0 else "ok", "slow" if n % (EXEC_SHARE * 8) == 0 else {"n": n}, opts) for n in range(count)]
        ids = producer.bulk(jobs)
        self.ids += ids
        return ids

    def completed(self, client=None):
        return (client or self.r).cmd("ZCARD", "bull:q:completed")

    def midway(self, part=4):
        wait_until(lambda: self.completed() >= len(self.ids) // part, 40, lambda: f"{self.completed()} completed\n{self.daemon.tail()}")
        left = len(self.ids) - self.completed()
        self.assertGreater(left, len(self.ids) // 10, "the fault must strike in the middle of the work")

    def finish(self, deadline=45, lost_allowed=False, overlaps_allowed=False):
        """Every job ends; then the books are checked."""
        r = self.server.client()
        wanted = set(self.ids)

        def rest():
            return wanted - set(r.cmd("ZRANGE", "bull:q:completed", 0, -1)) - set(r.cmd("ZRANGE", "bull:q:failed", 0, -1))

        def text():
            view = QueueView(r, "q")
            some = sorted(rest())[:3]
            return f"{len(rest())} jobs are left, as {some}: {[view.job(i) for i in some]}\n{view.counts()}\n{self.daemon.tail()}"

        wait_until(lambda: not rest(), deadline, text, every=0.1)
        wait_until(lambda: r.cmd("LLEN", "bull:q:active") == 0, 15, lambda: f"active: {r.cmd('LRANGE', 'bull:q:active', 0, 9)}\n{self.daemon.tail()}")
        view = QueueView(r, "q")
        bad = view.check(idle=True)
        self.assertEqual([], bad[:10], f"{len(bad)} violations")
        self.assertEqual([], foreign_keys(r))
        self.assertEqual([], view.ids("failed")[:5], [view.job(i) for i in view.ids("failed")[:3]])
        ends = {}
        for event in view.events("completed"):
            ends[event["jobId"]] = ends.get(event["jobId"], 0) + 1
        if not lost_allowed:
            self.assertEqual([], [i for i in self.ids if ends.get(i) != 1][:10], "one completed event per job")
        account = Account(self.log)
        stale = []
        for job_id in view.ids("completed"):
            job = view.job(job_id)
            if job["name"] == "run" and job_id in wanted and job["returnvalue"] != f'"{account.last.get(job_id)}"':
                stale.append((job_id, job["returnvalue"], account.last.get(job_id)))
        self.assertEqual([], stale[:5], "the stored result is of the run that owned the job last")
        missing = [i for i in self.ids if view.job(i) and view.job(i)["name"] == "run" and not account.effects.get(i)]
        self.assertEqual([], missing[:5], "completed means that the program came to its end")
        if not overlaps_allowed:
            self.assertEqual({}, account.overlaps, "no job ran twice at once")
        self.view = view
        restarts = len(self.daemon.find("worker.exited"))
        print(f"\n  {self._testMethodName}: {len(self.ids)} jobs, programs: {sum(account.runs.values())} runs, {sum(account.effects.values())} effects, "
              f"{sum(account.overlaps.values())} overlaps; {sum(int(view.job(i).get('stc', 0)) for i in self.ids if view.job(i))} stalls, "
              f"{len(view.events('active')) - len(view.events('completed'))} extra fetches, {restarts} workers ended", file=sys.stderr)
        return account

    def calm(self, most=60):
        """A fault is said, not shouted: warnings and errors of the whole run stay few."""
        loud = [line for line in self.daemon.lines if '"level":"warn"' in line.replace(" ", "") or '"level":"error"' in line.replace(" ", "")]
        self.assertLessEqual(len(loud), most, "\n".join(loud[:20]))


class Faults(Chaos):
    def test_stopped_and_started(self):
        self.set_up(aof=True)
        self.produce(1800)
        self.midway()
        self.server.stop()
        time.sleep(1.5)  # the length of the outage is the fault itself
        self.server.start()
        self.r = self.server.client()
        self.finish()
        self.calm()

    def test_killed(self):
        self.set_up(aof=True)
        self.produce(1800)
        self.midway()
        self.server.kill()
        self.server.start()
        self.r = self.server.client()
        self.finish()
        self.calm()

    def test_paused_for_longer_than_the_command_timeout(self):
        self.set_up(lock="10s")
        self.produce(1800)
        self.midway()
        self.server.pause()
        time.sleep(3)
        self.server.resume()
        self.finish()
        self.calm()

    def test_paused_for_longer_than_the_lock(self):
        self.set_up()
        self.produce(1500)
        self.midway()
        self.server.pause()
        time.sleep(7)
        self.server.resume()
        self.finish()
        self.calm()

    def test_emptied_in_the_middle_of_20000_jobs(self):
        self.set_up()
        while len(self.ids) < 20000:
            self.produce(2000)
        self.midway(part=8)
        self.r.cmd("FLUSHALL")
        self.ids = []
        self.produce(1200)  # ids start at 1 again: those of jobs that are still running belong to new jobs now
        self.finish(lost_allowed=True, overlaps_allowed=True)
        self.calm()

    def test_restarted_empty(self):
        self.set_up()
        self.produce(1800)
        self.midway()
        self.server.kill()
        self.server.start()
        self.r = self.server.client()
        self.ids = []
        self.produce(1200)
        self.finish(lost_allowed=True, overlaps_allowed=True)
        self.calm()

    def test_read_only_and_back(self):
        self.set_up()
        self.produce(1800)
        self.midway()
        self.r.cmd("REPLICAOF", "127.0.0.1", 1)
        time.sleep(1.5)
        self.assertEqual(0, self.r.cmd("EXISTS", "no such key"), "it still answers reads")
        self.r.cmd("REPLICAOF", "NO", "ONE")
        self.finish()
        self.calm()

    def test_out_of_memory(self):
        self.set_up()
        self.produce(1800)
        self.midway()
        self.r.cmd("CONFIG", "SET", "maxmemory", "1mb")
        time.sleep(1.5)
        self.r.cmd("CONFIG", "SET", "maxmemory", "0")
        self.finish()
        self.calm()

    def test_out_of_disk(self):
        self.set_up()
        self.produce(1800)
        self.midway()
        os.mkdir(os.path.join(self.server.folder, "dump.rdb"))  # the snapshot cannot take its name
        self.r.cmd("CONFIG", "SET", "save", "3600 1")
        self.r.cmd("BGSAVE")
        wait_until(lambda: self.r.info("persistence")["rdb_last_bgsave_status"] == "err", 10, "the snapshot fails")
        time.sleep(1.5)
        self.r.cmd("CONFIG", "SET", "save", "")
        self.finish()
        self.calm()

    def test_client_limit(self):
        self.set_up()
        self.produce(1800)
        self.midway()
        self.r.cmd("CONFIG", "SET", "maxclients", 1)
        self.r.cmd("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        wait_until(lambda: int(self.r.info("stats")["rejected_connections"]) >= 2, 15, "somebody was turned away")
        self.r.cmd("CONFIG", "SET", "maxclients", 1000)
        self.finish()
        self.calm()

    def test_rights_taken_away(self):
        self.set_up()
        self.r.cmd("ACL", "SETUSER", "admin", "on", ">x", "~*", "&*", "+@all")
        admin = self.server.client(username="admin", password="x")
        self.produce(1800)
        self.midway()
        admin.cmd("ACL", "SETUSER", "default", "-evalsha", "-eval")
        time.sleep(1)
        admin.cmd("ACL", "SETUSER", "default", "+@all")
        wait_until(lambda: self.completed(admin) > len(self.ids) // 3, 20, self.daemon.tail)
        admin.cmd("ACL", "SETUSER", "default", "off")
        admin.cmd("CLIENT", "KILL", "USER", "default")
        time.sleep(1)
        admin.cmd("ACL", "SETUSER", "default", "on")
        self.finish()
        self.calm()

    def test_scripts_forgotten(self):
        self.set_up()
        self.produce(1800)
        while self.completed() < len(self.ids):
            self.r.cmd("SCRIPT", "FLUSH")
            time.sleep(0.02)
        self.finish()
        self.calm()

    def test_busy_in_somebody_elses_script(self):
        self.set_up(options=["--busy-reply-threshold", "100"])
        self.produce(1800)
        self.midway()
        other = rig.Redis(path=self.server.socket, timeout=30)
        other.sock.sendall(other._encode(("EVAL", "while true do end", 0)))
        time.sleep(2.5)
        self.r.cmd("SCRIPT", "KILL")
        # It ends a little after that answer; its own client hears last, so then the server is free again.
        self.assertIsInstance(other._read(), rig.RedisError)
        other.close()
        self.finish()
        self.calm()

    def test_connections_killed_again_and_again(self):
        self.set_up()
        self.produce(1800)
        self.midway(10)
        end = time.monotonic() + 2
        while time.monotonic() < end:
            self.r.cmd("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            time.sleep(0.03)
        self.finish()
        self.calm(150)

    def test_replies_lost_after_the_effect(self):
        """The command was executed, the answer never came: asked, not repeated."""
        self.set_up(proxy=True)
        self.produce(1800)
        self.midway(10)
        for _ in range(25):
            before = self.proxy_.dropped
            self.proxy_.drop_replies(1, b"EVALSHA")
            wait_until(lambda b=before: self.proxy_.dropped > b or self.completed() == len(self.ids), 10, self.daemon.tail, every=0.005)
        self.assertGreaterEqual(self.proxy_.dropped, 5)
        self.finish()
        self.calm(150)

    def test_a_command_that_arrives_when_its_sender_has_given_up(self):
        """The network kept a call back. Its sender has asked and gone on: executed now, it would take jobs for nobody."""
        self.set_up(proxy=True, lock="10s")
        self.produce(1800)
        self.midway(10)
        for number in range(4):
            self.proxy_.hold_request(b"EVALSHA")
            wait_until(lambda: self.proxy_.held, 10, self.daemon.tail, every=0.003)
            wait_until(lambda n=number: len(self.daemon.find("calls.resolved")) > n or self.completed() == len(self.ids), 10, self.daemon.tail)
            self.assertEqual(1, self.proxy_.release())
        self.finish()
        self.assertEqual([], self.view.events("stalled"), "no job was left behind under a lock that nobody knows")
        self.calm()

    def test_ids_used_again_after_a_flush(self):
        """A job that runs while Redis is emptied must not settle the new job that has its id."""
        self.server = self.redis()
        self.r = self.server.client()
        self.log = os.path.join(self.scratch, "runs.log")
        self.program = self.script("hold", f"#!/bin/sh\nread -r data\necho \"start $data $DROVER_FENCING_TOKEN\" >> {self.log}\n"
                                           f"while ! [ -e {self.log}.$(echo $data | tr -d '\"') ]; do sleep 0.05; done\necho \"$data\"\n")
        self.daemon = self.droverd({"queues": {"q": {"concurrency": 40, "processes": 2, "handler": {"exec": [self.program]}}}})

        def started(what):
            if not os.path.exists(self.log):
                return 0
            with open(self.log, encoding="ascii") as f:
                return sum(f'"{what}"' in line for line in f)

        Producer(self.r, "q").bulk([("hold", "old", {})] * 10)
        wait_until(lambda: started("old") == 10, 15, self.daemon.tail)
        self.r.cmd("FLUSHALL")
        ids = Producer(self.r, "q").bulk([("hold", "new", {})] * 10)
        self.assertEqual([str(n) for n in range(1, 11)], ids, "the same ids")
        wait_until(lambda: started("new") == 10, 15, self.daemon.tail)
        open(self.log + ".old", "w", encoding="ascii").close()
        wait_until(lambda: sum(e.get("count", 0) for e in self.daemon.find("jobs.lost")) >= 10, 15, self.daemon.tail)
        self.assertEqual(10, self.r.cmd("LLEN", "bull:q:active"), "the new ones run on")
        self.assertEqual(0, self.completed())
        open(self.log + ".new", "w", encoding="ascii").close()
        wait_until(lambda: self.completed() == 10, 15, self.daemon.tail)
        self.assertEqual({'"new"'}, {self.r.cmd("HGET", f"bull:q:{i}", "returnvalue") for i in ids})
        self.assertEqual([], QueueView(self.r, "q").check(idle=True))

    def test_a_worker_frozen_for_longer_than_its_lock(self):
        self.set_up()
        self.produce(1500)
        self.midway()
        frozen = self.daemon.workers()[0]
        os.kill(frozen.pid, signal.SIGSTOP)
        stalled = lambda: [f for f in (dict(zip(e[1][::2], e[1][1::2])) for e in self.r.cmd("XRANGE", "bull:q:events", "-", "+")) if f["event"] == "stalled"]
        try:
            wait_until(stalled, 20, self.daemon.tail, every=0.1)
            wait_until(lambda: self.completed() == len(self.ids), 20, self.daemon.tail, every=0.1)
        finally:
            os.kill(frozen.pid, signal.SIGCONT)
        self.finish()

    def test_server_reached_but_silent(self):
        self.set_up(proxy=True, lock="10s")
        self.produce(1800)
        self.midway()
        self.proxy_.silent = True
        time.sleep(2.5)
        self.proxy_.silent = False
        self.finish()
        self.calm()

    def test_workers_killed_while_connections_break(self):
        self.set_up(processes=3)
        self.produce(1800)
        self.midway(10)
        for _ in range(4):
            workers = self.daemon.workers()
            if workers:
                rig.send_signal(random.choice(workers).pid, signal.SIGKILL)
            self.r.cmd("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            time.sleep(0.3)
        self.finish(60)


class Together(Chaos):
    def test_twenty_thousand_jobs_through_it_all(self):
        self.set_up(aof=True, processes=2, concurrency=100, duration="50ms", lock="6s")
        feeder = threading.Thread(target=self.feed, daemon=True)
        feeder.start()
        for fault in (self.restart, self.freeze, self.read_only, self.kill_clients, self.forget_scripts, self.crash, self.kill_worker):
            goal = self.completed() + 1800
            wait_until(lambda g=goal: self.completed() >= g, 60, self.daemon.tail)
            fault()
        feeder.join(60)
        self.assertFalse(feeder.is_alive())
        self.assertEqual(20000, len(self.ids))
        self.finish(90)

    def feed(self):
        """Adds all jobs, in the pauses between faults: what Redis has acknowledged counts."""
        while len(self.ids) < 20000:
            try:
                client = rig.Redis(path=self.server.socket)
                while len(self.ids) < 20000:
                    # Unique ids of our own: a chunk whose answer is lost is sent again and must not count twice.
                    part = [str(f"job-{n}") for n in range(len(self.ids), len(self.ids) + 500)]
                    there = client.pipe([("EXISTS", f"bull:q:{i}") for i in part])
                    for answer in there:
                        if isinstance(answer, Exception):  # as LOADING, just after a restart: it says nothing of the jobs
                            raise answer
                    new = [i for i, n in zip(part, there) if not n]
                    Producer(client, "q").bulk([("run" if int(i[4:]) % 40 == 0 else "ok", {}, {"jobId": i}) for i in new])
                    self.ids += part
                    wait_until(lambda: client.cmd("LLEN", "bull:q:wait") < 4000, 60)
            except (OSError, rig.RedisError, ConnectionError):
                time.sleep(0.05)

    def restart(self):
        self.server.stop()
        self.server.start()
        self.r = self.server.client()

    def crash(self):
        self.server.kill()
        self.server.start()
        self.r = self.server.client()

    def freeze(self):
        self.server.pause()
        time.sleep(2)
        self.server.resume()

    def read_only(self):
        self.r.cmd("REPLICAOF", "127.0.0.1", 1)
        time.sleep(0.7)
        self.r.cmd("REPLICAOF", "NO", "ONE")

    def kill_clients(self):
        for _ in range(10):
            self.r.cmd("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            time.sleep(0.03)

    def forget_scripts(self):
        self.r.cmd("SCRIPT", "FLUSH")

    def kill_worker(self):
        workers = self.daemon.workers()
        rig.send_signal(workers[0].pid, signal.SIGKILL)


if __name__ == "__main__":
    rig.main()
