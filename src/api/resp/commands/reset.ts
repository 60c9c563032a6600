/** RESET */
import { SimpleString } from '../../../store/reply.js';
import { type ConnectionCommand, KEYLESS } from '../connection-command.js';
import { noteFormerChoice } from './promised-copies.js';

const RESET = new SimpleString('RESET');

export const reset: ConnectionCommand = {
  ...KEYLESS,
  name: 'reset',
  arity: 1,
  flags: ['fast', 'loading', 'stale', 'noscript', 'no_auth'],
  category: 'connection',
  summary: 'Makes the connection like a new one.',
  inTransaction: 'immediate',
  run(client) {
    noteFormerChoice(client);
    client.reset();
    return RESET;
  },
};
