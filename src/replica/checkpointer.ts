/**
 * Checkpoints: at intervals, and earlier when much is waiting, everything applied so far is written back to the disk
 * engines in one synced transaction together with the index each group's state reflects; then the log before it goes.
 * (Paper 003 checkpoints every ten seconds.)
 *
 * Memory engines of eventual buckets, and the journal that they are recovered from, take part more seldom: the same keys are
 * written over and over, and each time they are written back costs all nodes at once.
 */
import { invariant } from '../base/errors.js';
import { LIMITS } from '../base/limits.js';
import type { EngineHost } from '../engine/engine-host.js';
import type { Clock } from '../env/env.js';
import type { WriteAheadLog } from '../log/types.js';
import { encodeGroupNote, type GroupNote, groupNoteName } from './group-note.js';

/** What the checkpointer needs of a replica. */
export interface Checkpointed {
  readonly group: number;
  /** Present for a journal of merged records: should they be written back by now? Else its note stays as it is. */
  isDue?(nowMs: number): boolean;
  /** The state as it is now. */
  note(): GroupNote;
  /** The state up to this index is durable. Returns the highest index whose log entries nobody needs any more. */
  checkpointed(note: GroupNote): number;
}

export class Checkpointer {
  readonly #clock: Clock;
  readonly #engines: EngineHost;
  readonly #log: WriteAheadLog;
  readonly #replicas: () => Iterable<Checkpointed>;
  readonly #intervalMs: number;
  readonly #onDone: () => void;
  readonly #onFailure: (error: Error) => void;
  #lastMs: number;
  #waiting: (() => void)[] = [];
  #running = false;
  #failed = false;
  #stopped = false;

  constructor(options: {
    clock: Clock;
    engines: EngineHost;
    log: WriteAheadLog;
    replicas: () => Iterable<Checkpointed>;
    intervalMs: number;
    /** After each checkpoint: replicas that waited for room may go on. */
    onDone: () => void;
    onFailure: (error: Error) => void;
  }) {
    this.#clock = options.clock;
    this.#engines = options.engines;
    this.#log = options.log;
    this.#replicas = options.replicas;
    this.#intervalMs = options.intervalMs;
    this.#onDone = options.onDone;
    this.#onFailure = options.onFailure;
    this.#lastMs = options.clock.monotonicMs();
  }

  /** False when writes must wait: what is not written back yet has reached its bound. */
  mayApply(): boolean {
    return this.#engines.ledgerBytes() < LIMITS.maxLedgerBytes;
  }

  tick(nowMs: number): void {
    if (this.#running || this.#failed || this.#stopped) return;
    const due = nowMs - this.#lastMs >= this.#intervalMs;
    if (due || this.#waiting.length > 0 || this.#engines.ledgerBytes() > LIMITS.maxLedgerBytes / 4)
      this.#start();
  }

  /** Calls back once a checkpoint that began after this call is durable. */
  request(onDurable: () => void): void {
    this.#waiting.push(onDurable);
    if (!this.#running && !this.#failed && !this.#stopped) this.#start();
  }

  /** No further checkpoint. One under way still ends, after the log has been closed, and so it changes nothing any more. */
  stop(): void {
    this.#stopped = true;
  }

  #start(): void {
    invariant(!this.#running, 'one checkpoint at a time');
    this.#running = true;
    this.#lastMs = this.#clock.monotonicMs();
    const waiting = this.#waiting;
    this.#waiting = [];
    const replicas = [...this.#replicas()].filter((replica) => replica.isDue?.(this.#lastMs) ?? true);
    const includesMerged = replicas.some((replica) => replica.isDue !== undefined);
    const taken = replicas.map((replica) => ({ replica, note: replica.note() }));
    const notes = new Map(
      taken.map(({ replica, note }) => [groupNoteName(replica.group), encodeGroupNote(note)]),
    );
    this.#engines.checkpoint(
      notes,
      (error) => {
        this.#running = false;
        if (this.#stopped) return;
        if (error !== undefined) {
          this.#failed = true;
          this.#onFailure(error);
          return;
        }
        for (const { replica, note } of taken) {
          const compactTo = replica.checkpointed(note);
          if (compactTo > 0) this.#log.compact(replica.group, compactTo);
        }
        for (const callback of waiting) callback();
        this.#onDone();
      },
      includesMerged,
    );
  }
}
