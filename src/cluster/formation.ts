/**
 * How a cluster comes to be: every first node introduces itself to all the others; once a node has heard all of them it
 * computes the first map, and all compute the same one. Only this first time all nodes must be up at once.
 */
import { createHash } from 'node:crypto';
import { SLOT_COUNT } from '../base/slots.js';
import type { BucketDescription } from '../store/types.js';
import type { BucketSpecification, ClusterMap, NodeDescription } from './map.js';
import { balancedSlots, formGroups } from './placement.js';

/** More voters than this make group 0 slower and hardly safer; further nodes get the map from their peers. */
const MAX_MAP_VOTERS = 5;

export function firstMap(options: {
  readonly clusterName: string;
  readonly nodes: readonly NodeDescription[];
  readonly replicas: number;
  readonly buckets: readonly BucketSpecification[];
}): ClusterMap {
  const nodes = [...options.nodes].sort((left, right) =>
    left.id < right.id ? -1 : left.id > right.id ? 1 : 0,
  );
  const storage = nodes.filter((node) => node.roles.includes('storage'));
  const groups = formGroups(storage, options.replicas);
  const weights = new Map(storage.map((node) => [node.id, node.weight]));
  const clusterId = createHash('sha256')
    .update(nodes.map((node) => `${node.id}=${node.incarnation}`).join(','))
    .digest('hex')
    .slice(0, 32);
  return {
    epoch: 1,
    clusterName: options.clusterName,
    clusterId,
    nodes,
    groups: [{ id: 0, members: storage.slice(0, MAX_MAP_VOTERS).map((node) => node.id) }, ...groups],
    slotOwners:
      groups.length === 0
        ? new Uint16Array(SLOT_COUNT)
        : balancedSlots(groups, (node) => weights.get(node) ?? 1),
    buckets: options.buckets.map((bucket, id): BucketDescription => ({ id, ...bucket })),
    nextBucketId: options.buckets.length,
  };
}
