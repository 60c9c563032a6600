/**
 * Anti-entropy (paper 000; Dynamo, SOSP 2007, section 4.7; Merkle trees as paper 002 wishes them): keeps the replicas of every
 * slot equal, whatever writes, hints and read repair have missed.
 *
 * Each pair of replicas of a group compares what it holds every `intervalMs`, about; the earlier of the two in the group's order
 * asks (`anti-entropy-session.ts`), the other answers (`anti-entropy-responder.ts`). Equal replicas cost one small message and
 * its answer for all buckets of a group. Dead records are dropped once all replicas hold them (`anti-entropy-purge.ts`).
 *
 * Invariants:
 * - a node has one session of its own at a time, drawing on an allowance of bytes a second; it answers any number;
 * - every session ends: done, unanswered for `answerTimeoutMs`, or with the peer out of reach;
 * - merging is by version, so whatever is lost, repeated or late does no harm.
 *
 * Departures: Dynamo keeps a tree for each key range up to date; here only the leaves are kept (the slots' digests, which all
 * replications keep anyway), and the tree is computed while it is compared. The order within a pair is fixed, so that no two
 * sessions of one pair run at the same time.
 */
import { hash32 } from '../../base/slots.js';
import { decodeRepairMessage } from './anti-entropy-codec.js';
import { RepairOutbox } from './anti-entropy-outbox.js';
import { PurgeDriver } from './anti-entropy-purge.js';
import { RepairResponder } from './anti-entropy-responder.js';
import { type Allowance, MAX_RECORD_BYTES, RepairSession } from './anti-entropy-session.js';
import type {
  AntiEntropyEffects,
  AntiEntropyOptions,
  AntiEntropyStatistics,
  RepairedBucket,
  RepairGroup,
} from './anti-entropy-types.js';
import type { NodeId } from './types.js';

/** Unused allowance is kept for so long: short enough to stay smooth, long enough for a coarse tick. */
const ALLOWANCE_MS = 250;
/** A peer that has come back is compared with after so long at most: its hints go first. */
const SOON_MS = 1000;
/** A node that is being filled tries again after so long where it could not compare all. */
const FILL_AGAIN_MS = 500;

/** This node and one other replica of a group. */
interface Pair {
  readonly group: RepairGroup;
  readonly peer: NodeId;
  /** True: this node asks, by order. */
  readonly asks: boolean;
  /** Undefined: the next tick decides. */
  dueMs: number | undefined;
}

interface KnownGroup {
  readonly group: RepairGroup;
  readonly layout: number;
}

export class AntiEntropy {
  readonly #options: AntiEntropyOptions;
  readonly #outbox = new RepairOutbox();
  readonly #responder: RepairResponder;
  readonly #purge: PurgeDriver;
  readonly #reachable = new Set<NodeId>();
  readonly #allowance: Allowance = { bytes: 0 };
  #groups = new Map<number, KnownGroup>();
  #pairs: Pair[] = [];
  #session: RepairSession | undefined;
  /** The pair of the session. */
  #sessionPair: Pair | undefined;
  #nextId: number;
  readonly #nextRequestId = (): number => this.#nextId++;
  #lastTickMs = 0;

  constructor(options: AntiEntropyOptions) {
    this.#options = options;
    // Begins at random, so that an answer to an earlier process of this node is not mistaken for one to this.
    this.#nextId = Math.floor(options.random() * 2 ** 32);
    this.#responder = new RepairResponder(
      options,
      this.#outbox,
      (group, layout) => {
        const known = this.#groups.get(group);
        return known?.layout === layout ? known.group.slots : undefined;
      },
      MAX_RECORD_BYTES,
    );
    this.#purge = new PurgeDriver({
      ...options,
      outbox: this.#outbox,
      isReachable: (peer) => this.#reachable.has(peer),
      nextId: this.#nextRequestId,
    });
  }

  /** The groups of the cluster map; those that this node is no member of do not matter. */
  setGroups(groups: readonly RepairGroup[]): void {
    const { self } = this.#options;
    const before = new Map(this.#pairs.map((pair) => [pairName(pair), pair]));
    this.#options.filling?.setGroups(groups);
    this.#endSession();
    this.#groups = new Map();
    this.#pairs = [];
    const own: RepairGroup[] = [];
    for (const { group, members, slots } of groups) {
      const position = members.indexOf(self);
      if (position === -1) continue;
      const sorted = { group, members, slots: [...slots].sort((one, other) => one - other) };
      own.push(sorted);
      this.#groups.set(group, { group: sorted, layout: layoutOf(sorted) });
      members.forEach((peer, index) => {
        if (peer === self) return;
        const pair: Pair = { group: sorted, peer, asks: position < index, dueMs: undefined };
        const known = before.get(pairName(pair));
        if (known?.asks === pair.asks) pair.dueMs = known.dueMs;
        this.#pairs.push(pair);
      });
    }
    this.#purge.setGroups(own);
  }

  setReachable(peer: NodeId, reachable: boolean): void {
    if (reachable === this.#reachable.has(peer)) return;
    if (reachable) {
      this.#reachable.add(peer);
      for (const pair of this.#pairs) if (pair.peer === peer && pair.asks) this.#makeDue(pair);
      return;
    }
    this.#reachable.delete(peer);
    this.peerReset(peer);
  }

  /** The link to this peer broke or it restarted: what was under way is lost. */
  peerReset(peer: NodeId): void {
    this.#options.filling?.peerReset(peer);
    this.#purge.unreachable(peer, this.#lastTickMs);
    if (this.#session?.peer !== peer) return;
    const pair = this.#sessionPair;
    this.#session.abandon();
    this.#closeSession(this.#lastTickMs);
    if (pair !== undefined) this.#makeDue(pair);
  }

  /** This peer is known to lack something (hints for it were dropped): compare soon, whosever turn it is. */
  requestRound(peer: NodeId): void {
    for (const pair of this.#pairs) if (pair.peer === peer) this.#makeDue(pair);
  }

  #makeDue(pair: Pair): void {
    const soonMs = Math.min(SOON_MS, this.#options.intervalMs) * this.#options.random();
    pair.dueMs = Math.min(pair.dueMs ?? Number.POSITIVE_INFINITY, this.#lastTickMs + soonMs);
  }

  /** Takes one message. Throws `DecodeError` on what is none. */
  step(from: NodeId, body: Buffer, nowMs: number, wallMs: number): void {
    const message = decodeRepairMessage(body);
    switch (message.kind) {
      case 'roots':
      case 'compare':
      case 'list':
      case 'want':
      case 'push':
      case 'purge-query':
        this.#responder.answer(from, message, wallMs);
        return;
      case 'purge':
        this.#purge.carryOut(message.bucketId, message.throughMs, message.slots, message.digests);
        return;
      case 'purge-answer':
        this.#purge.answer(from, message.id, message.equal);
        return;
      default:
        if (this.#session?.peer !== from) return;
        this.#session.answer(message, body.length, nowMs, wallMs);
        if (this.#session.isDone) this.#closeSession(nowMs);
    }
  }

  tick(nowMs: number, wallMs: number): void {
    const { maxBytesPerSecond, answerTimeoutMs } = this.#options;
    const elapsedMs = this.#lastTickMs === 0 ? 0 : Math.max(0, nowMs - this.#lastTickMs);
    this.#lastTickMs = nowMs;
    this.#allowance.bytes = Math.min(
      this.#allowance.bytes + (maxBytesPerSecond * elapsedMs) / 1000,
      (maxBytesPerSecond * ALLOWANCE_MS) / 1000,
    );
    const session = this.#session;
    if (session !== undefined) {
      if (nowMs - session.waitingSinceMs >= answerTimeoutMs) session.abandon();
      else session.pump(nowMs);
      if (session.isDone) this.#closeSession(nowMs);
    }
    this.#options.filling?.tick(nowMs, (peer) => this.#reachable.has(peer));
    if (this.#session === undefined) this.#openSession(nowMs);
    this.#purge.tick(nowMs, wallMs);
  }

  #openSession(nowMs: number): void {
    let due: Pair | undefined;
    let earliestMs = nowMs;
    for (const pair of this.#pairs) {
      pair.dueMs ??= pair.asks
        ? nowMs + this.#options.random() * this.#options.intervalMs
        : Number.POSITIVE_INFINITY;
      if (this.#fills(pair) && pair.dueMs > nowMs + FILL_AGAIN_MS) pair.dueMs = nowMs;
      if (pair.dueMs > earliestMs || !this.#reachable.has(pair.peer)) continue;
      earliestMs = pair.dueMs;
      due = pair;
    }
    if (due === undefined) return;
    const { group, peer } = due;
    const buckets = this.#bucketsOf(group, peer);
    if (buckets.length === 0) {
      due.dueMs = this.#nextDueMs(due, nowMs);
      return;
    }
    const { contents, random } = this.#options;
    this.#session = new RepairSession({
      peer,
      group: group.group,
      layout: this.#groups.get(group.group)?.layout ?? 0,
      slots: group.slots,
      buckets,
      contents,
      outbox: this.#outbox,
      responder: this.#responder,
      allowance: this.#allowance,
      salt: Math.floor(random() * 2 ** 32),
      nextId: this.#nextRequestId,
    });
    this.#sessionPair = due;
    this.#outbox.counters.sessions++;
    this.#session.start(nowMs);
  }

  /** Buckets of which both are replicas. */
  #bucketsOf(group: RepairGroup, peer: NodeId): readonly RepairedBucket[] {
    const later = Math.max(group.members.indexOf(peer), group.members.indexOf(this.#options.self));
    const isFilling = this.#options.filling?.isFilling() ?? false;
    return this.#options.contents
      .buckets()
      .filter((bucket) => (bucket.antiEntropy || isFilling) && later < bucket.n);
  }

  #fills(pair: Pair): boolean {
    return this.#options.filling?.wants(pair.group.group, pair.peer) ?? false;
  }

  /** About an interval from now, so that pairs do not stay in step. */
  #nextDueMs(pair: Pair, nowMs: number): number {
    if (this.#fills(pair)) return nowMs + Math.min(FILL_AGAIN_MS, this.#options.intervalMs);
    if (!pair.asks) return Number.POSITIVE_INFINITY;
    return nowMs + this.#options.intervalMs * (0.75 + 0.5 * this.#options.random());
  }

  #closeSession(nowMs: number): void {
    const session = this.#session;
    const pair = this.#sessionPair;
    if (session === undefined || pair === undefined) return;
    if (session.wasAbandoned) this.#outbox.counters.abandoned++;
    else {
      if (!session.foundDifferences) this.#outbox.counters.equal++;
      this.#options.filling?.compared({
        group: session.group,
        peer: session.peer,
        beganAtMs: session.startedAtMs,
        endedAtMs: nowMs,
        bucketIds: session.comparedBuckets,
        untakenIds: session.untakenBuckets,
        peerIsFilling: session.peerIsFilling,
      });
    }
    pair.dueMs = this.#nextDueMs(pair, nowMs);
    this.#endSession();
  }

  #endSession(): void {
    this.#session = undefined;
    this.#sessionPair = undefined;
  }

  hasEffects(): boolean {
    return !this.#outbox.isEmpty;
  }

  takeEffects(): AntiEntropyEffects {
    return this.#outbox.take();
  }

  statistics(): AntiEntropyStatistics {
    return { ...this.#outbox.counters };
  }
}

function pairName(pair: { readonly group: RepairGroup; readonly peer: NodeId }): string {
  return `${pair.group.group}/${pair.peer}`;
}

/** What both sides of a comparison must agree on. */
function layoutOf(group: RepairGroup): number {
  return hash32(Buffer.from(`${group.members.join(',')}/${group.slots.join(',')}`));
}
