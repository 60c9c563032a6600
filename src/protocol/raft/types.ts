/**
 * The contract of the Raft core: messages, effects and what the caller owes.
 *
 * Source: Ongaro and Ousterhout, "In search of an understandable consensus algorithm" (2014), and Ongaro's thesis
 * (2014) for pre-vote (9.6), leadership transfer (3.10), read index and leases (6.4), writing in parallel to the
 * leader's disk (10.2.1).
 *
 * The caller's duties, in this order, for every `RaftEffects` it takes:
 * 1. hand `messages` to the network (these promise nothing that is not durable yet);
 * 2. write `hardState` and `entries` to the log (entries first cut the log from the first one's index on);
 * 3. when that is durable (and not before) send `messagesAfterPersist` and call `persisted(...)`;
 * 4. apply `committed` entries in order and call `applied(index)`;
 * 5. answer `readsReady`: each may be served once entries up to its `index` have been applied.
 */

/** A node's id, as in the cluster map. */
export type NodeId = string;

export type Role = 'follower' | 'pre-candidate' | 'candidate' | 'leader';

/** One entry of the replicated log. An empty payload is the no-op with which a leader opens its term (section 8). */
export interface LogEntry {
  readonly index: number;
  readonly term: number;
  readonly payload: Buffer;
}

/** What a node must never forget: the term it has seen and the vote it gave in it ('' = none). */
export interface HardState {
  readonly term: number;
  readonly votedFor: NodeId;
}

export type RaftMessage =
  | {
      readonly kind: 'pre-vote-request' | 'vote-request';
      readonly term: number;
      readonly lastIndex: number;
      readonly lastTerm: number;
      readonly force: boolean;
    }
  | { readonly kind: 'pre-vote-response' | 'vote-response'; readonly term: number; readonly granted: boolean }
  | {
      readonly kind: 'append-request';
      readonly term: number;
      readonly previousIndex: number;
      readonly previousTerm: number;
      readonly commitIndex: number;
      readonly entries: readonly LogEntry[];
    }
  | {
      readonly kind: 'append-response';
      readonly term: number;
      readonly success: boolean /** Success: highest matching index. Failure: the rejected previousIndex. */;
      readonly index: number /** Failure: where the leader should look next (thesis 5.3's conflict hint). */;
      readonly hintIndex: number;
      readonly hintTerm: number;
    }
  | {
      readonly kind: 'heartbeat';
      readonly term: number;
      readonly commitIndex: number /** Highest read round this heartbeat confirms leadership for. */;
      readonly readRound: number;
    }
  | { readonly kind: 'heartbeat-response'; readonly term: number; readonly readRound: number }
  | { readonly kind: 'read-index-request'; readonly term: number; readonly id: number }
  | {
      readonly kind: 'read-index-response';
      readonly term: number;
      readonly id: number /** -1: refused, this node does not lead. */;
      readonly index: number;
    }
  | { readonly kind: 'timeout-now'; readonly term: number };

export interface OutgoingMessage {
  readonly to: NodeId;
  readonly message: RaftMessage;
}

/** A batch of reads whose leadership check has passed. */
export interface ReadReady {
  /** As given to `requestRead`. */
  readonly id: number;
  /** Serve once applied >= index; -1: refused (leadership lost or unknown), ask again elsewhere. */
  readonly index: number;
}

export interface RaftEffects {
  readonly hardState: HardState | undefined;
  /** To append durably; when the first index is not the log's last + 1, the log is cut from there on first. */
  readonly entries: readonly LogEntry[];
  /** May be sent at once. */
  readonly messages: readonly OutgoingMessage[];
  /** Promises (votes, append acknowledgements): only when `hardState` and `entries` are durable. */
  readonly messagesAfterPersist: readonly OutgoingMessage[];
  /** Entries newly committed, and durable here, in order, each exactly once per life of the core. */
  readonly committed: readonly LogEntry[];
  readonly readsReady: readonly ReadReady[];
  /** Peers that need state older than the log: send them a snapshot, then report `snapshotFinished`. */
  readonly snapshotsWanted: readonly NodeId[];
  /** True when role, term or known leader changed since the last effects. */
  readonly leadershipChanged: boolean;
}

/** The durable part of one group's log, as the core reads it. All calls are synchronous. */
export interface LogReader {
  /** First index that is still there (1 when nothing was dropped). */
  firstIndex(): number;
  /** Last durable or handed-over index; firstIndex() - 1 when empty. */
  lastIndex(): number;
  /** Term of an entry; of index firstIndex() - 1 too (what the dropped part ended with); 0 for index 0. -1 when unknown. */
  term(index: number): number;
  /** Entries [from, to), fewer when they would exceed `maxBytes` of payload, never fewer than one. */
  entries(from: number, to: number, maxBytes: number): LogEntry[];
}

export type ProposeOutcome =
  | { readonly accepted: true; readonly index: number; readonly term: number }
  | { readonly accepted: false; readonly reason: 'not-leader' | 'overloaded' | 'transferring' };

export interface RaftStatus {
  readonly role: Role;
  readonly term: number;
  readonly leader: NodeId | undefined;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly lastIndex: number;
  /** Leader only: highest index known to be durable on each other member. */
  readonly matchIndexes: ReadonlyMap<NodeId, number>;
  /** Leader only: members heard from within the last election time-out. */
  readonly activePeers: ReadonlySet<NodeId>;
}
