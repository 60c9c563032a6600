/**
 * Cells of equal size in slabs, in the manner of memcached's slab allocator (after Bonwick, "The slab allocator", 1994): where
 * small records rest off the JavaScript heap. What is in a cell is the owner's; a free one's first word belongs to the allocator.
 *
 * A cell is named by a reference, an unsigned number below 2^31: the slab's number (14 bits) and the cell's place in it (17
 * bits, in units of 8 bytes). 0 names nothing.
 *
 * Invariants:
 * - a slab holds cells of one size class only; a slab whose last cell is freed is given back;
 * - a slab stands in its class's list of slabs with room exactly when it has a free cell, but for the one that `compact` empties.
 *
 * Departures from memcached: slabs of a class start small and grow up to 1 MiB, so that a small bucket stays small. Under a
 * bound of memory they grow in finer steps, and `compact` moves the cells of a sparse slab to others of its class, so that
 * memory goes from one size of records to another.
 */
import { invariant, QuoinError } from '../../base/errors.js';

const UNIT_BYTES = 8;
/** A slab's share of the reference space. */
const SLAB_BYTES = 1 << 20;
const UNIT_BITS = 17;
const UNIT_MASK = (1 << UNIT_BITS) - 1;
const MAX_SLABS = 1 << 14;
const FIRST_SLAB_BYTES = 4096;
/** In a store under a bound a new slab is this share of its class at most, so that little stands unused. */
const FINE_SLAB_SHARE = 1 / 32;
/** The smallest cell. */
const MIN_CELL_BYTES = 24;
/** The largest: what is larger rests elsewhere. */
export const MAX_CELL_BYTES = 8192;
/** Accounted for each slab beside its bytes: the objects that hold it. */
export const OBJECT_BYTES = 400;

/** Cell sizes in units: every multiple of 8 bytes up to 512, then steps of an eighth. */
const CLASS_UNITS: number[] = [];
const CLASS_OF_UNITS = new Uint8Array(MAX_CELL_BYTES / UNIT_BYTES + 1);
{
  for (let units = MIN_CELL_BYTES / UNIT_BYTES; units <= 64; units++) CLASS_UNITS.push(units);
  let units = 64;
  while (units < MAX_CELL_BYTES / UNIT_BYTES) {
    units = Math.min(units + Math.ceil(units / 8), MAX_CELL_BYTES / UNIT_BYTES);
    CLASS_UNITS.push(units);
  }
  let sizeClass = 0;
  for (let size = 0; size < CLASS_OF_UNITS.length; size++) {
    if (size > CLASS_UNITS[sizeClass]!) sizeClass++;
    CLASS_OF_UNITS[size] = sizeClass;
  }
}

/** The class of the smallest cells that hold so many bytes. */
function classOfBytes(sizeBytes: number): number {
  return CLASS_OF_UNITS[(sizeBytes + 7) >>> 3]!;
}

/** Size of the cell that so many bytes, at most `MAX_CELL_BYTES`, are given. */
export function cellBytesFor(sizeBytes: number): number {
  return CLASS_UNITS[classOfBytes(sizeBytes)]! * UNIT_BYTES;
}

/** Place of a cell's first word in its slab. */
export function cellWordIndex(reference: number): number {
  return (reference & UNIT_MASK) << 1;
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

export class SlabAllocator {
  readonly #fine: boolean;
  #slabs: (Slab | undefined)[] = [];
  #freeSlabNumbers: number[] = [];
  #classes: (SizeClass | undefined)[] = new Array<SizeClass | undefined>(CLASS_UNITS.length).fill(undefined);
  #memoryBytes = 0;
  /** Bytes of cells not in use. */
  #freeBytes = 0;
  #emptying: Emptying | undefined;

  /** `fine`: slabs grow in fine steps. */
  constructor(fine: boolean) {
    this.#fine = fine;
  }

  /** Bytes of all slabs, in use or not. */
  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  /** Of it, bytes of cells not in use. */
  get freeBytes(): number {
    return this.#freeBytes;
  }

  bytesOf(reference: number): Buffer {
    return this.#slabs[reference >>> UNIT_BITS]!.bytes;
  }

  /** The words of the slab that a cell is in; its first is at `cellWordIndex(reference)`. Valid until it is freed. */
  wordsOf(reference: number): Uint32Array {
    return this.#slabs[reference >>> UNIT_BITS]!.words;
  }

  /** Would so many bytes get a cell of the same size as this one? */
  fits(reference: number, sizeBytes: number): boolean {
    return classOfBytes(sizeBytes) === this.#slabs[reference >>> UNIT_BITS]!.sizeClass;
  }

  /** A cell for so many bytes, at most `MAX_CELL_BYTES`. */
  allocate(sizeBytes: number): number {
    return this.#allocateIn(classOfBytes(sizeBytes));
  }

  #allocateIn(classIndex: number): number {
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
    const bytes = Buffer.allocUnsafeSlow(cellLimit * cellBytes + spareBytes);
    const slab: Slab = {
      number,
      sizeClass: classIndex,
      cellUnits,
      bytes,
      words: new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2),
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
    const slab = this.#slabs[reference >>> UNIT_BITS]!;
    const sizeClass = this.#classes[slab.sizeClass]!;
    const unit = reference & UNIT_MASK;
    invariant(slab.live > 0, 'a freed cell was in use');
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
   * Moves up to `maxCells` cells out of sparse slabs into others of their class, which gives the slabs back; `moved` is
   * told of each while both copies stand. Returns how many were moved: 0 when no slab's cells fit into the rest of its
   * class.
   */
  compact(maxCells: number, moved: (from: number, to: number) => void): number {
    let left = maxCells;
    while (left > 0) {
      this.#emptying ??= this.#chooseSparse();
      if (this.#emptying === undefined) break;
      left = this.#empty(this.#emptying, left, moved);
    }
    return maxCells - left;
  }

  /** The slab with the most unused bytes among those whose cells fit elsewhere. */
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

  /** Moves cells out of a slab until it is given back, the others are full, or `left` are moved; returns what is left. */
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
      const to = this.#allocateIn(slab.sizeClass);
      const words = slab.cellUnits * 2;
      this.wordsOf(to).set(slab.words.subarray(unit * 2, unit * 2 + words), cellWordIndex(to));
      moved(from, to);
      this.free(from);
      left--;
    }
    invariant(left === 0 || this.#emptying === undefined, 'a slab without cells in use is given back');
    return left;
  }

  /** Frees everything. */
  clear(): void {
    this.#slabs = [];
    this.#freeSlabNumbers = [];
    this.#classes = new Array<SizeClass | undefined>(CLASS_UNITS.length).fill(undefined);
    this.#memoryBytes = 0;
    this.#freeBytes = 0;
    this.#emptying = undefined;
  }
}
