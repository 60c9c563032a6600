/**
 * RANDOMKEY: the first key after a random place in the order of tokens, so keys with a wide gap before them come more often.
 */
import { hash32, mix32, TOKEN_END } from '../../base/slots.js';
import type { CommandDefinition } from '../command.js';
import { EVERY_GROUP, firstError } from '../shapes.js';

export const randomkey: CommandDefinition = {
  ...EVERY_GROUP,
  name: 'randomkey',
  id: 37,
  arity: 1,
  flags: ['readonly'],
  category: 'generic',
  summary: 'Returns some key.',
  isWrite: false,
  merge(replies) {
    const error = firstError(replies);
    if (error !== undefined) return error;
    const candidates = replies.filter((reply) => Buffer.isBuffer(reply));
    // The candidates are random, and so is what their bytes add up to.
    let chance = 0;
    for (const key of candidates) chance = mix32(chance ^ hash32(key));
    return candidates[chance % Math.max(1, candidates.length)] ?? null;
  },
  execute(context) {
    const chance = mix32((context.seed ?? 0) ^ mix32(context.nowMs % 2 ** 32));
    const start = Math.floor((chance / 2 ** 32) * TOKEN_END);
    let found: Buffer | null = null;
    const take = (_token: number, key: Buffer): boolean => {
      found = key;
      return false;
    };
    context.keyspace.scan(start, TOKEN_END, take);
    if (found === null) context.keyspace.scan(0, start, take);
    return found;
  },
};
