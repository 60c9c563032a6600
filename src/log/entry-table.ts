/**
 * Where one group's entries are: for each retained index its term, its place on disk and, while the cache has room, the
 * entry itself. Chunks of typed arrays, so an entry costs some 30 bytes beside its cached payload and every look-up is
 * O(1).
 *
 * Invariants: the retained indexes are `base` + 1 to `last`, without gaps; places never go back as the index grows; the
 * cached entries are a suffix (`cachedFrom` to `last`), because followers that keep up read the newest and those that do
 * not read on towards it. An entry that has not been written to disk yet is never evicted.
 */
import { invariant } from '../base/errors.js';
import type { LogEntry } from '../protocol/raft/types.js';

const CHUNK_ENTRIES = 256;
/** What a cached entry's objects cost beside its payload, so that empty payloads count too. */
const CACHED_ENTRY_BYTES = 128;

class Chunk {
  readonly terms = new Float64Array(CHUNK_ENTRIES);
  readonly segments = new Uint32Array(CHUNK_ENTRIES);
  readonly offsets = new Uint32Array(CHUNK_ENTRIES);
  readonly payloadBytes = new Uint32Array(CHUNK_ENTRIES);
  readonly cached: (LogEntry | undefined)[] = [];
}

/** Bytes cached by all groups together. */
export interface CacheUse {
  bytes: number;
}

/** A position in the log: what lies before it has been written. */
export interface LogPosition {
  readonly segment: number;
  readonly offset: number;
}

export class EntryTable {
  readonly #use: CacheUse;
  /** Chunk k holds the indexes from (k + #firstChunk) * CHUNK_ENTRIES on. */
  #chunks: Chunk[] = [];
  #firstChunk = 0;
  #base = 0;
  #baseTerm = 0;
  #last = 0;
  #cachedFrom = 1;
  #cachedBytes = 0;
  #retainedBytes = 0;

  constructor(use: CacheUse) {
    this.#use = use;
  }

  /** Index before the first retained one. */
  get base(): number {
    return this.#base;
  }
  get baseTerm(): number {
    return this.#baseTerm;
  }
  get last(): number {
    return this.#last;
  }
  get isEmpty(): boolean {
    return this.#last === this.#base;
  }
  get cachedBytes(): number {
    return this.#cachedBytes;
  }
  /** Payload of all retained entries. */
  get retainedBytes(): number {
    return this.#retainedBytes;
  }

  /** Starts anew: nothing retained, the next index is `base` + 1. */
  reset(base: number, baseTerm: number): void {
    this.#use.bytes -= this.#cachedBytes;
    this.#cachedBytes = 0;
    this.#retainedBytes = 0;
    this.#chunks = [];
    this.#base = base;
    this.#baseTerm = baseTerm;
    this.#last = base;
    this.#cachedFrom = base + 1;
  }

  /** Adds index `last` + 1 and returns that index. Without `entry` it is on disk only. */
  push(term: number, payloadBytes: number, segment: number, offset: number, entry?: LogEntry): number {
    const index = this.#last + 1;
    const chunkNumber = Math.floor(index / CHUNK_ENTRIES);
    if (this.#chunks.length === 0) this.#firstChunk = chunkNumber;
    if (chunkNumber - this.#firstChunk === this.#chunks.length) this.#chunks.push(new Chunk());
    const chunk = this.#chunks[chunkNumber - this.#firstChunk]!;
    const slot = index % CHUNK_ENTRIES;
    chunk.terms[slot] = term;
    chunk.segments[slot] = segment;
    chunk.offsets[slot] = offset;
    chunk.payloadBytes[slot] = payloadBytes;
    chunk.cached[slot] = entry;
    this.#last = index;
    this.#retainedBytes += payloadBytes;
    if (entry === undefined) {
      invariant(this.#cachedFrom === index, 'entries known from disk only come before cached ones');
      this.#cachedFrom = index + 1;
    } else {
      this.#cachedBytes += payloadBytes + CACHED_ENTRY_BYTES;
      this.#use.bytes += payloadBytes + CACHED_ENTRY_BYTES;
    }
    return index;
  }

  /** Forgets `index` and all after it. */
  cutFrom(index: number): void {
    invariant(index > this.#base && index <= this.#last + 1, 'a cut is within the retained entries');
    for (let at = this.#last; at >= index; at--) this.#release(at);
    this.#last = index - 1;
    if (this.#cachedFrom > index) this.#cachedFrom = index;
    const keep = this.isEmpty ? 0 : Math.floor(this.#last / CHUNK_ENTRIES) - this.#firstChunk + 1;
    this.#chunks.length = Math.min(this.#chunks.length, keep);
  }

  /** Forgets `index` and all before it, remembering its term. */
  dropThrough(index: number): void {
    invariant(index > this.#base && index <= this.#last, 'what is dropped is within the retained entries');
    const term = this.term(index);
    for (let at = this.#base + 1; at <= index; at++) this.#release(at);
    this.#base = index;
    this.#baseTerm = term;
    if (this.#cachedFrom <= index) this.#cachedFrom = index + 1;
    const gone = this.isEmpty
      ? this.#chunks.length
      : Math.floor((index + 1) / CHUNK_ENTRIES) - this.#firstChunk;
    if (gone > 0) {
      this.#chunks.splice(0, gone);
      this.#firstChunk += gone;
    }
  }

  /** Tells the term of the base where only its index was known. */
  setBaseTerm(term: number): void {
    this.#baseTerm = term;
  }

  /** -1 when the index is neither retained nor the base. */
  term(index: number): number {
    if (index === this.#base) return this.#baseTerm;
    if (index < this.#base || index > this.#last) return -1;
    return this.#chunk(index).terms[index % CHUNK_ENTRIES]!;
  }

  segment(index: number): number {
    return this.#chunk(index).segments[index % CHUNK_ENTRIES]!;
  }

  offset(index: number): number {
    return this.#chunk(index).offsets[index % CHUNK_ENTRIES]!;
  }

  payloadBytes(index: number): number {
    return this.#chunk(index).payloadBytes[index % CHUNK_ENTRIES]!;
  }

  cached(index: number): LogEntry | undefined {
    return this.#chunk(index).cached[index % CHUNK_ENTRIES];
  }

  /** The entry has been written again, at a later place. */
  relocate(index: number, segment: number, offset: number): void {
    const chunk = this.#chunk(index);
    chunk.segments[index % CHUNK_ENTRIES] = segment;
    chunk.offsets[index % CHUNK_ENTRIES] = offset;
  }

  /** Evicts the oldest cached entries that lie before `written` until `bytes` are freed; tells how many were. */
  evict(bytes: number, written: LogPosition): number {
    let freed = 0;
    while (freed < bytes && this.#cachedFrom <= this.#last) {
      const index = this.#cachedFrom;
      const segment = this.segment(index);
      if (segment > written.segment || (segment === written.segment && this.offset(index) >= written.offset))
        break;
      this.#chunk(index).cached[index % CHUNK_ENTRIES] = undefined;
      this.#cachedFrom++;
      freed += this.payloadBytes(index) + CACHED_ENTRY_BYTES;
    }
    this.#cachedBytes -= freed;
    this.#use.bytes -= freed;
    return freed;
  }

  #chunk(index: number): Chunk {
    invariant(index > this.#base && index <= this.#last, 'only retained entries are looked at');
    return this.#chunks[Math.floor(index / CHUNK_ENTRIES) - this.#firstChunk]!;
  }

  #release(index: number): void {
    const chunk = this.#chunk(index);
    const slot = index % CHUNK_ENTRIES;
    const size = chunk.payloadBytes[slot]!;
    this.#retainedBytes -= size;
    if (index < this.#cachedFrom) return;
    chunk.cached[slot] = undefined;
    this.#cachedBytes -= size + CACHED_ENTRY_BYTES;
    this.#use.bytes -= size + CACHED_ENTRY_BYTES;
  }
}
