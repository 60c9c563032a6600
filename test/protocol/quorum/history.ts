/**
 * What eventual buckets promise, checked on the history of a network: what began and ended when, with which version. Each check
 * returns the first violation in words, or undefined.
 */
import type { NodeId, QuorumFailure } from '../../../src/protocol/quorum/types.js';

export interface OperationRecord {
  readonly id: number;
  readonly key: string;
  readonly coordinator: NodeId;
  /** w of a write, r of a read. */
  readonly quorum: number;
  readonly startMs: number;
  endMs: number | undefined;
  /** How often its callbacks were called. */
  calls: number;
  /** Its coordinator crashed: it may end in any way, also never. */
  abandoned: boolean;
  /** What an acknowledged write got, what a read found (0: nothing). */
  version: number;
  failure: QuorumFailure | undefined;
}

export interface WriteRecord extends OperationRecord {
  readonly durable: boolean;
}

export interface ReadRecord extends OperationRecord {
  readonly repair: boolean;
}

const REPLICAS = 3;

/** Did `before` end well before `after` began? */
function precedes(before: OperationRecord, after: OperationRecord): boolean {
  return before.endMs !== undefined && before.endMs < after.startMs;
}

function succeeded(operation: OperationRecord): boolean {
  return operation.calls > 0 && operation.failure === undefined;
}

function overlap(one: OperationRecord, other: OperationRecord): boolean {
  return one.key === other.key && one.quorum + other.quorum > REPLICAS;
}

/** Every operation ends exactly once, unless its coordinator crashed. */
export function endsOnce(operations: readonly OperationRecord[]): string | undefined {
  for (const { id, calls, abandoned } of operations)
    if (calls > 1 || (calls === 0 && !abandoned)) return `operation ${id} ended ${calls} times`;
  return undefined;
}

/** With r + w > n no read misses a write that was acknowledged before it began. */
export function readsSeeWrites(
  writes: readonly WriteRecord[],
  reads: readonly ReadRecord[],
): string | undefined {
  for (const read of reads) {
    if (!succeeded(read)) continue;
    for (const write of writes)
      if (succeeded(write) && overlap(write, read) && precedes(write, read) && read.version < write.version)
        return `read ${read.id} found ${read.version}, after write ${write.id} had got ${write.version}`;
  }
  return undefined;
}

/** With w + w > n a write hides whatever was acknowledged before it began, whatever the clocks show. */
export function laterWritesWin(writes: readonly WriteRecord[]): string | undefined {
  for (const later of writes) {
    if (!succeeded(later)) continue;
    for (const earlier of writes)
      if (
        succeeded(earlier) &&
        overlap(earlier, later) &&
        precedes(earlier, later) &&
        later.version <= earlier.version
      )
        return `write ${later.id} got ${later.version}, below write ${earlier.id} before it with ${earlier.version}`;
  }
  return undefined;
}

/** With repair and r + r > n no read goes back behind an earlier one. */
export function readsNeverGoBack(reads: readonly ReadRecord[]): string | undefined {
  for (const later of reads) {
    if (!succeeded(later)) continue;
    for (const earlier of reads)
      if (
        earlier.repair &&
        succeeded(earlier) &&
        overlap(earlier, later) &&
        precedes(earlier, later) &&
        later.version < earlier.version
      )
        return `read ${later.id} found ${later.version}, read ${earlier.id} before it ${earlier.version}`;
  }
  return undefined;
}
