/** EXISTS key [key ...] */
import type { CommandDefinition } from '../command.js';
import { ALL_KEYS, mergeSum } from '../shapes.js';

export const exists: CommandDefinition = {
  ...ALL_KEYS,
  name: 'exists',
  id: 24,
  arity: -2,
  flags: ['readonly', 'fast'],
  category: 'generic',
  summary: 'Counts how many of the named keys exist.',
  isWrite: false,
  peeks: true,
  split: { wordsPerPart: 1, merge: mergeSum },
  execute(context, args) {
    let present = 0;
    for (const key of args) if (context.keyspace.get(key) !== undefined) present++;
    return present;
  },
};
