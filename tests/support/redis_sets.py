"""redis_sets.py - several private Redis servers that belong together, on free ports of 127.0.0.1: a master with its
replicas and Sentinels, and a cluster. Both end with the test that makes them.
"""

import os
import socket
import subprocess

from procs import wait_until
from servers import Redis, RedisError, RedisServer

SLOTS = 16384


def free_ports(count):
    """That many ports nobody listens on now."""
    held = []
    for _ in range(count):
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        held.append(sock)
    ports = [sock.getsockname()[1] for sock in held]
    for sock in held:
        sock.close()
    return ports


def crc16(data):
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = ((crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def slot_of(key):
    start = key.find("{")
    end = key.find("}", start + 1)
    if start >= 0 and end > start + 1:
        key = key[start + 1 : end]
    return crc16(key.encode()) % SLOTS


def ask(server, *command):
    """One command over a connection of its own."""
    client = Redis(path=server.socket)
    try:
        return client.cmd(*command)
    finally:
        client.close()


def info(server, section):
    pairs = (line.split(":", 1) for line in ask(server, "INFO", section).splitlines() if ":" in line)
    return {k: v.strip() for k, v in pairs}


class Sentinel(RedisServer):
    """Writes its own file, and monitors what it is told to."""

    def start(self, wait=True):
        path = os.path.join(self.folder, "sentinel.conf")
        if not os.path.exists(path):
            with open(path, "w", encoding="utf-8") as f:
                f.write(f'dir "{self.folder}"\nport {self.port}\nbind 127.0.0.1\nunixsocket {self.socket}\n'
                        f'logfile "{self.folder}/sentinel.log"\nsentinel deny-scripts-reconfig yes\n')
        self.process = subprocess.Popen(["redis-server", path, "--sentinel"], stdin=subprocess.DEVNULL)
        if wait:
            self.wait_ready()
        return self


class Watched:
    """servers[0] is the master at first, the others its replicas; the Sentinels call it mymaster."""

    def __init__(self, case, replicas=2, sentinels=3, down_after_ms=500):
        ports = free_ports(1 + replicas + sentinels)
        options = ["--repl-diskless-sync-delay", "0", "--enable-debug-command", "yes"]
        self.servers = [RedisServer(case.scratch, f"redis{i}", port=ports[i], options=options) for i in range(1 + replicas)]
        self.sentinels = [Sentinel(case.scratch, f"sentinel{i}", port=ports[1 + replicas + i]) for i in range(sentinels)]
        case.servers += self.servers + self.sentinels
        for server in self.servers:
            server.start()
        for server in self.servers[1:]:
            ask(server, "REPLICAOF", "127.0.0.1", self.servers[0].port)
        for server in self.servers[1:]:
            wait_until(lambda s=server: info(s, "replication").get("master_link_status") == "up", 20, "the replica is in step")
        for sentinel in self.sentinels:
            client = sentinel.start().client()
            client.cmd("SENTINEL", "MONITOR", "mymaster", "127.0.0.1", self.servers[0].port, sentinels // 2 + 1)
            client.cmd("SENTINEL", "SET", "mymaster", "down-after-milliseconds", down_after_ms)
            client.cmd("SENTINEL", "SET", "mymaster", "failover-timeout", 2000)
        for sentinel in self.sentinels:
            wait_until(lambda s=sentinel: self._knows_all(s), 20, "the Sentinels know each other")

    def _knows_all(self, sentinel):
        flat = ask(sentinel, "SENTINEL", "MASTER", "mymaster")
        said = dict(zip(flat[::2], flat[1::2]))
        return (int(said["num-other-sentinels"]), int(said["num-slaves"])) == (len(self.sentinels) - 1, len(self.servers) - 1)

    @property
    def url(self):
        return "redis+sentinel://" + ",".join(f"127.0.0.1:{s.port}" for s in self.sentinels) + "/mymaster"

    def master_of(self, sentinel):
        port = int(ask(sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster")[1])
        return next(s for s in self.servers if s.port == port)

    @property
    def master(self):
        return self.master_of(self.sentinels[0])

    def wait_other_master(self, old, deadline=30):
        """All of them name another one, which says so itself."""
        def done():
            named = {id(self.master_of(s)): self.master_of(s) for s in self.sentinels}
            new = next(iter(named.values()))
            return new if len(named) == 1 and new is not old and info(new, "replication")["role"] == "master" else None

        return wait_until(done, deadline, "another master", every=0.05)


class Nodes:
    """A cluster: masters first, then a replica of each when there are any."""

    def __init__(self, case, masters=3, replicas=False, node_timeout_ms=1000):
        count = masters * 2 if replicas else masters
        ports = free_ports(count * 2)
        self.masters = masters
        self.servers = [RedisServer(case.scratch, f"node{i}", port=ports[i], options=[
            "--cluster-enabled", "yes", "--cluster-node-timeout", str(node_timeout_ms), "--cluster-port", str(ports[count + i]),
            "--repl-diskless-sync-delay", "0"]) for i in range(count)]
        case.servers += self.servers
        for i, server in enumerate(self.servers):
            client = server.start().client()
            client.cmd("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
            if i > 0:
                client.cmd("CLUSTER", "MEET", "127.0.0.1", ports[0], ports[count])
            if i < masters:
                client.cmd("CLUSTER", "ADDSLOTSRANGE", SLOTS * i // masters, SLOTS * (i + 1) // masters - 1)
        for server in self.servers:
            wait_until(lambda s=server: self._is_complete(s), 20, "the cluster is complete")
        for i, server in enumerate(self.servers[masters:]):
            wait_until(lambda s=server, i=i: self._replicate(s, self.id_of(self.servers[i])), 20, "a replica is taken")
            wait_until(lambda s=server: info(s, "replication").get("master_link_status") == "up", 20, "the replica is in step")

    def _is_complete(self, server):
        said = dict(line.split(":", 1) for line in ask(server, "CLUSTER", "INFO").split("\r\n") if ":" in line)
        return said["cluster_state"] == "ok" and int(said["cluster_known_nodes"]) == len(self.servers)

    @staticmethod
    def _replicate(server, node_id):
        try:
            return ask(server, "CLUSTER", "REPLICATE", node_id) == "OK"
        except RedisError:
            return False

    @property
    def url(self):
        return "redis+cluster://" + ",".join(f"127.0.0.1:{s.port}" for s in self.servers)

    @staticmethod
    def id_of(server):
        return ask(server, "CLUSTER", "MYID")

    def living(self):
        return [s for s in self.servers if s.process.poll() is None]

    def owner(self, slot):
        """Whom a living node names; None when nobody is named."""
        for first, last, master, *_ in ask(self.living()[0], "CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(s for s in self.servers if s.port == master[1])
        return None

    def client_of(self, key):
        return self.owner(slot_of(key)).client()

    def move(self, slot, to, step=10, pause=None):
        """Moves a slot with its keys; pause() is called after every `step` of them."""
        source = self.owner(slot)
        there, here = to.client(), source.client()
        there.cmd("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(source))
        here.cmd("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(to))
        while True:
            keys = here.cmd("CLUSTER", "GETKEYSINSLOT", slot, step)
            if not keys:
                break
            here.cmd("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "KEYS", *keys)
            if pause:
                pause()
        for server in [to] + [s for s in self.servers[: self.masters] if s is not to]:
            ask(server, "CLUSTER", "SETSLOT", slot, "NODE", self.id_of(to))

