/** ECHO message */
import { type ConnectionCommand, KEYLESS } from '../connection-command.js';

export const echo: ConnectionCommand = {
  ...KEYLESS,
  name: 'echo',
  arity: 2,
  flags: ['fast', 'loading', 'stale'],
  category: 'connection',
  summary: 'Answers the message.',
  inTransaction: 'queued',
  run(_client, args) {
    return args[0] ?? null;
  },
};
