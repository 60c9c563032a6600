/**
 * The contract of the membership core: who of the cluster's members is alive, as far as this node can tell.
 *
 * Source: Das, Gupta and Motivala, "SWIM" (DSN 2002): random probes, indirect probes, suspicion with incarnations,
 * news that ride on probes. Dadgar, Phillips and Currey, "Lifeguard" (2018): a node doubts itself before others.
 *
 * Who is a member is not gossip's to say: the cluster map names the members (`setMembers`). Gossip says in which state
 * they are, and carries a small load digest of each.
 *
 * The caller's duties:
 * 1. `tick` every 10 to 25 ms, and `step` for every message, with monotonic time;
 * 2. after each call, send and announce what `takeEffects` gives. Messages may be lost, repeated and reordered.
 */
import type { NodeId } from '../raft/types.js';

export type { NodeId } from '../raft/types.js';

/** In the order in which one incarnation goes through them. */
export type MemberState = 'alive' | 'suspect' | 'dead';

/** One piece of news about a member. Of two, the one with the higher incarnation counts, then the worse state. */
export interface MemberUpdate {
  readonly member: NodeId;
  readonly state: MemberState;
  /** Raised by the member alone, whenever it hears bad news of itself. */
  readonly incarnation: number;
  /** Who has missed it, when it is suspect; else ''. Suspicions of several members confirm each other. */
  readonly accuser: NodeId;
}

/** How a member fares, by its own account. Integers, but for `readP99Ms` (hundredths). */
export interface LoadDigest {
  /** How late its event loop runs. */
  readonly loopLagMs: number;
  readonly requestsPerSecond: number;
  readonly memoryBytes: number;
  /** 99th percentile of the time that its recent reads took. */
  readonly readP99Ms: number;
  /** Of the newest cluster map that it knows. */
  readonly epoch: number;
}

/** A digest on its way. The higher version replaces the lower. */
export interface MemberLoad {
  readonly member: NodeId;
  readonly version: number;
  readonly digest: LoadDigest;
}

/** What every message carries. */
interface Carried {
  /** Names the probe; an answer repeats it. */
  readonly sequence: number;
  /** The sender's own. */
  readonly incarnation: number;
  readonly updates: readonly MemberUpdate[];
  readonly loads: readonly MemberLoad[];
}

/**
 * `ping` asks for an `ack`. `ping-request` asks a third member to ping `target`: it answers `ack` when the target did,
 * and `nack` when it has not in time, so that the asker knows at least that the third member hears it.
 */
export type SwimMessage =
  | (Carried & { readonly kind: 'ping' | 'ack' | 'nack' })
  | (Carried & { readonly kind: 'ping-request'; readonly target: NodeId });

export interface OutgoingSwimMessage {
  readonly to: NodeId;
  readonly message: SwimMessage;
}

/** A member's state has changed. */
export interface MemberEvent {
  readonly kind: MemberState;
  readonly node: NodeId;
}

export interface SwimEffects {
  readonly messages: readonly OutgoingSwimMessage[];
  readonly events: readonly MemberEvent[];
}

/** A member as this node sees it. */
export interface MemberStatus {
  readonly id: NodeId;
  readonly state: MemberState;
  readonly incarnation: number;
  /** Monotonic time since when it has been in this state. */
  readonly sinceMs: number;
  /** The newest known; undefined: none since it was last seen dead. */
  readonly load: LoadDigest | undefined;
}

/** Counters since the start. */
export interface SwimStatistics {
  readonly messagesSent: number;
  /** Members that this node itself has missed, and those that it has seen dead at the end. */
  readonly suspicions: number;
  readonly deaths: number;
  /** Bad news of itself that it had to contradict. */
  readonly refutations: number;
  /** Lifeguard's local health: 0 is well; probes are so many times slower, plus one. */
  readonly localHealth: number;
}
