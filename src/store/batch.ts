/**
 * The payload of a log entry: the batch of commands that one turn of the event loop gathered.
 *
 *   payload    = format u8 (1) | time u64 | sub-batch*
 *   sub-batch  = session 8 bytes | acknowledgedBelow u64 | count u32 | firstSequence varint | command * count
 *   command    = bucketId varint | commandId varint | argc varint | (length varint | bytes) * argc
 *
 * Integers are little-endian; `time` is the leader's clock in milliseconds since 1970. Consecutive sequences of one
 * session share a sub-batch. Session 0 is nobody's: its commands (the node's own upkeep) are not remembered. A payload
 * without sub-batches is a tick: it advances the group's time and nothing else.
 *
 * Invariants: the format is pinned by a golden test and numbers are append-only; malformed bytes give `DecodeError`,
 * which stops the replica, because skipping a command would let it diverge.
 */
import { ByteReader, ByteWriter, DecodeError } from '../base/bytes.js';
import { invariant } from '../base/errors.js';
import { LIMITS } from '../base/limits.js';
import { tokenOf } from '../base/slots.js';
import { integerText } from './arguments.js';
import type { CommandDefinition } from './command.js';
import type { SessionStamp } from './types.js';

const FORMAT = 1;
const HEADER_BYTES = 9;
const SESSION_BYTES = 8;
const TWO_TO_32 = 2 ** 32;
/** The session of commands that need no memory. */
const NO_SESSION = '0000000000000000';

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  if (code >= 0x61 && code <= 0x66) return code - 0x57;
  return -1;
}

/** Gathers commands into a payload. One per group; used over and over. */
export class BatchBuilder {
  readonly #writer = new ByteWriter(4096);
  #commandCount = 0;
  /** The open sub-batch: where it starts, and what the next command must carry to join it. */
  #subBatchAt = 0;
  #subBatchCount = 0;
  #session = '';
  #nextSequence = -1;
  #acknowledgedBelow = 0;

  get commandCount(): number {
    return this.#commandCount;
  }

  /** Size of the payload so far. */
  get sizeBytes(): number {
    return this.#commandCount === 0 ? 0 : this.#writer.lengthBytes;
  }

  /** True when the batch must be taken before more is added. */
  get isFull(): boolean {
    return (
      this.#commandCount >= LIMITS.maxCommandsPerEntry || this.#writer.lengthBytes >= LIMITS.maxEntryBytes
    );
  }

  add(stamp: SessionStamp, bucketId: number, definition: CommandDefinition, args: readonly Buffer[]): void {
    this.#add(stamp.session, stamp.sequence, stamp.acknowledgedBelow, bucketId, definition, args);
  }

  /** Adds a command of the node itself, which is safe to repeat and remembered by nobody. */
  addControl(bucketId: number, definition: CommandDefinition, args: readonly Buffer[]): void {
    this.#add(NO_SESSION, 0, 0, bucketId, definition, args);
  }

  #add(
    session: string,
    sequence: number,
    acknowledgedBelow: number,
    bucketId: number,
    definition: CommandDefinition,
    args: readonly Buffer[],
  ): void {
    invariant(
      this.#commandCount < LIMITS.maxCommandsPerEntry,
      'a batch holds no more commands than versions',
    );
    const writer = this.#writer;
    if (this.#commandCount === 0) this.#writeHeader();
    if (session !== this.#session || sequence !== this.#nextSequence) {
      this.#closeSubBatch();
      this.#openSubBatch(session, sequence);
    }
    if (acknowledgedBelow > this.#acknowledgedBelow) this.#acknowledgedBelow = acknowledgedBelow;
    // Commands without a session all carry sequence 0 and still share a sub-batch.
    this.#nextSequence = session === NO_SESSION ? 0 : sequence + 1;
    this.#subBatchCount++;
    this.#commandCount++;
    writer.varint(bucketId);
    writer.varint(definition.id);
    writer.varint(args.length);
    for (let i = 0; i < args.length; i++) writer.bytes(args[i]!);
  }

  #writeHeader(): void {
    this.#writer.u8(FORMAT);
    this.#writer.u32(0);
    this.#writer.u32(0);
  }

  #openSubBatch(session: string, firstSequence: number): void {
    invariant(session.length === 2 * SESSION_BYTES, 'a session is 16 hex digits');
    const writer = this.#writer;
    this.#subBatchAt = writer.lengthBytes;
    this.#session = session;
    this.#acknowledgedBelow = 0;
    for (let i = 0; i < 2 * SESSION_BYTES; i += 2) {
      const high = hexDigit(session.charCodeAt(i));
      const low = hexDigit(session.charCodeAt(i + 1));
      invariant(high >= 0 && low >= 0, 'a session is lower-case hex digits');
      writer.u8(high * 16 + low);
    }
    // Acknowledged-below and count are known when the sub-batch is closed.
    writer.u32(0);
    writer.u32(0);
    writer.u32(0);
    writer.varint(firstSequence);
  }

  #closeSubBatch(): void {
    if (this.#subBatchCount === 0) return;
    const at = this.#subBatchAt + SESSION_BYTES;
    this.#writer.patchU32(at, this.#acknowledgedBelow % TWO_TO_32);
    this.#writer.patchU32(at + 4, Math.floor(this.#acknowledgedBelow / TWO_TO_32));
    this.#writer.patchU32(at + 8, this.#subBatchCount);
    this.#subBatchCount = 0;
  }

  /** Hands over the payload, stamped with the leader's time, and starts anew. */
  take(nowMs: number): Buffer {
    if (this.#commandCount === 0) this.#writeHeader();
    this.#closeSubBatch();
    this.#writer.patchU32(1, nowMs % TWO_TO_32);
    this.#writer.patchU32(5, Math.floor(nowMs / TWO_TO_32));
    this.#commandCount = 0;
    this.#session = '';
    this.#nextSequence = -1;
    return this.#writer.take();
  }
}

/** A payload that advances the group's time and does nothing else. */
export function encodeTick(nowMs: number): Buffer {
  return new BatchBuilder().take(nowMs);
}

/** Arguments of `quoin.expire` and `quoin.evict` for keys that were found. */
export function expiryArguments(
  found: readonly { readonly key: Buffer; readonly version: number }[],
): Buffer[] {
  const args: Buffer[] = [];
  // In token order, so that engines are walked one way.
  const ordered = found.map((item) => ({ ...item, token: tokenOf(item.key) }));
  ordered.sort((left, right) => left.token - right.token);
  for (const item of ordered) args.push(item.key, integerText(item.version));
  return args;
}

/**
 * Walks the commands of a payload. After `next()` returned true its fields describe one command; the arguments are views
 * of the payload.
 */
export class BatchCursor {
  readonly #reader: ByteReader;
  readonly timeMs: number;
  #remaining = 0;
  /** The session's 8 bytes as a latin-1 string: cheap to make, good as a map key. */
  sessionKey = '';
  hasSession = false;
  /** True on the first and on the last command of a sub-batch. */
  startsSubBatch = false;
  endsSubBatch = false;
  firstSequence = 0;
  sequence = 0;
  acknowledgedBelow = 0;
  /** Commands in the present sub-batch. */
  count = 0;
  bucketId = 0;
  commandId = 0;
  args: Buffer[] = [];

  constructor(payload: Buffer) {
    const reader = new ByteReader(payload);
    this.#reader = reader;
    if (reader.remainingBytes < HEADER_BYTES) throw new DecodeError('a batch is shorter than its header');
    const format = reader.u8();
    if (format !== FORMAT) throw new DecodeError(`batch format ${format} is not known`);
    this.timeMs = readU64(reader);
  }

  next(): boolean {
    const reader = this.#reader;
    if (this.#remaining === 0) {
      if (reader.remainingBytes === 0) return false;
      const session = reader.raw(SESSION_BYTES);
      this.sessionKey = session.toString('latin1');
      this.hasSession = this.sessionKey !== NO_SESSION_KEY;
      this.acknowledgedBelow = readU64(reader);
      this.#remaining = reader.u32();
      if (this.#remaining === 0) throw new DecodeError('a sub-batch is empty');
      if (this.#remaining > LIMITS.maxCommandsPerEntry) throw new DecodeError('a sub-batch is too long');
      this.count = this.#remaining;
      this.firstSequence = reader.varint();
      this.sequence = this.firstSequence;
      this.startsSubBatch = true;
    } else {
      this.startsSubBatch = false;
      if (this.hasSession) this.sequence++;
    }
    this.#remaining--;
    this.endsSubBatch = this.#remaining === 0;
    this.bucketId = reader.varint();
    this.commandId = reader.varint();
    const argumentCount = reader.varint();
    // Each argument takes at least its length byte, so a huge count is refused before anything is allocated for it.
    if (argumentCount > reader.remainingBytes) throw new DecodeError('more arguments than bytes');
    const args: Buffer[] = [];
    for (let i = 0; i < argumentCount; i++) args.push(reader.bytes());
    this.args = args;
    return true;
  }
}

const NO_SESSION_KEY = '\0'.repeat(SESSION_BYTES);

function readU64(reader: ByteReader): number {
  const low = reader.u32();
  const value = reader.u32() * TWO_TO_32 + low;
  if (value > Number.MAX_SAFE_INTEGER) throw new DecodeError('an integer is too large');
  return value;
}

/** The hex form of a session's raw bytes as the cursor gives them. */
export function sessionFromKey(sessionKey: string): string {
  return Buffer.from(sessionKey, 'latin1').toString('hex');
}

/** The raw bytes, as a latin-1 string, of a session's hex form. */
export function sessionToKey(session: string): string {
  return Buffer.from(session, 'hex').toString('latin1');
}
