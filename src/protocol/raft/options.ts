/** What a Raft core is made with. */
import type { HardState, LogReader, NodeId } from './types.js';

export interface RaftOptions {
  readonly id: NodeId;
  /** Members that vote and count. A node that is in neither list follows along like a learner. */
  readonly voters: readonly NodeId[];
  /** Members that are replicated to, never count and never campaign. */
  readonly learners: readonly NodeId[];
  /** The stable part of the log. Entries handed out in effects must be readable there before the next call. */
  readonly log: LogReader;
  readonly hardState: HardState;
  /** What the recovered state reflects; must lie within the log. The commit index starts here. */
  readonly appliedIndex: number;
  /** Shortest silence after which a follower campaigns; each wait is drawn from [t, 2t). */
  readonly electionTimeoutMs: number;
  readonly heartbeatIntervalMs: number;
  /** Entry payload in one append. */
  readonly maxAppendBytes: number;
  /** Appends under way to one follower. */
  readonly maxInflightAppends: number;
  /** Proposed and not yet committed; past it `propose` refuses. One entry is always let through. */
  readonly maxUncommittedBytes: number;
  /** Answer reads from the leader's lease when it has one, instead of by a heartbeat round. */
  readonly leaseReads: boolean;
  /** How much clocks may disagree on the length of a time-out, as a ratio; the lease is shortened by it. */
  readonly maxClockDrift: number;
  /** A float in [0, 1). */
  readonly random: () => number;
  /** Monotonic time of the start. */
  readonly nowMs: number;
}
