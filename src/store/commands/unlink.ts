/** UNLINK key [key ...] */
import type { CommandDefinition } from '../command.js';
import { del } from './del.js';

export const unlink: CommandDefinition = {
  ...del,
  name: 'unlink',
  id: 23,
  arity: -2,
  flags: ['write', 'fast'],
  category: 'generic',
  summary: 'Removes keys, as DEL does.',
  isWrite: true,
};
