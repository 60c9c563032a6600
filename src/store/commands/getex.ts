/** GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST] */
import { isWord, SYNTAX_ERROR } from '../arguments.js';
import type { CommandDefinition } from '../command.js';
import { type ExpiryUnit, expiryFrom, expiryUnit } from '../expiry.js';
import { ErrorReply } from '../reply.js';
import { ONE_KEY } from '../shapes.js';

type ExpiryChange =
  | { readonly kind: 'keep' | 'persist' }
  | { readonly kind: 'set'; readonly unit: ExpiryUnit; readonly argument: Buffer };

function parseOptions(args: readonly Buffer[]): ExpiryChange | ErrorReply {
  let change: ExpiryChange = { kind: 'keep' };
  for (let i = 1; i < args.length; i++) {
    const unit = expiryUnit(args[i]!);
    if (unit !== undefined) {
      const argument = args[++i];
      // The same unit may be given again, and then counts; another one may not.
      const clashes = change.kind === 'persist' || (change.kind === 'set' && change.unit !== unit);
      if (clashes || argument === undefined) return SYNTAX_ERROR;
      change = { kind: 'set', unit, argument };
    } else if (isWord(args[i]!, 'PERSIST') && change.kind !== 'set') change = { kind: 'persist' };
    else return SYNTAX_ERROR;
  }
  return change;
}

export const getex: CommandDefinition = {
  ...ONE_KEY,
  name: 'getex',
  id: 10,
  arity: -2,
  flags: ['write', 'fast'],
  category: 'string',
  summary: 'Returns the value of a key and changes when it expires.',
  isWrite: true,
  validate(args) {
    const change = parseOptions(args);
    // The time itself is looked at only when the key is there, as in Redis.
    return change instanceof ErrorReply ? change : undefined;
  },
  execute(context, args) {
    const { keyspace } = context;
    const key = args[0]!;
    const change = parseOptions(args);
    if (change instanceof ErrorReply) return change;
    const record = keyspace.get(key);
    if (record === undefined) return null;
    if (change.kind === 'set') {
      const expiresAtMs = expiryFrom(change.argument, change.unit, context.nowMs, true, 'getex');
      if (expiresAtMs instanceof ErrorReply) return expiresAtMs;
      if (expiresAtMs <= context.nowMs) keyspace.remove(key);
      else keyspace.setExpiry(key, expiresAtMs);
    } else if (change.kind === 'persist' && record.expiresAtMs !== 0) keyspace.setExpiry(key, 0);
    return record.value;
  },
};
