/**
 * Records off the JavaScript heap: slabs of equal-sized cells, in the manner of memcached's slab allocator (after
 * Bonwick, "The slab allocator", 1994), and buffers of their own for large records.
 *
 * A record is named by a reference, an unsigned 32-bit number: below 2^31 the slab's number (14 bits) and the cell's
 * place in it (17 bits, in units of 8 bytes); from 2^31 on the number of a large record. 0 names nothing.
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
 * Invariants:
 * - a slab holds cells of one size class only; a slab whose last cell is freed is given back;
 * - a large record is never changed in place, so what was handed out of it stays as it was.
 *
 * Departures from memcached: slabs of a class start small and grow up to 1 MiB, so that a small bucket stays small. A store
 * under a bound of memory grows in finer steps, and `compact` moves the records of a sparse slab to others of its class,
 * so that memory goes from one size of records to another.
 */
import { invariant, QuoinError } from '../../base/errors.js';
import { LIMITS } from '../../base/limits.js';

const RECORD_HEADER_BYTES = 24;
const HEADER_WORDS = RECORD_HEADER_BYTES / 4;
/** Where the owner's words are: behind the store's own. */
export const OWN_WORDS_AT = HEADER_WORDS;
const UNIT_BYTES = 8;
/** A slab's share of the reference space. */
const SLAB_BYTES = 1 << 20;
const UNIT_BITS = 17;
const UNIT_MASK = (1 << UNIT_BITS) - 1;
const MAX_SLABS = 1 << 14;
const FIRST_SLAB_BYTES = 4096;
/** In a store under a bound a new slab is this share of its class at most, so that little stands unused. */
const FINE_SLAB_SHARE = 1 / 32;
const LARGE = 2 ** 31;
/** Records above this size rest in buffers of their own. */
const MAX_SMALL_RECORD_BYTES = 8192;
/** Accounted for each slab or large record beside its bytes: the objects that hold it. */
const OBJECT_BYTES = 400;

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

/** Cell sizes in units: every multiple of 8 bytes up to 512, then steps of an eighth. */
const CLASS_UNITS: number[] = [];
const CLASS_OF_UNITS = new Uint8Array(MAX_SMALL_RECORD_BYTES / UNIT_BYTES + 1);
{
  for (let units = RECORD_HEADER_BYTES / UNIT_BYTES; units <= 64; units++) CLASS_UNITS.push(units);
  let units = 64;
  while (units < MAX_SMALL_RECORD_BYTES / UNIT_BYTES) {
    units = Math.min(units + Math.ceil(units / 8), MAX_SMALL_RECORD_BYTES / UNIT_BYTES);
    CLASS_UNITS.push(units);
  }
  let sizeClass = 0;
  for (let size = 0; size < CLASS_OF_UNITS.length; size++) {
    if (size > CLASS_UNITS[sizeClass]!) sizeClass++;
    CLASS_OF_UNITS[size] = sizeClass;
  }
}

interface Slab {
  readonly number: number;
  readonly sizeClass: number;
  readonly cellUnits: number;
  readonly bytes: Buffer;
  readonly words: Uint32Array;
  readonly cellLimit: number;
  /** Cells handed out at least once. */
  touched: number;
  live: number;
  /** First freed cell, as units + 1; 0 = none. A freed cell's first word is the next one. */
  freeHead: number;
  /** Place in its class's list of slabs with room; -1 when it is not in there, -2 while `compact` empties it. */
  roomIndex: number;
}

const NO_ROOM = -1;
const EMPTYING = -2;

interface SizeClass {
  /** Slabs with a free cell; the last one serves. */
  readonly room: Slab[];
  /** Bytes of all slabs of the class. */
  slabBytes: number;
  /** Cells of all its slabs, and those that hold a record. */
  cells: number;
  live: number;
}

/** Which slab `compact` empties, and how far it has come. */
interface Emptying {
  readonly slab: Slab;
  nextCell: number;
}

function newBytes(sizeBytes: number): Buffer {
  return Buffer.allocUnsafeSlow(sizeBytes);
}

function wordsOf(bytes: Buffer): Uint32Array {
  return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
}

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
  readonly #fine: boolean;
  #slabs: (Slab | undefined)[] = [];
  #freeSlabNumbers: number[] = [];
  #classes: (SizeClass | undefined)[] = new Array<SizeClass | undefined>(CLASS_UNITS.length).fill(undefined);
  #large: (Buffer | undefined)[] = [];
  #largeWords: (Uint32Array | undefined)[] = [];
  #freeLargeNumbers: number[] = [];
  #memoryBytes = 0;
  /** Bytes of cells without a record. */
  #freeBytes = 0;
  #emptying: Emptying | undefined;

  constructor(options: RecordStoreOptions = { ownWords: 0, fine: false }) {
    invariant(options.ownWords % 2 === 0, 'records are whole units');
    this.#headerWords = HEADER_WORDS + options.ownWords;
    this.#headerBytes = this.#headerWords * 4;
    this.#fine = options.fine;
  }

  /** Bytes of slabs and large records, live or not. */
  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  /** Of it, bytes that stand ready for new records. */
  get freeBytes(): number {
    return this.#freeBytes;
  }

  /** Bytes that a record with so many bytes of key and value takes. */
  recordBytes(dataBytes: number): number {
    const sizeBytes = this.#headerBytes + dataBytes;
    if (sizeBytes > MAX_SMALL_RECORD_BYTES) return ((sizeBytes + 7) & ~7) + OBJECT_BYTES;
    return CLASS_UNITS[CLASS_OF_UNITS[(sizeBytes + 7) >>> 3]!]! * UNIT_BYTES;
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
    let reference: number;
    if (sizeBytes > MAX_SMALL_RECORD_BYTES) {
      reference = this.#allocateLarge(sizeBytes);
    } else {
      reference = this.#allocateSmall(CLASS_OF_UNITS[(sizeBytes + 7) >>> 3]!);
    }
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
      if (sizeBytes <= MAX_SMALL_RECORD_BYTES) {
        const slab = this.#slabs[reference >>> UNIT_BITS]!;
        if (CLASS_OF_UNITS[(sizeBytes + 7) >>> 3] === slab.sizeClass) {
          this.#fill(reference, token, key, value, version, expiresAtMs, checksum, tombstone);
          return reference;
        }
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
    const bytes = newBytes((sizeBytes + 7) & ~7);
    const number = this.#freeLargeNumbers.pop() ?? this.#large.length;
    this.#large[number] = bytes;
    this.#largeWords[number] = wordsOf(bytes);
    this.#memoryBytes += bytes.length + OBJECT_BYTES;
    return LARGE + number;
  }

  #allocateSmall(classIndex: number): number {
    let sizeClass = this.#classes[classIndex];
    if (sizeClass === undefined) {
      sizeClass = { room: [], slabBytes: 0, cells: 0, live: 0 };
      this.#classes[classIndex] = sizeClass;
    }
    const room = sizeClass.room;
    const slab = room.length > 0 ? room[room.length - 1]! : this.#newSlab(classIndex, sizeClass);
    let unit: number;
    if (slab.freeHead !== 0) {
      unit = slab.freeHead - 1;
      slab.freeHead = slab.words[unit * 2]!;
    } else {
      // Unit 0 of slab 0 would be reference 0, which names nothing: cells of that slab start one unit later.
      unit = slab.touched * slab.cellUnits + (slab.number === 0 ? 1 : 0);
      slab.touched++;
    }
    slab.live++;
    sizeClass.live++;
    this.#freeBytes -= slab.cellUnits * UNIT_BYTES;
    if (slab.freeHead === 0 && slab.touched === slab.cellLimit) {
      room.pop();
      slab.roomIndex = NO_ROOM;
    }
    return ((slab.number << UNIT_BITS) | unit) >>> 0;
  }

  #newSlab(classIndex: number, sizeClass: SizeClass): Slab {
    const number = this.#freeSlabNumbers.pop() ?? this.#slabs.length;
    if (number >= MAX_SLABS) {
      this.#freeSlabNumbers.push(number);
      throw new QuoinError(
        'OVERLOADED',
        'this bucket holds 16 GiB of small records in memory on this node, the most it can',
      );
    }
    const cellUnits = CLASS_UNITS[classIndex]!;
    const cellBytes = cellUnits * UNIT_BYTES;
    const spareBytes = number === 0 ? UNIT_BYTES : 0;
    const growth = this.#fine ? FINE_SLAB_SHARE : 1;
    const wanted = Math.min(SLAB_BYTES, Math.max(FIRST_SLAB_BYTES, cellBytes, sizeClass.slabBytes * growth));
    const cellLimit = Math.max(1, Math.floor((wanted - spareBytes) / cellBytes));
    const bytes = newBytes(cellLimit * cellBytes + spareBytes);
    const slab: Slab = {
      number,
      sizeClass: classIndex,
      cellUnits,
      bytes,
      words: wordsOf(bytes),
      cellLimit,
      touched: 0,
      live: 0,
      freeHead: 0,
      roomIndex: sizeClass.room.length,
    };
    this.#slabs[number] = slab;
    sizeClass.room.push(slab);
    sizeClass.slabBytes += bytes.length;
    sizeClass.cells += cellLimit;
    this.#freeBytes += cellLimit * cellBytes;
    this.#memoryBytes += bytes.length + OBJECT_BYTES;
    return slab;
  }

  free(reference: number): void {
    if (reference >= LARGE) {
      const number = reference - LARGE;
      this.#memoryBytes -= this.#large[number]!.length + OBJECT_BYTES;
      this.#large[number] = undefined;
      this.#largeWords[number] = undefined;
      this.#freeLargeNumbers.push(number);
      return;
    }
    const slab = this.#slabs[reference >>> UNIT_BITS]!;
    const sizeClass = this.#classes[slab.sizeClass]!;
    const unit = reference & UNIT_MASK;
    invariant(slab.live > 0, 'a freed record was live');
    slab.live--;
    sizeClass.live--;
    this.#freeBytes += slab.cellUnits * UNIT_BYTES;
    if (slab.live === 0) {
      this.#giveBack(slab, sizeClass);
      return;
    }
    slab.words[unit * 2] = slab.freeHead;
    slab.freeHead = unit + 1;
    if (slab.roomIndex === NO_ROOM) {
      slab.roomIndex = sizeClass.room.length;
      sizeClass.room.push(slab);
    }
  }

  #giveBack(slab: Slab, sizeClass: SizeClass): void {
    this.#leaveRoom(slab, sizeClass);
    if (this.#emptying?.slab === slab) this.#emptying = undefined;
    this.#slabs[slab.number] = undefined;
    this.#freeSlabNumbers.push(slab.number);
    sizeClass.slabBytes -= slab.bytes.length;
    sizeClass.cells -= slab.cellLimit;
    this.#freeBytes -= slab.cellLimit * slab.cellUnits * UNIT_BYTES;
    this.#memoryBytes -= slab.bytes.length + OBJECT_BYTES;
  }

  #leaveRoom(slab: Slab, sizeClass: SizeClass): void {
    if (slab.roomIndex < 0) return;
    const last = sizeClass.room.pop()!;
    if (last === slab) return;
    sizeClass.room[slab.roomIndex] = last;
    last.roomIndex = slab.roomIndex;
  }

  /**
   * Moves up to `maxRecords` records out of sparse slabs into others of their class, which gives the slabs back; `moved` is
   * told of each while both copies stand. Returns how many were moved: 0 when no slab's records fit into the rest of its
   * class.
   */
  compact(maxRecords: number, moved: (from: number, to: number) => void): number {
    let left = maxRecords;
    while (left > 0) {
      this.#emptying ??= this.#chooseSparse();
      if (this.#emptying === undefined) break;
      left = this.#empty(this.#emptying, left, moved);
    }
    return maxRecords - left;
  }

  /** The slab with the most unused bytes among those whose records fit elsewhere. */
  #chooseSparse(): Emptying | undefined {
    let best: Slab | undefined;
    let bestFree = 0;
    for (const slab of this.#slabs) {
      if (slab === undefined) continue;
      const { cells, live } = this.#classes[slab.sizeClass]!;
      const freeCells = slab.cellLimit - slab.live;
      const freeBytes = freeCells * slab.cellUnits;
      if (freeBytes > bestFree && cells - live - freeCells >= slab.live) {
        best = slab;
        bestFree = freeBytes;
      }
    }
    if (best === undefined) return undefined;
    this.#leaveRoom(best, this.#classes[best.sizeClass]!);
    best.roomIndex = EMPTYING;
    return { slab: best, nextCell: 0 };
  }

  /** Moves records out of a slab until it is given back, the others are full, or `left` are moved; returns what is left. */
  #empty(emptying: Emptying, left: number, moved: (from: number, to: number) => void): number {
    const { slab } = emptying;
    const { room } = this.#classes[slab.sizeClass]!;
    const isFree = new Uint8Array(slab.touched);
    const first = slab.number === 0 ? 1 : 0;
    for (let next = slab.freeHead; next !== 0; next = slab.words[(next - 1) * 2]!)
      isFree[(next - 1 - first) / slab.cellUnits] = 1;
    for (; emptying.nextCell < slab.touched && left > 0; emptying.nextCell++) {
      if (isFree[emptying.nextCell] === 1) continue;
      if (room.length === 0) {
        // The others have filled up in the meantime: this one serves again.
        this.#emptying = undefined;
        slab.roomIndex = room.length;
        room.push(slab);
        return left;
      }
      const unit = emptying.nextCell * slab.cellUnits + first;
      const from = ((slab.number << UNIT_BITS) | unit) >>> 0;
      const to = this.#allocateSmall(slab.sizeClass);
      const words = slab.cellUnits * 2;
      this.wordsOf(to).set(slab.words.subarray(unit * 2, unit * 2 + words), wordIndex(to));
      moved(from, to);
      this.free(from);
      left--;
    }
    invariant(left === 0 || this.#emptying === undefined, 'a slab without records is given back');
    return left;
  }

  /** Frees everything. */
  clear(): void {
    this.#slabs = [];
    this.#freeSlabNumbers = [];
    this.#classes = new Array<SizeClass | undefined>(CLASS_UNITS.length).fill(undefined);
    this.#large = [];
    this.#largeWords = [];
    this.#freeLargeNumbers = [];
    this.#memoryBytes = 0;
    this.#freeBytes = 0;
    this.#emptying = undefined;
  }

  #bytesOf(reference: number): Buffer {
    return reference < LARGE ? this.#slabs[reference >>> UNIT_BITS]!.bytes : this.#large[reference - LARGE]!;
  }

  /** The words of the slab or buffer that a record is in; its first is at `wordIndex(reference)`. Valid until it is freed. */
  wordsOf(reference: number): Uint32Array {
    return reference < LARGE
      ? this.#slabs[reference >>> UNIT_BITS]!.words
      : this.#largeWords[reference - LARGE]!;
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
  return reference < LARGE ? (reference & UNIT_MASK) << 1 : 0;
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
