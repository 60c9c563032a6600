/** MULTI */
import { OK } from '../../../store/reply.js';
import { type ConnectionCommand, KEYLESS } from '../connection-command.js';
import { invalidArgument } from '../messages.js';
import { Transaction } from '../transaction.js';

const NESTED = invalidArgument('MULTI calls can not be nested');

export const multi: ConnectionCommand = {
  ...KEYLESS,
  name: 'multi',
  arity: 1,
  flags: ['noscript', 'loading', 'stale', 'fast'],
  category: 'transactions',
  summary: 'Begins a transaction: what follows is kept until EXEC.',
  inTransaction: 'immediate',
  run(client) {
    if (client.transaction !== undefined) return NESTED;
    client.transaction = new Transaction();
    return OK;
  },
};
