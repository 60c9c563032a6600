/** ASKING: accepted for Redis Cluster clients; slots that move are served by whoever owns them, so nothing is asked. */
import { OK } from '../../../store/reply.js';
import { type ConnectionCommand, KEYLESS } from '../connection-command.js';

export const asking: ConnectionCommand = {
  ...KEYLESS,
  name: 'asking',
  arity: 1,
  flags: ['fast'],
  category: 'cluster',
  summary: 'Accepted for clients that follow ASK redirections.',
  inTransaction: 'queued',
  run() {
    return OK;
  },
};
