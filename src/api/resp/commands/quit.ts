/** QUIT */
import { OK } from '../../../store/reply.js';
import { type ConnectionCommand, KEYLESS } from '../connection-command.js';

export const quit: ConnectionCommand = {
  ...KEYLESS,
  name: 'quit',
  arity: -1,
  flags: ['fast', 'loading', 'stale', 'noscript', 'no_auth'],
  category: 'connection',
  summary: 'Ends the connection after the answers to what was asked before.',
  inTransaction: 'immediate',
  run(client) {
    client.closeAfterReply();
    return OK;
  },
};
