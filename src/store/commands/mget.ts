/** MGET key [key ...] */
import type { CommandDefinition } from '../command.js';
import type { Reply } from '../reply.js';
import { ALL_KEYS, mergeConcatenation } from '../shapes.js';

export const mget: CommandDefinition = {
  ...ALL_KEYS,
  name: 'mget',
  id: 11,
  arity: -2,
  flags: ['readonly', 'fast'],
  category: 'string',
  summary: 'Returns the values of several keys.',
  isWrite: false,
  split: { wordsPerPart: 1, merge: mergeConcatenation },
  execute(context, args) {
    const values: Reply[] = [];
    for (const key of args) {
      const record = context.keyspace.get(key);
      values.push(record === undefined ? null : record.value);
    }
    return values;
  },
};
