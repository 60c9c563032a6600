/**
 * quoin.list cursor prefix limit -> [nextCursor, keys]; nextCursor 0: done
 *
 * At most `limit` keys, but for keys of equal token; fewer, even none, with a cursor to go on, when many were looked at.
 */
import { LIMITS } from '../../base/limits.js';
import { NOT_AN_INTEGER, parseCount } from '../arguments.js';
import type { CommandDefinition } from '../command.js';
import { formatCursor, parseCursor, walk } from '../cursor.js';
import { ErrorReply } from '../reply.js';
import { AT_CURSOR } from '../shapes.js';

const INVALID_CURSOR = ErrorReply.of('WRONG_ARGUMENTS', 'invalid cursor');

function check(args: readonly Buffer[]): ErrorReply | undefined {
  if (parseCursor(args[0]!) === undefined) return INVALID_CURSOR;
  const limit = parseCount(args[2]);
  return limit === undefined || limit === 0 ? NOT_AN_INTEGER : undefined;
}

export const quoinList: CommandDefinition = {
  ...AT_CURSOR,
  name: 'quoin.list',
  id: 103,
  arity: 4,
  flags: ['readonly'],
  category: 'generic',
  summary: 'Walks the keys with a prefix.',
  isWrite: false,
  internal: true,
  validate: check,
  cursorToken(args) {
    return parseCursor(args[0]!) ?? 0;
  },
  execute(context, args) {
    const error = check(args);
    if (error !== undefined) return error;
    const prefix = args[1]!;
    const limit = parseCount(args[2])!;
    const keys: Buffer[] = [];
    const next = walk(context.keyspace, parseCursor(args[0]!)!, LIMITS.maxScanKeys, (key) => {
      if (key.length >= prefix.length && key.compare(prefix, 0, prefix.length, 0, prefix.length) === 0)
        keys.push(key);
      return keys.length < limit;
    });
    return [formatCursor(next), keys];
  },
};
