/** quoin.drop-bucket description -> 1, or 0 when it was not open: the group's keys of the bucket are removed. */
import { parseBucket } from '../bucket-codec.js';
import type { CommandDefinition } from '../command.js';
import { ErrorReply } from '../reply.js';
import { EVERY_GROUP } from '../shapes.js';

export const quoinDropBucket: CommandDefinition = {
  ...EVERY_GROUP,
  name: 'quoin.drop-bucket',
  id: 109,
  arity: 2,
  flags: ['write', 'admin'],
  category: 'server',
  summary: 'Drops a bucket and its keys from a group.',
  isWrite: true,
  internal: true,
  execute(context, args) {
    const bucket = parseBucket(args[0]!);
    if (bucket instanceof ErrorReply) return bucket;
    return context.control?.dropBucket(bucket.id) === true ? 1 : 0;
  },
};
