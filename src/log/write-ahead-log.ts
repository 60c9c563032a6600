/**
 * The write-ahead log of one node, for all its groups (paper 000, "Write-Ahead Log"; group commit).
 *
 * What is queued is encoded at once into the batch being gathered, and readable at once. A commit writes the batch with
 * one write and syncs once; meanwhile the next is gathered. `docs/formats/log.md` has the bytes, `recovery.ts` the rule by
 * which a torn tail is told from damage.
 *
 * Invariants:
 * - a batch is written only after the one before has been synced;
 * - a callback without error means: everything queued before its `commit` is durable;
 * - after a failed write or sync nothing is written any more and nothing is called durable (fsyncgate);
 * - a segment that a batch was written to is missed when it is gone (`reach.ts`);
 * - a segment is deleted only when no group needs anything in it, and that has become durable: what is small (hard states,
 *   marks, the whole log of a group with little in it) is copied into the newest segment first.
 *
 * A new segment that a large batch begins is made in the background: the disk may be busy with much else by then.
 *
 * A blocking sync is deferred to the end of the loop's turn: what the caller sends to its peers in this turn leaves
 * first, and their disks work while ours does (Ongaro's thesis, 10.2.1).
 *
 * Zero-filling: a segment grows by 256 KiB of zeros at a time, so that most syncs write data only and no metadata.
 * Measured with 8 KiB batches on ext4: 0.13 ms a sync with it, 0.26 ms without; larger steps gained nothing.
 */
import { InvariantViolation, invariant, QuoinError } from '../base/errors.js';
import { LIMITS } from '../base/limits.js';
import type { Clock, Disk } from '../env/env.js';
import type { HardState, LogEntry } from '../protocol/raft/types.js';
import { BatchWriter } from './batch-writer.js';
import type { CacheUse } from './entry-table.js';
import { SEGMENT_HEADER_BYTES } from './format.js';
import { GroupState } from './group-state.js';
import { LogReach } from './reach.js';
import { recover } from './recovery.js';
import { type Retirement, retire } from './retirement.js';
import { Segment } from './segment.js';
import { SyncChooser } from './sync-chooser.js';
import type { GroupLog, LogStatistics, SyncStrategy, WriteAheadLog } from './types.js';

export interface LogOptions {
  /** How durability is reached; 'auto' (the default) measures both ways. */
  readonly syncStrategy?: 'auto' | SyncStrategy;
  /** Size at which a segment is closed. */
  readonly segmentBytes?: number;
  /** By how many zeros a segment grows at a time; 0: none. */
  readonly fillBytes?: number;
  /** Entries kept in memory. */
  readonly cacheBytes?: number;
  /** A group with less than this is copied forward rather than pinning old segments. */
  readonly relocationBytes?: number;
  /** A file outside the log's directory that keeps how far the log has come, so that missing files are noticed. */
  readonly reachPath?: string;
}

/** Opens the log in `directory`, which is created when missing. Throws LOG_DAMAGED, LOG_TOO_NEW or FOREIGN_DIRECTORY. */
export function openLog(
  disk: Disk,
  clock: Clock,
  directory: string,
  options: LogOptions = {},
): WriteAheadLog {
  return new SegmentedLog(disk, clock, directory, options);
}

type OnDurable = (error: Error | undefined) => void;

/** idle: nothing under way; scheduled: a flush is deferred; syncing: a background sync runs, of a batch or a new segment. */
type Phase = 'idle' | 'scheduled' | 'syncing';

class SegmentedLog implements WriteAheadLog {
  readonly #disk: Disk;
  readonly #clock: Clock;
  readonly #directory: string;
  readonly #segmentBytes: number;
  readonly #fillBytes: number;
  readonly #cacheLimitBytes: number;
  readonly #relocationBytes: number;
  readonly #chooser: SyncChooser;
  readonly #reach: LogReach | undefined;
  readonly #writer = new BatchWriter();
  readonly #cacheUse: CacheUse = { bytes: 0 };
  readonly #groups: Map<number, GroupState>;
  /** Groups that recovery found and that have not been removed. */
  readonly #recovered: Set<number>;
  /** Oldest first; the last is written to. Never empty. */
  readonly #segments: Segment[];

  /** The batch being gathered: its sequence and where it will be written. */
  #sequence: number;
  #batchSegment = 0;
  #batchStart = 0;
  /** The segment of the batch being gathered, when it has been made already. */
  #made: Segment | undefined;

  #phase: Phase = 'idle';
  #waiting: OnDurable[] = [];
  #failure: Error | undefined;
  #closed = false;
  /** Set when the next batch should see whether segments can go. */
  #retirementDue = false;
  /** Segments below `#deleteBelow` may go once the batch being gathered is durable; those below `#deletable`, now. */
  #deleteBelow = 0;
  #deletable = 0;
  #deleting = false;

  #syncs = 0;
  #totalSyncMs = 0;
  #bytesWritten = 0;

  readonly #runFlush = (): void => this.#flush();
  readonly #runDelete = (): void => this.#deleteOldest();

  constructor(disk: Disk, clock: Clock, directory: string, options: LogOptions) {
    this.#disk = disk;
    this.#clock = clock;
    this.#directory = directory;
    this.#segmentBytes = options.segmentBytes ?? LIMITS.logSegmentBytes;
    this.#fillBytes = Math.min(options.fillBytes ?? LIMITS.logFillBytes, LIMITS.logFillBytes);
    this.#cacheLimitBytes = options.cacheBytes ?? LIMITS.logCacheBytes;
    this.#relocationBytes =
      options.relocationBytes ?? Math.min(LIMITS.logRelocationBytes, this.#segmentBytes / 8);
    this.#chooser = new SyncChooser(options.syncStrategy ?? 'auto');
    this.#reach = options.reachPath === undefined ? undefined : new LogReach(disk, options.reachPath);
    disk.makeDirectory(directory);
    const recovered = recover(
      disk,
      directory,
      this.#cacheUse,
      (number) => this.#segment(number),
      this.#reach,
    );
    this.#segments = recovered.segments;
    this.#groups = recovered.groups;
    this.#recovered = new Set(recovered.groups.keys());
    this.#sequence = recovered.nextSequence;
    if (this.#segments.length === 0)
      this.#segments.push(Segment.create(disk, clock, directory, 1, this.#sequence));
    this.#reach?.extend(this.#active.number);
    this.#locate();
  }

  get failure(): Error | undefined {
    return this.#failure;
  }

  group(group: number): GroupLog {
    return this.#state(group);
  }

  groups(): number[] {
    return [...this.#recovered].sort((a, b) => a - b);
  }

  append(group: number, entries: readonly LogEntry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    this.#checkOpen();
    const { table } = this.#state(group);
    invariant(first.index > table.base && first.index <= table.last + 1, 'appended entries leave no gap');
    if (first.index <= table.last) table.cutFrom(first.index);
    for (const entry of entries) {
      const offset = this.#batchStart + this.#writer.entry(group, entry);
      const index = table.push(entry.term, entry.payload.length, this.#batchSegment, offset, entry);
      invariant(entry.index === index, 'appended entries follow one another');
    }
    if (this.#cacheUse.bytes > this.#cacheLimitBytes) this.#evict();
    this.#forgetIfFailed();
  }

  saveHardState(group: number, state: HardState): void {
    this.#checkOpen();
    const kept = this.#state(group);
    kept.hardState = { term: state.term, votedFor: state.votedFor };
    kept.hardStateSegment = this.#batchSegment;
    this.#writer.hardState(group, state.term, state.votedFor);
    this.#forgetIfFailed();
  }

  resetTo(group: number, index: number, term: number): void {
    this.#checkOpen();
    const state = this.#state(group);
    state.table.reset(index, term);
    state.markSegment = this.#batchSegment;
    this.#writer.reset(group, index, term);
    this.#retirementDue = true;
    this.#forgetIfFailed();
  }

  compact(group: number, index: number): void {
    this.#checkOpen();
    const state = this.#state(group);
    if (index <= state.table.base) return;
    invariant(index <= state.table.last, 'only entries that exist are compacted');
    state.table.dropThrough(index);
    state.markSegment = this.#batchSegment;
    this.#writer.compaction(group, index, state.table.baseTerm);
    this.#retirementDue = true;
    this.#forgetIfFailed();
  }

  removeGroup(group: number): void {
    this.#checkOpen();
    this.#state(group).clear();
    this.#recovered.delete(group);
    this.#writer.removeGroup(group);
    this.#retirementDue = true;
    this.#forgetIfFailed();
  }

  commit(onDurable: OnDurable): void {
    if (this.#failure !== undefined || this.#closed) {
      const error = this.#failure ?? closedError(this.#directory);
      this.#clock.defer(() => onDurable(error));
      return;
    }
    this.#waiting.push(onDurable);
    if (this.#phase === 'idle') this.#start();
  }

  statistics(): LogStatistics {
    let sizeBytes = 0;
    for (const segment of this.#segments) sizeBytes += segment.filled;
    return {
      segments: this.#segments.length,
      sizeBytes,
      syncs: this.#syncs,
      syncStrategy: this.#chooser.preferred,
      syncMs: this.#chooser.averageMs,
      totalSyncMs: this.#totalSyncMs,
      bytesWritten: this.#bytesWritten,
    };
  }

  /** What has not been committed is gone, and waiting commits are told so. A sync under way still ends as it ends. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#release(this.#waiting, closedError(this.#directory));
    this.#waiting = [];
    if (this.#phase !== 'syncing') this.#closeSegments();
  }

  #state(group: number): GroupState {
    let state = this.#groups.get(group);
    if (state === undefined) {
      state = new GroupState(group, this.#cacheUse, (number) => this.#segment(number));
      this.#groups.set(group, state);
    }
    return state;
  }

  /** Segments are numbered without gaps. */
  #segment(number: number): Segment {
    const segment = this.#segments[number - this.#segments[0]!.number];
    invariant(segment !== undefined, 'a segment that holds retained entries exists');
    return segment;
  }

  get #active(): Segment {
    return this.#segments[this.#segments.length - 1]!;
  }

  /** Where the batch being gathered will be written: fixed now, so that entries know their place from the start. */
  #locate(): void {
    const active = this.#active;
    const isFull = active.tail >= this.#segmentBytes;
    this.#batchSegment = isFull ? active.number + 1 : active.number;
    this.#batchStart = isFull ? SEGMENT_HEADER_BYTES : active.tail;
  }

  #start(): void {
    if (!this.#writer.isEmpty && this.#chooser.choose(this.#writer.lengthBytes) === 'background') {
      this.#flush();
      return;
    }
    this.#phase = 'scheduled';
    this.#clock.defer(this.#runFlush);
  }

  #flush(): void {
    if (this.#closed) return;
    this.#phase = 'idle';
    if (this.#needsSegment && this.#writer.lengthBytes > LIMITS.logBlockingSyncBytes) {
      this.#makeSegment();
      return;
    }
    const callbacks = this.#waiting;
    this.#waiting = [];
    if (this.#writer.isEmpty) {
      // Everything before has been synced already.
      this.#release(callbacks, undefined, false);
      return;
    }
    try {
      const retirement = this.#retirementDue ? this.#planRetirement() : undefined;
      const sizeBytes = this.#write(retirement);
      this.#sync(sizeBytes, callbacks);
    } catch (error) {
      if (error instanceof InvariantViolation) throw error;
      this.#fail(error, 'write', callbacks);
    }
  }

  #sync(sizeBytes: number, callbacks: OnDurable[]): void {
    const deleteBelow = this.#deleteBelow;
    const strategy = this.#chooser.choose(sizeBytes);
    const { file } = this.#active;
    const startMs = this.#clock.monotonicMs();
    if (strategy === 'background') {
      this.#phase = 'syncing';
      file.sync((error) => {
        this.#phase = 'idle';
        if (error === undefined) {
          this.#noteSync(strategy, this.#clock.monotonicMs() - startMs, sizeBytes);
          this.#synced(callbacks, deleteBelow);
        } else this.#fail(error, 'sync', callbacks);
        if (this.#closed) this.#closeSegments();
      });
      return;
    }
    try {
      file.syncBlocking();
    } catch (error) {
      this.#fail(error, 'sync', callbacks);
      return;
    }
    this.#noteSync(strategy, this.#clock.monotonicMs() - startMs, sizeBytes);
    this.#synced(callbacks, deleteBelow);
  }

  get #needsSegment(): boolean {
    return this.#batchSegment !== this.#active.number && this.#made === undefined;
  }

  /** Makes the next segment in the background, then goes on with the flush. */
  #makeSegment(): void {
    this.#phase = 'syncing';
    const made = (outcome: Segment | Error): void => {
      this.#phase = 'idle';
      if (outcome instanceof Error) {
        this.#fail(outcome, 'write', []);
        if (this.#closed) this.#closeSegments();
      } else if (this.#closed) {
        outcome.close();
        this.#closeSegments();
      } else {
        this.#made = outcome;
        this.#flush();
      }
    };
    try {
      Segment.createInBackground(
        this.#disk,
        this.#clock,
        this.#directory,
        this.#batchSegment,
        this.#sequence,
        (outcome) => this.#nameMade(outcome, made),
      );
    } catch (error) {
      if (error instanceof InvariantViolation) throw error;
      this.#fail(error, 'write', []);
    }
  }

  /** Names a segment that was made in the background, there as well. */
  #nameMade(outcome: Segment | Error, made: (outcome: Segment | Error) => void): void {
    if (outcome instanceof Error || this.#closed || this.#reach === undefined) {
      made(outcome);
      return;
    }
    const fail = (error: unknown): void => {
      outcome.close();
      made(error instanceof Error ? error : new Error(String(error)));
    };
    try {
      this.#reach.extendInBackground(outcome.number, (error) =>
        error === undefined ? made(outcome) : fail(error),
      );
    } catch (error) {
      fail(error);
    }
  }

  /** Writes the gathered batch and begins the next; tells its size. */
  #write(retirement: Retirement | undefined): number {
    const number = this.#batchSegment;
    if (this.#batchSegment !== this.#active.number) {
      this.#segments.push(
        this.#made ??
          Segment.create(this.#disk, this.#clock, this.#directory, this.#batchSegment, this.#sequence),
      );
      this.#made = undefined;
      this.#reach?.extend(this.#batchSegment);
      this.#retirementDue = true;
    }
    const active = this.#active;
    const batch = this.#writer.seal(this.#sequence, active.salt);
    const sizeBytes = this.#writer.lengthBytes;
    active.write(batch, this.#fillBytes);
    if (retirement !== undefined) {
      this.#deleteBelow = retirement.keepFrom;
      for (const { table, index, offset } of retirement.copied) table.relocate(index, number, offset);
    }
    this.#bytesWritten += sizeBytes;
    this.#sequence++;
    this.#writer.begin();
    this.#locate();
    return sizeBytes;
  }

  #noteSync(strategy: SyncStrategy, tookMs: number, sizeBytes: number): void {
    this.#totalSyncMs += tookMs;
    this.#chooser.record(strategy, tookMs, sizeBytes);
  }

  #synced(callbacks: OnDurable[], deleteBelow: number): void {
    this.#syncs++;
    this.#deletable = deleteBelow;
    if (deleteBelow > this.#segments[0]!.number && !this.#deleting && !this.#closed) {
      this.#deleting = true;
      this.#clock.defer(this.#runDelete);
    }
    if (this.#waiting.length > 0 && !this.#closed) this.#start();
    this.#release(callbacks, undefined, false);
  }

  /** Calls back; deferred where this runs within a call of the log's owner. */
  #release(callbacks: OnDurable[], error: Error | undefined, deferred = true): void {
    if (callbacks.length === 0) return;
    if (deferred) this.#clock.defer(() => this.#release(callbacks, error, false));
    else for (const callback of callbacks) callback(error);
  }

  #fail(cause: unknown, action: 'write' | 'sync', callbacks: OnDurable[]): void {
    this.#failure = failureOf(cause, action, this.#active.path);
    const all = callbacks.concat(this.#waiting);
    this.#waiting = [];
    this.#phase = 'idle';
    this.#writer.begin();
    this.#release(all, this.#failure);
  }

  /** A failed log writes nothing any more, so it must not go on gathering. */
  #forgetIfFailed(): void {
    if (this.#failure !== undefined) this.#writer.begin();
  }

  /** Copies what is small out of old segments into the batch that is about to be written. */
  #planRetirement(): Retirement | undefined {
    this.#retirementDue = false;
    const oldest = this.#segments[0]!.number;
    if (oldest === this.#batchSegment) return undefined;
    return retire(this.#groups.values(), {
      writer: this.#writer,
      oldest,
      batchSegment: this.#batchSegment,
      batchStart: this.#batchStart,
      relocationBytes: this.#relocationBytes,
    });
  }

  /** Deletes one segment a turn, the oldest first, each durably: a crash leaves no gap between segments. */
  #deleteOldest(): void {
    this.#deleting = false;
    if (this.#closed || this.#failure !== undefined) return;
    const oldest = this.#segments[0]!;
    if (oldest.number >= this.#deletable || this.#segments.length === 1) return;
    try {
      this.#segments.shift();
      oldest.close();
      this.#disk.remove(oldest.path);
      this.#disk.syncDirectory(this.#directory);
    } catch (error) {
      this.#fail(error, 'write', []);
      return;
    }
    this.#deleting = true;
    this.#clock.defer(this.#runDelete);
  }

  /** Frees an eighth of the cache, from the groups that hold most of it. */
  #evict(): void {
    const written = { segment: this.#active.number, offset: this.#active.tail };
    const goal = this.#cacheLimitBytes - this.#cacheLimitBytes / 8;
    while (this.#cacheUse.bytes > goal) {
      let largest: GroupState | undefined;
      for (const state of this.#groups.values())
        if (largest === undefined || state.table.cachedBytes > largest.table.cachedBytes) largest = state;
      if (largest === undefined || largest.table.evict(this.#cacheUse.bytes - goal, written) === 0) return;
    }
  }

  #checkOpen(): void {
    invariant(!this.#closed, 'a closed log is not written to');
  }

  #closeSegments(): void {
    for (const segment of this.#segments) segment.close();
  }
}

function closedError(directory: string): QuoinError {
  return new QuoinError('SHUTTING_DOWN', `the log in ${directory} was closed before the commit was durable`);
}

function failureOf(cause: unknown, action: 'write' | 'sync', path: string): Error {
  if (!(cause instanceof Error)) return new QuoinError('DISK_FAILED', `cannot write ${path}`, { cause });
  if (cause instanceof QuoinError && (cause.code === 'DISK_FULL' || action === 'write')) return cause;
  if (action === 'write')
    return new QuoinError('DISK_FAILED', `cannot write ${path}: ${cause.message}`, { cause });
  return new QuoinError('SYNC_FAILED', `cannot make ${path} durable: ${cause.message}`, { cause });
}
