/**
 * The contract of hinted handoff (paper 000; Dynamo, SOSP 2007, section 4.6): what a coordinator keeps for replicas that it could
 * not reach.
 *
 * A hint is a whole mutation. It does not count as a copy: w replicas of the key's own have the write. So a lost hint costs
 * nothing but a comparison of replicas.
 */
import type { MutationBatch, NodeId } from './types.js';

/** Names a kept mutation: as long as its version is the one kept, the hint is this one. */
export interface HintName {
  readonly bucketId: number;
  readonly key: Buffer;
  readonly version: number;
}

/** Some of the hints for one node. */
export interface HintPage {
  readonly batch: MutationBatch;
  /** What the batch holds, in its order. */
  readonly names: readonly HintName[];
  /** Where to go on; 0: that was the last page. */
  readonly next: number;
}

/** Hints at rest: the newest for each node, bucket and key. */
export interface HintStore {
  /** Keeps the mutations of a batch, each unless a newer one is kept. False: the node is not known. */
  add(target: NodeId, batch: MutationBatch): boolean;
  /**
   * Hints for a node from a place on (0: the first ones), as many as fit, at least one; undefined when there is none. Those with
   * versions below `minVersion` are too old: they are not in the batch, and named in `expired`.
   */
  page(
    target: NodeId,
    from: number,
    maxBytes: number,
    minVersion: number,
  ): (HintPage & { readonly expired: readonly HintName[] }) | undefined;
  /** Removes hints unless newer ones have taken their place. */
  remove(target: NodeId, names: readonly HintName[]): void;
  /** Bytes of keys and values kept for a node. */
  bytes(target: NodeId): number;
  /** Nodes for which there are hints. */
  targets(): readonly NodeId[];
  dropTarget(target: NodeId): void;
}

/** A change of the hints, as the journal keeps it. */
export type HintChange =
  | { readonly kind: 'add'; readonly target: NodeId; readonly batch: MutationBatch }
  | { readonly kind: 'remove'; readonly target: NodeId; readonly names: readonly HintName[] }
  | { readonly kind: 'drop'; readonly target: NodeId };

/** A batch to hand over, as `mutate` with purpose `hint`. */
export interface HintReplay {
  readonly id: number;
  readonly target: NodeId;
  readonly batch: MutationBatch;
}

/** What the core wants done, in this order. */
export interface HandoffEffects {
  /** Carried out already; to be appended to the journal. */
  readonly changes: readonly HintChange[];
  /** Call `replayed` with the id once the target has acknowledged the batch, durably; `failed` when it will not. */
  readonly replays: readonly HintReplay[];
  /** Hints for these were dropped: only a comparison of replicas can mend them. */
  readonly lacking: readonly NodeId[];
}

export interface HandoffOptions {
  readonly store: HintStore;
  readonly random: () => number;
  /** Bytes of hints kept for one node; past it new ones are dropped. */
  readonly maxHintBytesPerTarget: number;
  /** Hints older than this are dropped. At most the grace of tombstones: an older one could bring a deleted key back. */
  readonly maxHintAgeMs: number;
  /** Bytes handed over, a second, over all nodes. */
  readonly maxBytesPerSecond: number;
  /** A batch handed over and not acknowledged for so long has failed. */
  readonly answerTimeoutMs: number;
}

/** Counters since the start, for metrics and tests. */
export interface HandoffStatistics {
  /** Mutations kept, handed over and acknowledged, dropped because there was no room, dropped because of their age. */
  readonly kept: number;
  readonly replayed: number;
  readonly overflowed: number;
  readonly expired: number;
  readonly failedReplays: number;
}
