/** READWRITE */
import { OK } from '../../../store/reply.js';
import { type ConnectionCommand, KEYLESS } from '../connection-command.js';

export const readwrite: ConnectionCommand = {
  ...KEYLESS,
  name: 'readwrite',
  arity: 1,
  flags: ['fast', 'loading', 'stale'],
  category: 'cluster',
  summary: 'Ends READONLY: reads are served by the leader.',
  inTransaction: 'queued',
  run(client) {
    client.readConsistency = 'linearizable';
    return OK;
  },
};
