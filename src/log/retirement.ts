/**
 * Frees old segments: finds how far the groups still need them, and copies what is small forward so that a quiet group
 * does not pin the segments of a busy one.
 *
 * Invariant: what is copied goes into the batch that is about to be written, so once that batch is durable, everything that
 * the groups need is in the segments from the returned number on.
 *
 * A group's log is copied as a whole, by appending it again from its first retained entry: replaying that cuts the old
 * copy and yields the same log, so no record kind of its own is needed.
 */
import type { BatchWriter } from './batch-writer.js';
import type { EntryTable } from './entry-table.js';
import type { GroupState } from './group-state.js';

/** A group's entries are copied only when they stand at least so many segments back: copying has its price. */
const RELOCATION_AGE_SEGMENTS = 2;

/** One batch takes at most so many times the size below which a group is copied. */
const GROUPS_PER_BATCH = 4;

export interface RetirementPlan {
  /** Takes what is copied: the batch that is about to be written, ... */
  readonly writer: BatchWriter;
  /** ... and where that will be. */
  readonly batchSegment: number;
  readonly batchStart: number;
  /** The oldest segment there is. */
  readonly oldest: number;
  readonly relocationBytes: number;
}

/** An entry that the batch holds a copy of. */
interface Copied {
  readonly table: EntryTable;
  readonly index: number;
  readonly offset: number;
}

export interface Retirement {
  /** The first segment that must stay once the batch is durable. */
  readonly keepFrom: number;
  /** Where copied entries are once the batch is written (and not before: the write may fail). */
  readonly copied: readonly Copied[];
}

/** Copies forward what is small. */
export function retire(groups: Iterable<GroupState>, plan: RetirementPlan): Retirement {
  const { writer, batchSegment, oldest } = plan;
  const all = [...groups];
  let keepFrom = batchSegment;
  const small: GroupState[] = [];
  const copied: Copied[] = [];
  for (const state of all) {
    const { table } = state;
    if (table.isEmpty) continue;
    const first = table.segment(table.base + 1);
    const isMovable =
      table.retainedBytes <= plan.relocationBytes && batchSegment - first >= RELOCATION_AGE_SEGMENTS;
    if (isMovable) small.push(state);
    else keepFrom = Math.min(keepFrom, first);
  }
  // Only groups that stand in the way are copied, oldest first, until what one batch may take has been taken.
  small.sort((a, b) => a.table.segment(a.table.base + 1) - b.table.segment(b.table.base + 1));
  let budgetBytes = GROUPS_PER_BATCH * plan.relocationBytes;
  for (const state of small) {
    const { table } = state;
    const first = table.segment(table.base + 1);
    if (first >= keepFrom) break;
    budgetBytes -= table.retainedBytes;
    if (budgetBytes < 0) keepFrom = Math.min(keepFrom, first);
    else copy(state, plan, copied);
  }
  if (keepFrom <= oldest) return { keepFrom: oldest, copied };
  for (const state of all) {
    const { table, hardState } = state;
    if (state.hardStateSegment !== 0 && state.hardStateSegment < keepFrom) {
      writer.hardState(state.number, hardState.term, hardState.votedFor);
      state.hardStateSegment = batchSegment;
    }
    if (state.markSegment !== 0 && state.markSegment < keepFrom) {
      writer.compaction(state.number, table.base, table.baseTerm);
      state.markSegment = batchSegment;
    }
  }
  return { keepFrom, copied };
}

function copy(state: GroupState, plan: RetirementPlan, copied: Copied[]): void {
  const { table } = state;
  const entries = state.entries(table.base + 1, table.last + 1, Number.POSITIVE_INFINITY);
  for (const entry of entries)
    copied.push({
      table,
      index: entry.index,
      offset: plan.batchStart + plan.writer.entry(state.number, entry),
    });
}
