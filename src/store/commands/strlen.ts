/** STRLEN key */
import type { CommandDefinition } from '../command.js';
import { ONE_KEY } from '../shapes.js';

export const strlen: CommandDefinition = {
  ...ONE_KEY,
  name: 'strlen',
  id: 15,
  arity: 2,
  flags: ['readonly', 'fast'],
  category: 'string',
  summary: 'Returns the length of a value in bytes.',
  isWrite: false,
  execute(context, args) {
    return context.keyspace.get(args[0]!)?.value.length ?? 0;
  },
};
