/**
 * quoin.open-bucket description -> OK
 *
 * Stands in a group's log before any command uses the bucket, so that applying never depends on the cluster map. Opening an open
 * bucket gives it the new description.
 */
import { parseBucket } from '../bucket-codec.js';
import type { CommandDefinition } from '../command.js';
import { ErrorReply, OK } from '../reply.js';
import { EVERY_GROUP } from '../shapes.js';

export const quoinOpenBucket: CommandDefinition = {
  ...EVERY_GROUP,
  name: 'quoin.open-bucket',
  id: 107,
  arity: 2,
  flags: ['write', 'admin'],
  category: 'server',
  summary: 'Opens a bucket in a group.',
  isWrite: true,
  internal: true,
  execute(context, args) {
    const bucket = parseBucket(args[0]!);
    if (bucket instanceof ErrorReply) return bucket;
    context.control?.openBucket(bucket);
    return OK;
  },
};
