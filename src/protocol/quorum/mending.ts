/**
 * Sends the newest record to replicas that turned out stale (read repair: Dynamo, section 5; papers 000 and 004). The records
 * of one turn for one peer travel in one batch; those for this node's own store are merged at once and journaled.
 *
 * A repair promises no more than the write that it repeats: it is acknowledged from memory, and no sync is waited for.
 */
import { LIMITS } from '../../base/limits.js';
import { MutationEncoder } from './codec.js';
import type { QuorumContext } from './context.js';
import type { Peer } from './peers.js';
import type { PendingRead } from './pending-read.js';
import type { QuorumRecord } from './types.js';

/** The repairs of one message, with who waits for them: three arrays of equal length. */
export class MendBatch {
  readonly encoder: MutationEncoder;
  readonly reads: PendingRead[] = [];
  /** Position of the peer in the set of each read. */
  readonly members: number[] = [];
  readonly versions: number[] = [];
  sentMs = 0;
  /** When those who wait ask elsewhere. */
  lateMs = 0;
  late = false;

  constructor(encoder: MutationEncoder) {
    this.encoder = encoder;
  }
}

/** What becomes of repairs. */
export interface MendEvents {
  /** The acknowledgement is late: ask one more. */
  late(read: PendingRead, member: number): void;
  /** There will be none. */
  unmended(read: PendingRead, member: number): void;
}

export class Mending {
  readonly #context: QuorumContext;
  readonly #open: Peer[] = [];
  readonly #spareEncoders: MutationEncoder[] = [];
  /** Merged here in this turn. */
  readonly #local = new MutationEncoder();

  constructor(context: QuorumContext) {
    this.#context = context;
  }

  get hasOpen(): boolean {
    return this.#open.length > 0 || this.#local.count > 0;
  }

  mend(peer: Peer, read: PendingRead, member: number, record: QuorumRecord): void {
    let batch = peer.openMends;
    if (batch === undefined) {
      batch = new MendBatch(this.#spareEncoders.pop() ?? new MutationEncoder());
      batch.sentMs = this.#context.nowMs;
      peer.openMends = batch;
      this.#open.push(peer);
    }
    const { bucketId, key } = read.read;
    batch.encoder.add(bucketId, key, record.value, record.version, record.expiresAtMs);
    batch.reads.push(read);
    batch.members.push(member);
    batch.versions.push(record.version);
    if (batch.reads.length >= LIMITS.maxCommandsPerEntry || batch.encoder.sizeBytes >= LIMITS.maxEntryBytes) {
      this.#open.splice(this.#open.indexOf(peer), 1);
      this.#close(peer);
    }
  }

  /** Merges the record into this node's store. */
  mendHere(read: PendingRead, record: QuorumRecord): void {
    const { store, wallMs } = this.#context;
    const { bucketId, key } = read.read;
    const result = store.merge(bucketId, key, record.value, record.version, record.expiresAtMs, wallMs);
    if (result !== 'applied') return;
    this.#local.add(bucketId, key, record.value, record.version, record.expiresAtMs);
    if (this.#local.sizeBytes >= LIMITS.maxEntryBytes) this.#context.outbox.journal(this.#local.take());
  }

  closeOpen(): void {
    if (this.#local.count > 0) this.#context.outbox.journal(this.#local.take());
    for (const peer of this.#open) this.#close(peer);
    this.#open.length = 0;
  }

  #close(peer: Peer): void {
    const batch = peer.openMends;
    if (batch === undefined) return;
    peer.openMends = undefined;
    const { speculationQuantile, minSpeculationMs } = this.#context.timing;
    const usualMs = peer.latency.quantileMs(speculationQuantile);
    batch.lateMs = batch.sentMs + Math.max(usualMs, minSpeculationMs);
    const id = this.#context.nextMessageId();
    peer.mends.set(id, batch);
    const mutations = batch.encoder.take();
    this.#spareEncoders.push(batch.encoder);
    this.#context.outbox.send(peer.id, {
      kind: 'mutate',
      id,
      purpose: 'repair',
      durable: false,
      batch: mutations,
    });
  }

  /** The repairs that an acknowledgement belongs to, once. */
  acknowledged(peer: Peer, id: number): MendBatch | undefined {
    const batch = peer.mends.get(id);
    if (batch !== undefined) peer.mends.delete(id);
    return batch;
  }

  lost(peer: Peer, events: MendEvents): void {
    const lost = [...peer.mends.values()];
    peer.mends.clear();
    if (peer.openMends !== undefined) {
      lost.push(peer.openMends);
      peer.openMends = undefined;
      this.#open.splice(this.#open.indexOf(peer), 1);
    }
    for (const batch of lost) this.#unmended(batch, events);
  }

  tick(events: MendEvents): void {
    const { nowMs, timing } = this.#context;
    for (const peer of this.#context.peers.all()) {
      for (const [id, batch] of peer.mends) {
        if (nowMs >= batch.sentMs + timing.timeoutMs) {
          peer.mends.delete(id);
          this.#unmended(batch, events);
        } else if (!batch.late && nowMs >= batch.lateMs) {
          batch.late = true;
          for (let i = 0; i < batch.reads.length; i++) events.late(batch.reads[i]!, batch.members[i]!);
        }
      }
    }
  }

  #unmended(batch: MendBatch, events: MendEvents): void {
    for (let i = 0; i < batch.reads.length; i++) events.unmended(batch.reads[i]!, batch.members[i]!);
  }
}
