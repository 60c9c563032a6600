/** GETDEL key */
import type { CommandDefinition } from '../command.js';
import { ONE_KEY } from '../shapes.js';

export const getdel: CommandDefinition = {
  ...ONE_KEY,
  name: 'getdel',
  id: 9,
  arity: 2,
  flags: ['write', 'fast'],
  category: 'string',
  summary: 'Removes a key and returns the value it had.',
  isWrite: true,
  execute(context, args) {
    const { keyspace } = context;
    const old = keyspace.get(args[0]!);
    if (old === undefined) return null;
    keyspace.remove(args[0]!);
    return old.value;
  },
};
