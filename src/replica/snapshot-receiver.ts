/**
 * Takes in a snapshot (see `snapshot-sender.ts`): drops the old state, installs slot by slot, makes all of it durable,
 * and only then says that it has it.
 *
 * Invariants:
 * - from the head to the durable end the state counts as missing: nothing is applied, read or checkpointed as if whole;
 * - chunks of an older term, of another snapshot or out of turn change nothing;
 * - a state that is no newer than where the log here begins is not taken, for nothing would lead on from it: made durable, it
 *   would keep this node from starting again.
 */
import { ByteReader } from '../base/bytes.js';
import type { NodeId } from '../protocol/raft/types.js';
import { readBucket } from '../store/bucket-codec.js';
import type { BucketDescription } from '../store/types.js';
import { MESSAGE } from './peers/frame.js';
import type { ReplicaHost } from './replica.js';
import { CHUNK, decodeChunkHeader, encodeAcknowledgement } from './snapshot-codec.js';

/** A snapshot from which nothing was heard for so long is given up. */
const SILENCE_MS = 15_000;

/** Where a snapshot goes. */
export interface SnapshotTarget {
  reset(): void;
  restoreHead(head: Buffer): void;
  installBucket(bucket: BucketDescription): void;
  installSlotSessions(bytes: Buffer): void;
  setSlotReflects(slot: number, index: number): void;
  installRecord(bucketId: number, key: Buffer, value: Buffer, version: number, expiresAtMs: number): void;
}

export interface SnapshotReceiverOptions {
  readonly group: number;
  readonly host: ReplicaHost;
  readonly target: SnapshotTarget;
  /** The present term. */
  readonly term: () => number;
  /** Entries up to here are applied, or were before the state went: an older snapshot is of no use. */
  readonly appliedIndex: () => number;
  /** The old state is gone, and no new one is there. */
  readonly stateMissing: () => boolean;
  /** The old state is about to go. */
  readonly begun: () => void;
  /** Everything is installed as of `index`: make it durable, take the log on from there, then call back whether that worked. */
  readonly complete: (index: number, term: number, done: (ok: boolean) => void) => void;
}

interface Incoming {
  readonly from: NodeId;
  readonly snapshotId: number;
  readonly term: number;
  readonly baseIndex: number;
  readonly baseTerm: number;
  next: number;
  lastHeardMs: number;
  state: 'receiving' | 'completing' | 'done';
}

export class SnapshotReceiver {
  readonly #options: SnapshotReceiverOptions;
  #incoming: Incoming | undefined;

  constructor(options: SnapshotReceiverOptions) {
    this.#options = options;
  }

  /** Is a snapshot being received? */
  active(nowMs: number): boolean {
    const incoming = this.#incoming;
    if (incoming === undefined || incoming.state === 'done') return false;
    return incoming.state === 'completing' || nowMs - incoming.lastHeardMs < SILENCE_MS;
  }

  /** Asks a leader for the whole state, as of an index beyond the one that is named. */
  ask(leader: NodeId): void {
    const { host, group, appliedIndex } = this.#options;
    const writer = host.peers.beginMessage(leader, MESSAGE.snapshotWanted, group);
    if (writer === undefined) return;
    writer.varint(appliedIndex());
    host.peers.endMessage(leader);
    host.pump.schedule();
  }

  receive(from: NodeId, body: Buffer): void {
    const reader = new ByteReader(body);
    const { snapshotId, term, number, type } = decodeChunkHeader(reader);
    if (term < this.#options.term()) return;
    const nowMs = this.#options.host.env.clock.monotonicMs();
    if (type === CHUNK.head && this.#incoming?.snapshotId !== snapshotId && !this.#completing()) {
      this.#begin(from, snapshotId, term, reader, nowMs);
    }
    const incoming = this.#incoming;
    if (incoming === undefined || incoming.snapshotId !== snapshotId || incoming.from !== from) return;
    incoming.lastHeardMs = nowMs;
    if (incoming.state === 'receiving' && number === incoming.next) {
      if (type === CHUNK.slots) this.#install(reader);
      incoming.next++;
      if (type === CHUNK.end) this.#end(incoming);
    }
    this.#acknowledge(incoming);
  }

  #completing(): boolean {
    return this.#incoming?.state === 'completing';
  }

  #begin(from: NodeId, snapshotId: number, term: number, reader: ByteReader, nowMs: number): void {
    const baseIndex = reader.varint();
    const baseTerm = reader.varint();
    const head = reader.bytes();
    if (baseIndex <= this.#options.appliedIndex()) {
      // Who is as far already says so: else the sender would try again and again, and append nothing meanwhile.
      if (!this.#options.stateMissing()) this.#answer(from, snapshotId, 0, true);
      return;
    }
    this.#options.begun();
    this.#options.target.reset();
    this.#options.target.restoreHead(head);
    this.#incoming = {
      from,
      snapshotId,
      term,
      baseIndex,
      baseTerm,
      next: 0,
      lastHeardMs: nowMs,
      state: 'receiving',
    };
  }

  #install(reader: ByteReader): void {
    const { target } = this.#options;
    for (let buckets = reader.varint(); buckets > 0; buckets--) target.installBucket(readBucket(reader));
    const slots = reader.u32();
    for (let i = 0; i < slots; i++) {
      const slot = reader.varint();
      const reflects = reader.varint();
      target.installSlotSessions(reader.bytes());
      const records = reader.u32();
      for (let record = 0; record < records; record++) {
        const bucketId = reader.varint();
        const key = reader.bytes();
        const value = reader.bytes();
        target.installRecord(bucketId, key, value, reader.varint(), reader.varint());
      }
      target.setSlotReflects(slot, reflects);
    }
  }

  #end(incoming: Incoming): void {
    incoming.state = 'completing';
    this.#options.complete(incoming.baseIndex, incoming.baseTerm, (ok) => {
      if (this.#incoming !== incoming) return;
      if (!ok) {
        this.#incoming = undefined;
        return;
      }
      incoming.state = 'done';
      this.#acknowledge(incoming);
    });
  }

  #acknowledge(incoming: Incoming): void {
    this.#answer(incoming.from, incoming.snapshotId, incoming.next, incoming.state === 'done');
  }

  #answer(to: NodeId, snapshotId: number, next: number, done: boolean): void {
    const { host, group } = this.#options;
    const writer = host.peers.beginMessage(to, MESSAGE.snapshotAcknowledgement, group);
    if (writer === undefined) return;
    encodeAcknowledgement(writer, { snapshotId, next, done });
    host.peers.endMessage(to);
    host.pump.schedule();
  }
}
