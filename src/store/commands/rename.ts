/** RENAME key newkey */
import { NO_SUCH_KEY } from '../arguments.js';
import type { CommandDefinition } from '../command.js';
import { OK } from '../reply.js';
import { TWO_KEYS } from '../shapes.js';

export const rename: CommandDefinition = {
  ...TWO_KEYS,
  name: 'rename',
  id: 38,
  arity: 3,
  flags: ['write'],
  category: 'generic',
  summary: 'Gives the value of a key to another name, whatever that held.',
  isWrite: true,
  execute(context, args) {
    const { keyspace } = context;
    const record = keyspace.get(args[0]!);
    if (record === undefined) return NO_SUCH_KEY;
    if (args[0]!.equals(args[1]!)) return OK;
    keyspace.remove(args[0]!);
    keyspace.put(args[1]!, record.value, record.expiresAtMs);
    return OK;
  },
};
