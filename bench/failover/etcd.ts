/** Failover of etcd: its leader is killed and started again; its own Go client writes through the survivors. */
import { startProcess } from '../support/processes.js';
import { buildEtcdLoad, EtcdCluster } from '../systems/etcd-cluster.js';
import { type FailoverTarget, PROBE_INTERVAL_MS } from './failover.js';

export async function startEtcdFailover(): Promise<FailoverTarget> {
  const program = await buildEtcdLoad();
  const cluster = await EtcdCluster.start();
  return {
    prepare: async (onAcknowledged) => {
      await cluster.waitUntilWhole();
      const victim = await cluster.leader();
      const survivors = cluster.endpoints.filter((_, index) => index !== victim);
      const probe = await startProcess(program, [
        ...['-mode', 'probe', '-endpoints', survivors.join(',')],
        ...['-interval-ms', String(PROBE_INTERVAL_MS)],
      ]);
      probe.onLine((line) => {
        const [sentMicros, acknowledgedMicros] = line.split(' ').map(Number);
        if (sentMicros === undefined || acknowledgedMicros === undefined) return;
        onAcknowledged({ part: 0, sentMs: sentMicros / 1000, acknowledgedMs: acknowledgedMicros / 1000 });
      });
      return {
        parts: 1,
        // The probe is a process of its own: both read the wall clock of the machine.
        nowMs: () => performance.timeOrigin + performance.now(),
        kill: () => void cluster.kill(victim),
        restore: async () => {
          await probe.stop('SIGKILL');
          await cluster.kill(victim);
          await cluster.startNode(victim);
        },
      };
    },
    stop: () => cluster.stop(),
  };
}
