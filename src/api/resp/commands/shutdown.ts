/** SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT] */
import { ANSWERED, type ConnectionCommand, KEYLESS } from '../connection-command.js';
import { invalidArgument, SYNTAX_ERROR } from '../messages.js';
import { lower } from '../words.js';

const NONE_UNDER_WAY = invalidArgument('No shutdown in progress.');

export const shutdown: ConnectionCommand = {
  ...KEYLESS,
  name: 'shutdown',
  arity: -1,
  flags: ['admin', 'noscript', 'loading', 'stale'],
  category: 'server',
  summary: 'Stops this node; what was acknowledged is in its log.',
  inTransaction: 'refused',
  run(client, args) {
    for (const arg of args) {
      const option = lower(arg);
      if (option === 'abort') return args.length === 1 ? NONE_UNDER_WAY : SYNTAX_ERROR;
      if (option !== 'nosave' && option !== 'save' && option !== 'now' && option !== 'force')
        return SYNTAX_ERROR;
    }
    // As in Redis, success has no answer: the connection ends.
    client.server.shutDown();
    client.destroy();
    return ANSWERED;
  },
};
