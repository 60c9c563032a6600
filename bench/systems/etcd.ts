/**
 * etcd as Debian ships it, three members. Its clients may talk to all members (which forward to the leader) or to the leader
 * alone, over few connections or many: each turn begins with short trials, and the best way for etcd is what is measured.
 */
import { runProcess } from '../support/processes.js';
import { buildEtcdLoad, EtcdCluster } from './etcd-cluster.js';
import type { Sample, System, Workload } from './system.js';

interface Way {
  readonly endpoints: string;
  readonly connections: number;
}

const TRIAL_REQUESTS = 20_000;

async function load(program: string, way: Way, workload: Workload): Promise<Sample> {
  const output = await runProcess(program, [
    ...['-endpoints', way.endpoints, '-connections', String(way.connections)],
    ...['-operation', workload.operation === 'set' ? 'put' : 'get', '-clients', String(workload.clients)],
    ...['-requests', String(workload.requests), '-keys', String(workload.keys)],
    ...['-value-bytes', String(workload.valueBytes)],
  ]);
  const result = JSON.parse(output) as Sample & { readonly failures: number };
  if (result.failures > 0) throw new Error(`etcd refused ${result.failures} requests`);
  return result;
}

export const etcd: System = {
  name: 'etcd',
  description:
    '3 members, linearizable, a majority has synced before the answer; loaded by its own Go client',
  packages: ['etcd-server', 'golang-go', 'golang-etcd-server-dev'],
  start: async () => {
    const program = await buildEtcdLoad();
    const cluster = await EtcdCluster.start();
    const leader = cluster.endpoints[await cluster.leader()]!;
    const ways: Way[] = [leader, cluster.endpoints.join(',')].flatMap((endpoints) =>
      [6, 24, 96].map((connections) => ({ endpoints, connections })),
    );
    const best = new Map<Workload['operation'], Way>();
    return {
      run: async (workload) => {
        // etcd's API has no pipelines of single requests, and plain is what its clients do by themselves.
        if (workload.pipeline > 1 || workload.mode === 'plain') return undefined;
        let way = best.get(workload.operation);
        if (way === undefined) {
          let bestRate = 0;
          for (const candidate of ways) {
            const requests = Math.min(TRIAL_REQUESTS, workload.requests);
            const { ratePerSecond } = await load(program, candidate, { ...workload, requests });
            if (ratePerSecond <= bestRate) continue;
            bestRate = ratePerSecond;
            way = candidate;
          }
          best.set(workload.operation, way!);
        }
        return await load(program, way!, workload);
      },
      stop: () => cluster.stop(),
    };
  },
};
