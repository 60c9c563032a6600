/**
 * Drops tombstones (deleted and expired records) for good, once all replicas hold them: the driving side.
 *
 * A dead record hides older values of its key. It may go when no older value can ever come back: the first replica of a group
 * looks for slots that hold dead records older than the grace, asks all others whether the digest of the slot is the same with
 * them, and when all n say so, tells all to drop the dead records through a time, on condition that the slot still has that
 * digest. Why nothing comes back:
 *
 * 1. Digests cover all records of a slot, dead ones too, so at the time of the answers every replica held exactly the same
 *    records: for each dead key its tombstone, and nobody an older value. (Two different sets of records have equal 32-bit
 *    digests once in four milliards.)
 * 2. The question and every answer leave only when the journal is synced: what a replica reported is there after a crash. A
 *    replica that loses its disk comes back empty, not older.
 * 3. Records only ever get newer, so a replica whose digest has changed since holds for each of those keys the tombstone or
 *    something newer. It does not take part in this purge, and drops what is left of it when it hears of it (5).
 * 4. What was under way is younger. A write lives no longer than its time-out, a hint no longer than `maxHintAge`, which is at
 *    most the grace, and an older value is no younger than the tombstone that replaced it. Clocks may differ by the drift, so
 *    the grace counts from `marginMs` earlier than configured.
 * 5. A replica that missed the order, or that came back with the tombstones from its disk, offers them to another in a
 *    comparison. That one says `purged` and through when, and the first drops them as well: it had reported the same digest.
 *    Purges therefore need no journal. A tombstone that reaches a replica which forgot the purge is held again by all before
 *    long, and purged again.
 * 6. A live record of an absent key is never refused because of a purge. It is missing because it was evicted or because a disk
 *    was lost; by 1 it cannot be older than a purged tombstone of its key.
 *
 * With one replica out of reach nothing is purged: it may hold an older value.
 */
import { invariant } from '../../base/errors.js';
import type { RepairOutbox } from './anti-entropy-outbox.js';
import type {
  AntiEntropyOptions,
  RepairedBucket,
  RepairGroup,
  ReplicaContents,
} from './anti-entropy-types.js';
import type { NodeId } from './types.js';

/** Slots looked at in one tick; almost all are dismissed by a flag. */
const SLOTS_PER_TICK = 4096;
/** Slots walked over in one tick, to find out how old their dead records are; as many in one question at most. */
const WALKS_PER_TICK = 64;

/** One question to all other replicas. */
interface Round {
  readonly id: number;
  readonly bucketId: number;
  readonly throughMs: number;
  readonly others: readonly NodeId[];
  readonly slots: readonly number[];
  readonly digests: readonly number[];
  /** Answers that say the digest is the same, by position. */
  readonly agreeing: number[];
  readonly waiting: Set<NodeId>;
  readonly deadlineMs: number;
}

/** One bucket in one group that this node leads in. */
interface Sweep {
  readonly group: RepairGroup;
  readonly bucket: RepairedBucket;
  readonly others: readonly NodeId[];
}

export interface PurgeOptions extends AntiEntropyOptions {
  readonly outbox: RepairOutbox;
  readonly isReachable: (peer: NodeId) => boolean;
  readonly nextId: () => number;
}

export class PurgeDriver {
  readonly #options: PurgeOptions;
  readonly #contents: ReplicaContents;
  #groups: readonly RepairGroup[] = [];
  /** What is left of the present look over all slots. */
  #sweeps: Sweep[] = [];
  /** Position among the slots of the first sweep's group. */
  #position = 0;
  /** Undefined: an interval after the next tick. */
  #nextSweepMs: number | undefined;
  #round: Round | undefined;

  constructor(options: PurgeOptions) {
    this.#options = options;
    this.#contents = options.contents;
  }

  setGroups(groups: readonly RepairGroup[]): void {
    this.#groups = groups;
    this.#sweeps = [];
    this.#round = undefined;
  }

  /** Records are purged through this time. In whole seconds, so that it takes little room. */
  #throughMs(wallMs: number): number {
    const { graceMs, maxClockDriftMs, answerTimeoutMs } = this.#options;
    const marginMs = 2 * maxClockDriftMs + answerTimeoutMs;
    return Math.max(0, Math.floor((wallMs - graceMs - marginMs) / 1000) * 1000);
  }

  tick(nowMs: number, wallMs: number): void {
    const round = this.#round;
    if (round !== undefined) {
      if (nowMs >= round.deadlineMs) this.#endSweep(nowMs);
      return;
    }
    if (this.#sweeps.length === 0) {
      this.#nextSweepMs ??= nowMs + this.#options.intervalMs;
      if (nowMs < this.#nextSweepMs) return;
      this.#begin();
    }
    this.#look(nowMs, this.#throughMs(wallMs));
    if (this.#sweeps.length === 0 && this.#round === undefined) this.#endSweep(nowMs);
  }

  #endSweep(nowMs: number): void {
    this.#round = undefined;
    this.#sweeps = [];
    this.#position = 0;
    this.#nextSweepMs = nowMs + this.#options.intervalMs;
  }

  #begin(): void {
    const { self } = this.#options;
    this.#position = 0;
    for (const group of this.#groups) {
      if (group.members[0] !== self) continue;
      for (const bucket of this.#contents.buckets()) {
        if (!bucket.antiEntropy) continue;
        const others = group.members.slice(1, bucket.n);
        if (others.every((peer) => this.#options.isReachable(peer)))
          this.#sweeps.push({ group, bucket, others });
      }
    }
  }

  /** Goes on over the slots until there is something to ask, or enough for one tick. */
  #look(nowMs: number, throughMs: number): void {
    let walks = 0;
    const slots: number[] = [];
    for (let looked = 0; looked < SLOTS_PER_TICK && walks < WALKS_PER_TICK; looked++) {
      const sweep = this.#sweeps[0];
      if (sweep === undefined) return;
      const slot = sweep.group.slots[this.#position];
      if (slot === undefined) {
        // What was found so far is asked about first: a question is about one bucket.
        if (slots.length > 0) break;
        this.#sweeps.shift();
        this.#position = 0;
        continue;
      }
      this.#position++;
      const { bucketId } = sweep.bucket;
      if (!this.#contents.deadInSlot(bucketId, slot)) continue;
      walks++;
      if (this.#contents.deadBefore(bucketId, slot, throughMs)) slots.push(slot);
    }
    const sweep = this.#sweeps[0];
    if (slots.length > 0 && sweep !== undefined) this.#ask(sweep, slots, throughMs, nowMs);
  }

  #ask(sweep: Sweep, slots: readonly number[], throughMs: number, nowMs: number): void {
    const { outbox, answerTimeoutMs, nextId } = this.#options;
    const { bucketId } = sweep.bucket;
    const { others } = sweep;
    const id = nextId();
    const digests = slots.map((slot) => this.#contents.digestOfSlot(bucketId, slot));
    this.#round = {
      id,
      bucketId,
      throughMs,
      others,
      slots,
      digests,
      agreeing: slots.map(() => 0),
      waiting: new Set(others),
      deadlineMs: nowMs + answerTimeoutMs,
    };
    for (const peer of others)
      outbox.sendAfterPersist(peer, { kind: 'purge-query', id, bucketId, slots, digests });
    if (others.length === 0) this.#order();
  }

  /** Takes an answer to the question under way; others are ignored. */
  answer(from: NodeId, id: number, equal: readonly number[]): void {
    const round = this.#round;
    if (round === undefined || round.id !== id || !round.waiting.delete(from)) return;
    for (const position of equal) if (position < round.agreeing.length) round.agreeing[position]!++;
    if (round.waiting.size === 0) this.#order();
  }

  /** A replica is out of reach: it may not hear the order, or hold something else by the time it is back. */
  unreachable(peer: NodeId, nowMs: number): void {
    if (this.#round?.others.includes(peer)) this.#endSweep(nowMs);
    this.#sweeps = this.#sweeps.filter((sweep, position) => position === 0 || !sweep.others.includes(peer));
    if (this.#sweeps[0]?.others.includes(peer)) {
      this.#sweeps.shift();
      this.#position = 0;
    }
  }

  #order(): void {
    const round = this.#round;
    invariant(round !== undefined, 'a purge is ordered after a question');
    this.#round = undefined;
    const { bucketId, throughMs, others } = round;
    const slots: number[] = [];
    const digests: number[] = [];
    for (let i = 0; i < round.slots.length; i++) {
      if (!this.mayPurge(round.agreeing[i]!, others.length)) continue;
      slots.push(round.slots[i]!);
      digests.push(round.digests[i]!);
    }
    if (slots.length === 0) return;
    for (const peer of others)
      this.#options.outbox.send(peer, { kind: 'purge', bucketId, throughMs, slots, digests });
    this.carryOut(bucketId, throughMs, slots, digests);
  }

  /** All n replicas, this one and the others, have reported the same digest. */
  mayPurge(agreeing: number, others: number): boolean {
    return agreeing === others;
  }

  /** Drops the dead records of slots whose digest is still the one that all reported. */
  carryOut(bucketId: number, throughMs: number, slots: readonly number[], digests: readonly number[]): void {
    for (let i = 0; i < slots.length; i++) {
      const dropped = this.#contents.purge(bucketId, slots[i]!, digests[i], throughMs);
      if (dropped > 0) this.#options.outbox.counters.purged += dropped;
    }
  }
}
