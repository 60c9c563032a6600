/**
 * The disk store on LMDB: one environment for all buckets of a node, a named database for each table, one for notes.
 *
 * A commit is one LMDB transaction and one sync. The transaction is begun and ended by LMDB's writer thread, and stays
 * open over several turns of the event loop while its writes are fed to it in slices, so that a large checkpoint never
 * blocks the loop for long. It is a child transaction: when a source of writes throws half-way, all of it is undone.
 * `overlappingSync` is off: the promise settles after the data pages are synced and the meta page that refers to them is
 * written through. (With it on, LMDB reports commits that a power failure may take back.)
 *
 * Invariants:
 * - no other write transaction is begun while a commit is under way: it would end the commit's in the middle;
 * - a database made by a commit is used only once the commit is durable;
 * - after a failed commit the store is failed for good (fsyncgate); reads go on and show the last commit.
 *
 * Limit: checksums guard records and notes, but a damaged page of the tree itself is LMDB's to notice.
 */
import { type Database, open, type RootDatabase } from 'lmdb';
import { invariant, QuoinError } from '../../base/errors.js';
import { LIMITS } from '../../base/limits.js';
import { TOKEN_END } from '../../base/slots.js';
import type { Clock, Disk } from '../../env/env.js';
import type { DiskBatch, DiskStore, DiskTable, DiskWrite, EngineKind, TokenRange } from '../types.js';
import { checkDataFile, isDiskFull } from './data-file.js';
import { lmdbError } from './lmdb-errors.js';
import { LmdbTable } from './lmdb-table.js';
import { decodeNote, diskKey, encodeNote, encodeRecord, tokenKey } from './record-codec.js';
import { WriteSlices } from './write-slices.js';

/** Raw bytes as keys and values. */
const BINARY = { encoding: 'binary', keyEncoding: 'binary' } as const;
const NOTES = 'notes';
const TABLE_PREFIX = 'table/';
/** The note that tells a store of Quoin from any other; user notes cannot have its name, which holds a zero byte. */
const FORMAT_KEY = Buffer.from('\0format');
const FORMAT = 'quoin-lmdb/1';
/** Keys removed at once when a range is cleared. */
const CLEAR_STEP = 500;
/** Sorts before every key but the empty one, which LMDB does not have. */
const FIRST_KEY = Buffer.from([0]);

type Binary = Database<Buffer, Buffer>;

export interface LmdbDiskStoreOptions {
  /** Created when missing. */
  readonly directory: string;
  readonly clock: Clock;
  /** For a look at the data file before LMDB maps it. */
  readonly disk: Disk;
}

export class LmdbDiskStore implements DiskStore {
  readonly kind: EngineKind = 'lmdb';
  readonly #clock: Clock;
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #root: RootDatabase<Buffer, Buffer>;
  readonly #notes: Binary;
  readonly #tables = new Map<string, LmdbTable>();
  /** To go with the next commit. */
  readonly #doomed = new Set<string>();
  #committing = false;
  #whenIdle: (() => void) | undefined;
  #failure: Error | undefined;
  #closed = false;

  constructor(options: LmdbDiskStoreOptions) {
    this.#clock = options.clock;
    this.#disk = options.disk;
    this.#directory = options.directory;
    const { directory } = options;
    checkDataFile(options.disk, directory);
    try {
      this.#root = open<Buffer, Buffer>({
        ...BINARY,
        path: directory,
        noSubdir: false,
        overlappingSync: false,
        maxDbs: LIMITS.maxBuckets + 8,
      });
    } catch (error) {
      throw lmdbError(error, `cannot open the data in ${directory}`, 'DISK_FAILED');
    }
    try {
      this.#notes = this.#openAll(directory);
    } catch (error) {
      void this.#root.close();
      throw lmdbError(error, `cannot open the data in ${directory}`, 'DISK_FAILED');
    }
  }

  #openAll(directory: string): Binary {
    const names = [...this.#root.getKeys({ start: FIRST_KEY })].map(databaseName);
    const foreign = names.find((name) => name !== NOTES && !name.startsWith(TABLE_PREFIX));
    if (foreign !== undefined || (names.length > 0 && !names.includes(NOTES)))
      throw new QuoinError('FOREIGN_DIRECTORY', `${directory} holds the data of another program`);
    const notes = this.#root.openDB<Buffer, Buffer>(NOTES, BINARY);
    const format = notes.getBinary(FORMAT_KEY)?.toString();
    if (format === undefined && names.length === 0) notes.putSync(FORMAT_KEY, Buffer.from(FORMAT));
    else if (format === undefined)
      throw new QuoinError('FOREIGN_DIRECTORY', `${directory} holds the data of another program`);
    else if (format !== FORMAT)
      throw new QuoinError(
        'LOG_TOO_NEW',
        `${directory} has the format ${JSON.stringify(format)}, not ${FORMAT}`,
      );
    for (const name of names) {
      if (!name.startsWith(TABLE_PREFIX)) continue;
      const table = name.slice(TABLE_PREFIX.length);
      this.#tables.set(table, new LmdbTable(table, this.#root.openDB<Buffer, Buffer>(name, BINARY)));
    }
    return notes;
  }

  tables(): string[] {
    return [...this.#tables.values()]
      .filter((table) => table.database !== undefined)
      .map((table) => table.name);
  }

  openTable(name: string): DiskTable {
    let table = this.#tables.get(name);
    if (table === undefined) {
      table = new LmdbTable(name, undefined);
      this.#tables.set(name, table);
    }
    return table;
  }

  dropTable(name: string): void {
    if (this.#tables.has(name)) this.#doomed.add(name);
  }

  note(name: string): Buffer | undefined {
    const stored = this.#notes.getBinary(Buffer.from(name));
    return stored === undefined ? undefined : decodeNote(name, stored);
  }

  commit(batch: DiskBatch, onDurable: (error: Error | undefined) => void): void {
    invariant(!this.#committing, 'one commit at a time');
    invariant(!this.#closed, 'a closed store is not written to');
    this.#committing = true;
    void this.#commit(batch).then(
      () => this.#finish(undefined, onDurable),
      (error: Error) => this.#finish(error, onDurable),
    );
  }

  #finish(error: Error | undefined, onDurable: (error: Error | undefined) => void): void {
    this.#committing = false;
    this.#failure ??= error;
    this.#whenIdle?.();
    onDurable(error);
  }

  async #commit(batch: DiskBatch): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const doomed = [...this.#doomed];
    this.#doomed.clear();
    for (const name of doomed)
      invariant(
        !batch.tables.has(name) && batch.cleared?.has(name) !== true,
        'nothing writes to a dropped table',
      );
    const opened = new Map<string, Binary>();
    try {
      await this.#root.childTransaction(() => this.#write(batch, doomed, opened));
    } catch (error) {
      throw this.#failureOf(await causeOf(error));
    }
    this.#root.resetReadTxn();
    for (const [name, database] of opened) this.#table(name).database = database;
    // The table stays known, and empty: whoever opened it meanwhile may write to it again.
    for (const name of doomed) this.#table(name).database = undefined;
  }

  #failureOf(cause: unknown): QuoinError {
    const error = lmdbError(cause, 'cannot commit', 'DISK_FAILED');
    if (error.code !== 'SYNC_FAILED' || !isDiskFull(this.#disk, this.#directory)) return error;
    return new QuoinError(
      'DISK_FULL',
      `cannot commit: no space is left for the data file in ${this.#directory}`,
      { cause },
    );
  }

  #table(name: string): LmdbTable {
    const table = this.#tables.get(name);
    invariant(table !== undefined, `table ${name} was opened before it is written to`);
    return table;
  }

  async #write(batch: DiskBatch, doomed: readonly string[], opened: Map<string, Binary>): Promise<void> {
    // The writer may have a second promise for this commit, which nobody has been given: when that one is rejected unheard,
    // the process ends in the middle of saying why.
    void this.#root.committed.then(ignore, ignore);
    const slices = new WriteSlices(this.#clock);
    for (const name of doomed) {
      const database = this.#table(name).database;
      if (database !== undefined) database.dropSync();
    }
    const databaseOf = (name: string): Binary => {
      const present = this.#table(name).database ?? opened.get(name);
      if (present !== undefined) return present;
      const made = this.#root.openDB<Buffer, Buffer>(`${TABLE_PREFIX}${name}`, BINARY);
      opened.set(name, made);
      return made;
    };
    for (const [name, ranges] of batch.cleared ?? []) {
      for (const range of ranges) await clearRange(databaseOf(name), range, slices);
    }
    for (const [name, writes] of batch.tables) {
      const database = databaseOf(name);
      for (const write of writes) {
        const sizeBytes = applyWrite(database, write);
        if (slices.isOver(sizeBytes)) await slices.pause();
      }
    }
    for (const [name, bytes] of batch.notes) {
      const key = Buffer.from(name);
      if (bytes === undefined) this.#notes.removeSync(key);
      else this.#notes.putSync(key, encodeNote(bytes));
      if (slices.isOver(bytes?.length ?? 0)) await slices.pause();
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#committing) {
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve;
      });
    }
    await this.#root.close();
  }
}

/** Carries out one write inside the open transaction; returns its size. */
function applyWrite(database: Binary, write: DiskWrite): number {
  const key = diskKey(write.token, write.key);
  if (write.value === undefined) {
    database.removeSync(key);
    return key.length;
  }
  const record = encodeRecord(write, write.value);
  database.putSync(key, record);
  return key.length + record.length;
}

async function clearRange(database: Binary, range: TokenRange, slices: WriteSlices): Promise<void> {
  if (range.fromToken <= 0 && range.toToken >= TOKEN_END) {
    database.clearSync();
    return;
  }
  const start = tokenKey(range.fromToken);
  const bound = range.toToken >= TOKEN_END ? {} : { end: tokenKey(range.toToken) };
  for (;;) {
    const keys = [...database.getKeys({ start, ...bound, limit: CLEAR_STEP })];
    for (const key of keys) database.removeSync(key);
    if (keys.length < CLEAR_STEP) return;
    if (slices.isOver(keys.length * start.length)) await slices.pause();
  }
}

function ignore(): void {}

/** LMDB stores a database's name with a zero byte behind it. */
function databaseName(key: Buffer): string {
  return key.toString('utf8').replace(/\0$/, '');
}

/** A failed commit's own error names nothing: the cause is in a promise that it carries. */
async function causeOf(error: unknown): Promise<unknown> {
  if (!(error instanceof Error) || !('commitError' in error)) return error;
  try {
    await error.commitError;
    return error;
  } catch (cause) {
    return cause;
  }
}
