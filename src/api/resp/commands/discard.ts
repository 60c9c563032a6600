/** DISCARD */
import { OK } from '../../../store/reply.js';
import { type ConnectionCommand, KEYLESS } from '../connection-command.js';
import { invalidArgument } from '../messages.js';

const WITHOUT_MULTI = invalidArgument('DISCARD without MULTI');

export const discard: ConnectionCommand = {
  ...KEYLESS,
  name: 'discard',
  arity: 1,
  flags: ['noscript', 'loading', 'stale', 'fast'],
  category: 'transactions',
  summary: 'Forgets the transaction and the watched keys.',
  inTransaction: 'immediate',
  run(client) {
    if (client.transaction === undefined) return WITHOUT_MULTI;
    client.transaction = undefined;
    client.watched.clear();
    return OK;
  },
};
