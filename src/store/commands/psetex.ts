/** PSETEX key milliseconds value */
import type { CommandDefinition } from '../command.js';
import { checkExpiry, expiryFrom, PX, putUnlessExpired } from '../expiry.js';
import { ErrorReply, OK } from '../reply.js';
import { ONE_KEY } from '../shapes.js';

export const psetex: CommandDefinition = {
  ...ONE_KEY,
  name: 'psetex',
  id: 7,
  arity: 4,
  flags: ['write', 'denyoom'],
  category: 'string',
  summary: 'Sets the value of a key together with its time to live in milliseconds.',
  isWrite: true,
  validate(args) {
    return checkExpiry(args[1]!, PX, true, 'psetex');
  },
  execute(context, args) {
    const expiresAtMs = expiryFrom(args[1]!, PX, context.nowMs, true, 'psetex');
    if (expiresAtMs instanceof ErrorReply) return expiresAtMs;
    putUnlessExpired(context, args[0]!, args[2]!, expiresAtMs);
    return OK;
  },
};
