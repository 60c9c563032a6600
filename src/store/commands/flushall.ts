/** FLUSHALL [ASYNC | SYNC] */
import type { CommandDefinition } from '../command.js';
import { checkFlush } from '../flush.js';
import { OK } from '../reply.js';
import { EVERY_GROUP, mergeOk } from '../shapes.js';

export const flushall: CommandDefinition = {
  ...EVERY_GROUP,
  name: 'flushall',
  id: 44,
  arity: -1,
  flags: ['write'],
  category: 'server',
  summary: 'Removes all keys of all buckets.',
  isWrite: true,
  merge: mergeOk,
  validate: checkFlush,
  execute(context, args) {
    const error = checkFlush(args);
    if (error !== undefined) return error;
    if (context.control === undefined) context.keyspace.clear();
    else context.control.clearAllBuckets();
    return OK;
  },
};
