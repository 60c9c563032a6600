/** What a log must hold, said simply: the model against which the property tests compare. */
import { crc32 } from 'node:zlib';
import type { WriteAheadLog } from '../../src/log/types.js';
import type { HardState, LogEntry } from '../../src/protocol/raft/types.js';

export interface ModelGroup {
  hardState: HardState;
  base: number;
  baseTerm: number;
  entries: LogEntry[];
}

export type Model = Map<number, ModelGroup>;

export function emptyGroup(): ModelGroup {
  return { hardState: { term: 0, votedFor: '' }, base: 0, baseTerm: 0, entries: [] };
}

export function groupOf(model: Model, group: number): ModelGroup {
  let found = model.get(group);
  if (found === undefined) {
    found = emptyGroup();
    model.set(group, found);
  }
  return found;
}

export function cloneModel(model: Model): Model {
  return new Map([...model].map(([number, group]) => [number, { ...group, entries: [...group.entries] }]));
}

/** A group's state as text. A group never used and an empty one are the same. */
function describeGroup(group: ModelGroup): string {
  const { hardState, base, baseTerm } = group;
  const list = group.entries.map(
    (one) => `${one.index}/${one.term}/${one.payload.length}:${crc32(one.payload)}`,
  );
  return `${hardState.term} '${hardState.votedFor}' ${base}/${baseTerm} [${list.join(' ')}]`;
}

export function describeModel(model: Model): string {
  const blank = describeGroup(emptyGroup());
  return [...model]
    .sort(([a], [b]) => a - b)
    .map(([number, group]) => [number, describeGroup(group)] as const)
    .filter(([, text]) => text !== blank)
    .map(([number, text]) => `${number}: ${text}`)
    .join('\n');
}

/** What a log holds, read through its contract alone. `recovered` adds the hard states, known after opening only. */
export function readModel(log: WriteAheadLog, groups: readonly number[]): Model {
  const model: Model = new Map();
  for (const number of groups) {
    const reader = log.group(number);
    const first = reader.firstIndex();
    const last = reader.lastIndex();
    model.set(number, {
      hardState: reader.recovered.hardState,
      base: first - 1,
      baseTerm: reader.term(first - 1),
      entries: first <= last ? reader.entries(first, last + 1, Number.POSITIVE_INFINITY) : [],
    });
  }
  return model;
}
