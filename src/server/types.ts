/**
 * What a node offers to its front doors (`src/api`), to the embedding API and to the simulator's workloads.
 */
import type { BucketChanges, BucketSpecification, ClusterMap, NodeDescription } from '../cluster/map.js';
import type { AntiEntropyStatistics } from '../protocol/quorum/anti-entropy-types.js';
import type { HandoffStatistics } from '../protocol/quorum/hint-types.js';
import type { QuorumStatistics } from '../protocol/quorum/types.js';
import type { NodeId, Role } from '../protocol/raft/types.js';
import type { LoadDigest } from '../protocol/swim/types.js';
import type { CommandDefinition } from '../store/command.js';
import type { BoundsStatistics } from '../store/quorum/bucket-bounds.js';
import type { Reply } from '../store/reply.js';
import type { BucketDescription, SessionStamp } from '../store/types.js';

export type { BucketChanges, BucketSpecification } from '../cluster/map.js';

/** Gets a request's answer. */
export interface Completion {
  /** Called exactly once; possibly from within `submit`. Errors are `ErrorReply`. */
  complete(reply: Reply): void;
}

/**
 * How fresh a read must be: `linearizable` (at the leader), `follower` (linearizable too, served by the local replica
 * after a read-index from the leader), `stale` (the local replica as it is).
 */
export type ReadConsistency = 'linearizable' | 'follower' | 'stale';

/** What a request, or a connection, asks of an eventual bucket; absent: as the bucket says. */
export interface QuorumChoice {
  readonly r?: number | undefined;
  readonly w?: number | undefined;
}

/** One command on its way. Plain fields, no closures: one object for each operation. */
export interface Request {
  readonly definition: CommandDefinition;
  readonly bucket: BucketDescription;
  /** The words after the name. The bytes must not change before the request completes: a retry sends them again. */
  readonly args: readonly Buffer[];
  readonly completion: Completion;
  readonly consistency: ReadConsistency;
  /**
   * True when the same client still waits for an earlier write: this request must take effect after it (pipelining).
   * Requests of one client to one group otherwise keep their order among writes, and among reads.
   */
  readonly ordered: boolean;
  /** A client's own session; without one the node's is used, which makes the node's own retries exactly-once. */
  readonly session: SessionStamp | undefined;
  /** Replicas that must answer or have it, instead of what the bucket says; only in a bucket of quorum replication. */
  readonly quorum?: QuorumChoice | undefined;
}

/** One replica group as seen from this node. */
export interface GroupStatus {
  readonly group: number;
  readonly members: readonly NodeId[];
  readonly leader: NodeId | undefined;
  /** This node's part; undefined when it is no member. */
  readonly local:
    | {
        readonly role: Role;
        readonly term: number;
        readonly commitIndex: number;
        readonly appliedIndex: number;
        readonly lastIndex: number;
        readonly durableIndex: number;
        readonly pendingRequests: number;
        readonly matchIndexes: Readonly<Record<NodeId, number>>;
      }
    | undefined;
}

export interface NodeCounters {
  readonly startedAtMs: number;
  readonly commandsProcessed: number;
  readonly commandsForwarded: number;
  readonly reads: number;
  readonly writes: number;
  readonly entriesApplied: number;
  readonly elections: number;
  readonly framesSent: number;
  readonly framesReceived: number;
  readonly peerBytesSent: number;
  readonly peerBytesReceived: number;
  /** What the log holds; it shrinks. */
  readonly logBytes: number;
  readonly logWrittenBytes: number;
  readonly logSyncs: number;
  /** Moving average of one sync. */
  readonly logSyncMs: number;
  readonly logTotalSyncMs: number;
  readonly memoryBytes: number;
  readonly dataBytes: number;
}

/** What a node has done for eventual buckets since its start. */
export interface EventualStatistics {
  readonly quorum: QuorumStatistics;
  readonly repair: AntiEntropyStatistics;
  readonly handoff: HandoffStatistics;
  /** Bytes of keys and values kept for nodes that were away. */
  readonly hintBytes: number;
  /** Batches of mutations from peers that were not taken, because too much waited for the disk already. */
  readonly batchesShed: number;
  /** Of the buckets that have bounds. */
  readonly bounds: BoundsStatistics;
  /** It has lost its disk and answers no reads from its own records until it is filled. */
  readonly filling: boolean;
}

/** A member of the cluster as gossip shows it here. */
export interface MemberStatus {
  readonly id: NodeId;
  readonly state: 'alive' | 'suspect' | 'dead';
  /** There is a link to it, and it is not dead. */
  readonly reachable: boolean;
  /** For how long it has been in this state. */
  readonly stateAgeMs: number;
  /** What it says of itself; undefined: nothing yet. */
  readonly load: LoadDigest | undefined;
}

/** A running node. */
export interface NodeServer {
  readonly id: NodeId;
  readonly version: string;
  /** The present cluster map; undefined until the cluster has formed. */
  map(): ClusterMap | undefined;
  self(): NodeDescription;
  /** 'starting' until it has recovered and knows a map; 'failed' after a disk failure: nothing is acknowledged any more. */
  state(): { readonly phase: 'starting' | 'serving' | 'stopping' | 'failed'; readonly reason: string };
  /** True when every group that this node needs to answer requests has a known leader. */
  ready(): boolean;
  /** Carries out a command. Never throws. */
  submit(request: Request): void;
  bucketByName(name: string): BucketDescription | undefined;
  bucketById(id: number): BucketDescription | undefined;
  /** Which group owns a slot, and who leads it as far as known here. */
  locate(slot: number): { readonly group: number; readonly leader: NodeId | undefined };
  groupStatus(): GroupStatus[];
  counters(): NodeCounters;
  /** Undefined before the cluster is known. */
  eventualStatistics(): EventualStatistics | undefined;
  /** All members, this node among them, in the order of the map. */
  members(): readonly MemberStatus[];
  /** Is a peer connected? (Itself: yes.) */
  peerConnected(node: NodeId): boolean;
  /** Digest of a slot of this node's replica (tests, `DEBUG`). */
  digestOfSlot(slot: number): number;
  /** Digest of a slot over all eventual buckets, as this node holds them. */
  eventualDigestOfSlot(slot: number): number;

  createBucket(specification: BucketSpecification): Promise<BucketDescription>;
  updateBucket(name: string, changes: BucketChanges): Promise<BucketDescription>;
  dropBucket(name: string): Promise<void>;
  /** Waits until a write by this node before now is on at least `replicas` followers or the time is up; returns how many have it. */
  waitForReplicas(slot: number, replicas: number, timeoutMs: number): Promise<number>;
  stop(): Promise<void>;
}
