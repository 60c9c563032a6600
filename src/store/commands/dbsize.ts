/** DBSIZE: keys of the bucket, those that have expired and were not yet removed included. */
import type { CommandDefinition } from '../command.js';
import { EVERY_GROUP, mergeSum } from '../shapes.js';

export const dbsize: CommandDefinition = {
  ...EVERY_GROUP,
  name: 'dbsize',
  id: 42,
  arity: 1,
  flags: ['readonly', 'fast'],
  category: 'server',
  summary: 'Counts the keys of the bucket.',
  isWrite: false,
  merge: mergeSum,
  execute(context) {
    return context.keyspace.keyCount();
  },
};
