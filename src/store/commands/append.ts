/** APPEND key value */
import { LIMITS } from '../../base/limits.js';
import { STRING_TOO_LARGE } from '../arguments.js';
import type { CommandDefinition } from '../command.js';
import { ONE_KEY } from '../shapes.js';

export const append: CommandDefinition = {
  ...ONE_KEY,
  name: 'append',
  id: 14,
  arity: 3,
  flags: ['write', 'denyoom', 'fast'],
  category: 'string',
  summary: 'Adds bytes to the end of a value; an absent key counts as empty.',
  isWrite: true,
  execute(context, args) {
    const { keyspace } = context;
    const key = args[0]!;
    const tail = args[1]!;
    const old = keyspace.get(key);
    if (old === undefined) {
      keyspace.put(key, tail, keyspace.defaultExpiryMs());
      return tail.length;
    }
    if (old.value.length + tail.length > LIMITS.maxValueBytes) return STRING_TOO_LARGE;
    const value = Buffer.concat([old.value, tail]);
    keyspace.put(key, value, old.expiresAtMs);
    return value.length;
  },
};
