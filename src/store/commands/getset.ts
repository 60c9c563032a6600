/** GETSET key value */
import type { CommandDefinition } from '../command.js';
import { ONE_KEY } from '../shapes.js';

export const getset: CommandDefinition = {
  ...ONE_KEY,
  name: 'getset',
  id: 8,
  arity: 3,
  flags: ['write', 'denyoom', 'fast'],
  category: 'string',
  summary: 'Sets the value of a key and returns the one before.',
  isWrite: true,
  execute(context, args) {
    const { keyspace } = context;
    const old = keyspace.get(args[0]!);
    keyspace.put(args[0]!, args[1]!, keyspace.defaultExpiryMs());
    return old === undefined ? null : old.value;
  },
};
