/**
 * The journal of a node's eventual buckets: one group of the write-ahead log for all of them. Each entry is a batch of
 * mutations exactly as it travelled, or, behind a byte that no batch begins with, a change of the hints kept for others.
 *
 * After a restart the entries behind the last checkpoint are merged again. Merging is idempotent, so it does no harm
 * that the checkpoint holds some of them already: that is why it may be taken while writes go on.
 *
 * Invariant: an entry is appended after it was merged, so whatever a checkpoint's note counts is in the checkpoint.
 */
import { DecodeError } from '../../base/bytes.js';
import { invariant, QuoinError } from '../../base/errors.js';
import { LIMITS } from '../../base/limits.js';
import type { GroupLog, WriteAheadLog } from '../../log/types.js';
import type { Checkpointed } from '../checkpointer.js';
import { decodeGroupNote, type GroupNote, groupNoteName } from '../group-note.js';

/** Group of the log. Groups of the cluster map are numbered from 0, and are as many as its nodes. */
const JOURNAL_GROUP = 0xffff;

/** Entries of one group of the log carry a term; these know no leader. */
const TERM = 1;

/** First byte of a change of the hints; a batch begins with the head of a mutation, which is below 3. */
const HINTS_MARK = Buffer.from([0xff]);

export interface JournalOptions {
  readonly log: WriteAheadLog;
  /** What the last checkpoint noted, by name. */
  readonly note: (name: string) => Buffer | undefined;
  /** State that is not records, for the note of a checkpoint. */
  readonly encodeHead: () => Buffer;
  readonly restoreHead: (head: Buffer) => void;
  /** Bytes of memory that wait for the records to be written back. */
  readonly waitingBytes: () => number;
}

export class Journal implements Checkpointed {
  readonly group = JOURNAL_GROUP;
  readonly #log: WriteAheadLog;
  readonly #groupLog: GroupLog;
  readonly #encodeHead: () => Buffer;
  readonly #waitingBytes: () => number;
  #recoveredIndex = 0;
  #lastIndex: number;
  #grownBytes = 0;
  /** When records were last written back, or it was first asked about after the start; undefined: not asked yet. */
  #writtenBackMs: number | undefined;
  #isWantedSoon = false;
  #askedMs = 0;

  constructor({ log, note, encodeHead, restoreHead, waitingBytes }: JournalOptions) {
    this.#log = log;
    this.#waitingBytes = waitingBytes;
    this.#encodeHead = encodeHead;
    this.#groupLog = log.group(JOURNAL_GROUP);
    const stored = note(groupNoteName(JOURNAL_GROUP));
    if (stored !== undefined) {
      const { appliedIndex, head } = decodeGroupNote(JOURNAL_GROUP, stored);
      this.#recoveredIndex = appliedIndex;
      restoreHead(head);
    }
    const { compactedIndex, lastIndex } = this.#groupLog.recovered;
    if (this.#recoveredIndex < compactedIndex) {
      throw new QuoinError(
        'CHECKPOINT_DAMAGED',
        `the records of eventual buckets are as of entry ${this.#recoveredIndex} of their journal, which begins at ${compactedIndex + 1}`,
      );
    }
    this.#lastIndex = lastIndex;
    if (this.#recoveredIndex > lastIndex) {
      // The checkpoint was made durable, the last entries it reflects were not: go on behind them.
      log.resetTo(JOURNAL_GROUP, this.#recoveredIndex, TERM);
      this.#lastIndex = this.#recoveredIndex;
    }
  }

  /** Visits every entry that the checkpoint may lack, oldest first. Called once, before anything is appended. */
  replay(visitor: { mutations(bytes: Buffer): void; hints(bytes: Buffer): void }): void {
    let next = this.#recoveredIndex + 1;
    while (next <= this.#lastIndex) {
      const entries = this.#groupLog.entries(next, this.#lastIndex + 1, LIMITS.maxCommittedBytesPerTurn);
      for (const { payload } of entries) {
        this.#grownBytes += payload.length;
        try {
          if (payload[0] === HINTS_MARK[0]) visitor.hints(payload.subarray(1));
          else visitor.mutations(payload);
        } catch (error) {
          if (!(error instanceof DecodeError)) throw error;
          throw new QuoinError('LOG_DAMAGED', `entry ${next} of the journal cannot be read`, {
            cause: error,
          });
        }
        next++;
      }
    }
  }

  /** Index of the entry appended last. */
  get lastIndex(): number {
    return this.#lastIndex;
  }

  appendMutations(batch: Buffer): void {
    invariant(batch[0] !== HINTS_MARK[0], 'a batch of mutations begins with a mutation');
    this.#append(batch);
  }

  appendHints(change: Buffer): void {
    this.#append(Buffer.concat([HINTS_MARK, change]));
  }

  #append(payload: Buffer): void {
    this.#lastIndex++;
    this.#grownBytes += payload.length;
    this.#log.append(JOURNAL_GROUP, [{ index: this.#lastIndex, term: TERM, payload }]);
  }

  /** Lets the next checkpoint write records and head back, without waiting for more to come together. */
  writeBackSoon(): void {
    this.#isWantedSoon = true;
  }

  isDue(nowMs: number): boolean {
    this.#askedMs = nowMs;
    this.#writtenBackMs ??= nowMs;
    return (
      this.#isWantedSoon ||
      nowMs - this.#writtenBackMs >= LIMITS.journalWriteBackMs ||
      this.#grownBytes >= LIMITS.journalWriteBackBytes ||
      this.#waitingBytes() >= LIMITS.maxLedgerBytes / 8
    );
  }

  note(): GroupNote {
    this.#writtenBackMs = this.#askedMs;
    this.#isWantedSoon = false;
    this.#grownBytes = 0;
    return {
      appliedIndex: this.#lastIndex,
      appliedTerm: TERM,
      stateMissing: false,
      head: this.#encodeHead(),
    };
  }

  checkpointed(note: GroupNote): number {
    return note.appliedIndex;
  }
}
