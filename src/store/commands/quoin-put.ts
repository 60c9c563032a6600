/**
 * quoin.put key value ttlMs condition -> the new version, or CONDITION_FAILED
 *
 * ttlMs: -1 the bucket's own, 0 none. The condition is described in `../condition.ts`.
 */
import { parseInteger } from '../arguments.js';
import type { CommandDefinition } from '../command.js';
import { CONDITION_FAILED, holds, parseCondition } from '../condition.js';
import { ErrorReply } from '../reply.js';
import { ONE_KEY } from '../shapes.js';

const BAD_TTL = ErrorReply.of('WRONG_ARGUMENTS', 'ttl is out of range');
/** Longest time to live: no clock goes so far, and sums with any clock stay safe. */
const MAX_TTL_MS = 2 ** 52;

function parseTtl(text: Buffer): number | ErrorReply {
  const ttlMs = parseInteger(text);
  return typeof ttlMs === 'number' && ttlMs >= -1 && ttlMs <= MAX_TTL_MS ? ttlMs : BAD_TTL;
}

export const quoinPut: CommandDefinition = {
  ...ONE_KEY,
  name: 'quoin.put',
  id: 101,
  arity: 5,
  flags: ['write', 'denyoom', 'fast'],
  category: 'string',
  summary: 'Sets the value of a key on a condition and returns its version.',
  isWrite: true,
  internal: true,
  validate(args) {
    const ttlMs = parseTtl(args[2]!);
    if (ttlMs instanceof ErrorReply) return ttlMs;
    const condition = parseCondition(args[3]!);
    return condition instanceof ErrorReply ? condition : undefined;
  },
  execute(context, args) {
    const { keyspace } = context;
    const ttlMs = parseTtl(args[2]!);
    if (ttlMs instanceof ErrorReply) return ttlMs;
    const condition = parseCondition(args[3]!);
    if (condition instanceof ErrorReply) return condition;
    if (condition !== 'any' && !holds(condition, keyspace.get(args[0]!)?.version)) return CONDITION_FAILED;
    const expiresAtMs = ttlMs === -1 ? keyspace.defaultExpiryMs() : ttlMs === 0 ? 0 : context.nowMs + ttlMs;
    keyspace.put(args[0]!, args[1]!, expiresAtMs);
    return keyspace.version;
  },
};
