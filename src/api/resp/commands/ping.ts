/** PING [message] */
import { SimpleString } from '../../../store/reply.js';
import { type ConnectionCommand, KEYLESS } from '../connection-command.js';
import { wrongArity } from '../messages.js';

const PONG = new SimpleString('PONG');

export const ping: ConnectionCommand = {
  ...KEYLESS,
  name: 'ping',
  arity: -1,
  flags: ['fast', 'loading', 'stale'],
  category: 'connection',
  summary: 'Answers PONG, or the message that it was given.',
  inTransaction: 'queued',
  run(_client, args) {
    if (args.length > 1) return wrongArity('ping');
    return args[0] ?? PONG;
  },
};
