/** INCR key */
import type { CommandDefinition } from '../command.js';
import { increment } from '../increment.js';
import { ONE_KEY } from '../shapes.js';

export const incr: CommandDefinition = {
  ...ONE_KEY,
  name: 'incr',
  id: 4,
  arity: 2,
  flags: ['write', 'denyoom', 'fast'],
  category: 'string',
  summary: 'Adds one to an integer value.',
  isWrite: true,
  execute(context, args) {
    return increment(context, args[0]!, 1);
  },
};
