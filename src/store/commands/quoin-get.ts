/** quoin.get key -> [value, version, expiresAtMs], or null */
import type { CommandDefinition } from '../command.js';
import { ONE_KEY } from '../shapes.js';

export const quoinGet: CommandDefinition = {
  ...ONE_KEY,
  name: 'quoin.get',
  id: 100,
  arity: 2,
  flags: ['readonly', 'fast'],
  category: 'string',
  summary: 'Returns value, version and expiry of a key.',
  isWrite: false,
  internal: true,
  execute(context, args) {
    const record = context.keyspace.get(args[0]!);
    return record === undefined ? null : [record.value, record.version, record.expiresAtMs];
  },
};
