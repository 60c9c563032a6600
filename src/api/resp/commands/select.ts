/** SELECT bucket: its index in the order of the cluster map, or its name. */
import { ErrorReply, OK } from '../../../store/reply.js';
import { type ConnectionCommand, KEYLESS } from '../connection-command.js';
import { invalidArgument } from '../messages.js';
import { integer } from '../words.js';

export const select: ConnectionCommand = {
  ...KEYLESS,
  name: 'select',
  arity: 2,
  flags: ['fast', 'stale'],
  category: 'connection',
  summary: 'Chooses the bucket that later commands use, by index or by name.',
  inTransaction: 'refused',
  run(client, args) {
    const { node } = client.server;
    const index = integer(args[0]);
    if (index !== undefined) {
      const bucket = index < 0 ? undefined : node.map()?.buckets[index];
      if (bucket === undefined) return invalidArgument('DB index is out of range');
      client.bucket = bucket;
      return OK;
    }
    const name = args[0]!.toString('utf8');
    const bucket = node.bucketByName(name);
    if (bucket === undefined)
      return ErrorReply.of('UNKNOWN_BUCKET', `no such bucket '${name.slice(0, 128)}'`);
    client.bucket = bucket;
    return OK;
  },
};
