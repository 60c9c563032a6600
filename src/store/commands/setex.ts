/** SETEX key seconds value */
import type { CommandDefinition } from '../command.js';
import { checkExpiry, EX, expiryFrom, putUnlessExpired } from '../expiry.js';
import { ErrorReply, OK } from '../reply.js';
import { ONE_KEY } from '../shapes.js';

export const setex: CommandDefinition = {
  ...ONE_KEY,
  name: 'setex',
  id: 6,
  arity: 4,
  flags: ['write', 'denyoom'],
  category: 'string',
  summary: 'Sets the value of a key together with its time to live in seconds.',
  isWrite: true,
  validate(args) {
    return checkExpiry(args[1]!, EX, true, 'setex');
  },
  execute(context, args) {
    const expiresAtMs = expiryFrom(args[1]!, EX, context.nowMs, true, 'setex');
    if (expiresAtMs instanceof ErrorReply) return expiresAtMs;
    putUnlessExpired(context, args[0]!, args[2]!, expiresAtMs);
    return OK;
  },
};
