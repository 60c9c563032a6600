/** Quoin: three nodes with the default bucket (raft, lmdb), each write synced by a majority before its answer. */
import { QuoinCluster } from '../support/quoin-cluster.js';
import { redisBenchmark } from '../support/redis-benchmark.js';
import type { System } from './system.js';

export const quoin: System = {
  name: 'quoin',
  description: '3 nodes, linearizable, a majority has synced before the answer',
  packages: ['redis-tools'],
  start: async () => {
    const cluster = await QuoinCluster.start();
    return {
      run: (workload) => redisBenchmark(cluster.basePort, workload),
      stop: () => cluster.stop(),
    };
  },
};
