/**
 * A disk store in memory with the semantics of a crash: what a commit has reported durable is there after a restart,
 * and nothing else is. `SimulatedDiskContents` is the disk, which outlives the process; a `SimulatedDiskStore` is one
 * process's view of it and dies with the process.
 *
 * A commit takes place at one instant, when its latency is over, and reads its batch only then: a batch that changes
 * while a commit is under way shows up as wrong contents.
 */
import { invariant, QuoinError } from '../src/base/errors.js';
import { recordChecksum } from '../src/engine/checksum.js';
import { RecordTable } from '../src/engine/memory/record-table.js';
import type {
  DiskBatch,
  DiskStore,
  DiskTable,
  EngineKind,
  EngineRecord,
  RecordSummary,
  ScanVisitor,
  TokenRange,
} from '../src/engine/types.js';
import type { Clock } from '../src/env/env.js';

/** What is on the disk: tables and notes as the last durable commit left them. */
export class SimulatedDiskContents {
  readonly tables = new Map<string, RecordTable>();
  readonly notes = new Map<string, Buffer>();

  /** Flips a bit in a stored value (which must not be empty), behind the store's back. */
  damage(tableName: string, token: number, key: Buffer): void {
    const table = this.tables.get(tableName);
    const reference = table?.find(token, key) ?? 0;
    invariant(table !== undefined && reference !== 0, 'a stored record is damaged');
    const { value, version, expiresAtMs } = table.record(reference);
    invariant(value.length > 0, 'a value with a bit to flip is damaged');
    const flipped = Buffer.from(value);
    flipped[0]! ^= 1;
    table.put(token, key, flipped, version, expiresAtMs, table.checksum(reference));
  }

  /** Loses everything, as a wiped disk does. */
  wipe(): void {
    this.tables.clear();
    this.notes.clear();
  }
}

/** What becomes of a commit that reports an error: a real one may be durable all the same. */
export type FailedCommitOutcome = 'lost' | 'durable';

export interface SimulatedDiskStoreOptions {
  readonly clock: Pick<Clock, 'defer' | 'setTimer'>;
  /** Drawn for each commit; without it commits end within a turn of the event loop. */
  readonly commitLatencyMs?: () => number;
  readonly kind?: EngineKind;
}

export class SimulatedDiskStore implements DiskStore {
  readonly kind: EngineKind;
  readonly #contents: SimulatedDiskContents;
  readonly #options: SimulatedDiskStoreOptions;
  readonly #tables = new Map<string, SimulatedDiskTable>();
  readonly #doomed = new Set<string>();
  #committing = false;
  #whenIdle: (() => void) | undefined;
  #failNext: { readonly error: Error; readonly outcome: FailedCommitOutcome } | undefined;
  #failure: Error | undefined;
  #dead = false;

  constructor(contents: SimulatedDiskContents, options: SimulatedDiskStoreOptions) {
    this.#contents = contents;
    this.#options = options;
    this.kind = options.kind ?? 'lmdb';
  }

  /** The commit under way, or else the next one, reports this error; so does every one after it. */
  failNextCommit(error: Error, outcome: FailedCommitOutcome = 'lost'): void {
    this.#failNext = { error, outcome };
  }

  /** The process has died: a commit under way does not happen, and its callback is never called. */
  crash(): void {
    this.#dead = true;
  }

  tables(): string[] {
    return [...this.#contents.tables.keys()].sort();
  }

  openTable(name: string): DiskTable {
    let table = this.#tables.get(name);
    if (table === undefined) {
      table = new SimulatedDiskTable(name, this.#contents);
      this.#tables.set(name, table);
    }
    return table;
  }

  dropTable(name: string): void {
    this.#doomed.add(name);
  }

  note(name: string): Buffer | undefined {
    const bytes = this.#contents.notes.get(name);
    return bytes === undefined ? undefined : Buffer.from(bytes);
  }

  commit(batch: DiskBatch, onDurable: (error: Error | undefined) => void): void {
    invariant(!this.#committing, 'one commit at a time');
    invariant(!this.#dead, 'a dead process commits nothing');
    this.#committing = true;
    const doomed = [...this.#doomed];
    this.#doomed.clear();
    const finish = (): void => {
      if (this.#dead) return;
      let error = this.#failure;
      let outcome: FailedCommitOutcome = 'lost';
      if (error === undefined && this.#failNext !== undefined) ({ error, outcome } = this.#failNext);
      if (error === undefined || outcome === 'durable') {
        try {
          this.#apply(batch, doomed);
        } catch (cause) {
          error ??= cause instanceof Error ? cause : new Error(String(cause));
        }
      }
      this.#failure ??= error;
      this.#committing = false;
      this.#whenIdle?.();
      onDurable(error);
    };
    const latencyMs = this.#options.commitLatencyMs?.() ?? 0;
    if (latencyMs > 0) this.#options.clock.setTimer(latencyMs, finish);
    else this.#options.clock.defer(finish);
  }

  #apply(batch: DiskBatch, doomed: readonly string[]): void {
    // Read in whole before anything changes: a source that throws leaves the disk as it was.
    const writes = [...batch.tables].map(([name, source]) => ({ name, writes: [...source] }));
    const { tables, notes } = this.#contents;
    for (const name of doomed) tables.delete(name);
    for (const [name, ranges] of batch.cleared ?? []) {
      const table = tables.get(name);
      if (table !== undefined) for (const range of ranges) clearRange(table, range);
    }
    for (const part of writes) {
      let table = tables.get(part.name);
      if (table === undefined) {
        table = new RecordTable();
        tables.set(part.name, table);
      }
      for (const { token, key, value, version, expiresAtMs, checksum } of part.writes) {
        if (value === undefined) table.remove(token, key);
        else table.put(token, key, value, version, expiresAtMs, checksum ?? recordChecksum(key, value));
      }
    }
    for (const [name, bytes] of batch.notes) {
      if (bytes === undefined) notes.delete(name);
      else notes.set(name, Buffer.from(bytes));
    }
  }

  async close(): Promise<void> {
    if (this.#committing && !this.#dead) {
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve;
      });
    }
    this.#dead = true;
  }
}

class SimulatedDiskTable implements DiskTable {
  readonly #name: string;
  readonly #contents: SimulatedDiskContents;

  constructor(name: string, contents: SimulatedDiskContents) {
    this.#name = name;
    this.#contents = contents;
  }

  #read(table: RecordTable, reference: number, key: Buffer): EngineRecord {
    const record = table.record(reference);
    if (recordChecksum(key, record.value) !== table.checksum(reference)) {
      const shown = JSON.stringify(key.subarray(0, 64).toString('latin1'));
      throw new QuoinError(
        'VALUE_DAMAGED',
        `the value of key ${shown} in table ${this.#name} fails its checksum`,
      );
    }
    return record;
  }

  get(token: number, key: Buffer): EngineRecord | undefined {
    const table = this.#contents.tables.get(this.#name);
    const reference = table?.find(token, key) ?? 0;
    return table === undefined || reference === 0 ? undefined : this.#read(table, reference, key);
  }

  summary(token: number, key: Buffer): RecordSummary | undefined {
    const table = this.#contents.tables.get(this.#name);
    const reference = table?.find(token, key) ?? 0;
    return table === undefined || reference === 0 ? undefined : summaryOf(table, reference);
  }

  scanSummaries(
    fromToken: number,
    toToken: number,
    visitor: (token: number, key: Buffer, summary: RecordSummary) => boolean,
  ): void {
    const table = this.#contents.tables.get(this.#name);
    if (table === undefined) return;
    const cursor = table.cursor(fromToken);
    for (; cursor.reference !== 0 && cursor.token < toToken; cursor.next())
      if (!visitor(cursor.token, table.key(cursor.reference), summaryOf(table, cursor.reference))) return;
  }

  scan(fromToken: number, toToken: number, visitor: ScanVisitor): void {
    const table = this.#contents.tables.get(this.#name);
    if (table === undefined) return;
    for (
      const cursor = table.cursor(fromToken);
      cursor.reference !== 0 && cursor.token < toToken;
      cursor.next()
    ) {
      const key = table.key(cursor.reference);
      if (!visitor(cursor.token, key, this.#read(table, cursor.reference, key))) return;
    }
  }
}

function summaryOf(table: RecordTable, reference: number): RecordSummary {
  return {
    digest: table.digest(reference),
    dataBytes: table.dataBytes(reference),
    version: table.version(reference),
    expiresAtMs: table.expiresAtMs(reference),
    checksum: table.checksum(reference),
  };
}

function clearRange(table: RecordTable, range: TokenRange): void {
  const found: { token: number; key: Buffer }[] = [];
  const cursor = table.cursor(range.fromToken);
  for (; cursor.reference !== 0 && cursor.token < range.toToken; cursor.next())
    found.push({ token: cursor.token, key: table.key(cursor.reference) });
  for (const { token, key } of found) table.remove(token, key);
}
