/**
 * How a cluster comes to be: every first node introduces itself to all the others; once a node has heard all of them it
 * computes the first map, and all compute the same one. Only this first time all nodes must be up at once.
 */
import { createHash } from 'node:crypto';
import { QuoinError } from '../base/errors.js';
import type { BucketDescription } from '../store/types.js';
import { bucketFrom, isRefusal } from './bucket-policy.js';
import { type BucketSpecification, type ClusterMap, groupSizeOf, type NodeDescription } from './map.js';
import { balancedSlots, formGroups } from './placement.js';

/** More voters than this make group 0 slower and hardly safer; further nodes get the map from their peers. */
const MAX_MAP_VOTERS = 5;

/** Throws CONFIG_INVALID where no cluster can be made of these nodes or hold these buckets; all nodes come to the same. */
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
  checkRoles(nodes);
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
    slotOwners: balancedSlots(groups, (node) => weights.get(node) ?? 1),
    buckets: options.buckets.map((bucket, id) => firstBucket(id, bucket, groupSizeOf(groups))),
    nextBucketId: options.buckets.length,
  };
}

function checkRoles(nodes: readonly NodeDescription[]): void {
  for (const role of ['storage', 'coordinator'] as const) {
    if (nodes.some((node) => node.roles.includes(role))) continue;
    throw new QuoinError(
      'CONFIG_INVALID',
      `none of the nodes ${nodes.map((node) => node.id).join(', ')} has the role ${role}; a cluster needs at least one that has`,
    );
  }
}

function firstBucket(id: number, bucket: BucketSpecification, groupSize: number): BucketDescription {
  const outcome = bucketFrom(id, bucket, groupSize);
  if (!isRefusal(outcome)) return outcome;
  throw new QuoinError('CONFIG_INVALID', `bucket '${bucket.name}': ${outcome.message}`);
}
