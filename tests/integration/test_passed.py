"""What a service manager, or something that looks like one, hands to droverd: LISTEN_FDS and its kin."""

import os
import subprocess
import unittest

import rig


class Passed(rig.Case):
    def start(self, fds=(), **env):
        """droverd with these descriptors from 3 on; @PID@ in a value becomes its own process id. It is up when this returns."""
        server = self.redis()
        folder = os.path.join(self.scratch, "droverd")
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, "drover.yaml")
        with open(path, "w") as file:
            file.write(f'redis: {{default: {{url: "{server.url}"}}}}\nlog: {{format: json}}\n'
                       f"control: {folder}/control\nqueues: {{q: {{handler: noop}}}}\n")
        sets = " ".join(f'{name}="{value.replace("@PID@", "$$")}"' for name, value in env.items())
        moves = "".join(f" {3 + n}<&{fd}" for n, fd in enumerate(fds))
        self.log = os.path.join(folder, "log")
        with open(self.log, "wb") as log:
            process = subprocess.Popen(["/bin/sh", "-c", f"{sets} exec {rig.program('droverd')} -c {path}{moves}"],
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=rig.clean_env(),
                                       pass_fds=fds)
        self.extra.append(process)
        rig.wait_until(lambda: '"droverd.ready"' in self.text(), 20, self.text)
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        process.terminate()
        self.assertEqual(0, process.wait(20 * rig.PATIENCE), self.text())

    def text(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def high(self):
        """A descriptor that the shell does not take for one of its own."""
        fd = os.open("/dev/null", os.O_RDONLY)
        self.addCleanup(os.close, fd)
        return fd

    def test_odd_ones_are_said_and_change_nothing(self):
        odd = ({"LISTEN_FDS": "abc"}, {"LISTEN_FDS": "-1"}, {"LISTEN_FDS": "0"}, {"LISTEN_FDS": "500"})
        for env in odd:
            with self.subTest(env):
                process = self.start(LISTEN_PID="@PID@", **env)
                self.assertIn('"systemd.fds_ignored"', self.text())
                self.end(process)
                self.server_done()

    def server_done(self):
        for server in self.servers:
            server.close()
        self.servers.clear()

    def test_those_of_another_process_are_not_looked_at(self):
        fd = self.high()
        process = self.start([fd], LISTEN_PID="1", LISTEN_FDS="1", LISTEN_FDNAMES="scoreboard")
        self.assertNotIn("systemd.", self.text())
        self.assertTrue(os.path.exists(f"/proc/{process.pid}/fd/3"), "it is closed in children only")

    def test_a_strangers_descriptor_is_closed(self):
        fd = self.high()
        process = self.start([fd, fd], LISTEN_PID="@PID@", LISTEN_FDS="2", LISTEN_FDNAMES="http:scoreboard")
        text = self.text()
        self.assertIn('"systemd.fd_closed"', text)
        self.assertIn('"http"', text)
        self.assertIn('"scoreboard.refused"', text)
        links = [os.readlink(f"/proc/{process.pid}/fd/{n}") for n in os.listdir(f"/proc/{process.pid}/fd")]
        self.assertEqual(1, links.count("/dev/null"), f"its own standard input only: {links}")
        self.assertEqual(1, sum("scoreboard" in link for link in links))

    def test_a_notify_socket_that_is_not_there_is_said_once(self):
        self.start(NOTIFY_SOCKET=os.path.join(self.scratch, "nobody"))
        rig.wait_until(lambda: '"systemd.not_told"' in self.text(), 10, self.text)
        self.assertEqual(1, self.text().count('"systemd.not_told"'), self.text())


if __name__ == "__main__":
    unittest.main()
