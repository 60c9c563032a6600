/**
 * The contract of the write-ahead log: one per node for all replica groups, so that one sync covers every group's
 * batch of a turn (group commit).
 */
import type { HardState, LogEntry, LogReader } from '../protocol/raft/types.js';

/** One group's part of the log as recovery found it. */
export interface RecoveredGroup {
  readonly hardState: HardState;
  /** Index and term of what the dropped part ended with; 0 and 0 when nothing was dropped. */
  readonly compactedIndex: number;
  readonly compactedTerm: number;
  readonly lastIndex: number;
}

export interface GroupLog extends LogReader {
  readonly recovered: RecoveredGroup;
}

/** How durability is reached: a blocking sync on the event loop, or one in the thread pool. */
export type SyncStrategy = 'blocking' | 'background';

export interface LogStatistics {
  readonly segments: number;
  readonly sizeBytes: number;
  readonly syncs: number;
  readonly syncStrategy: SyncStrategy;
  /** Moving average of the time a sync takes. */
  readonly syncMs: number;
  /** The time of all syncs. */
  readonly totalSyncMs: number;
  readonly bytesWritten: number;
}

export interface WriteAheadLog {
  /** Opens one group's log; a group never seen is empty. */
  group(group: number): GroupLog;
  /** Groups that recovery found. */
  groups(): number[];
  /** Queues entries; when the first index is not lastIndex + 1, the log is cut from there on first. Readable at once. */
  append(group: number, entries: readonly LogEntry[]): void;
  saveHardState(group: number, state: HardState): void;
  /** Starts a group's log anew after a snapshot: everything is dropped, the next entry is index + 1. */
  resetTo(group: number, index: number, term: number): void;
  /** Entries up to and including `index` are no longer needed; whole segments go when no group needs them. */
  compact(group: number, index: number): void;
  /** Forgets a group altogether (it left this node). */
  removeGroup(group: number): void;
  /**
   * Makes everything queued so far durable with one write and one sync, then calls back, never from within the call.
   * Calls while a sync is under way are gathered into the next one. After an error the log stays failed: nothing it
   * could not sync is ever reported durable later (fsyncgate).
   */
  commit(onDurable: (error: Error | undefined) => void): void;
  /** Set once a write or sync has failed. */
  readonly failure: Error | undefined;
  statistics(): LogStatistics;
  close(): void;
}
