"""The master and its workers: what dies is replaced, what must not be restarted is not, nothing is left behind."""

import json
import os
import re
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import rig
from cases import QueueCase
from producer import Producer
from queue_view import foreign_keys
from rig import wait_until

SHORT = {"lock": "5s", "stalled_interval": "1s"}


class Deaths(QueueCase):
    def sleeper(self):
        trace = os.path.join(self.scratch, "pids")
        path = self.script("sleeper", f"#!/bin/sh\necho $$ >> {trace}\n[ -e {trace}.go ] && exit 0\nexec sleep 300\n")
        return path, trace

    def pids(self, trace):
        if not os.path.exists(trace):
            return []
        with open(trace, encoding="ascii") as f:
            return [int(line) for line in f]

    def test_a_killed_worker_is_replaced_and_its_job_comes_back(self):
        path, trace = self.sleeper()
        (job_id,) = Producer(self.r, "q").many(1)
        daemon = self.droverd({"queues": {"q": {"concurrency": 1, "max_stalled": 3, **SHORT, "handler": {"exec": [path]}}}})
        wait_until(lambda: self.pids(trace), 10, daemon.tail)
        (worker,) = daemon.workers()
        with open(trace + ".go", "w", encoding="ascii"):
            pass
        os.kill(worker.pid, signal.SIGKILL)
        daemon.wait_event("worker.ready", count=2, role="droverd")
        self.assertEqual(1, len(daemon.find("worker.exited")), daemon.tail())
        first = self.pids(trace)[0]
        wait_until(lambda: not rig.Proc(first).alive, 5, "the handler of the dead worker is ended")
        view = self.ends("q", completed=1, deadline=4)  # well before its lock could end
        job = view.job(job_id)
        self.assertEqual(("1", "2", "1"), (job["atm"], job["ats"], job["gbc"]), "given back: neither an attempt nor a stall")
        self.assertNotIn("stc", job)
        self.assertEqual([], view.events("stalled"))
        (recovered,) = daemon.find("worker.recovered", role="droverd")
        self.assertEqual((1, 0), (recovered["given_back"], recovered["failed"]))
        self.assertRegex(json.loads(job["gbh"])[0], r"^\d{4}-\S+Z worker q/0: signal 9 \(SIGKILL\)")

    def test_a_job_that_stalls_too_often_fails_without_running(self):
        path, trace = self.sleeper()
        (job_id,) = Producer(self.r, "q").many(1)
        self.r.cmd("RPOPLPUSH", "bull:q:wait", "bull:q:active")  # a stock worker fetched it, and was lost with its lock
        self.droverd({"queues": {"q": {"concurrency": 1, "max_stalled": 0, **SHORT, "handler": {"exec": [path]}}}})
        view = self.ends("q", failed=1, deadline=25)
        self.assertEqual("job stalled more than allowable limit", view.job(job_id)["failedReason"])
        self.assertEqual([], self.pids(trace), "it was not run")

    def test_what_a_killed_master_and_its_workers_left_is_found_by_the_next_one(self):
        path, trace = self.sleeper()
        (job_id,) = Producer(self.r, "q").many(1)
        config = {"queues": {"q": {"concurrency": 1, "lock": "60s", "handler": {"exec": [path]}}}}
        first = self.droverd(config)
        wait_until(lambda: self.pids(trace), 10, first.tail)
        with open(trace + ".go", "w", encoding="ascii"):
            pass
        for process in (first, *first.workers()):  # all at once: its workers get no time to give anything back
            rig.send_signal(process.pid, signal.SIGKILL)
        first.wait_end()
        second = self.droverd(config)
        view = self.ends("q", completed=1, deadline=10)  # its lock lasts a minute
        job = view.job(job_id)
        self.assertEqual(("1", "2"), (job["atm"], job["ats"]))
        self.assertNotIn("gbc", job, "the death of a master says nothing about a job")
        self.assertEqual(1, len(second.find("worker.recovered", role="worker")), second.tail())

    def test_a_killed_master_takes_everything_with_it(self):
        path, trace = self.sleeper()
        Producer(self.r, "q").many(2)
        daemon = self.droverd({"queues": {"q": {"concurrency": 2, "processes": 2, **SHORT, "handler": {"exec": [path]}}}})
        wait_until(lambda: len(self.pids(trace)) == 2, 10, daemon.tail)
        workers = daemon.workers()
        self.assertEqual(2, len(workers))
        daemon.kill()
        everything = [w.pid for w in workers] + self.pids(trace)
        wait_until(lambda: not [p for p in everything if rig.Proc(p).alive], 10, lambda: f"workers and handlers leave: {[rig.Proc(p) for p in everything]}")

    def test_workers_are_named_for_ps(self):
        daemon = self.droverd({"queues": {"money": {"concurrency": 2, "processes": 2, "handler": "noop"}}})
        titles = sorted(w.cmdline for w in daemon.workers())
        self.assertEqual(2, len(titles))
        for title in titles:
            self.assertRegex(title, r"money")
            self.assertNotIn("xxxx", title, "the padding is not shown")

    def test_only_private_keys_of_its_own(self):
        Producer(self.r, "q").many(5)
        self.droverd({"queues": {"q": {"concurrency": 2, "handler": "noop"}}})
        self.ends("q", completed=5)
        self.assertEqual([], foreign_keys(self.r))
        private = [k for k in self.r.scan("drover:*")]
        self.assertTrue(private)
        for key in private:
            self.assertTrue(key.startswith("drover:{bull:q}:"), key)


class Starts(QueueCase):
    def fake_worker(self, text):
        folder = os.path.join(self.scratch, "libexec")
        os.makedirs(folder, exist_ok=True)
        self.count = os.path.join(self.scratch, "starts")
        return folder, self.script("libexec/drover-worker", f"#!/bin/sh\ndate +%s%N >> {self.count}\n{text}\n")

    def starts(self):
        if not os.path.exists(self.count):
            return []
        with open(self.count, encoding="ascii") as f:
            return [int(line) / 1e9 for line in f]

    def test_deaths_before_ready_back_off(self):
        folder, _ = self.fake_worker("exit 1")
        daemon = self.droverd({"start": {"restart_first": "50ms", "restart_max": "800ms"},
                               "queues": {"q": {"concurrency": 1, "handler": "noop"}}}, wait=False, env={"DROVER_LIBEXEC_DIR": folder})
        wait_until(lambda: len(self.starts()) >= 6, 20, daemon.tail)
        times = self.starts()
        gaps = [b - a for a, b in zip(times, times[1:])]
        self.assertGreater(gaps[4], gaps[0], f"the wait grows: {gaps}")
        self.assertGreater(gaps[4], 0.2, gaps)
        self.assertEqual(0, daemon.drain())

    def test_a_worker_that_never_gets_ready_is_ended_and_tried_again(self):
        folder, _ = self.fake_worker("exec sleep 300")
        daemon = self.droverd({"start": {"timeout": "300ms", "restart_first": "50ms"},
                               "queues": {"q": {"concurrency": 1, "handler": "noop"}}}, wait=False, env={"DROVER_LIBEXEC_DIR": folder})
        wait_until(lambda: len(self.starts()) >= 2, 15, daemon.tail)
        wait_until(lambda: len(daemon.workers()) <= 1, 5, "the late one is gone")

    def test_codes_that_say_never_again(self):
        for code in (78, 64):
            with self.subTest(code=code):
                folder, _ = self.fake_worker(f"exit {code}")
                if os.path.exists(self.count):
                    os.unlink(self.count)
                daemon = self.droverd({"start": {"restart_first": "10ms", "restart_max": "20ms"},
                                       "queues": {"q": {"concurrency": 1, "handler": "noop"}, }},
                                      name=f"never{code}", wait=False, env={"DROVER_LIBEXEC_DIR": folder})
                wait_until(lambda d=daemon: self.lines_with(d, str(code), level="error") or d.process.poll() is not None, 10, daemon.tail)
                # A second worker of another kind would be started within 20 ms; one of its own sort must not be.
                wait_until(lambda: len(self.starts()) == 1, 5, daemon.tail)
                daemon.signal(signal.SIGTERM)
                daemon.wait_end()
                self.assertEqual(1, len(self.starts()), daemon.tail())

    def test_a_bad_file_ends_with_78_and_every_finding(self):
        daemon = self.droverd("queues:\n  q:\n    concurency: 5\n    handler: nop\n    lock: 10\nlog: {level: loud}\n", wait=False)
        self.assertEqual(78, daemon.wait_end())
        text = "\n".join(daemon.lines)
        for place in (r"drover\.yaml:3:", r"drover\.yaml:4:", r"drover\.yaml:5:", r"drover\.yaml:6:"):
            self.assertRegex(text, place)
        self.assertIn("concurrency", text, "did you mean")

    def test_a_missing_file_and_a_bad_command_line(self):
        missing = self.popen([rig.program("droverd"), "-c", "/nonexistent/drover.yaml"], stderr=rig.subprocess.PIPE, env=rig.clean_env())
        _, err = missing.communicate(timeout=20)
        self.assertEqual(78, missing.returncode)
        self.assertIn(b"/nonexistent/drover.yaml", err)
        odd = self.popen([rig.program("droverd"), "--colour"], stderr=rig.subprocess.PIPE, env=rig.clean_env())
        _, err = odd.communicate(timeout=20)
        self.assertEqual(64, odd.returncode)
        self.assertIn(b"--colour", err)

    def test_check_only_looks(self):
        path = os.path.join(self.scratch, "ok.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write("queues: {q: {concurrency: 1, handler: noop}}\n")
        process = self.popen([rig.program("droverd"), "-c", path, "--check"], stderr=rig.subprocess.PIPE, stdout=rig.subprocess.PIPE, env=rig.clean_env())
        process.communicate(timeout=20)
        self.assertEqual(0, process.returncode)

    def test_fifty_queues_idle(self):
        queues = {f"queue-{n:02d}": {"concurrency": 2, "handler": "noop"} for n in range(50)}
        daemon = self.droverd({"queues": queues, "start": {"timeout": "60s"}}, wait=False)
        daemon.wait_ready(60)
        sizes = [rig.memory(w.pid) for w in daemon.workers()]
        self.assertEqual(50, len(sizes))
        master = rig.memory(daemon.pid)
        print(f"\n50 idle workers: RSS {max(s['rss'] for s in sizes) // 1024} KiB at most, PSS {sum(s['pss'] for s in sizes) // 1024} KiB together; "
              f"master RSS {master['rss'] // 1024} KiB, PSS {master['pss'] // 1024} KiB", file=sys.stderr)
        if "ASAN_OPTIONS" not in os.environ:  # a sanitizer's shadow memory is no measure
            self.assertLess(master["rss"], 16 << 20)
            self.assertLess(max(s["rss"] for s in sizes), 16 << 20)
        for name in queues:
            Producer(self.r, name).many(2)
        for name in queues:
            self.ends(name, completed=2, deadline=30)
        names = [line for line in self.r.cmd("CLIENT", "LIST").splitlines() if re.search(r"name=bull:\S+:w:", line)]
        self.assertEqual(50, len(names), "each queue has its named connection")
        self.assertEqual(0, daemon.drain(40))

    def test_processes_and_slots_are_split_evenly(self):
        daemon = self.droverd({"queues": {"q": {"concurrency": 7, "processes": 3, "handler": {"noop": {"duration": "30s"}}}},
                               "stop": {"drain_timeout": "100ms"}})
        Producer(self.r, "q").many(20)
        self.becomes_active("q", 7)
        tokens = [self.r.cmd("GET", k).split(":")[0] for k in self.r.scan("bull:q:*:lock")]
        per_process = sorted(tokens.count(t) for t in set(tokens))
        self.assertEqual([2, 2, 3], per_process)
        self.assertEqual(3, len(daemon.workers()))


if __name__ == "__main__":
    rig.main()
