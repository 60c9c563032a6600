/** READONLY [STALE] */
import { OK } from '../../../store/reply.js';
import { type ConnectionCommand, KEYLESS } from '../connection-command.js';
import { SYNTAX_ERROR, wrongArity } from '../messages.js';
import { lower } from '../words.js';

export const readonly: ConnectionCommand = {
  ...KEYLESS,
  name: 'readonly',
  arity: -1,
  flags: ['fast', 'loading', 'stale'],
  category: 'cluster',
  summary: 'Serves reads from this node: still linearizable, or with STALE as its replica happens to be.',
  inTransaction: 'queued',
  run(client, args) {
    if (args.length > 1) return wrongArity('readonly');
    if (args.length === 1 && lower(args[0]) !== 'stale') return SYNTAX_ERROR;
    client.readConsistency = args.length === 1 ? 'stale' : 'follower';
    return OK;
  },
};
