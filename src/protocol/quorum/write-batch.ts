/**
 * The writes of one turn to one replica set, which travel, are journaled and are acknowledged together. Acknowledgements are
 * counted for the batch; a write that a replica did not take has its own, smaller count.
 */
import type { MutationEncoder } from './codec.js';
import type { KnownSet } from './peers.js';
import type { MutationBatch, QuorumWrite } from './types.js';

/** A write that has not ended. */
export interface PendingWrite {
  readonly write: QuorumWrite;
  /** Of the latest stamp. */
  version: number;
  readonly deadlineMs: number;
  /** A replica had a live record before. */
  existed: boolean;
  /** Replicas that acknowledged the batch and did not take this write. */
  misses: number;
  /** One of them because it lies too far ahead of its clock. */
  ahead: boolean;
  /** Some replica has taken it, or may have: under this stamp or an earlier one. */
  mayStand: boolean;
  restamped: boolean;
}

export class WriteBatch {
  readonly known: KnownSet;
  readonly durable: boolean;
  readonly hinted: boolean;
  /** By position; undefined once ended, or moved to a later batch under a new stamp. */
  readonly pending: (PendingWrite | undefined)[] = [];
  /** How many of them are there still. */
  unended = 0;
  /** While the batch is open. */
  encoder: MutationEncoder | undefined;
  /** From the closing on. */
  mutations: MutationBatch | undefined = undefined;
  sizeBytes = 0;
  /** Replicas that have it as the batch demands. */
  acknowledged = 0;
  /** Peers that may still acknowledge it. */
  awaitedPeers = 0;
  /** This node's own copy counts once synced, and is not yet. */
  awaitsSync = false;
  /** Peers that did not answer: nobody knows whether they have it. */
  lostPeers = 0;
  /** Some member will be handed it later. */
  leavesHints = false;
  /** Message ids by position of the peer in the set; 0: not sent. */
  readonly messageIds: number[] = [];
  /** When the first of its writes ends, by time; and when peers are no longer waited for. */
  nextCheckMs = Number.POSITIVE_INFINITY;
  deadlineMs = 0;
  /** Position in the list of closed batches; -1: not in it. */
  index = -1;

  constructor(known: KnownSet, durable: boolean, hinted: boolean, encoder: MutationEncoder) {
    this.known = known;
    this.durable = durable;
    this.hinted = hinted;
    this.encoder = encoder;
  }

  /** Replicas that may yet acknowledge it. */
  get awaited(): number {
    return this.awaitsSync ? this.awaitedPeers + 1 : this.awaitedPeers;
  }
}
