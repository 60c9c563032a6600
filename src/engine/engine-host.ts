/**
 * All engines of a node, over one disk store: opens and drops them with their buckets, and writes their ledgers back.
 *
 * A checkpoint freezes the ledger of every engine at one instant and commits all of them, with the caller's notes (the
 * index that each group's state reflects), as one transaction. So after a restart all buckets and notes are of one
 * instant, and the log goes on from there. Only memory engines of quorum buckets may be ahead of it: see
 * `merged-memory-engine.ts`.
 *
 * A bucket's table has the bucket's id as its name; tables of the node itself are named in words. A dropped bucket's table goes with the next checkpoint: until then a
 * crash brings it back, and the log, which still holds the drop, drops it again.
 *
 * Invariant: after a failed checkpoint there is no other; the frozen ledgers stay, so that reads stay right.
 */
import { invariant, QuoinError } from '../base/errors.js';
import type { Clock } from '../env/env.js';
import { DurableMemoryEngine } from './durable-memory-engine.js';
import type { LedgeredEngine } from './ledger.js';
import { LedgerEngine, ledgerEngineNotes } from './ledger-engine.js';
import { MergedMemoryEngine } from './merged-memory-engine.js';
import type { DiskStore, DiskWrite, Engine, EngineKind, TokenRange } from './types.js';

/** What the host needs to know of a bucket. */
export interface HostedBucket {
  readonly id: number;
  readonly name: string;
  readonly engine: EngineKind;
  /** `quorum`: records merge by version, and what was written since a checkpoint is merged again after a crash. */
  readonly replication?: string;
}

/** Notes of the engines themselves; the caller's notes must not begin like this. */
const ENGINE_NOTES = 'engine/';

export class EngineHost {
  readonly #openDiskStore: () => DiskStore;
  readonly #clock: Pick<Clock, 'defer'>;
  /** By the names of their tables. */
  readonly #engines = new Map<string, Engine & LedgeredEngine>();
  /** Tables that go with the next checkpoint. */
  #dropped = new Set<string>();
  /** Tables that go with the checkpoint under way. */
  #dropping: ReadonlySet<string> = new Set();
  /** Tables opened again after a drop since the last checkpoint: notes of theirs may still be on their way to the disk. */
  #openedAgain = new Set<string>();
  #opened: DiskStore | undefined;
  #checkpointing = false;
  #failure: Error | undefined;
  #closed = false;

  /** The disk store is opened when it is first needed. */
  constructor(options: { readonly openDiskStore: () => DiskStore; readonly clock: Pick<Clock, 'defer'> }) {
    this.#openDiskStore = options.openDiskStore;
    this.#clock = options.clock;
  }

  #store(): DiskStore {
    invariant(!this.#closed, 'a closed engine host is not used');
    this.#opened ??= this.#openDiskStore();
    return this.#opened;
  }

  /** Opens a bucket's engine; the same one when it is open already. */
  open(bucket: HostedBucket): Engine {
    const name = tableName(bucket.id);
    const present = this.#engines.get(name);
    if (present !== undefined) return present;
    const isDropped = this.#dropped.delete(name) || this.#dropping.has(name);
    const engine = this.#make(bucket, name, isDropped);
    // What is left of the dropped bucket on disk is hidden, and cleared by the next checkpoint.
    if (isDropped) {
      engine.clear();
      this.#openedAgain.add(name);
    }
    this.#engines.set(name, engine);
    return engine;
  }

  /**
   * Opens a table of the node itself (not of a bucket), which is checkpointed with the buckets; the same one when it is
   * open already. It rests on disk, however large it grows. `name`: lower-case words.
   */
  openInternal(name: string): Engine {
    invariant(/^[a-z-]+$/.test(name), 'tables of the node itself are named in words');
    const present = this.#engines.get(name);
    if (present !== undefined) return present;
    const engine = this.#makeLedgerEngine('lmdb', name);
    this.#engines.set(name, engine);
    return engine;
  }

  #makeLedgerEngine(kind: EngineKind, name: string): LedgerEngine {
    const store = this.#store();
    return new LedgerEngine(kind, store.openTable(name), (note) => store.note(noteName(name, note)));
  }

  #make(bucket: HostedBucket, name: string, isDropped: boolean): Engine & LedgeredEngine {
    switch (bucket.engine) {
      case 'memory': {
        const table = this.#store().openTable(name);
        const load = !isDropped;
        return bucket.replication === 'quorum'
          ? new MergedMemoryEngine(table, { load })
          : new DurableMemoryEngine(table, { load });
      }
      case 'lmdb':
        return this.#makeLedgerEngine(bucket.engine, name);
      default:
        throw new QuoinError(
          'NOT_SUPPORTED',
          `bucket ${JSON.stringify(bucket.name)} asks for the engine ${JSON.stringify(bucket.engine)}; there are memory and lmdb`,
        );
    }
  }

  /** Forgets a bucket. Its table goes with the next checkpoint. */
  drop(bucket: { readonly id: number }): void {
    this.#engines.delete(tableName(bucket.id));
    this.#dropped.add(tableName(bucket.id));
  }

  /** Bytes of memory that hold writes not yet written back, of both generations and all buckets. */
  ledgerBytes(): number {
    let bytes = 0;
    for (const engine of this.#engines.values()) bytes += engine.ledgerBytes();
    return bytes;
  }

  /** Of these, those of engines whose records are merged again from the journal. */
  mergedLedgerBytes(): number {
    let bytes = 0;
    for (const engine of this.#engines.values()) if (engine.isMerged === true) bytes += engine.ledgerBytes();
    return bytes;
  }

  get checkpointing(): boolean {
    return this.#checkpointing;
  }

  /**
   * Freezes every ledger and writes it back with these notes (`undefined` removes one) as one transaction; `onDurable`
   * is called once, never from within the call. One at a time. After an error the host stays failed.
   *
   * `includesMerged` false leaves out the engines whose records are merged again from the journal; their journal's note must
   * then not be among the notes.
   */
  checkpoint(
    notes: ReadonlyMap<string, Buffer | undefined>,
    onDurable: (error: Error | undefined) => void,
    includesMerged = true,
  ): void {
    invariant(!this.#checkpointing, 'one checkpoint at a time');
    this.#checkpointing = true;
    const failure = this.#failure;
    if (failure !== undefined) {
      this.#clock.defer(() => {
        this.#checkpointing = false;
        onDurable(failure);
      });
      return;
    }
    const store = this.#store();
    const tables = new Map<string, Iterable<DiskWrite>>();
    const cleared = new Map<string, readonly TokenRange[]>();
    const allNotes = new Map<string, Buffer | undefined>();
    for (const [name, bytes] of notes) {
      invariant(!name.startsWith(ENGINE_NOTES), `notes named ${ENGINE_NOTES}... are the engines' own`);
      allNotes.set(name, bytes);
    }
    this.#takeDropped(store, allNotes);
    for (const name of this.#openedAgain) removeNotes(name, allNotes);
    this.#openedAgain = new Set();
    const frozen: LedgeredEngine[] = [];
    for (const [name, engine] of this.#engines) {
      if (engine.isMerged === true && !includesMerged) continue;
      const writeBack = engine.freeze();
      if (writeBack === undefined) continue;
      frozen.push(engine);
      tables.set(name, writeBack.writes);
      if (writeBack.cleared.length > 0) cleared.set(name, writeBack.cleared);
      for (const [note, bytes] of writeBack.notes) allNotes.set(noteName(name, note), bytes);
    }
    store.commit({ tables, cleared, notes: allNotes }, (error) => {
      this.#checkpointing = false;
      this.#dropping = new Set();
      if (error === undefined) for (const engine of frozen) engine.writtenBack();
      else this.#failure = error;
      onDurable(error);
    });
  }

  #takeDropped(store: DiskStore, notes: Map<string, Buffer | undefined>): void {
    const dropping = this.#dropped;
    this.#dropped = new Set();
    this.#dropping = dropping;
    if (dropping.size === 0) return;
    const existing = new Set(store.tables());
    for (const name of dropping) {
      if (!existing.has(name)) continue;
      store.dropTable(name);
      removeNotes(name, notes);
    }
  }

  /** A durable note, as the last checkpoint left it. */
  note(name: string): Buffer | undefined {
    return this.#store().note(name);
  }

  /** Bytes of memory that the engines hold. */
  memoryBytes(): number {
    let bytes = 0;
    for (const engine of this.#engines.values()) bytes += engine.memoryBytes();
    return bytes;
  }

  /** Bytes of keys and values stored. */
  dataBytes(): number {
    let bytes = 0;
    for (const engine of this.#engines.values()) bytes += engine.dataBytes();
    return bytes;
  }

  /** Waits for a checkpoint under way; what is not written back stays in the log. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#engines.clear();
    await this.#opened?.close();
  }
}

function tableName(id: number): string {
  return String(id);
}

function removeNotes(table: string, notes: Map<string, Buffer | undefined>): void {
  for (const note of ledgerEngineNotes()) notes.set(noteName(table, note), undefined);
}

function noteName(table: string, note: string): string {
  return `${ENGINE_NOTES}${table}/${note}`;
}
