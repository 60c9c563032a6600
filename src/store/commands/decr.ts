/** DECR key */
import type { CommandDefinition } from '../command.js';
import { increment } from '../increment.js';
import { ONE_KEY } from '../shapes.js';

export const decr: CommandDefinition = {
  ...ONE_KEY,
  name: 'decr',
  id: 19,
  arity: 2,
  flags: ['write', 'denyoom', 'fast'],
  category: 'string',
  summary: 'Subtracts one from an integer value.',
  isWrite: true,
  execute(context, args) {
    return increment(context, args[0]!, -1);
  },
};
