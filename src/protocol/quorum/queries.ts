/**
 * Questions to peers: those of one turn to one peer travel in one message. An answer later than the peer's usual p99 makes
 * its readers ask one replica more ("The Tail at Scale", Dean and Barroso 2013; Cassandra's rapid read protection).
 */
import { LIMITS } from '../../base/limits.js';
import type { QuorumContext } from './context.js';
import type { Peer } from './peers.js';
import type { PendingRead } from './pending-read.js';
import type { ReadQuery } from './types.js';

/** The questions of one message, with who asks: three arrays of equal length. */
export class QueryBatch {
  readonly queries: ReadQuery[] = [];
  readonly reads: PendingRead[] = [];
  /** Position of the peer in the set of each read. */
  readonly members: number[] = [];
  sentMs = 0;
  /** When its readers ask elsewhere. */
  lateMs = 0;
  late = false;
}

/** What becomes of questions. */
export interface QueryEvents {
  /** The answer is late: ask one more. */
  late(read: PendingRead, member: number): void;
  /** There will be no answer. */
  unanswered(read: PendingRead, member: number): void;
}

/** Bits of the filter of keys asked for in a turn: few of the keys of a turn share one. */
const FILTER_BITS = 16_384;

/** Keys differ most in their last bytes. */
function filterBitOf(key: Buffer): number {
  const { length } = key;
  let hash = length;
  for (let position = Math.max(0, length - 5); position < length; position++)
    hash = (hash * 31 + key[position]!) & 0xfffffff;
  return hash & (FILTER_BITS - 1);
}

export class Queries {
  readonly #context: QuorumContext;
  readonly #open: Peer[] = [];
  /** One bit for each key that an open batch asks for. */
  readonly #asked = new Uint8Array(FILTER_BITS / 8);

  constructor(context: QuorumContext) {
    this.#context = context;
  }

  get hasOpen(): boolean {
    return this.#open.length > 0;
  }

  ask(peer: Peer, read: PendingRead, member: number, knownVersion: number): void {
    let batch = peer.openQueries;
    if (batch === undefined) {
      batch = new QueryBatch();
      batch.sentMs = this.#context.nowMs;
      peer.openQueries = batch;
      peer.lastAskedMs = this.#context.nowMs;
      this.#open.push(peer);
    }
    const { bucketId, key } = read.read;
    const bit = filterBitOf(key);
    this.#asked[bit >> 3]! |= 1 << (bit & 7);
    batch.queries.push({ bucketId, key, knownVersion });
    batch.reads.push(read);
    batch.members.push(member);
    if (batch.queries.length >= LIMITS.maxCommandsPerEntry) {
      this.#context.closeWrites();
      this.#open.splice(this.#open.indexOf(peer), 1);
      this.#close(peer);
    }
  }

  /** May a question that has not been sent yet be about this key? */
  mayAskFor(key: Buffer): boolean {
    if (this.#open.length === 0) return false;
    const bit = filterBitOf(key);
    return (this.#asked[bit >> 3]! & (1 << (bit & 7))) !== 0;
  }

  closeOpen(): void {
    if (this.#open.length === 0) return;
    for (const peer of this.#open) this.#close(peer);
    this.#open.length = 0;
    this.#asked.fill(0);
  }

  #close(peer: Peer): void {
    const batch = peer.openQueries;
    if (batch === undefined) return;
    peer.openQueries = undefined;
    const context = this.#context;
    const { speculationQuantile, minSpeculationMs } = context.timing;
    const usualMs = peer.latency.quantileMs(speculationQuantile);
    // A peer that has gone in this very turn is as good as late.
    batch.lateMs = batch.sentMs + (peer.reachable ? Math.max(usualMs, minSpeculationMs) : 0);
    const id = context.nextMessageId();
    peer.queries.set(id, batch);
    context.outbox.send(peer.id, { kind: 'read', id, queries: batch.queries });
  }

  /** The questions that an answer belongs to, once. */
  answered(peer: Peer, id: number): QueryBatch | undefined {
    const batch = peer.queries.get(id);
    if (batch === undefined) return undefined;
    peer.queries.delete(id);
    peer.latency.record(this.#context.nowMs - batch.sentMs);
    return batch;
  }

  /** Answers of this peer need not be waited for: all its questions are late. */
  hurry(peer: Peer): void {
    for (const batch of peer.queries.values()) batch.lateMs = this.#context.nowMs;
  }

  /** What was asked of this peer and not answered is lost, sent or not. */
  lost(peer: Peer, events: QueryEvents): void {
    const lost = [...peer.queries.values()];
    peer.queries.clear();
    if (peer.openQueries !== undefined) {
      lost.push(peer.openQueries);
      peer.openQueries = undefined;
      this.#open.splice(this.#open.indexOf(peer), 1);
    }
    for (const batch of lost) this.#unanswered(batch, events);
  }

  tick(events: QueryEvents): void {
    const { nowMs, timing } = this.#context;
    for (const peer of this.#context.peers.all()) {
      if (peer.queries.size === 0) continue;
      for (const [id, batch] of peer.queries) {
        if (nowMs >= batch.sentMs + timing.timeoutMs) {
          peer.queries.delete(id);
          peer.latency.record(timing.timeoutMs);
          this.#unanswered(batch, events);
        } else if (!batch.late && nowMs >= batch.lateMs) {
          batch.late = true;
          for (let i = 0; i < batch.reads.length; i++) events.late(batch.reads[i]!, batch.members[i]!);
        }
      }
    }
  }

  #unanswered(batch: QueryBatch, events: QueryEvents): void {
    for (let i = 0; i < batch.reads.length; i++) events.unanswered(batch.reads[i]!, batch.members[i]!);
  }

  /** When the next answer will be late; Infinity: none is awaited. */
  nextDeadlineMs(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const peer of this.#context.peers.all()) {
      if (peer.queries.size === 0) continue;
      for (const batch of peer.queries.values()) if (!batch.late && batch.lateMs < next) next = batch.lateMs;
    }
    return next;
  }
}
