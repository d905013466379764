// sets.mjs - Redis servers that belong together, for tests of peers on one of them: a cluster of three masters, and a
// master with two replicas and Sentinels. All end with the rig.
import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as net from 'node:net';
import * as path from 'node:path';
import { IORedis, waitUntil } from './rig.mjs';

/** That many ports nobody listens on now. */
async function freePorts(count) {
  const servers = await Promise.all(Array.from({ length: count }, () => new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve(server));
  })));
  const ports = servers.map((s) => s.address().port);
  await Promise.all(servers.map((s) => new Promise((resolve) => { s.close(resolve); })));
  return ports;
}

async function startServer(rig, port, args) {
  const dir = path.join(rig.dir, `redis-${port}`);
  fs.mkdirSync(dir);
  const conf = path.join(dir, 'redis.conf');
  fs.writeFileSync(conf, `port ${port}\nbind 127.0.0.1\ndir ${dir}\nlogfile ${dir}/log\n`);
  const child = spawn('redis-server', [conf, ...args], { stdio: 'ignore' });
  rig.ends.push(async () => {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await new Promise((resolve) => { child.once('exit', resolve); });
  });
  const client = new IORedis(port, '127.0.0.1', { maxRetriesPerRequest: null });
  client.on('error', () => {});
  rig.ends.push(async () => client.disconnect());
  await client.ping();
  return { port, child, client };
}

const fields = (text) => Object.fromEntries(text.split('\r\n').filter((l) => l.includes(':')).map((l) => l.split(/:(.*)/).slice(0, 2)));

/** Three masters; `url` is drover's, connect() makes a client that stock classes take. */
export async function startCluster(rig) {
  const ports = await freePorts(6);
  const nodes = [];
  for (let i = 0; i < 3; i++) {
    nodes.push(await startServer(rig, ports[i], ['--save', '', '--cluster-enabled', 'yes', '--cluster-node-timeout', '1000',
      '--cluster-port', String(ports[3 + i])]));
    await nodes[i].client.call('CLUSTER', 'SET-CONFIG-EPOCH', i + 1);
    if (i > 0) await nodes[i].client.call('CLUSTER', 'MEET', '127.0.0.1', ports[0], ports[3]);
    await nodes[i].client.call('CLUSTER', 'ADDSLOTSRANGE', Math.floor(16384 * i / 3), Math.floor(16384 * (i + 1) / 3) - 1);
  }
  for (const node of nodes) {
    await waitUntil(async () => {
      const info = fields(await node.client.call('CLUSTER', 'INFO'));
      return info.cluster_state === 'ok' && info.cluster_known_nodes === '3';
    }, 15000, 'the cluster is complete');
  }
  const set = { nodes, url: `redis+cluster://${nodes.map((n) => `127.0.0.1:${n.port}`).join(',')}` };
  set.connect = () => {
    const cluster = new IORedis.Cluster(nodes.map((n) => ({ host: '127.0.0.1', port: n.port })),
      { redisOptions: { maxRetriesPerRequest: null }, retryDelayOnTryAgain: 50, maxRedirections: 200 });
    cluster.on('error', () => {});
    rig.ends.push(async () => cluster.disconnect());
    return cluster;
  };
  /** Moves the slot of a key to the next master, keys and all. */
  set.move = async (key) => {
    const slot = await nodes[0].client.call('CLUSTER', 'KEYSLOT', key);
    const ranges = await nodes[0].client.call('CLUSTER', 'SLOTS');
    const from = nodes.find((n) => n.port === ranges.find(([first, last]) => first <= slot && slot <= last)[2][1]);
    const to = nodes[(nodes.indexOf(from) + 1) % 3];
    const [fromId, toId] = await Promise.all([from, to].map((n) => n.client.call('CLUSTER', 'MYID')));
    await to.client.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', fromId);
    await from.client.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', toId);
    for (;;) {
      const keys = await from.client.call('CLUSTER', 'GETKEYSINSLOT', slot, 50);
      if (!keys.length) break;
      await from.client.call('MIGRATE', '127.0.0.1', to.port, '', 0, 5000, 'KEYS', ...keys);
    }
    for (const node of [to, ...nodes.filter((n) => n !== to)]) await node.client.call('CLUSTER', 'SETSLOT', slot, 'NODE', toId);
    return { from, to };
  };
  return set;
}

/** A master, two replicas, three Sentinels. */
export async function startSentinels(rig) {
  const ports = await freePorts(6);
  const servers = [];
  for (const port of ports.slice(0, 3)) servers.push(await startServer(rig, port, ['--save', '', '--repl-diskless-sync-delay', '0']));
  for (const server of servers.slice(1)) await server.client.call('REPLICAOF', '127.0.0.1', ports[0]);
  for (const server of servers.slice(1)) {
    await waitUntil(async () => fields(await server.client.info('replication')).master_link_status === 'up', 15000, 'replicas are in step');
  }
  const sentinels = [];
  for (const port of ports.slice(3)) {
    const sentinel = await startServer(rig, port, ['--sentinel']);
    await sentinel.client.call('SENTINEL', 'MONITOR', 'mymaster', '127.0.0.1', ports[0], 2);
    await sentinel.client.call('SENTINEL', 'SET', 'mymaster', 'down-after-milliseconds', 1000, 'failover-timeout', 3000);
    sentinels.push(sentinel);
  }
  const master = async (sentinel) => {
    const flat = await sentinel.client.call('SENTINEL', 'MASTER', 'mymaster');
    return Object.fromEntries(Array.from({ length: flat.length / 2 }, (_, i) => [flat[i * 2], flat[i * 2 + 1]]));
  };
  for (const sentinel of sentinels) {
    await waitUntil(async () => { const m = await master(sentinel); return m['num-other-sentinels'] === '2' && m['num-slaves'] === '2'; },
      15000, 'the Sentinels know each other');
  }
  return {
    servers,
    url: `redis+sentinel://${sentinels.map((s) => `127.0.0.1:${s.port}`).join(',')}/mymaster`,
    /** Connection options for stock classes. */
    connection: { sentinels: sentinels.map((s) => ({ host: '127.0.0.1', port: s.port })), name: 'mymaster', maxRetriesPerRequest: null },
    /** Another server becomes the master; resolves once all Sentinels say so. */
    async failOver() {
      const before = (await master(sentinels[0])).port;
      await waitUntil(() => sentinels[0].client.call('SENTINEL', 'FAILOVER', 'mymaster').catch(() => null), 10000, 'a failover begins');
      for (const sentinel of sentinels) {
        await waitUntil(async () => (await master(sentinel)).port !== before, 15000, 'a Sentinel names another master');
      }
      const old = servers.find((s) => String(s.port) === before);
      // Until then stock clients write to it, and what they write is lost.
      await waitUntil(async () => fields(await old.client.info('replication')).role === 'slave', 20000, 'the former master is a replica');
    },
  };
}
