/** WATCH key [key ...]: remembers the keys' versions; EXEC then holds only if they are still the same. */
import { commandByName } from '../../../store/registry.js';
import { ErrorReply, OK, type Reply } from '../../../store/reply.js';
import type { ClientConnection } from '../connection.js';
import type { ConnectionCommand } from '../connection-command.js';
import { CROSS_SLOT, invalidArgument, notSupported } from '../messages.js';
import { commonSlot, refusalFor } from '../routing.js';

const INSIDE_MULTI = invalidArgument('WATCH inside MULTI is not allowed');

async function remember(client: ClientConnection, keys: readonly Buffer[]): Promise<Reply> {
  const version = commandByName('quoin.version');
  if (version === undefined) return notSupported('this node keeps no versions');
  const { bucket } = client;
  if (bucket.quorum !== undefined) {
    return ErrorReply.of(
      'READ_MODIFY_WRITE',
      `WATCH needs a bucket of raft replication; '${bucket.name}' is eventually consistent`,
    );
  }
  // A key watched twice keeps its first version: what changed in between must be noticed.
  const fresh = keys.filter((key) => !client.watched.has(bucket.id, key));
  const replies = await Promise.all(fresh.map((key) => client.request(version, [key])));
  for (const [index, reply] of replies.entries()) {
    if (reply instanceof ErrorReply) return reply;
    if (typeof reply !== 'number') return notSupported('this bucket keeps no versions');
    // A copy: the argument is a view of a whole chunk, and the key may be watched for long.
    client.watched.add({ bucketId: bucket.id, key: Buffer.from(fresh[index]!), version: reply });
  }
  return OK;
}

export const watch: ConnectionCommand = {
  name: 'watch',
  arity: -2,
  flags: ['noscript', 'loading', 'stale', 'fast'],
  firstKey: 1,
  lastKey: -1,
  keyStep: 1,
  category: 'transactions',
  summary: 'Makes the next EXEC fail when one of the keys changes before it.',
  inTransaction: 'immediate',
  run(client, args) {
    if (client.transaction !== undefined) return INSIDE_MULTI;
    const entry = client.lastCommand;
    if (entry !== undefined) {
      const refusal = refusalFor(client, entry, args);
      if (refusal !== undefined) return refusal;
      if (commonSlot(entry, args) === -2) return CROSS_SLOT;
    }
    return remember(client, args);
  },
};
