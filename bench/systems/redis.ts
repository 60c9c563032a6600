/**
 * Redis 7, twice: a cluster of three masters (fast, and a dead machine loses its part), and one master with two replicas and
 * `appendfsync always` (synced, but its answer does not wait for the replicas: a dead master loses acknowledged writes).
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freeBasePort } from '../support/ports.js';
import { type RunningProcess, runProcess, startProcess } from '../support/processes.js';
import { redisBenchmark } from '../support/redis-benchmark.js';
import { answersPing, infoField, redisCli } from '../support/redis-cli.js';
import { waitFor } from '../support/wait.js';
import type { RunningSystem, System } from './system.js';

const SERVERS = 3;
const START_TIMEOUT_MS = 30_000;
/** A Redis Cluster node gossips on its port + 10000. */
const CLUSTER_BUS_OFFSET = 10_000;

interface Servers {
  readonly ports: readonly number[];
  stop(): Promise<void>;
}

/** Three servers with no data; `argsOf` gives what tells each from the others. */
async function startServers(
  argsOf: (index: number, basePort: number) => readonly string[],
): Promise<Servers> {
  const offsets = [0, 1, 2].flatMap((index) => [index, CLUSTER_BUS_OFFSET + index]);
  const basePort = await freeBasePort(offsets);
  const directory = await mkdtemp(join(tmpdir(), 'quoin-bench-redis-'));
  const processes: RunningProcess[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(processes.map((each) => each.stop()));
    await rm(directory, { recursive: true, force: true });
  };
  const ports: number[] = [];
  try {
    for (let index = 0; index < SERVERS; index++) {
      const port = basePort + index;
      ports.push(port);
      processes.push(
        await startProcess(
          'redis-server',
          [
            ...['--port', String(port), '--bind', '127.0.0.1', '--dir', directory, '--save', ''],
            ...['--appenddirname', `aof-${index}`, '--dbfilename', `dump-${index}.rdb`],
            ...argsOf(index, basePort),
          ],
          { directory },
        ),
      );
    }
    for (const port of ports)
      await waitFor(`redis-server on port ${port} answers`, START_TIMEOUT_MS, async () =>
        (await answersPing(port)) ? true : undefined,
      );
  } catch (error) {
    await stop();
    throw error;
  }
  return { ports, stop };
}

async function startCluster(): Promise<RunningSystem> {
  const servers = await startServers((index) => [
    ...['--cluster-enabled', 'yes', '--cluster-config-file', `nodes-${index}.conf`, '--appendonly', 'no'],
  ]);
  const port = servers.ports[0]!;
  try {
    const addresses = servers.ports.map((each) => `127.0.0.1:${each}`);
    await runProcess('redis-cli', ['--cluster', 'create', ...addresses, '--cluster-yes'], {
      timeoutMs: 60_000,
    });
    for (const each of servers.ports)
      await waitFor('the Redis cluster has formed', START_TIMEOUT_MS, async () =>
        (await redisCli(each, 'CLUSTER', 'INFO')).includes('cluster_state:ok') ? true : undefined,
      );
  } catch (error) {
    await servers.stop();
    throw error;
  }
  return {
    // A single node of a Redis Cluster does not forward: it has no plain mode over all keys.
    run: async (workload) => (workload.mode === 'plain' ? undefined : await redisBenchmark(port, workload)),
    stop: () => servers.stop(),
  };
}

async function startReplicated(): Promise<RunningSystem> {
  const servers = await startServers((index, basePort) => [
    ...['--appendonly', 'yes', '--appendfsync', 'always'],
    ...(index === 0 ? [] : ['--replicaof', `127.0.0.1 ${basePort}`]),
  ]);
  const port = servers.ports[0]!;
  try {
    await waitFor('both Redis replicas follow', START_TIMEOUT_MS, async () => {
      for (const replica of servers.ports.slice(1))
        if ((await infoField(replica, 'replication', 'master_link_status')) !== 'up') return undefined;
      return true;
    });
  } catch (error) {
    await servers.stop();
    throw error;
  }
  return {
    // One master serves all keys: routed or plain is the same to it.
    run: (workload) => redisBenchmark(port, { ...workload, mode: 'plain' }),
    stop: () => servers.stop(),
  };
}

export const redisCluster: System = {
  name: 'redis-cluster',
  description: '3 masters, no replicas, no log: memory only',
  packages: ['redis-server', 'redis-tools'],
  start: startCluster,
};

export const redisReplicated: System = {
  name: 'redis-replicated',
  description: '1 master and 2 replicas, appendfsync always; the answer does not wait for the replicas',
  packages: ['redis-server', 'redis-tools'],
  start: startReplicated,
};
