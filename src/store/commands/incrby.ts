/** INCRBY key increment */
import { NOT_AN_INTEGER, parseInteger } from '../arguments.js';
import type { CommandDefinition } from '../command.js';
import { increment } from '../increment.js';
import { ONE_KEY } from '../shapes.js';

export const incrby: CommandDefinition = {
  ...ONE_KEY,
  name: 'incrby',
  id: 20,
  arity: 3,
  flags: ['write', 'denyoom', 'fast'],
  category: 'string',
  summary: 'Adds a number to an integer value.',
  isWrite: true,
  validate(args) {
    return parseInteger(args[1]!) === undefined ? NOT_AN_INTEGER : undefined;
  },
  execute(context, args) {
    const by = parseInteger(args[1]!);
    return by === undefined ? NOT_AN_INTEGER : increment(context, args[0]!, by);
  },
};
