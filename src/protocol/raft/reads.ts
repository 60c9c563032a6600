/**
 * Linearizable reads without a log entry (thesis 6.4): read index, batched in heartbeat rounds, and leases (6.4.1).
 *
 * A read notes the commit index. It is released once this node has proved that it still led after the read came in:
 * - a majority acknowledged a heartbeat round that was opened after it, or
 * - an entry that was proposed after it has been committed by counting, which proves the same, or
 * - the lease holds (only with `leaseReads`), or this node alone is a majority.
 * And not before an entry of this term is committed: until then a new leader does not know what its predecessors did.
 *
 * Invariants:
 * - reads are released in the order they came, and a read no later than the effects that commit an entry proposed
 *   after it; both follow because rounds and last indices only grow along the queue;
 * - when leadership ends every waiting read is refused (index -1), in the same call.
 *
 * Departure: one round is under way at a time; reads that come meanwhile share the next. Under load that makes few,
 * large rounds, as group commit does for writes. The heartbeat timer opens a round anew, so a lost one costs no more.
 */
import { LIMITS } from '../../base/limits.js';
import { NumberQueue } from './number-queue.js';
import type { RaftState } from './state.js';
import type { NodeId } from './types.js';

interface PendingRead {
  readonly id: number;
  /** Who asked; undefined: this node. */
  readonly from: NodeId | undefined;
  readonly index: number;
  /** Last index when it came in: a later entry was proposed after it. */
  readonly lastIndex: number;
  /** The round that covers it; undefined while it waits for one. */
  round: number | undefined;
}

/** The leader's side. */
export class LeaderReads {
  readonly #state: RaftState;
  #queue: PendingRead[] = [];
  /** Reads at this position and after have no round yet. */
  #assigned = 0;
  #round = 0;
  #confirmedRound = 0;
  readonly #sentAtMs = new NumberQueue();
  #leaseUntilMs = Number.NEGATIVE_INFINITY;
  #leaseForfeited = false;
  readonly #acknowledgedRound = (id: NodeId): number =>
    id === this.#state.id ? this.#round : (this.#state.progress.get(id)?.acknowledgedRound ?? 0);

  constructor(state: RaftState) {
    this.#state = state;
  }

  /** The latest round opened; heartbeats carry it. */
  get round(): number {
    return this.#round;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  /** Should a round be opened now? */
  get wantsRound(): boolean {
    return this.#assigned < this.#queue.length && this.#confirmedRound === this.#round;
  }

  /** Registers a read from here (`from` undefined) or from another member. */
  register(id: number, from: NodeId | undefined): void {
    const state = this.#state;
    const index = Math.max(state.commitIndex, state.termStartIndex);
    if (this.#knowsCommitted() && (state.selfIsQuorum || this.leaseHolds())) {
      this.#answer(id, from, index);
      return;
    }
    if (this.#queue.length >= LIMITS.maxPendingReads) {
      this.#answer(id, from, -1);
      return;
    }
    this.#queue.push({ id, from, index, lastIndex: state.log.lastIndex, round: undefined });
    state.sendPending = true;
  }

  /** Opens a round that covers every read registered so far; the caller sends the heartbeats now. */
  openRound(): void {
    this.#round++;
    this.#sentAtMs.push(this.#state.nowMs);
    for (; this.#assigned < this.#queue.length; this.#assigned++)
      this.#queue[this.#assigned]!.round = this.#round;
  }

  /** Some member has acknowledged a round. */
  roundAcknowledged(): void {
    const confirmed = this.#state.voters.committedIndex(this.#acknowledgedRound);
    if (confirmed <= this.#confirmedRound) return;
    let sentAtMs = this.#state.nowMs;
    for (; this.#confirmedRound < confirmed; this.#confirmedRound++)
      sentAtMs = this.#sentAtMs.shift() ?? sentAtMs;
    const { electionTimeoutMs, maxClockDrift } = this.#state.options;
    // Counted from when the round was sent: the followers' promise began no earlier than that.
    this.#leaseUntilMs = sentAtMs + electionTimeoutMs * (1 - maxClockDrift);
    if (this.wantsRound) this.#state.sendPending = true;
    this.release();
  }

  /** Has leadership been confirmed since the read came in? */
  isConfirmed(read: { readonly round: number | undefined; readonly lastIndex: number }): boolean {
    if (this.#state.selfIsQuorum || read.lastIndex < this.#state.commitIndex) return true;
    return read.round !== undefined && read.round <= this.#confirmedRound;
  }

  /** Answers the reads whose leadership check has passed. Called whenever a round or the commit index advanced. */
  release(): void {
    if (this.#queue.length === 0 || !this.#knowsCommitted()) return;
    let count = 0;
    while (count < this.#queue.length && this.isConfirmed(this.#queue[count]!)) count++;
    if (count === 0) return;
    const released = this.#queue.splice(0, count);
    this.#assigned = Math.max(0, this.#assigned - count);
    for (const read of released) this.#answer(read.id, read.from, read.index);
  }

  /** True while no other leader can have been elected, by the followers' promise not to vote. */
  leaseHolds(): boolean {
    return this.#state.options.leaseReads && !this.#leaseForfeited && this.#state.nowMs < this.#leaseUntilMs;
  }

  /** A transfer lets another node campaign in spite of the lease, whenever its order arrives: no lease in this term. */
  forfeitLease(): void {
    this.#leaseForfeited = true;
  }

  /** Leadership begins or ends: refuses what waits and forgets all rounds. */
  reset(): void {
    const refused = this.#queue;
    this.#queue = [];
    this.#assigned = 0;
    this.#round = 0;
    this.#confirmedRound = 0;
    this.#sentAtMs.clear();
    this.#leaseUntilMs = Number.NEGATIVE_INFINITY;
    this.#leaseForfeited = false;
    for (const read of refused) this.#answer(read.id, read.from, -1);
  }

  /** An entry of this leader's term is committed, so its commit index covers all that was ever committed. */
  #knowsCommitted(): boolean {
    return this.#state.commitIndex >= this.#state.termStartIndex;
  }

  #answer(id: number, from: NodeId | undefined, index: number): void {
    const state = this.#state;
    if (from === undefined) {
      state.outbox.readReady(id, index);
      return;
    }
    state.outbox.send(from, { kind: 'read-index-response', term: state.term, id, index });
  }
}

interface ForwardedRead {
  readonly id: number;
  readonly expiresAtMs: number;
}

/**
 * The follower's side: reads sent on to the leader.
 *
 * Request ids on the wire start anywhere, so that an answer to a read from before a restart, which may be too old, is
 * never taken for an answer to a read of this life.
 */
export class ForwardedReads {
  readonly #state: RaftState;
  readonly #pending = new Map<number, ForwardedRead>();
  #nextWireId: number;

  constructor(state: RaftState) {
    this.#state = state;
    this.#nextWireId = Math.floor(state.options.random() * 2 ** 48);
  }

  get waiting(): number {
    return this.#pending.size;
  }

  /** Sends a read to the leader, or refuses it when none is known. */
  forward(id: number): void {
    const state = this.#state;
    if (state.leader === undefined || this.#pending.size >= LIMITS.maxPendingReads) {
      state.outbox.readReady(id, -1);
      return;
    }
    const wireId = this.#nextWireId++;
    this.#pending.set(wireId, { id, expiresAtMs: state.nowMs + state.options.electionTimeoutMs });
    state.outbox.send(state.leader, { kind: 'read-index-request', term: state.term, id: wireId });
  }

  answered(wireId: number, index: number): void {
    const read = this.#pending.get(wireId);
    if (read === undefined) return;
    this.#pending.delete(wireId);
    this.#state.outbox.readReady(read.id, index);
  }

  /** Refuses the reads whose answer is overdue: it may have been lost. */
  expire(): void {
    for (const [wireId, read] of this.#pending) {
      if (read.expiresAtMs > this.#state.nowMs) return;
      this.#pending.delete(wireId);
      this.#state.outbox.readReady(read.id, -1);
    }
  }

  /** The leader is gone: nobody will answer. */
  refuseAll(): void {
    for (const read of this.#pending.values()) this.#state.outbox.readReady(read.id, -1);
    this.#pending.clear();
  }
}
