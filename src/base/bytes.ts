/**
 * Binary encoding: an append-only writer over a growing buffer and a bounds-checked reader. All integers are
 * little-endian; `varint` is LEB128 for non-negative integers up to 2^53 - 1.
 *
 * Invariant: a reader never reads past its end; malformed input throws `DecodeError` and nothing else.
 */

export class DecodeError extends Error {
  override readonly name = 'DecodeError';
}

/** Bytes that `varint` takes for `value`. */
export function varintBytes(value: number): number {
  let size = 1;
  while (value >= 0x80) {
    value = Math.floor(value / 128);
    size++;
  }
  return size;
}

/** A buffer doubles when it is full, but grows by no more than this at a time. */
const LARGEST_STEP_BYTES = 16 * 1024 * 1024;

export class ByteWriter {
  #buffer: Buffer;
  #length = 0;

  constructor(initialBytes = 1024) {
    this.#buffer = Buffer.allocUnsafe(initialBytes);
  }

  get lengthBytes(): number {
    return this.#length;
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#buffer.length) return;
    // Far beyond what is usual it grows by steps, and has a little to spare: what follows a large value copies it no more.
    const usual = this.#buffer.length + Math.min(this.#buffer.length, LARGEST_STEP_BYTES);
    const grown = Buffer.allocUnsafeSlow(Math.max(needed + (needed >>> 6), usual));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }

  u8(value: number): void {
    this.#reserve(1);
    this.#buffer[this.#length++] = value;
  }

  u16(value: number): void {
    this.#reserve(2);
    this.#buffer[this.#length++] = value;
    this.#buffer[this.#length++] = value >>> 8;
  }

  u32(value: number): void {
    this.#reserve(4);
    this.#buffer.writeUInt32LE(value, this.#length);
    this.#length += 4;
  }

  f64(value: number): void {
    this.#reserve(8);
    this.#buffer.writeDoubleLE(value, this.#length);
    this.#length += 8;
  }

  varint(value: number): void {
    this.#reserve(8);
    while (value >= 0x80) {
      this.#buffer[this.#length++] = (value % 128) | 0x80;
      value = Math.floor(value / 128);
    }
    this.#buffer[this.#length++] = value;
  }

  raw(bytes: Uint8Array): void {
    const size = bytes.length;
    this.#reserve(size);
    this.#buffer.set(bytes, this.#length);
    this.#length += size;
  }

  /** A varint length, then the bytes. */
  bytes(bytes: Uint8Array): void {
    this.varint(bytes.length);
    this.raw(bytes);
  }

  /** UTF-8 with a varint byte length. */
  string(text: string): void {
    this.bytes(Buffer.from(text, 'utf8'));
  }

  /** Overwrites four bytes written earlier (a length or checksum known only now). */
  patchU32(position: number, value: number): void {
    this.#buffer.writeUInt32LE(value, position);
  }

  /** A view of what has been written; valid until the next write or `take`. */
  view(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Hands over what has been written and starts anew; the bytes are the caller's for good. */
  take(): Buffer {
    const taken = this.#buffer.subarray(0, this.#length);
    // A big buffer is handed over as it is; a small part of a big one is copied so as not to hold the rest.
    const spare = this.#buffer.length - this.#length;
    if (spare > this.#length + 1024) {
      const copy = Buffer.allocUnsafe(this.#length);
      taken.copy(copy);
      this.#length = 0;
      return copy;
    }
    this.#buffer = Buffer.allocUnsafe(Math.max(1024, Math.min(this.#length, 1 << 20)));
    this.#length = 0;
    return taken;
  }

  reset(): void {
    this.#length = 0;
  }

  /** Takes back everything written after `lengthBytes`. */
  truncate(lengthBytes: number): void {
    this.#length = lengthBytes;
  }
}

export class ByteReader {
  readonly #buffer: Buffer;
  #position: number;
  readonly #end: number;

  constructor(buffer: Buffer, start = 0, end = buffer.length) {
    this.#buffer = buffer;
    this.#position = start;
    this.#end = end;
  }

  get position(): number {
    return this.#position;
  }

  get remainingBytes(): number {
    return this.#end - this.#position;
  }

  #advance(size: number): number {
    const at = this.#position;
    if (size < 0 || size > this.#end - at)
      throw new DecodeError(`need ${size} bytes at ${at}, have ${this.#end - at}`);
    this.#position = at + size;
    return at;
  }

  u8(): number {
    return this.#buffer[this.#advance(1)]!;
  }

  u16(): number {
    return this.#buffer.readUInt16LE(this.#advance(2));
  }

  u32(): number {
    return this.#buffer.readUInt32LE(this.#advance(4));
  }

  f64(): number {
    return this.#buffer.readDoubleLE(this.#advance(8));
  }

  varint(): number {
    let result = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      const byte = this.u8();
      result += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (result > Number.MAX_SAFE_INTEGER) break;
        return result;
      }
      scale *= 128;
    }
    throw new DecodeError('varint too long');
  }

  /** A view of the next `size` bytes. */
  raw(size: number): Buffer {
    const at = this.#advance(size);
    return this.#buffer.subarray(at, at + size);
  }

  /** Goes past the next `size` bytes. */
  skip(size: number): void {
    this.#advance(size);
  }

  /** A varint length, then a view of so many bytes. */
  bytes(): Buffer {
    return this.raw(this.varint());
  }

  string(): string {
    return this.bytes().toString('utf8');
  }

  /** Throws unless everything was read. */
  end(): void {
    if (this.#position !== this.#end) throw new DecodeError(`${this.#end - this.#position} bytes left over`);
  }
}
