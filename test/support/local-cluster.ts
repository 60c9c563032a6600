/**
 * A real cluster for process tests: `quoin up --ephemeral --json` on free ports, with its nodes killed, paused and found by
 * what they lead.
 */

import { type ClusterNode, portOf, QuoinCluster } from '../../bench/support/quoin-cluster.js';
import { waitFor } from '../../bench/support/wait.js';
import { slotOf } from '../../src/base/slots.js';

export { portOf, QuoinCluster, waitFor };

/** The node that leads a key's slot, as `viaId` sees it; waits until somebody does. */
async function leaderOfKey(cluster: QuoinCluster, key: string, viaId?: string): Promise<ClusterNode> {
  const slot = slotOf(Buffer.from(key));
  return await waitFor(`a leader for the slot of '${key}'`, 30_000, () => cluster.leaderOfSlot(slot, viaId));
}

/** Kills the node that leads a key's slot with SIGKILL; returns it. */
export async function killLeaderOfKey(cluster: QuoinCluster, key: string): Promise<ClusterNode> {
  const leader = await leaderOfKey(cluster, key);
  cluster.signal(leader.id, 'SIGKILL');
  return leader;
}
