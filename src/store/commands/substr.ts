/** SUBSTR key start end */
import type { CommandDefinition } from '../command.js';
import { checkRange, readRange } from '../range.js';
import { ONE_KEY } from '../shapes.js';

export const substr: CommandDefinition = {
  ...ONE_KEY,
  name: 'substr',
  id: 17,
  arity: 4,
  flags: ['readonly'],
  category: 'string',
  summary: 'Returns a part of a value (the older name of GETRANGE).',
  isWrite: false,
  validate: checkRange,
  execute: readRange,
};
