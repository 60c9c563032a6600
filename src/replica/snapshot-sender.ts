/**
 * Sends a group's state to a follower whose log ends before the leader's begins (Raft section 7), slot by slot.
 *
 * Each slot is read whole in one turn and says which index it reflects, so sending needs neither a pause nor a frozen
 * copy: the follower skips, for that slot, the entries that it reflects already. The log after the base index is kept
 * until the follower has it all.
 *
 * Invariants: at most `WINDOW_CHUNKS` chunks are unacknowledged; they are kept, and sent again when nothing is heard.
 */
import { ByteReader, ByteWriter } from '../base/bytes.js';
import { LIMITS } from '../base/limits.js';
import { SLOT_COUNT } from '../base/slots.js';
import type { NodeId } from '../protocol/raft/types.js';
import { writeBucket } from '../store/bucket-codec.js';
import type { GroupStateMachine } from '../store/types.js';
import { MESSAGE } from './peers/frame.js';
import type { ReplicaHost } from './replica.js';
import { CHUNK, decodeAcknowledgement, encodeChunkHeader } from './snapshot-codec.js';

const WINDOW_CHUNKS = 4;
const RESEND_MS = 1000;
const GIVE_UP_MS = 15_000;

export interface SnapshotSource {
  readonly group: number;
  readonly host: ReplicaHost;
  /** Undefined for a group whose whole state is its head (the cluster map). */
  readonly machine:
    | Pick<GroupStateMachine, 'slots' | 'buckets' | 'scanSlot' | 'encodeSlotSessions'>
    | undefined;
  readonly head: Buffer;
  readonly peer: NodeId;
  readonly term: number;
  readonly baseIndex: number;
  readonly baseTerm: number;
  readonly appliedIndex: () => number;
}

export class SnapshotSender {
  readonly #source: SnapshotSource;
  readonly #id: number;
  #unacknowledged: { readonly number: number; readonly body: Buffer }[] = [];
  #nextNumber = 0;
  #nextSlot = 0;
  #ended = false;
  #lastHeardMs = 0;
  #lastSentMs = 0;
  state: 'sending' | 'done' | 'failed' = 'sending';

  constructor(source: SnapshotSource) {
    this.#source = source;
    this.#id = source.host.env.random.integer(0x7fffffff) + 1;
  }

  get baseIndex(): number {
    return this.#source.baseIndex;
  }

  begin(nowMs: number): void {
    this.#lastHeardMs = nowMs;
    const writer = this.#start(CHUNK.head);
    writer.varint(this.#source.baseIndex);
    writer.varint(this.#source.baseTerm);
    writer.bytes(this.#source.head);
    this.#send(writer.take());
    this.#fill();
    this.#lastSentMs = nowMs;
  }

  acknowledged(body: Buffer, nowMs: number): void {
    const { snapshotId, next, done } = decodeAcknowledgement(new ByteReader(body));
    if (snapshotId !== this.#id || this.state !== 'sending') return;
    this.#lastHeardMs = nowMs;
    this.#unacknowledged = this.#unacknowledged.filter((chunk) => chunk.number >= next);
    if (done) {
      this.state = 'done';
      return;
    }
    this.#lastSentMs = nowMs;
    this.#fill();
  }

  tick(nowMs: number): void {
    if (this.state !== 'sending') return;
    const { peers } = this.#source.host;
    if (peers.queuedBytes(this.#source.peer) > 0) {
      // What was sent may still be here: a slow link is neither a loss nor a silence. A dead one is closed, and its queue goes.
      this.#lastSentMs = nowMs;
      this.#lastHeardMs = nowMs;
      return;
    }
    if (nowMs - this.#lastHeardMs > GIVE_UP_MS) {
      this.state = 'failed';
      return;
    }
    if (nowMs - this.#lastSentMs < RESEND_MS) return;
    this.#lastSentMs = nowMs;
    for (const { body } of this.#unacknowledged) this.#transmit(body);
  }

  abandon(): void {
    this.state = 'failed';
    this.#unacknowledged = [];
  }

  #fill(): void {
    while (this.#unacknowledged.length < WINDOW_CHUNKS && !this.#ended) {
      if (this.#source.machine !== undefined && this.#nextSlot < SLOT_COUNT)
        this.#sendSlots(this.#source.machine);
      else {
        this.#ended = true;
        this.#send(this.#start(CHUNK.end).take());
      }
    }
    this.#source.host.pump.schedule();
  }

  #start(type: number): ByteWriter {
    const writer = new ByteWriter(1024);
    encodeChunkHeader(writer, {
      snapshotId: this.#id,
      term: this.#source.term,
      number: this.#nextNumber,
      type,
    });
    return writer;
  }

  #sendSlots(machine: NonNullable<SnapshotSource['machine']>): void {
    const writer = this.#start(CHUNK.slots);
    const reflects = this.#source.appliedIndex();
    this.#writeBuckets(writer, machine);
    const countAt = writer.lengthBytes;
    writer.u32(0);
    let count = 0;
    while (this.#nextSlot < SLOT_COUNT && writer.lengthBytes < LIMITS.maxFrameBytes / 2) {
      const slot = this.#nextSlot++;
      if (!machine.slots.has(slot)) continue;
      count++;
      this.#writeSlot(writer, machine, slot, reflects);
    }
    writer.patchU32(countAt, count);
    this.#send(writer.take());
  }

  /** Buckets that the head, taken earlier, may not have. */
  #writeBuckets(writer: ByteWriter, machine: NonNullable<SnapshotSource['machine']>): void {
    writer.varint(machine.buckets.size);
    for (const bucket of machine.buckets.values()) writeBucket(writer, bucket);
  }

  #writeSlot(
    writer: ByteWriter,
    machine: NonNullable<SnapshotSource['machine']>,
    slot: number,
    reflects: number,
  ): void {
    writer.varint(slot);
    writer.varint(reflects);
    writer.bytes(machine.encodeSlotSessions(slot));
    const countAt = writer.lengthBytes;
    writer.u32(0);
    let count = 0;
    machine.scanSlot(slot, (bucketId, key, value, version, expiresAtMs) => {
      count++;
      writer.varint(bucketId);
      writer.bytes(key);
      writer.bytes(value);
      writer.varint(version);
      writer.varint(expiresAtMs);
    });
    writer.patchU32(countAt, count);
  }

  #send(body: Buffer): void {
    this.#unacknowledged.push({ number: this.#nextNumber++, body });
    this.#transmit(body);
  }

  #transmit(body: Buffer): void {
    const { host, peer, group } = this.#source;
    host.peers.sendMessage(peer, MESSAGE.snapshotChunk, group, body);
    host.pump.schedule();
  }
}
