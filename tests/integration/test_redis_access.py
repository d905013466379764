"""Ways to Redis: TCP, database number, password, ACL user, a server that comes late, one that says no."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import rig
from producer import Producer
from rig import wait_until

QUEUES = {"q": {"concurrency": 2, "handler": "noop"}}
RULES = ["~bull:*", "~drover:*", "&*", "+@all", "-@admin", "-@dangerous", "+info", "+client|setname"]


def free_port():
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Access(rig.Case):
    def completes(self, client, queue="q", count=3, prefix="bull"):
        ids = Producer(client, queue, prefix).many(count)
        wait_until(lambda: set(ids) <= set(client.cmd("ZRANGE", f"{prefix}:{queue}:completed", 0, -1)), 15,
                   lambda: "\n".join(d.tail() for d in self.daemons))

    def secret(self, text):
        path = os.path.join(self.scratch, "secret")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text + "\n")
        os.chmod(path, 0o600)
        return path

    def test_tcp_and_a_database_number_and_a_prefix(self):
        server = self.redis(port=free_port())
        self.droverd({"redis": {"default": {"url": f"redis://localhost:{server.port}/3", "prefix": "{tag}"}}, "queues": QUEUES})
        client = server.client()
        client.cmd("SELECT", 3)
        self.completes(client, prefix="{tag}")
        self.assertTrue([k for k in client.scan("drover:{tag}:*")], "private keys share the prefix' hash tag")

    def test_a_password_from_a_file(self):
        server = self.redis(options=["--requirepass", "s3cret"])
        daemon = self.droverd({"redis": {"default": {"url": server.url, "password": "file:" + self.secret("s3cret")}}, "queues": QUEUES})
        self.completes(server.client(password="s3cret"))
        for proc in [rig.Proc(daemon.pid)] + daemon.workers():
            self.assertNotIn("s3cret", proc.cmdline)
            with open(f"/proc/{proc.pid}/environ", "rb") as f:
                self.assertNotIn(b"s3cret", f.read())
        self.assertEqual([], [line for line in daemon.lines if "s3cret" in line])

    def test_an_acl_user_with_few_rights(self):
        server = self.redis()
        admin = server.client()
        admin.cmd("ACL", "SETUSER", "drover", "on", ">s3cret", *RULES)
        self.droverd({"redis": {"default": {"url": server.url, "username": "drover", "password": "file:" + self.secret("s3cret")}},
                      "queues": QUEUES})
        self.completes(admin)
        denied = [line for line in admin.cmd("ACL", "LOG") or []]
        self.assertEqual([], denied, "nothing it tried was refused")

    def test_a_wrong_password_is_said_once_and_tried_again(self):
        server = self.redis(options=["--requirepass", "right"])
        secret = self.secret("wrong")
        daemon = self.droverd({"redis": {"default": {"url": server.url, "password": "file:" + secret}}, "queues": QUEUES,
                               "log": {"level": "info", "format": "json"}, "start": {"timeout": "2s"}}, wait=False)
        wait_until(lambda: [line for line in daemon.lines if "WRONGPASS" in line], 15, daemon.tail)
        client = server.client(password="right")
        tries = int(client.info("stats")["total_connections_received"])
        wait_until(lambda: int(client.info("stats")["total_connections_received"]) >= tries + 4, 20, "it tries again")
        self.assertLess(len([line for line in daemon.lines if "WRONGPASS" in line]), 12, daemon.tail())
        client.cmd("CONFIG", "SET", "requirepass", "wrong")
        self.completes(client)

    def test_a_server_that_comes_late(self):
        server = self.redis(start=False)
        daemon = self.droverd({"redis": {"default": {"url": server.url}}, "queues": QUEUES}, wait=False)
        wait_until(lambda: [line for line in daemon.lines if "redis" in line.lower()], 15, daemon.tail)
        server.start()
        self.completes(server.client())

    def test_a_clock_that_differs_is_warned_of_at_each_connect(self):
        server = self.redis()
        proxy = self.proxy(server)
        daemon = self.droverd({"redis": {"default": {"url": proxy.url}}, "queues": QUEUES})
        self.completes(server.client())
        self.assertEqual([], daemon.find("redis.clock_skewed"), "it does not differ yet")
        for shift_s in (5, -5):
            proxy.clock_shift_s = shift_s
            proxy.cut_all()
            told = wait_until(lambda: [e for e in daemon.find("redis.clock_skewed") if e["clock_skew_ms"] * shift_s > 0],
                              15, daemon.tail)
            self.assertEqual(1, len(told), "by one connection of the two")
            self.assertAlmostEqual(shift_s * 1000, told[0]["clock_skew_ms"], delta=900)
        self.completes(server.client())

    def test_two_endpoints_two_tiers(self):
        one, two = self.redis("one"), self.redis("two")
        self.droverd({"redis": {"default": {"url": one.url}, "cache": {"url": two.url}},
                      "tiers": {"ephemeral": {"redis": "cache"}},
                      "queues": {"kept": {"concurrency": 1, "handler": "noop"},
                                 "passing": {"tier": "ephemeral", "concurrency": 1, "handler": "noop"}}})
        self.completes(one.client(), "kept")
        self.completes(two.client(), "passing")


if __name__ == "__main__":
    rig.main()
