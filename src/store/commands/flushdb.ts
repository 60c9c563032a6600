/** FLUSHDB [ASYNC | SYNC] */
import type { CommandDefinition } from '../command.js';
import { checkFlush } from '../flush.js';
import { OK } from '../reply.js';
import { EVERY_GROUP, mergeOk } from '../shapes.js';

export const flushdb: CommandDefinition = {
  ...EVERY_GROUP,
  name: 'flushdb',
  id: 43,
  arity: -1,
  flags: ['write'],
  category: 'server',
  summary: 'Removes all keys of the bucket.',
  isWrite: true,
  merge: mergeOk,
  validate: checkFlush,
  execute(context, args) {
    const error = checkFlush(args);
    if (error !== undefined) return error;
    context.keyspace.clear();
    return OK;
  },
};
