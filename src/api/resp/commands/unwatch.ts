/** UNWATCH */
import { OK } from '../../../store/reply.js';
import { type ConnectionCommand, KEYLESS } from '../connection-command.js';

export const unwatch: ConnectionCommand = {
  ...KEYLESS,
  name: 'unwatch',
  arity: 1,
  flags: ['noscript', 'loading', 'stale', 'fast'],
  category: 'transactions',
  summary: 'Forgets the watched keys.',
  inTransaction: 'queued',
  run(client) {
    client.watched.clear();
    return OK;
  },
};
