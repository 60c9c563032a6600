/**
 * A real cluster for process tests: `quoin up --ephemeral --json` on free ports, with its nodes killed, paused and found by
 * what they lead. One `withCluster` a test or file; whatever the test does, no process stays behind.
 */

import {
  type ClusterNode,
  type ClusterOptions,
  portOf,
  QuoinCluster,
} from '../../bench/support/quoin-cluster.js';
import { waitFor } from '../../bench/support/wait.js';
import { slotOf } from '../../src/base/slots.js';

export { type ClusterNode, type ClusterOptions, portOf, QuoinCluster, waitFor };

/** The node that leads a key's slot, as `viaId` sees it; waits until somebody does. */
export async function leaderOfKey(cluster: QuoinCluster, key: string, viaId?: string): Promise<ClusterNode> {
  const slot = slotOf(Buffer.from(key));
  return await waitFor(`a leader for the slot of '${key}'`, 30_000, () => cluster.leaderOfSlot(slot, viaId));
}

/** The nodes that do not lead a key's slot. */
export async function followersOfKey(cluster: QuoinCluster, key: string): Promise<ClusterNode[]> {
  const leader = await leaderOfKey(cluster, key);
  return cluster.nodes.filter((node) => node !== leader);
}

/** Kills the node that leads a key's slot with SIGKILL; returns it. */
export async function killLeaderOfKey(cluster: QuoinCluster, key: string): Promise<ClusterNode> {
  const leader = await leaderOfKey(cluster, key);
  cluster.signal(leader.id, 'SIGKILL');
  return leader;
}

/** Runs `work` with a fresh cluster and stops it whatever happens; a failure shows what the cluster said. */
export async function withCluster<T>(
  options: ClusterOptions,
  work: (cluster: QuoinCluster) => Promise<T>,
): Promise<T> {
  const cluster = await QuoinCluster.start(options);
  try {
    return await work(cluster);
  } catch (error) {
    process.stderr.write(`the cluster's output:\n${cluster.output()}\n`);
    throw error;
  } finally {
    await cluster.stop();
  }
}
