/**
 * Quoin, in three ways: the default bucket of the preset `practical` (raft, lmdb), each write synced by a majority before its
 * answer; and an eventual bucket in memory with three copies, of which one or two answer reads and have writes.
 */
import { QuoinCluster } from '../support/quoin-cluster.js';
import { redisBenchmark } from '../support/redis-benchmark.js';
import type { RunningSystem, System } from './system.js';

function running(cluster: QuoinCluster): RunningSystem {
  return {
    run: (workload) => redisBenchmark(cluster.basePort, workload),
    stop: () => cluster.stop(),
  };
}

export const quoin: System = {
  name: 'quoin',
  description: '3 nodes, linearizable, a majority has synced before the answer',
  packages: ['redis-tools'],
  start: async () => running(await QuoinCluster.start()),
};

/** The default bucket of the preset `memory`, with its r and w changed. */
async function startEventual(replicas: number): Promise<RunningSystem> {
  const cluster = await QuoinCluster.start({ args: ['--preset', 'memory', '--coordinators', '0'] });
  try {
    await cluster.changeBucket('default', { r: replicas, w: replicas });
  } catch (error) {
    await cluster.stop();
    throw error;
  }
  return running(cluster);
}

export const eventualOne: System = {
  name: 'eventual-r1w1',
  description: '3 nodes, n = 3 in memory, eventual: one replica answers a read and has a write',
  packages: ['redis-tools'],
  start: () => startEventual(1),
};

export const eventualTwo: System = {
  name: 'eventual-r2w2',
  description: '3 nodes, n = 3 in memory, eventual: two replicas answer a read and have synced a write',
  packages: ['redis-tools'],
  start: () => startEventual(2),
};
