/** GET key */
import type { CommandDefinition } from '../command.js';
import { ONE_KEY } from '../shapes.js';

export const get: CommandDefinition = {
  ...ONE_KEY,
  name: 'get',
  id: 1,
  arity: 2,
  flags: ['readonly', 'fast'],
  category: 'string',
  summary: 'Returns the value of a key.',
  isWrite: false,
  execute(context, args) {
    const record = context.keyspace.get(args[0]!);
    return record === undefined ? null : record.value;
  },
};
