/** DEL key [key ...] */
import type { CommandDefinition } from '../command.js';
import { ALL_KEYS, mergeSum } from '../shapes.js';

export const del: CommandDefinition = {
  ...ALL_KEYS,
  name: 'del',
  id: 3,
  arity: -2,
  flags: ['write'],
  category: 'generic',
  summary: 'Removes keys and returns how many there were.',
  isWrite: true,
  split: { wordsPerPart: 1, merge: mergeSum },
  execute(context, args) {
    let removed = 0;
    for (const key of args) if (context.keyspace.remove(key)) removed++;
    return removed;
  },
};
