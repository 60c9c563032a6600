/**
 * The cluster map: nodes, groups, slot owners and buckets; immutable, numbered by its epoch. In the managed topology Raft
 * group 0 decides it; every peer frame carries the sender's epoch, and whoever is behind asks for the newer map.
 */
import type { NodeId } from '../protocol/raft/types.js';
import type { BucketDescription, EvictionPolicy, QuorumPolicy } from '../store/types.js';

export type NodeRole = 'storage' | 'coordinator' | 'log';

export interface NodeDescription {
  readonly id: NodeId;
  /** `host:port` of each door, as clients and peers reach it. */
  readonly resp: string;
  readonly http: string;
  readonly grpc: string;
  readonly roles: readonly NodeRole[];
  readonly zone: string;
  readonly weight: number;
  /** Random id of its data directory: the same node with a new incarnation has lost its disk. */
  readonly incarnation: string;
  /**
   * True: it has lost its disk and with it what it promised. It votes in no Raft group and stores nothing of one; it holds
   * its part of the eventual buckets and coordinates.
   */
  readonly forgot?: boolean;
}

/** An ordered list of nodes that hold the same slots. The order is the order of preference for leading. */
export interface GroupDescription {
  /** 0 decides the map itself and holds no slots. */
  readonly id: number;
  readonly members: readonly NodeId[];
}

export interface ClusterMap {
  readonly epoch: number;
  readonly clusterName: string;
  readonly clusterId: string;
  readonly nodes: readonly NodeDescription[];
  readonly groups: readonly GroupDescription[];
  /** 16384 group ids. */
  readonly slotOwners: Uint16Array;
  readonly buckets: readonly BucketDescription[];
  /** Bucket ids are never reused. */
  readonly nextBucketId: number;
}

/** What a bucket shall be; the map gives it its id, and what its quorum policy leaves open. */
export type BucketSpecification = Omit<BucketDescription, 'id' | 'quorum'> & {
  readonly quorum?: Partial<QuorumPolicy>;
};

/** What of a bucket can be changed while data is in it; what is absent stays. */
export interface BucketChanges {
  readonly ttlMs?: number;
  readonly maxIdleMs?: number;
  readonly maxMemoryBytes?: number;
  readonly eviction?: EvictionPolicy;
  /** From here on: of buckets with quorum replication alone. */
  readonly r?: number;
  readonly w?: number;
  readonly readRepair?: boolean;
  readonly hintedHandoff?: boolean;
  readonly antiEntropy?: boolean;
}

/** Members of the groups that hold data: the storage nodes, at most `cluster.replicas`. */
export function groupSizeOf(groups: readonly GroupDescription[]): number {
  let size = 0;
  for (const group of groups) if (group.id !== 0) size = Math.max(size, group.members.length);
  return size;
}
