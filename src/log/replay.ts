/**
 * Builds the groups' states from the log's records, oldest first.
 *
 * An entry at or before the last index cuts the log there first. Because old segments are deleted, and small groups
 * copied forward out of them, the records that are left may begin in the middle of a group's log, and may have a hole that
 * a later copy fills. So while replaying, the table holds the latest unbroken run of entries, and only the end decides:
 * the run must begin where the group's last compaction or reset mark says that it does. If it begins later, entries are
 * missing, which is damage.
 */
import { QuoinError } from '../base/errors.js';
import type { CacheUse } from './entry-table.js';
import { ENTRY_OVERHEAD_BYTES, RECORD_HEADER_BYTES, RecordKind, readU64 } from './format.js';
import { type FindSegment, GroupState } from './group-state.js';

/** What is wrong with a record whose checksum is right; undefined: nothing. */
export type ReplayProblem = string | undefined;

const WRONG_LENGTH = 'a record has the wrong length';

interface ReplayedGroup {
  readonly state: GroupState;
  /** The last compaction or reset mark. */
  markIndex: number;
  markTerm: number;
}

export class Replay {
  readonly #groups = new Map<number, ReplayedGroup>();
  readonly #use: CacheUse;
  readonly #find: FindSegment;

  constructor(use: CacheUse, find: FindSegment) {
    this.#use = use;
    this.#find = find;
  }

  /** Takes the record in [start, end) of `bytes`, whose checksum has been found right. */
  apply(segment: number, bytes: Buffer, start: number, end: number): ReplayProblem {
    const number = bytes.readUInt32LE(start + 8);
    const body = start + RECORD_HEADER_BYTES;
    const kind = bytes[start + 12]!;
    if (kind === RecordKind.removeGroup) {
      this.#groups.delete(number);
      return end === body ? undefined : WRONG_LENGTH;
    }
    const group = this.#groupOf(number);
    switch (kind) {
      case RecordKind.entry:
        if (end < start + ENTRY_OVERHEAD_BYTES) return WRONG_LENGTH;
        return this.#entry(group, segment, bytes, start, end);
      case RecordKind.hardState:
        if (end < body + 8) return WRONG_LENGTH;
        group.state.hardState = {
          term: readU64(bytes, body),
          votedFor: bytes.toString('utf8', body + 8, end),
        };
        group.state.hardStateSegment = segment;
        return undefined;
      case RecordKind.reset:
        if (end !== body + 16) return WRONG_LENGTH;
        group.markIndex = readU64(bytes, body);
        group.markTerm = readU64(bytes, body + 8);
        group.state.markSegment = segment;
        group.state.table.reset(group.markIndex, group.markTerm);
        return undefined;
      case RecordKind.compaction:
        if (end !== body + 16) return WRONG_LENGTH;
        return this.#compaction(group, segment, readU64(bytes, body), readU64(bytes, body + 8));
      default:
        throw new QuoinError(
          'LOG_TOO_NEW',
          `the log holds a record of kind ${kind}, which this version does not know`,
        );
    }
  }

  /** After the last record: the groups' states, or what is missing. */
  finish(): Map<number, GroupState> | string {
    const states = new Map<number, GroupState>();
    for (const { state, markIndex, markTerm } of this.#groups.values()) {
      const { table } = state;
      if (table.base !== markIndex)
        return `group ${state.number} begins at entry ${table.base + 1}, but nothing says that entries after ${markIndex} were dropped`;
      table.setBaseTerm(markTerm);
      state.settle();
      states.set(state.number, state);
    }
    return states;
  }

  #groupOf(number: number): ReplayedGroup {
    let group = this.#groups.get(number);
    if (group === undefined) {
      group = { state: new GroupState(number, this.#use, this.#find), markIndex: 0, markTerm: 0 };
      this.#groups.set(number, group);
    }
    return group;
  }

  #entry(group: ReplayedGroup, segment: number, bytes: Buffer, start: number, end: number): ReplayProblem {
    const { table } = group.state;
    const index = readU64(bytes, start + RECORD_HEADER_BYTES);
    const term = readU64(bytes, start + RECORD_HEADER_BYTES + 8);
    if (index <= group.markIndex)
      return `entry ${index} of group ${group.state.number} comes after ${group.markIndex} was dropped`;
    if (index > table.base && index <= table.last) table.cutFrom(index);
    else if (index !== table.last + 1) table.reset(index - 1, 0);
    table.push(term, end - start - ENTRY_OVERHEAD_BYTES, segment, start);
    return undefined;
  }

  #compaction(group: ReplayedGroup, segment: number, index: number, term: number): ReplayProblem {
    const { state } = group;
    const { table } = state;
    if (index < group.markIndex)
      return `group ${state.number} is compacted to ${index} after it was to ${group.markIndex}`;
    if (index > table.base && index <= table.last) {
      if (table.term(index) !== term)
        return `group ${state.number} is compacted to entry ${index} of term ${term}, and has it of term ${table.term(index)}`;
      table.dropThrough(index);
    } else if (index > table.last) {
      // The entries up to the mark were in segments that are gone; what is left of the group here is older still.
      table.reset(index, term);
    }
    group.markIndex = index;
    group.markTerm = term;
    state.markSegment = segment;
    return undefined;
  }
}
