/** GETRANGE key start end */
import type { CommandDefinition } from '../command.js';
import { checkRange, readRange } from '../range.js';
import { ONE_KEY } from '../shapes.js';

export const getrange: CommandDefinition = {
  ...ONE_KEY,
  name: 'getrange',
  id: 16,
  arity: 4,
  flags: ['readonly'],
  category: 'string',
  summary: 'Returns a part of a value.',
  isWrite: false,
  validate: checkRange,
  execute: readRange,
};
