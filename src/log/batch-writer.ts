/**
 * Encodes the records of one batch into one buffer that is used again and again: a batch is encoded as it is gathered and
 * leaves with one write. A large payload is not copied: it stays where it is, and the batch leaves in parts.
 *
 * Invariant: the buffer's first bytes are kept for the batch header, so a record's position in the file is the batch's
 * position plus the offset told here. A buffer that one huge batch has blown up is given back.
 */
import { invariant } from '../base/errors.js';
import { LIMITS } from '../base/limits.js';
import type { LogEntry } from '../protocol/raft/types.js';
import {
  BATCH_HEADER_BYTES,
  checksum,
  ENTRY_OVERHEAD_BYTES,
  RECORD_HEADER_BYTES,
  RECORD_PREFIX_BYTES,
  RecordKind,
  writeBatchHeader,
  writeU64,
} from './format.js';

const INITIAL_BYTES = 64 * 1024;
const KEPT_BYTES = 8 * 1024 * 1024;
/** What one write takes, and what one read of a segment gives back, less room for the segment's other batches. */
const LARGEST_BATCH_BYTES = 2 ** 31 - 2 ** 28;

/** A payload that is written from where it is. */
interface LargePayload {
  /** What of the buffer comes before it. */
  readonly at: number;
  readonly payload: Buffer;
}

export class BatchWriter {
  #buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  /** Bytes in the buffer ... */
  #length = BATCH_HEADER_BYTES;
  /** ... and in large payloads. */
  #largeBytes = 0;
  #large: LargePayload[] = [];

  get isEmpty(): boolean {
    return this.#length === BATCH_HEADER_BYTES;
  }

  get lengthBytes(): number {
    return this.#length + this.#largeBytes;
  }

  /** Starts the next batch. */
  begin(): void {
    this.#length = BATCH_HEADER_BYTES;
    if (this.#largeBytes > 0) {
      this.#large = [];
      this.#largeBytes = 0;
    }
    if (this.#buffer.length > KEPT_BYTES) this.#buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  }

  /** Each method returns the record's offset from the start of the batch. */
  entry(group: number, entry: LogEntry): number {
    const payload = entry.payload;
    if (payload.length > LIMITS.maxEntryBytes) return this.#largeEntry(group, entry);
    const start = this.#start(group, RecordKind.entry, ENTRY_OVERHEAD_BYTES + payload.length);
    const buffer = this.#buffer;
    writeU64(buffer, start + RECORD_HEADER_BYTES, entry.index);
    writeU64(buffer, start + RECORD_HEADER_BYTES + 8, entry.term);
    buffer.set(payload, start + ENTRY_OVERHEAD_BYTES);
    return this.#finish(start);
  }

  #largeEntry(group: number, { index, term, payload }: LogEntry): number {
    const start = this.#start(group, RecordKind.entry, ENTRY_OVERHEAD_BYTES, payload.length);
    writeU64(this.#buffer, start + RECORD_HEADER_BYTES, index);
    writeU64(this.#buffer, start + RECORD_HEADER_BYTES + 8, term);
    const offset = this.#finish(start, payload);
    this.#large.push({ at: this.#length, payload });
    this.#largeBytes += payload.length;
    return offset;
  }

  hardState(group: number, term: number, votedFor: string): number {
    const vote = Buffer.from(votedFor, 'utf8');
    const start = this.#start(group, RecordKind.hardState, RECORD_HEADER_BYTES + 8 + vote.length);
    writeU64(this.#buffer, start + RECORD_HEADER_BYTES, term);
    this.#buffer.set(vote, start + RECORD_HEADER_BYTES + 8);
    return this.#finish(start);
  }

  reset(group: number, index: number, term: number): number {
    return this.#mark(group, RecordKind.reset, index, term);
  }

  compaction(group: number, index: number, term: number): number {
    return this.#mark(group, RecordKind.compaction, index, term);
  }

  removeGroup(group: number): number {
    return this.#finish(this.#start(group, RecordKind.removeGroup, RECORD_HEADER_BYTES));
  }

  /** Completes the batch: its parts, in order. They are valid until `begin`. */
  seal(sequence: number, salt: number): Buffer[] {
    writeBatchHeader(this.#buffer, this.lengthBytes - BATCH_HEADER_BYTES, sequence, salt);
    const parts: Buffer[] = [];
    let from = 0;
    for (const { at, payload } of this.#large) {
      parts.push(this.#buffer.subarray(from, at), payload);
      from = at;
    }
    if (from < this.#length) parts.push(this.#buffer.subarray(from, this.#length));
    return parts;
  }

  #mark(group: number, kind: number, index: number, term: number): number {
    const start = this.#start(group, kind, RECORD_HEADER_BYTES + 16);
    writeU64(this.#buffer, start + RECORD_HEADER_BYTES, index);
    writeU64(this.#buffer, start + RECORD_HEADER_BYTES + 8, term);
    return this.#finish(start);
  }

  /** Makes room for a record of `sizeBytes` beside its large payload and writes its header but the checksum. */
  #start(group: number, kind: number, sizeBytes: number, payloadBytes = 0): number {
    const start = this.#length;
    const needed = start + sizeBytes;
    invariant(
      needed + this.#largeBytes + payloadBytes <= LARGEST_BATCH_BYTES,
      'a batch of the log stays below 2 GiB',
    );
    if (needed > this.#buffer.length) this.#grow(needed);
    const buffer = this.#buffer;
    buffer.writeUInt32LE(sizeBytes + payloadBytes - RECORD_PREFIX_BYTES, start);
    buffer.writeUInt32LE(group, start + 8);
    buffer[start + 12] = kind;
    this.#length = needed;
    return start;
  }

  /** Writes the record's checksum; returns its offset from the start of the batch. */
  #finish(start: number, payload?: Buffer): number {
    const buffer = this.#buffer;
    const head = checksum(buffer, start + RECORD_PREFIX_BYTES, this.#length);
    const whole = payload === undefined ? head : checksum(payload, 0, payload.length, head);
    buffer.writeUInt32LE(whole, start + 4);
    return start + this.#largeBytes;
  }

  #grow(needed: number): void {
    const grown = Buffer.allocUnsafeSlow(
      Math.max(needed, Math.min(this.#buffer.length * 2, LARGEST_BATCH_BYTES)),
    );
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }
}
