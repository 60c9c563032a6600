/**
 * One group's part of the log: what is known of it in memory, and reading entries back from disk.
 *
 * Invariant: an entry read from disk is checked against its checksum and against the index and term it should have; when
 * it is another, LOG_DAMAGED names file and offset.
 */
import { invariant, QuoinError } from '../base/errors.js';
import type { HardState, LogEntry } from '../protocol/raft/types.js';
import { type CacheUse, EntryTable } from './entry-table.js';
import { ENTRY_OVERHEAD_BYTES, RECORD_HEADER_BYTES, RecordKind, readU64, recordEnd } from './format.js';
import type { Segment } from './segment.js';
import type { GroupLog, RecoveredGroup } from './types.js';

/** Bytes of other groups' records that one read may take along to save further reads. */
const READ_SLACK_BYTES = 64 * 1024;

const NO_HARD_STATE: HardState = { term: 0, votedFor: '' };
const EMPTY: RecoveredGroup = { hardState: NO_HARD_STATE, compactedIndex: 0, compactedTerm: 0, lastIndex: 0 };

export type FindSegment = (number: number) => Segment;

export class GroupState implements GroupLog {
  readonly number: number;
  readonly table: EntryTable;
  readonly #find: FindSegment;
  hardState: HardState = NO_HARD_STATE;
  /** Segments that hold the group's present hard state and its present compaction or reset mark; 0: none. */
  hardStateSegment = 0;
  markSegment = 0;
  recovered: RecoveredGroup = EMPTY;

  constructor(number: number, use: CacheUse, find: FindSegment) {
    this.number = number;
    this.table = new EntryTable(use);
    this.#find = find;
  }

  /** Remembers the present state as what recovery found. */
  settle(): void {
    const { base, baseTerm, last } = this.table;
    this.recovered = {
      hardState: this.hardState,
      compactedIndex: base,
      compactedTerm: baseTerm,
      lastIndex: last,
    };
  }

  /** The group is gone; a later one of the same number starts empty. */
  clear(): void {
    this.table.reset(0, 0);
    this.hardState = NO_HARD_STATE;
    this.hardStateSegment = 0;
    this.markSegment = 0;
    this.recovered = EMPTY;
  }

  firstIndex(): number {
    return this.table.base + 1;
  }

  lastIndex(): number {
    return this.table.last;
  }

  term(index: number): number {
    return this.table.term(index);
  }

  entries(from: number, to: number, maxBytes: number): LogEntry[] {
    const table = this.table;
    invariant(from > table.base && to <= table.last + 1, 'only retained entries are read');
    const found: LogEntry[] = [];
    let bytes = 0;
    for (let index = from; index < to; ) {
      const size = table.payloadBytes(index);
      if (found.length > 0 && bytes + size > maxBytes) break;
      const cached = table.cached(index);
      if (cached !== undefined) {
        found.push(cached);
        bytes += size;
        index++;
        continue;
      }
      const end = this.#runEnd(index, to, maxBytes - bytes);
      this.#readRun(index, end, found);
      for (; index < end; index++) bytes += table.payloadBytes(index);
    }
    return found;
  }

  /** End of the run of entries from `index` on that one read fetches: same segment, close together, within the bounds. */
  #runEnd(index: number, to: number, maxBytes: number): number {
    const table = this.table;
    const segment = table.segment(index);
    const start = table.offset(index);
    let bytes = table.payloadBytes(index);
    let end = index + 1;
    for (; end < to && table.cached(end) === undefined && table.segment(end) === segment; end++) {
      bytes += table.payloadBytes(end);
      if (bytes > maxBytes) break;
      const span = table.offset(end) - start + ENTRY_OVERHEAD_BYTES + table.payloadBytes(end);
      if (span > 2 * (bytes + (end - index) * ENTRY_OVERHEAD_BYTES) + READ_SLACK_BYTES) break;
    }
    return end;
  }

  #readRun(from: number, end: number, found: LogEntry[]): void {
    const table = this.table;
    const segment = this.#find(table.segment(from));
    const start = table.offset(from);
    const lengthBytes = table.offset(end - 1) + ENTRY_OVERHEAD_BYTES + table.payloadBytes(end - 1) - start;
    const bytes = segment.file.readAt(start, lengthBytes);
    for (let index = from; index < end; index++) {
      const at = table.offset(index) - start;
      const recordBytes = ENTRY_OVERHEAD_BYTES + table.payloadBytes(index);
      const term = table.term(index);
      const whole =
        recordEnd(bytes, at, bytes.length) === at + recordBytes &&
        bytes.readUInt32LE(at + 8) === this.number &&
        bytes[at + 12] === RecordKind.entry &&
        readU64(bytes, at + RECORD_HEADER_BYTES) === index &&
        readU64(bytes, at + RECORD_HEADER_BYTES + 8) === term;
      if (!whole)
        throw new QuoinError(
          'LOG_DAMAGED',
          `${segment.path}: damaged at offset ${table.offset(index)}: entry ${index} of group ${this.number} cannot be read back`,
        );
      found.push({ index, term, payload: bytes.subarray(at + ENTRY_OVERHEAD_BYTES, at + recordBytes) });
    }
  }
}
