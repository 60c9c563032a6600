/** quoin.update-bucket description -> OK: the bucket's time to live changes for keys written from here on. */
import { parseBucket } from '../bucket-codec.js';
import type { CommandDefinition } from '../command.js';
import { ErrorReply, OK } from '../reply.js';
import { EVERY_GROUP } from '../shapes.js';

export const quoinUpdateBucket: CommandDefinition = {
  ...EVERY_GROUP,
  name: 'quoin.update-bucket',
  id: 108,
  arity: 2,
  flags: ['write', 'admin'],
  category: 'server',
  summary: 'Changes the policy of a bucket in a group.',
  isWrite: true,
  internal: true,
  execute(context, args) {
    const bucket = parseBucket(args[0]!);
    if (bucket instanceof ErrorReply) return bucket;
    if (context.control?.isBucketOpen(bucket.id) !== true)
      return ErrorReply.of('UNKNOWN_BUCKET', `bucket ${bucket.name} is not open in this group`);
    context.control.openBucket(bucket);
    return OK;
  },
};
