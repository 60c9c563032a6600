/**
 * Replies as bytes, in RESP2 or RESP3.
 *
 * One writer serves all connections of a server in turn: replies are written into its buffer, then `sendTo` hands
 * everything to one socket in one write. When the kernel took the bytes at once, which is the usual case, the buffer is
 * used again from its start; otherwise what was handed over is left alone until the socket has sent it. Large strings
 * are not copied into the buffer: they go out as they are, in the same gathered write.
 *
 * RESP2 has no map, set, double, boolean, verbatim string or null of its own; they are lowered as Redis lowers them.
 */
import type { Socket } from 'node:net';
import {
  DoubleReply,
  ErrorReply,
  MapReply,
  NullArray,
  type Reply,
  SetReply,
  SimpleString,
  VerbatimReply,
} from '../../store/reply.js';
import { isArrayReply } from './words.js';

export type ProtocolVersion = 2 | 3;

const BUFFER_BYTES = 64 * 1024;
/** A string of at least so many bytes is sent from where it lies; below, copying is cheaper than one more segment. */
const LARGE_BYTES = 16 * 1024;
/** Up to so many bytes a plain loop beats the call that copies. */
const LOOP_BYTES = 24;
/** Less room than this and a pinned buffer is given up for a new one. */
const LEAST_ROOM_BYTES = 4 * 1024;

const CR = 0x0d;
const LF = 0x0a;
const ZERO = 0x30;
const MINUS = 0x2d;

const TYPE = {
  simple: 0x2b,
  error: 0x2d,
  integer: 0x3a,
  bulk: 0x24,
  array: 0x2a,
  map: 0x25,
  set: 0x7e,
  double: 0x2c,
  boolean: 0x23,
  verbatim: 0x3d,
  null: 0x5f,
} as const;

const OK_LINE = Buffer.from('+OK\r\n', 'latin1');
const NULL_BULK = Buffer.from('$-1\r\n', 'latin1');
const NULL_ARRAY_LINE = Buffer.from('*-1\r\n', 'latin1');

/** A float as Redis prints it: shortest form that reads back the same; `inf`, `-inf`, `nan`. */
function formatDouble(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (value === Number.POSITIVE_INFINITY) return 'inf';
  if (value === Number.NEGATIVE_INFINITY) return '-inf';
  return Object.is(value, -0) ? '-0' : String(value);
}

export class ReplyWriter {
  #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  /** Where the segment that is being written began. */
  #start = 0;
  #length = 0;
  /** True when a socket still reads from the buffer: its bytes must not be overwritten. */
  #pinned = false;
  /** Finished segments of the output at hand. */
  #segments: Buffer[] = [];
  #segmentBytes = 0;

  /** Bytes written since the last `sendTo` or `take`. */
  get pendingBytes(): number {
    return this.#segmentBytes + this.#length - this.#start;
  }

  /** Gives all that is pending to the socket as one write. */
  sendTo(socket: Socket): void {
    const size = this.#length - this.#start;
    if (this.#segments.length === 0) {
      if (size === 0) return;
      socket.write(this.#buffer.subarray(this.#start, this.#length));
    } else {
      const segments = this.#takeSegments();
      socket.cork();
      for (const segment of segments) socket.write(segment);
      socket.uncork();
    }
    this.#recycle(socket.writableLength === 0);
  }

  /** Hands over all that is pending as one Buffer of its own. */
  take(): Buffer {
    const bytes = Buffer.concat(this.#takeSegments());
    this.#recycle(true);
    return bytes;
  }

  /** Forgets what is pending. */
  discard(): void {
    this.#segments = [];
    this.#segmentBytes = 0;
    this.#length = this.#start;
  }

  #takeSegments(): Buffer[] {
    const segments = this.#segments;
    if (this.#length > this.#start) segments.push(this.#buffer.subarray(this.#start, this.#length));
    this.#segments = [];
    this.#segmentBytes = 0;
    return segments;
  }

  #recycle(sent: boolean): void {
    if (!sent) this.#pinned = true;
    if (!this.#pinned) {
      this.#start = 0;
      this.#length = 0;
      return;
    }
    this.#start = this.#length;
    if (this.#buffer.length - this.#length < LEAST_ROOM_BYTES) this.#renew(BUFFER_BYTES);
  }

  #renew(sizeBytes: number): void {
    this.#buffer = Buffer.allocUnsafeSlow(sizeBytes);
    this.#pinned = false;
    this.#start = 0;
    this.#length = 0;
  }

  /** Ends the segment at hand. */
  #closeSegment(): void {
    if (this.#length > this.#start) {
      const segment = this.#buffer.subarray(this.#start, this.#length);
      this.#segments.push(segment);
      this.#segmentBytes += segment.length;
    }
    this.#start = this.#length;
  }

  #reserve(sizeBytes: number): void {
    if (this.#buffer.length - this.#length >= sizeBytes) return;
    this.#closeSegment();
    this.#renew(Math.max(BUFFER_BYTES, sizeBytes));
  }

  /** Writes one reply. */
  write(reply: Reply, protocol: ProtocolVersion): void {
    if (Buffer.isBuffer(reply)) this.#bulk(reply, TYPE.bulk);
    else if (reply === null) this.#null(protocol, NULL_BULK);
    else if (typeof reply === 'number') this.#line(TYPE.integer, reply);
    else if (reply instanceof SimpleString) this.#simple(reply.text);
    else if (reply instanceof ErrorReply) this.#text(TYPE.error, reply.text);
    else this.#writeRare(reply, protocol);
  }

  #writeRare(reply: Reply, protocol: ProtocolVersion): void {
    if (typeof reply === 'bigint') {
      this.#text(TYPE.integer, reply.toString());
    } else if (typeof reply === 'boolean') {
      if (protocol === 3) this.#text(TYPE.boolean, reply ? 't' : 'f');
      else this.#line(TYPE.integer, reply ? 1 : 0);
    } else if (reply instanceof NullArray) {
      this.#null(protocol, NULL_ARRAY_LINE);
    } else if (reply instanceof MapReply) {
      const size = reply.entries.length;
      if (protocol === 3) this.#line(TYPE.map, size);
      else this.#line(TYPE.array, size * 2);
      for (const [key, value] of reply.entries) {
        this.write(key, protocol);
        this.write(value, protocol);
      }
    } else if (reply instanceof SetReply) {
      this.#line(protocol === 3 ? TYPE.set : TYPE.array, reply.members.length);
      for (const member of reply.members) this.write(member, protocol);
    } else if (reply instanceof DoubleReply) {
      const text = formatDouble(reply.value);
      if (protocol === 3) this.#text(TYPE.double, text);
      else this.#bulk(Buffer.from(text, 'latin1'), TYPE.bulk);
    } else if (reply instanceof VerbatimReply) {
      if (protocol === 3) this.#bulk(Buffer.from(`txt:${reply.text}`, 'utf8'), TYPE.verbatim);
      else this.#bulk(Buffer.from(reply.text, 'utf8'), TYPE.bulk);
    } else if (isArrayReply(reply)) {
      this.#line(TYPE.array, reply.length);
      for (const item of reply) this.write(item, protocol);
    }
  }

  #null(protocol: ProtocolVersion, lowered: Buffer): void {
    if (protocol === 3) {
      this.#reserve(3);
      this.#buffer[this.#length++] = TYPE.null;
      this.#lineEnd();
    } else {
      this.#raw(lowered);
    }
  }

  #simple(text: string): void {
    if (text === 'OK') this.#raw(OK_LINE);
    else this.#text(TYPE.simple, text);
  }

  /** A line of text; what would end it early becomes a space. */
  #text(type: number, text: string): void {
    const safe = /[\r\n]/.test(text) ? text.replace(/[\r\n]/g, ' ') : text;
    const size = Buffer.byteLength(safe, 'utf8');
    this.#reserve(size + 3);
    this.#buffer[this.#length++] = type;
    this.#length += this.#buffer.write(safe, this.#length, size, 'utf8');
    this.#lineEnd();
  }

  #raw(bytes: Buffer): void {
    const size = bytes.length;
    this.#reserve(size);
    for (let i = 0; i < size; i++) this.#buffer[this.#length + i] = bytes[i]!;
    this.#length += size;
  }

  /** `<type><number>\r\n`. */
  #line(type: number, value: number): void {
    this.#reserve(24);
    const buffer = this.#buffer;
    buffer[this.#length++] = type;
    if (value >= 0 && value < 10) {
      buffer[this.#length++] = ZERO + value;
    } else if (value >= 0 && value < 1_000_000_000) {
      let digits = 1;
      for (let power = 10; power <= value; power *= 10) digits++;
      let rest = value;
      for (let at = this.#length + digits - 1; at >= this.#length; at--) {
        const shorter = (rest / 10) | 0;
        buffer[at] = ZERO + rest - shorter * 10;
        rest = shorter;
      }
      this.#length += digits;
    } else if (value === -1) {
      buffer[this.#length++] = MINUS;
      buffer[this.#length++] = ZERO + 1;
    } else {
      this.#length += buffer.write(String(value), this.#length, 'latin1');
    }
    this.#lineEnd();
  }

  #lineEnd(): void {
    this.#buffer[this.#length++] = CR;
    this.#buffer[this.#length++] = LF;
  }

  #bulk(bytes: Buffer, type: number): void {
    const size = bytes.length;
    this.#line(type, size);
    if (size >= LARGE_BYTES) {
      this.#closeSegment();
      this.#segments.push(bytes);
      this.#segmentBytes += size;
      this.#reserve(2);
    } else {
      this.#reserve(size + 2);
      if (size <= LOOP_BYTES) {
        const buffer = this.#buffer;
        for (let i = 0; i < size; i++) buffer[this.#length + i] = bytes[i]!;
      } else {
        this.#buffer.set(bytes, this.#length);
      }
      this.#length += size;
    }
    this.#lineEnd();
  }
}
