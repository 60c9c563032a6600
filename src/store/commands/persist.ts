/** PERSIST key */
import type { CommandDefinition } from '../command.js';
import { ONE_KEY } from '../shapes.js';

export const persist: CommandDefinition = {
  ...ONE_KEY,
  name: 'persist',
  id: 33,
  arity: 2,
  flags: ['write', 'fast'],
  category: 'generic',
  summary: 'Takes the expiry off a key.',
  isWrite: true,
  execute(context, args) {
    const record = context.keyspace.get(args[0]!);
    if (record === undefined || record.expiresAtMs === 0) return 0;
    context.keyspace.setExpiry(args[0]!, 0);
    return 1;
  },
};
