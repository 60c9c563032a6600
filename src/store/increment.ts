/**
 * What INCR, DECR, INCRBY and DECRBY do: 64-bit signed addition to a decimal text, an absent key counting as 0. The
 * expiry of the key is kept.
 */
import { addIntegers, type Integer, integerText, NOT_AN_INTEGER, parseInteger } from './arguments.js';
import type { ExecutionContext } from './command.js';
import { ErrorReply, type Reply } from './reply.js';

const OVERFLOW = ErrorReply.of('WRONG_ARGUMENTS', 'increment or decrement would overflow');

export function increment(context: ExecutionContext, key: Buffer, by: Integer): Reply {
  const { keyspace } = context;
  const old = keyspace.get(key);
  const present = old === undefined ? 0 : parseInteger(old.value);
  if (present === undefined) return NOT_AN_INTEGER;
  const sum = addIntegers(present, by);
  if (sum === undefined) return OVERFLOW;
  keyspace.put(key, integerText(sum), old === undefined ? keyspace.defaultExpiryMs() : old.expiresAtMs);
  return sum;
}
