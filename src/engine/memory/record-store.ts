/**
 * Records off the JavaScript heap: how key, value, version and expiry lie in memory. Small ones rest in cells
 * (`slab-allocator.ts`), large ones in buffers of their own.
 *
 * A record is named by a reference, an unsigned 32-bit number: below 2^31 a cell's, from 2^31 on the number of a large record.
 * 0 names nothing.
 *
 * Layout of a record: six 32-bit words, then those that the owner asked for (see `access-order.ts`), then the key, then
 * the value.
 *
 *     word 0   version, low 32 bits
 *     word 1   version, high 21 bits | bit 52 of the expiry | bit 16 of the key's length | low 9 bits of the token
 *     word 2   expiry, low 32 bits
 *     word 3   bits 32 to 47 of the expiry | the key's length, low 16 bits
 *     word 4   the value's length, 28 bits; all ones: a tombstone | bits 48 to 51 of the expiry
 *     word 5   checksum of key and value
 *
 * Invariant: a large record is never changed in place, so what was handed out of it stays as it was.
 */
import { invariant } from '../../base/errors.js';
import { LIMITS } from '../../base/limits.js';
import {
  cellBytesFor,
  cellWordIndex,
  MAX_CELL_BYTES,
  OBJECT_BYTES,
  SlabAllocator,
} from './slab-allocator.js';

const RECORD_HEADER_BYTES = 24;
const HEADER_WORDS = RECORD_HEADER_BYTES / 4;
/** Where the owner's words are: behind the store's own. */
export const OWN_WORDS_AT = HEADER_WORDS;
const LARGE = 2 ** 31;
/** In the word of the value's length: more than any value has. */
const TOMBSTONE_LENGTH = 2 ** 28 - 1;
invariant(LIMITS.maxValueBytes < TOMBSTONE_LENGTH, 'the length of every value fits its 28 bits');
invariant(LIMITS.maxKeyBytes <= 0x10000, 'the length of every key fits its 17 bits');
const EXPIRY_TOP_BIT = 21;
const KEY_LENGTH_BIT = 1 << 22;
const VERSION_HIGH_MASK = (1 << 21) - 1;
const TOKEN_SHIFT = 23;
const TWO_TO_32 = 2 ** 32;
const HIGH_WORD = 2 ** -32;

/** Up to so many bytes a loop copies faster than a call. */
const COPY_LOOP_BYTES = 24;

/** Handed out for every empty key and value: there is nothing in it to change. */
const EMPTY = Buffer.alloc(0);

export interface RecordStoreOptions {
  /** 32-bit words of the owner in each record, an even number. */
  readonly ownWords: number;
  /** Under a bound of memory: slabs grow in fine steps. */
  readonly fine: boolean;
}

export class RecordStore {
  readonly #headerWords: number;
  readonly #headerBytes: number;
  readonly #cells: SlabAllocator;
  #large: (Buffer | undefined)[] = [];
  #largeWords: (Uint32Array | undefined)[] = [];
  #freeLargeNumbers: number[] = [];
  #largeBytes = 0;

  constructor(options: RecordStoreOptions = { ownWords: 0, fine: false }) {
    invariant(options.ownWords % 2 === 0, 'records are whole units');
    this.#headerWords = HEADER_WORDS + options.ownWords;
    this.#headerBytes = this.#headerWords * 4;
    this.#cells = new SlabAllocator(options.fine);
  }

  /** Bytes of slabs and large records, live or not. */
  get memoryBytes(): number {
    return this.#cells.memoryBytes + this.#largeBytes;
  }

  /** Of it, bytes that stand ready for new records. */
  get freeBytes(): number {
    return this.#cells.freeBytes;
  }

  /** Bytes that a record with so many bytes of key and value takes. */
  recordBytes(dataBytes: number): number {
    const sizeBytes = this.#headerBytes + dataBytes;
    if (sizeBytes > MAX_CELL_BYTES) return ((sizeBytes + 7) & ~7) + OBJECT_BYTES;
    return cellBytesFor(sizeBytes);
  }

  /** Stores a new record and returns its reference. Key and value are copied. */
  allocate(
    token: number,
    key: Uint8Array,
    value: Uint8Array,
    version: number,
    expiresAtMs: number,
    checksum: number,
    tombstone: boolean,
  ): number {
    const sizeBytes = this.#headerBytes + key.length + value.length;
    const reference =
      sizeBytes > MAX_CELL_BYTES ? this.#allocateLarge(sizeBytes) : this.#cells.allocate(sizeBytes);
    this.#fill(reference, token, key, value, version, expiresAtMs, checksum, tombstone);
    return reference;
  }

  /** Replaces a record of the same token and key, in place when it fits its cell exactly; returns its reference. */
  replace(
    reference: number,
    token: number,
    key: Uint8Array,
    value: Uint8Array,
    version: number,
    expiresAtMs: number,
    checksum: number,
    tombstone: boolean,
  ): number {
    if (reference < LARGE) {
      const sizeBytes = this.#headerBytes + key.length + value.length;
      if (sizeBytes <= MAX_CELL_BYTES && this.#cells.fits(reference, sizeBytes)) {
        this.#fill(reference, token, key, value, version, expiresAtMs, checksum, tombstone);
        return reference;
      }
    }
    const fresh = this.allocate(token, key, value, version, expiresAtMs, checksum, tombstone);
    this.#copyOwnWords(reference, fresh);
    this.free(reference);
    return fresh;
  }

  #copyOwnWords(from: number, to: number): void {
    if (this.#headerWords === HEADER_WORDS) return;
    const source = this.wordsOf(from);
    const target = this.wordsOf(to);
    const sourceWord = wordIndex(from);
    const targetWord = wordIndex(to);
    for (let i = HEADER_WORDS; i < this.#headerWords; i++) target[targetWord + i] = source[sourceWord + i]!;
  }

  #fill(
    reference: number,
    token: number,
    key: Uint8Array,
    value: Uint8Array,
    version: number,
    expiresAtMs: number,
    checksum: number,
    tombstone: boolean,
  ): void {
    const bytes = this.#bytesOf(reference);
    const words = this.wordsOf(reference);
    const word = wordIndex(reference);
    const keyLength = key.length;
    const valueLength = value.length;
    const expiryHigh = Math.floor(expiresAtMs * HIGH_WORD);
    words[word] = version >>> 0;
    words[word + 1] =
      Math.floor(version * HIGH_WORD) |
      ((expiryHigh >>> 20) << EXPIRY_TOP_BIT) |
      (keyLength & 0x10000 ? KEY_LENGTH_BIT : 0) |
      ((token >>> 0) << TOKEN_SHIFT);
    words[word + 2] = expiresAtMs >>> 0;
    words[word + 3] = (expiryHigh & 0xffff) | ((keyLength & 0xffff) << 16);
    words[word + 4] = (tombstone ? TOMBSTONE_LENGTH : valueLength) | ((expiryHigh >>> 16) << 28);
    words[word + 5] = checksum;
    const keyAt = (word + this.#headerWords) << 2;
    if (keyLength <= COPY_LOOP_BYTES) for (let i = 0; i < keyLength; i++) bytes[keyAt + i] = key[i]!;
    else bytes.set(key, keyAt);
    if (valueLength > 0) bytes.set(value, keyAt + keyLength);
  }

  #allocateLarge(sizeBytes: number): number {
    const bytes = Buffer.allocUnsafeSlow((sizeBytes + 7) & ~7);
    const number = this.#freeLargeNumbers.pop() ?? this.#large.length;
    this.#large[number] = bytes;
    this.#largeWords[number] = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
    this.#largeBytes += bytes.length + OBJECT_BYTES;
    return LARGE + number;
  }

  free(reference: number): void {
    if (reference < LARGE) {
      this.#cells.free(reference);
      return;
    }
    const number = reference - LARGE;
    this.#largeBytes -= this.#large[number]!.length + OBJECT_BYTES;
    this.#large[number] = undefined;
    this.#largeWords[number] = undefined;
    this.#freeLargeNumbers.push(number);
  }

  /**
   * Moves up to `maxRecords` records out of sparse slabs into others of their class, which gives the slabs back; `moved` is
   * told of each while both copies stand. Returns how many were moved: 0 when there is nothing to gain.
   */
  compact(maxRecords: number, moved: (from: number, to: number) => void): number {
    return this.#cells.compact(maxRecords, moved);
  }

  /** Frees everything. */
  clear(): void {
    this.#cells.clear();
    this.#large = [];
    this.#largeWords = [];
    this.#freeLargeNumbers = [];
    this.#largeBytes = 0;
  }

  #bytesOf(reference: number): Buffer {
    return reference < LARGE ? this.#cells.bytesOf(reference) : this.#large[reference - LARGE]!;
  }

  /** The words of the slab or buffer that a record is in; its first is at `wordIndex(reference)`. Valid until it is freed. */
  wordsOf(reference: number): Uint32Array {
    return reference < LARGE ? this.#cells.wordsOf(reference) : this.#largeWords[reference - LARGE]!;
  }

  /** The low nine bits of the token, as given when the record was stored. */
  tokenBits(reference: number): number {
    return this.wordsOf(reference)[wordIndex(reference) + 1]! >>> TOKEN_SHIFT;
  }

  isTombstone(reference: number): boolean {
    return (this.wordsOf(reference)[wordIndex(reference) + 4]! & TOMBSTONE_LENGTH) === TOMBSTONE_LENGTH;
  }

  version(reference: number): number {
    const words = this.wordsOf(reference);
    const word = wordIndex(reference);
    return (words[word + 1]! & VERSION_HIGH_MASK) * TWO_TO_32 + words[word]!;
  }

  expiresAtMs(reference: number): number {
    const words = this.wordsOf(reference);
    const word = wordIndex(reference);
    const high =
      (words[word + 3]! & 0xffff) |
      ((words[word + 4]! >>> 28) << 16) |
      (((words[word + 1]! >>> EXPIRY_TOP_BIT) & 1) << 20);
    return high * TWO_TO_32 + words[word + 2]!;
  }

  checksum(reference: number): number {
    return this.wordsOf(reference)[wordIndex(reference) + 5]!;
  }

  keyBytes(reference: number): number {
    return keyLengthAt(this.wordsOf(reference), wordIndex(reference));
  }

  valueBytes(reference: number): number {
    return valueLengthAt(this.wordsOf(reference), wordIndex(reference));
  }

  /** A copy of the key. */
  key(reference: number): Buffer {
    const word = wordIndex(reference);
    const start = (word + this.#headerWords) << 2;
    return copyOut(this.#bytesOf(reference), start, keyLengthAt(this.wordsOf(reference), word));
  }

  /** The value: a copy, or a view of a large record, which never changes. */
  value(reference: number): Buffer {
    const words = this.wordsOf(reference);
    const word = wordIndex(reference);
    const start = ((word + this.#headerWords) << 2) + keyLengthAt(words, word);
    const length = valueLengthAt(words, word);
    const bytes = this.#bytesOf(reference);
    return reference < LARGE ? copyOut(bytes, start, length) : bytes.subarray(start, start + length);
  }

  /**
   * Compares a record with a token and key of the same high token bits: by the token's low bits, then by the key's
   * bytes. Negative when the record comes first.
   */
  compare(reference: number, token: number, key: Uint8Array): number {
    const words = this.wordsOf(reference);
    const word = wordIndex(reference);
    const tokenOrder = (words[word + 1]! >>> TOKEN_SHIFT) - ((token >>> 0) & 0x1ff);
    if (tokenOrder !== 0) return tokenOrder;
    const length = keyLengthAt(words, word);
    const bytes = this.#bytesOf(reference);
    const start = (word + this.#headerWords) << 2;
    const common = Math.min(length, key.length);
    for (let i = 0; i < common; i++) {
      const order = bytes[start + i]! - key[i]!;
      if (order !== 0) return order;
    }
    return length - key.length;
  }
}

/** Place of a record's first word in its slab or buffer. */
export function wordIndex(reference: number): number {
  return reference < LARGE ? cellWordIndex(reference) : 0;
}

function keyLengthAt(words: Uint32Array, word: number): number {
  return (words[word + 3]! >>> 16) | ((words[word + 1]! & KEY_LENGTH_BIT) >>> 6);
}

function valueLengthAt(words: Uint32Array, word: number): number {
  const length = words[word + 4]! & TOMBSTONE_LENGTH;
  return length === TOMBSTONE_LENGTH ? 0 : length;
}

function copyOut(bytes: Buffer, start: number, length: number): Buffer {
  if (length === 0) return EMPTY;
  const copy = Buffer.allocUnsafe(length);
  if (length <= COPY_LOOP_BYTES) for (let i = 0; i < length; i++) copy[i] = bytes[start + i]!;
  else copy.set(bytes.subarray(start, start + length));
  return copy;
}
