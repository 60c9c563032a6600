/** TOUCH key [key ...]: counts as EXISTS does, and uses the keys (which matters in buckets with bounds). */
import type { CommandDefinition } from '../command.js';
import { exists } from './exists.js';

export const touch: CommandDefinition = {
  ...exists,
  name: 'touch',
  id: 41,
  arity: -2,
  flags: ['readonly', 'fast'],
  category: 'generic',
  summary: 'Counts how many of the named keys exist, as if they had been used.',
  isWrite: false,
  peeks: false,
};
