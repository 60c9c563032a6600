/** quoin.version key -> the version of the live key, 0 when there is none (WATCH) */
import type { CommandDefinition } from '../command.js';
import { ONE_KEY } from '../shapes.js';

export const quoinVersion: CommandDefinition = {
  ...ONE_KEY,
  name: 'quoin.version',
  id: 104,
  arity: 2,
  flags: ['readonly', 'fast'],
  category: 'generic',
  summary: 'Returns the version of a key.',
  isWrite: false,
  peeks: true,
  internal: true,
  execute(context, args) {
    return context.keyspace.get(args[0]!)?.version ?? 0;
  },
};
