/**
 * Calls and answers as bytes. Structured clone would be simpler and is not used, because it clones the whole buffer that
 * a small view lies in: 8 KiB of Node's pool for a key, a whole segment of the memory engine for a value.
 *
 *   call    = id | command u8 | bucket text | r | w | count u8 | part * count
 *   answer  = id | 0 (null) | 1 number f64 | 2 part | 3 count, answers without id | 4 code text, message text
 *   part    = size << 1 | 0, bytes in the frame; size << 1 | 1, the next of the attachments
 *
 * Integers are varints. r and w are 0 where the call leaves them to its bucket. Parts from `ATTACHED_BYTES` on travel as buffers of their own. Everything in a packet is
 * transferred, not copied again.
 *
 * Invariants: bytes are copied when they are added, so the caller may change its own at once; a small part that was read is
 * a copy, so that whoever keeps it does not keep the frame.
 */
import { ByteReader, ByteWriter, DecodeError } from '../base/bytes.js';
import { ERRORS, type ErrorCode } from '../base/errors.js';
import type { QuorumChoice } from '../server/types.js';
import type { Failure } from './protocol.js';

/** Parts of this size cross as buffers of their own. */
const ATTACHED_BYTES = 32 * 1024;

/** In place of r or w. */
const AS_THE_BUCKET = 0;

const NULL = 0;
const NUMBER = 1;
const PART = 2;
const LIST = 3;
const ERROR = 4;

/** The internal commands that a bucket handle uses; their places are what stands in a call. */
export const COMMANDS = ['quoin.get', 'quoin.put', 'quoin.delete', 'quoin.list'] as const;
export type CommandName = (typeof COMMANDS)[number];

export interface Packet {
  readonly frame: Uint8Array<ArrayBuffer>;
  readonly attachments: readonly Uint8Array<ArrayBuffer>[];
}

export interface Call {
  readonly id: number;
  readonly bucket: string;
  readonly command: CommandName;
  readonly args: readonly Buffer[];
  /** Copies that the call asks for; undefined: as its bucket says. */
  readonly quorum?: QuorumChoice | undefined;
}

/** A reply as it crosses: bytes, numbers, null and lists of these. */
export type Answered = null | number | Buffer | readonly Answered[];

/** The buffers of a packet, to be transferred with it. */
export function buffersOf(packet: Packet): ArrayBuffer[] {
  return [packet.frame.buffer, ...packet.attachments.map((attachment) => attachment.buffer)];
}

function copyOf(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(bytes.byteLength);
  copy.set(bytes);
  return copy;
}

class PacketWriter {
  readonly writer = new ByteWriter(4096);
  #attachments: Uint8Array<ArrayBuffer>[] = [];

  get empty(): boolean {
    return this.writer.lengthBytes === 0;
  }

  part(bytes: Uint8Array): void {
    const size = bytes.byteLength;
    if (size < ATTACHED_BYTES) {
      this.writer.varint(size * 2);
      this.writer.raw(bytes);
    } else {
      this.writer.varint(size * 2 + 1);
      this.#attachments.push(copyOf(bytes));
    }
  }

  take(): Packet {
    const packet = { frame: copyOf(this.writer.view()), attachments: this.#attachments };
    this.writer.reset();
    this.#attachments = [];
    return packet;
  }
}

class PacketReader {
  readonly reader: ByteReader;
  readonly #attachments: readonly Uint8Array[];
  #next = 0;

  constructor({ frame, attachments }: Packet) {
    this.reader = new ByteReader(Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength));
    this.#attachments = attachments;
  }

  /** A view into the packet. */
  part(): Buffer {
    const word = this.reader.varint();
    const sizeBytes = Math.floor(word / 2);
    if (word % 2 === 0) return this.reader.raw(sizeBytes);
    const attachment = this.#attachments[this.#next++];
    if (attachment?.byteLength !== sizeBytes) throw new DecodeError('an attachment is missing');
    return Buffer.from(attachment.buffer, attachment.byteOffset, attachment.byteLength);
  }

  /** Bytes that may be kept. */
  keptPart(): Buffer {
    const part = this.part();
    return part.length < ATTACHED_BYTES ? Buffer.from(part) : part;
  }
}

export class CallWriter {
  readonly #packet = new PacketWriter();

  get empty(): boolean {
    return this.#packet.empty;
  }

  add(call: Call): void {
    const { writer } = this.#packet;
    writer.varint(call.id);
    writer.u8(COMMANDS.indexOf(call.command));
    writer.string(call.bucket);
    writer.varint(call.quorum?.r ?? AS_THE_BUCKET);
    writer.varint(call.quorum?.w ?? AS_THE_BUCKET);
    writer.u8(call.args.length);
    for (const bytes of call.args) this.#packet.part(bytes);
  }

  take(): Packet {
    return this.#packet.take();
  }
}

function quorumFrom(r: number, w: number): QuorumChoice | undefined {
  if (r === AS_THE_BUCKET && w === AS_THE_BUCKET) return undefined;
  return { r: r === AS_THE_BUCKET ? undefined : r, w: w === AS_THE_BUCKET ? undefined : w };
}

/** Visits the calls of a packet. The arguments are views into it. */
export function readCalls(packet: Packet, visit: (call: Call) => void): void {
  const source = new PacketReader(packet);
  const { reader } = source;
  while (reader.remainingBytes > 0) {
    const id = reader.varint();
    const command = COMMANDS[reader.u8()];
    if (command === undefined) throw new DecodeError('a call of an unknown command');
    const bucket = reader.string();
    const quorum = quorumFrom(reader.varint(), reader.varint());
    const args: Buffer[] = [];
    for (let left = reader.u8(); left > 0; left--) args.push(source.part());
    visit({ id, command, bucket, args, quorum });
  }
}

export class AnswerWriter {
  readonly #packet = new PacketWriter();

  get empty(): boolean {
    return this.#packet.empty;
  }

  value(id: number, value: Answered): void {
    this.#packet.writer.varint(id);
    this.#answered(value);
  }

  error(id: number, failure: Failure): void {
    const { writer } = this.#packet;
    writer.varint(id);
    writer.u8(ERROR);
    writer.string(failure.code);
    writer.string(failure.message);
  }

  #answered(value: Answered): void {
    const { writer } = this.#packet;
    if (value === null) writer.u8(NULL);
    else if (typeof value === 'number') {
      writer.u8(NUMBER);
      writer.f64(value);
    } else if (Buffer.isBuffer(value)) {
      writer.u8(PART);
      this.#packet.part(value);
    } else {
      writer.u8(LIST);
      writer.varint(value.length);
      for (const member of value) this.#answered(member);
    }
  }

  take(): Packet {
    return this.#packet.take();
  }
}

export interface AnswerVisitor {
  value(id: number, value: Answered): void;
  error(id: number, failure: Failure): void;
}

/** Visits the answers of a packet. */
export function readAnswers(packet: Packet, visitor: AnswerVisitor): void {
  const source = new PacketReader(packet);
  const { reader } = source;
  while (reader.remainingBytes > 0) {
    const id = reader.varint();
    const kind = reader.u8();
    if (kind === ERROR) visitor.error(id, { code: readCode(reader), message: reader.string() });
    else visitor.value(id, readAnswered(source, kind));
  }
}

function readCode(reader: ByteReader): ErrorCode {
  const code = reader.string();
  if (!Object.hasOwn(ERRORS, code)) throw new DecodeError(`an error of unknown code ${code}`);
  return code as ErrorCode;
}

function readAnswered(source: PacketReader, kind: number): Answered {
  const { reader } = source;
  switch (kind) {
    case NULL:
      return null;
    case NUMBER:
      return reader.f64();
    case PART:
      return source.keptPart();
    case LIST: {
      const members: Answered[] = [];
      for (let left = reader.varint(); left > 0; left--) members.push(readAnswered(source, reader.u8()));
      return members;
    }
    default:
      throw new DecodeError('an answer of unknown kind');
  }
}
