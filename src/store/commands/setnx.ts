/** SETNX key value */
import type { CommandDefinition } from '../command.js';
import { ONE_KEY } from '../shapes.js';

export const setnx: CommandDefinition = {
  ...ONE_KEY,
  name: 'setnx',
  id: 5,
  arity: 3,
  flags: ['write', 'denyoom', 'fast'],
  category: 'string',
  summary: 'Sets the value of a key that does not exist yet.',
  isWrite: true,
  execute(context, args) {
    const { keyspace } = context;
    if (keyspace.get(args[0]!) !== undefined) return 0;
    keyspace.put(args[0]!, args[1]!, keyspace.defaultExpiryMs());
    return 1;
  },
};
