/** TTL key: -2 when the key is absent, -1 when it never expires. */
import type { CommandDefinition } from '../command.js';
import { ONE_KEY } from '../shapes.js';

export const ttl: CommandDefinition = {
  ...ONE_KEY,
  name: 'ttl',
  id: 29,
  arity: 2,
  flags: ['readonly', 'fast'],
  category: 'generic',
  summary: 'Returns the time to live of a key in seconds.',
  isWrite: false,
  peeks: true,
  execute(context, args) {
    const record = context.keyspace.get(args[0]!);
    if (record === undefined) return -2;
    if (record.expiresAtMs === 0) return -1;
    return Math.floor((Math.max(0, record.expiresAtMs - context.nowMs) + 500) / 1000);
  },
};
