/**
 * The cluster as this node sees it: the map (which is the same everywhere at one epoch) and this node's own part in the
 * groups. Whoever wants every node's part asks every node, as `quoin cluster status` does.
 *
 * `?digests=yes` adds to this node's part in each group a digest over its slots. Replicas that have applied the same index
 * must show the same one: whoever compares them sees a replica that has silently diverged. `eventualDigest` is that of the
 * eventual buckets, on every node that holds them: it is the same on all once they have converged.
 */
import { crc32 } from 'node:zlib';
import type { FastifyInstance } from 'fastify';
import type { ClusterMap, NodeDescription } from '../../../cluster/map.js';
import type { GroupStatus } from '../../../server/types.js';
import type { Door } from '../door.js';
import { Query } from '../url.js';
import { bucketJson } from './buckets.js';

interface SlotRange {
  readonly from: number;
  readonly to: number;
}

/** The runs of slots of each group, ends included. */
function slotRanges(map: ClusterMap): Map<number, SlotRange[]> {
  const ranges = new Map<number, SlotRange[]>();
  let from = 0;
  for (let slot = 1; slot <= map.slotOwners.length; slot++) {
    if (slot < map.slotOwners.length && map.slotOwners[slot] === map.slotOwners[from]) continue;
    const group = map.slotOwners[from] ?? 0;
    const list = ranges.get(group) ?? [];
    list.push({ from, to: slot - 1 });
    ranges.set(group, list);
    from = slot;
  }
  return ranges;
}

function nodeJson(door: Door, node: NodeDescription): Readonly<Record<string, unknown>> {
  const { id, resp, http, grpc, roles, zone, weight, incarnation, forgot = false } = node;
  const self = id === door.node.id;
  const connected = self || door.node.peerConnected(id);
  return { id, self, connected, resp, http, grpc, roles, zone, weight, incarnation, forgot };
}

/** How far each follower is behind the end of the leader's log, in entries; only the leader knows. */
function lagOf(status: GroupStatus): Readonly<Record<string, number>> | undefined {
  const { local } = status;
  if (local === undefined || local.role !== 'leader') return undefined;
  const lag: Record<string, number> = {};
  for (const [node, matchIndex] of Object.entries(local.matchIndexes))
    lag[node] = Math.max(0, local.lastIndex - matchIndex);
  return lag;
}

/** One digest over the digests of all these slots, as this node has them now. */
function digestOf(slots: readonly SlotRange[], digestOfSlot: (slot: number) => number): string {
  const digests: number[] = [];
  for (const { from, to } of slots)
    for (let slot = from; slot <= to; slot++) digests.push(digestOfSlot(slot));
  return crc32(new Uint8Array(Uint32Array.from(digests).buffer))
    .toString(16)
    .padStart(8, '0');
}

function groupJson(
  door: Door,
  status: GroupStatus,
  slots: readonly SlotRange[],
  withDigest: boolean,
): Readonly<Record<string, unknown>> {
  const { group, members, leader, local } = status;
  const count = slots.reduce((sum, range) => sum + range.to - range.from + 1, 0);
  const { node } = door;
  const digest = withDigest ? { digest: digestOf(slots, (slot) => node.digestOfSlot(slot)) } : {};
  const holds = withDigest && members.includes(node.id);
  return {
    id: group,
    members,
    leader: leader ?? null,
    slotCount: count,
    slots,
    local: local === undefined ? null : { ...local, ...digest },
    lag: lagOf(status) ?? null,
    ...(holds ? { eventualDigest: digestOf(slots, (slot) => node.eventualDigestOfSlot(slot)) } : {}),
  };
}

export function clusterRoutes(server: FastifyInstance, door: Door): void {
  server.get('/v1/cluster', async (request) => {
    const { node } = door;
    const withDigests = new Query(request.url, ['digests']).text('digests') === 'yes';
    const map = node.map();
    const ranges = map === undefined ? new Map<number, SlotRange[]>() : slotRanges(map);
    const { phase, reason } = node.state();
    return {
      name: map?.clusterName ?? null,
      id: map?.clusterId ?? null,
      epoch: map?.epoch ?? null,
      version: node.version,
      self: node.id,
      phase,
      reason,
      ready: node.ready(),
      nodes: (map?.nodes ?? [node.self()]).map((description) => nodeJson(door, description)),
      groups: node
        .groupStatus()
        .map((status) => groupJson(door, status, ranges.get(status.group) ?? [], withDigests)),
      buckets: (map?.buckets ?? []).map(bucketJson),
    };
  });

  server.get('/v1/nodes', async () => {
    const { node } = door;
    const nodes = node.map()?.nodes ?? [node.self()];
    return {
      self: node.id,
      nodes: nodes.map((description) => nodeJson(door, description)),
      members: node.members(),
      counters: node.counters(),
      eventual: node.eventualStatistics() ?? null,
    };
  });
}
