/**
 * Reads RESP2 replies from a stream of chunks. Bytes are looked at once: a reply that is cut between chunks goes on where
 * it stopped, and a long bulk string that spans many chunks is copied once, into a buffer of its size.
 *
 * Invariants: nothing is read past a reply's end; malformed input throws PROTOCOL_ERROR and the reader is of no more use.
 */
import { QuoinError } from '../base/errors.js';

/** A reply `-...`; the text holds the error word. Replies are values, so that one of many may be an error. */
export class RespError extends Error {
  override readonly name = 'RespError';
}

/** Bulk strings are Buffers, simple strings are strings. */
export type RespValue = null | number | bigint | string | Buffer | RespError | RespValue[];

const CR = 0x0d;
const LF = 0x0a;
const MAX_LINE_BYTES = 64 * 1024;
const MAX_BULK_BYTES = 512 * 1024 * 1024;
const MAX_DEPTH = 32;

interface OpenArray {
  readonly items: RespValue[];
  missing: number;
}

function protocolError(reason: string): QuoinError {
  return new QuoinError('PROTOCOL_ERROR', `the server's answer is no RESP: ${reason}`);
}

function integerOf(text: string): number | bigint {
  if (!/^[+-]?\d{1,19}$/.test(text)) throw protocolError(`'${text.slice(0, 32)}' is no integer`);
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : BigInt(text);
}

function lengthOf(text: string, max: number): number {
  const value = Number(integerOf(text));
  if (value < -1 || value > max) throw protocolError(`length ${text}`);
  return value;
}

export class RespReader {
  readonly #onReply: (value: RespValue) => void;
  /** The part of a line that earlier chunks held. */
  #line: Buffer = Buffer.alloc(0);
  /** A bulk string under way and how much of it, with its line end, is still missing. */
  #bulk: Buffer | undefined;
  #bulkFilled = 0;
  #trailerMissing = 0;
  readonly #arrays: OpenArray[] = [];

  constructor(onReply: (value: RespValue) => void) {
    this.#onReply = onReply;
  }

  /** Takes the next bytes. The bytes may be kept: values are views of them where they lie in one chunk. */
  push(chunk: Buffer): void {
    let position = 0;
    while (position < chunk.length) {
      if (this.#bulk !== undefined) position = this.#fillBulk(this.#bulk, chunk, position);
      else {
        const end = chunk.indexOf(LF, position);
        if (end < 0) {
          this.#line = Buffer.concat([this.#line, chunk.subarray(position)]);
          if (this.#line.length > MAX_LINE_BYTES) throw protocolError('a line without end');
          return;
        }
        const last = chunk.subarray(position, end + 1);
        const line = this.#line.length === 0 ? last : Buffer.concat([this.#line, last]);
        if (this.#line.length > 0) this.#line = Buffer.alloc(0);
        position = end + 1;
        if (line.length < 3 || line[line.length - 2] !== CR) throw protocolError('a line without CRLF');
        position = this.#takeLine(line, chunk, position);
      }
    }
  }

  #takeLine(line: Buffer, chunk: Buffer, position: number): number {
    const text = line.toString('utf8', 1, line.length - 2);
    switch (line[0]) {
      case 0x2b: // +
        this.#emit(text);
        return position;
      case 0x2d: // -
        this.#emit(new RespError(text));
        return position;
      case 0x3a: // :
        this.#emit(integerOf(text));
        return position;
      case 0x24: {
        // $
        const length = lengthOf(text, MAX_BULK_BYTES);
        if (length < 0) {
          this.#emit(null);
          return position;
        }
        if (chunk.length - position >= length + 2) {
          const value = chunk.subarray(position, position + length);
          if (chunk[position + length] !== CR || chunk[position + length + 1] !== LF)
            throw protocolError('a bulk string without CRLF');
          this.#emit(value);
          return position + length + 2;
        }
        this.#bulk = Buffer.allocUnsafe(length);
        this.#bulkFilled = 0;
        this.#trailerMissing = 2;
        return position;
      }
      case 0x2a: {
        // *
        const length = lengthOf(text, 1024 * 1024 * 16);
        if (length < 0) this.#emit(null);
        else if (length === 0) this.#emit([]);
        else {
          if (this.#arrays.length >= MAX_DEPTH) throw protocolError('arrays nested too deep');
          this.#arrays.push({ items: [], missing: length });
        }
        return position;
      }
      default:
        throw protocolError(`unknown type '${String.fromCharCode(line[0] ?? 0)}'`);
    }
  }

  #fillBulk(bulk: Buffer, chunk: Buffer, position: number): number {
    const wanted = bulk.length - this.#bulkFilled;
    if (wanted > 0) {
      const copied = chunk.copy(bulk, this.#bulkFilled, position, Math.min(chunk.length, position + wanted));
      this.#bulkFilled += copied;
      return position + copied;
    }
    const expected = this.#trailerMissing === 2 ? CR : LF;
    if (chunk[position] !== expected) throw protocolError('a bulk string without CRLF');
    this.#trailerMissing--;
    if (this.#trailerMissing === 0) {
      this.#bulk = undefined;
      this.#emit(bulk);
    }
    return position + 1;
  }

  #emit(value: RespValue): void {
    let whole = value;
    for (;;) {
      const open = this.#arrays.at(-1);
      if (open === undefined) break;
      open.items.push(whole);
      open.missing--;
      if (open.missing > 0) return;
      this.#arrays.pop();
      whole = open.items;
    }
    this.#onReply(whole);
  }
}
