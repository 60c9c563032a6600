/** RENAMENX key newkey */
import { NO_SUCH_KEY } from '../arguments.js';
import type { CommandDefinition } from '../command.js';
import { TWO_KEYS } from '../shapes.js';

export const renamenx: CommandDefinition = {
  ...TWO_KEYS,
  name: 'renamenx',
  id: 39,
  arity: 3,
  flags: ['write', 'fast'],
  category: 'generic',
  summary: 'Gives the value of a key to another name that is not taken.',
  isWrite: true,
  execute(context, args) {
    const { keyspace } = context;
    const record = keyspace.get(args[0]!);
    if (record === undefined) return NO_SUCH_KEY;
    if (keyspace.get(args[1]!) !== undefined) return 0;
    keyspace.remove(args[0]!);
    keyspace.put(args[1]!, record.value, record.expiresAtMs);
    return 1;
  },
};
