/**
 * The contract of storage engines: where the bytes of one bucket rest on one node. Exported conformance suite:
 * `test/engine/conformance.ts`.
 *
 * Invariants:
 * - iteration is by token, so a slot is one contiguous range and a token is a resumable cursor;
 * - reads see every earlier write at once, whether it rests in memory, in a ledger or on disk;
 * - the digest of a slot depends only on the set of (key, value, version, expiry) it holds, not on how they came there;
 * - buffers returned are the caller's: later writes do not change them. Buffers passed in are copied before return.
 */

export type EngineKind = 'memory' | 'lmdb' | 'level';

/** What is stored under a key. */
export interface EngineRecord {
  readonly value: Buffer;
  /** When it was written, in the order of the group's log (or a hybrid timestamp in quorum buckets). At most 2^53 - 1. */
  readonly version: number;
  /** Wall-clock milliseconds since 1970; 0 = never. At most 2^53 - 1. */
  readonly expiresAtMs: number;
}

/** `expiresAtMs` of a record that stands for a deleted key, in buckets whose records merge by version. */
export const DELETED_EXPIRY_MS = 1;

/** What a slot's statistics, and a merge, need to know of a stored record. */
export interface RecordSummary {
  /** What the record adds to its slot's digest. */
  readonly digest: number;
  /** Bytes of key and value. */
  readonly dataBytes: number;
  readonly version: number;
  readonly expiresAtMs: number;
  /** CRC-32 of key and value. */
  readonly checksum: number;
}

/** What became of a merge; `equal` and `older` change nothing. */
export type EngineMergeResult = 'applied' | 'equal' | 'older';

/** What a range of tokens holds: the sum of its records' digests modulo 2^32, and their number. */
export interface RangeDigest {
  readonly digest: number;
  readonly count: number;
}

/** Return false to stop the scan; the token at which it stopped is not consumed. */
export type ScanVisitor = (token: number, key: Buffer, record: EngineRecord) => boolean;

/** The same for a scan without values; `digest` is what the record adds to its slot's digest. */
export type VersionVisitor = (
  token: number,
  key: Buffer,
  version: number,
  expiresAtMs: number,
  digest: number,
) => boolean;

export interface Engine {
  readonly kind: EngineKind;
  get(token: number, key: Buffer): EngineRecord | undefined;
  /** Inserts or replaces. */
  put(token: number, key: Buffer, value: Buffer, version: number, expiresAtMs: number): void;
  /**
   * Puts the record when it is newer than what is stored, so that engines which have seen the same records are equal, in
   * whatever order and however often they saw them. Of two records of equal version one with `DELETED_EXPIRY_MS` wins
   * over one without; then the greater checksum wins (of key and value), then the later expiry. All versions are
   * above 0. After the call `previousVersion` and `previousExpiresAtMs` tell what was stored before it.
   */
  merge(token: number, key: Buffer, value: Buffer, version: number, expiresAtMs: number): EngineMergeResult;
  /** Of the last merge: the version that was stored before it, 0 when none. */
  readonly previousVersion: number;
  /** Of the last merge: the expiry that was stored before it, 0 when none. */
  readonly previousExpiresAtMs: number;
  /** The stored version of a key, without a look at its value; 0 when there is none. */
  versionOf(token: number, key: Buffer): number;
  /** False when there was nothing. */
  remove(token: number, key: Buffer): boolean;
  /**
   * Visits entries in token order from `fromToken` (inclusive) to `toToken` (exclusive); keys of equal token are visited
   * in the order of their bytes. The visitor must not write to the engine.
   */
  scan(fromToken: number, toToken: number, visitor: ScanVisitor): void;
  /** The same without values. */
  scanVersions(fromToken: number, toToken: number, visitor: VersionVisitor): void;
  /** Digest and number of what lies from `fromToken` (inclusive) to `toToken` (exclusive), by a walk without values. */
  digestOfRange(fromToken: number, toToken: number): RangeDigest;
  /** Keys stored (expired and not yet removed ones count). */
  keyCount(): number;
  keyCountInSlot(slot: number): number;
  /** Incrementally kept 32-bit digest of a slot; 0 when it is empty. */
  digestOfSlot(slot: number): number;
  clearSlot(slot: number): void;
  clear(): void;
  /** Bytes of memory this engine holds (slabs, index, ledger). */
  memoryBytes(): number;
  /** Bytes of keys and values stored. */
  dataBytes(): number;
  /** Who was used when and how often; in engines that hold all records in memory. */
  readonly access?: AccessTracker;
}

/** Which keys an evicting bucket gives up: the longest unused, or the least often used. */
export type AccessPolicy = 'lru' | 'lfu';

/** A record in its place in the order of access. Return false to stop. The visitor must not write to the engine. */
export type AccessVisitor = (
  key: Buffer,
  version: number,
  expiresAtMs: number,
  idleMs: number,
  /** Bytes of key and value. */
  dataBytes: number,
) => boolean;

/**
 * The order in which a memory engine's records were last used, and how often they were (paper 004, "Auto Clean-Up"). It is
 * kept from the call of `track` on; before that it costs nothing. It is this process's own: a record that was loaded from
 * disk counts as used when the first reading of the clock was given.
 */
export interface AccessTracker {
  readonly tracking: boolean;
  /**
   * Begins to keep the order; what is stored counts as used now. Takes time in proportion to the number of keys. Harmless
   * when the order is kept already.
   */
  track(): void;
  /** The reading of a monotonic clock that uses from here on are stamped with. Set it once per batch; it never goes back. */
  timeMs: number;
  /** Gives these slots an order of their own, by this number. Slots that were never named are in order 0. */
  separate(order: number, slots: Iterable<number>): void;
  /** Keys in an order, and in all orders. */
  countOf(order: number): number;
  readonly count: number;
  /**
   * A read has used this key (a write counts by itself); false when there is none. Its count of uses is then at least
   * `leastFrequency`: of a use that another replica tells of, which has seen more of them.
   */
  touch(token: number, key: Buffer, leastFrequency?: number): boolean;
  /** How long the key has not been used; undefined when there is none. */
  idleMsOf(token: number, key: Buffer): number | undefined;
  /** Logarithmic count of uses, 0 to 255, which decays with time; undefined when there is none. */
  frequencyOf(token: number, key: Buffer): number | undefined;
  /** The same for the record that the engine's last `get` has found, without looking it up again; before any write. */
  touchFound(token: number): void;
  idleMsOfFound(): number;
  /** Keys that have not been used for so long, the longest first. */
  findIdle(order: number, maxIdleMs: number, maxKeys: number, visitor: AccessVisitor): void;
  /**
   * Keys to give up, the coldest first, each once: a call goes on where the last one for this order stopped, and begins
   * anew with `restart` or after the hottest.
   */
  coldest(
    order: number,
    policy: AccessPolicy,
    maxKeys: number,
    restart: boolean,
    visitor: AccessVisitor,
  ): void;
  /** Memory taken for records, index and statistics: what `maxMemory` bounds. No ledger. */
  memoryBytes(): number;
  /** Of it, what stands ready for new records. */
  freeBytes(): number;
  /** About what a record with so many bytes of key and value takes. */
  recordBytes(dataBytes: number): number;
  /**
   * Moves up to so many records together, so that memory that stood ready is given back; returns how many were moved. 0: no
   * more can be given back. Every record's token must be its key's.
   */
  compact(maxRecords: number): number;
}

/** One write of a write-back batch to a disk engine; `value` undefined removes the key. */
export interface DiskWrite {
  readonly token: number;
  readonly key: Buffer;
  readonly value: Buffer | undefined;
  readonly version: number;
  readonly expiresAtMs: number;
  /** CRC-32 of key and value as taken when the record was written; computed by the store when absent. */
  readonly checksum?: number;
}

/** Tokens from `fromToken` (inclusive) to `toToken` (exclusive). */
export interface TokenRange {
  readonly fromToken: number;
  readonly toToken: number;
}

/**
 * A node's durable home of all buckets of one disk engine (`lmdb`, `level`): the slow side below the ledger.
 * `commit` makes data and notes durable together, in one synced transaction, or not at all.
 */
export interface DiskStore {
  readonly kind: EngineKind;
  /** Names of the tables (one for each bucket) that exist. */
  tables(): string[];
  openTable(name: string): DiskTable;
  /** The table goes with the next commit, in its transaction; until then it can be read. Nothing may write to it any more. */
  dropTable(name: string): void;
  /** A durable note (the index a group's state reflects, its sessions, ...). */
  note(name: string): Buffer | undefined;
  /** One at a time: call again only after `onDurable`. */
  commit(batch: DiskBatch, onDurable: (error: Error | undefined) => void): void;
  close(): Promise<void>;
}

export interface DiskBatch {
  /** Removed before the tables' writes: whole slots, or everything. */
  readonly cleared?: ReadonlyMap<string, readonly TokenRange[]>;
  /**
   * The writes of each table; read once, in slices, while the commit is under way. What they give must be right to be
   * written together with the notes, whenever they are read.
   */
  readonly tables: ReadonlyMap<string, Iterable<DiskWrite>>;
  /** `undefined` removes the note. */
  readonly notes: ReadonlyMap<string, Buffer | undefined>;
}

/** Checksums are verified on every read; a mismatch throws `VALUE_DAMAGED` naming table and key. */
export interface DiskTable {
  get(token: number, key: Buffer): EngineRecord | undefined;
  /** The summary of a record without reading its value; checks the record's head only. */
  summary(token: number, key: Buffer): RecordSummary | undefined;
  scan(fromToken: number, toToken: number, visitor: ScanVisitor): void;
  /** The same without values; checks the records' heads only. */
  scanSummaries(
    fromToken: number,
    toToken: number,
    visitor: (token: number, key: Buffer, summary: RecordSummary) => boolean,
  ): void;
}
