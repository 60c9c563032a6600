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

/** What a slot's statistics need to know of a stored record. */
export interface RecordSummary {
  /** What the record adds to its slot's digest. */
  readonly digest: number;
  /** Bytes of key and value. */
  readonly dataBytes: number;
}

/** Return false to stop the scan; the token at which it stopped is not consumed. */
export type ScanVisitor = (token: number, key: Buffer, record: EngineRecord) => boolean;

export interface Engine {
  readonly kind: EngineKind;
  get(token: number, key: Buffer): EngineRecord | undefined;
  /** Inserts or replaces. */
  put(token: number, key: Buffer, value: Buffer, version: number, expiresAtMs: number): void;
  /** False when there was nothing. */
  remove(token: number, key: Buffer): boolean;
  /**
   * Visits entries in token order from `fromToken` (inclusive) to `toToken` (exclusive); keys of equal token are visited
   * in the order of their bytes. The visitor must not write to the engine.
   */
  scan(fromToken: number, toToken: number, visitor: ScanVisitor): void;
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
  /** The writes of each table; read in slices while the commit is under way, so they must not change until it ends. */
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
}
