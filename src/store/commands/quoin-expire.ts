/**
 * quoin.expire key version [key version ...] -> how many keys were removed
 *
 * Active expiry: the leader proposes what it found expired; a key goes if it is still at that version and expired by the
 * time of the log. The keys lie in any slots of one group; the first one routes.
 */
import { NOT_AN_INTEGER, parseCount, wrongArgumentCount } from '../arguments.js';
import type { CommandDefinition } from '../command.js';
import type { ErrorReply } from '../reply.js';
import { KEYS_AND_VALUES } from '../shapes.js';

function check(args: readonly Buffer[]): ErrorReply | undefined {
  if (args.length % 2 !== 0) return wrongArgumentCount('quoin.expire');
  for (let i = 1; i < args.length; i += 2) if (parseCount(args[i]) === undefined) return NOT_AN_INTEGER;
  return undefined;
}

export const quoinExpire: CommandDefinition = {
  ...KEYS_AND_VALUES,
  name: 'quoin.expire',
  id: 105,
  arity: -3,
  flags: ['write', 'fast'],
  category: 'generic',
  summary: 'Removes keys that have expired.',
  isWrite: true,
  internal: true,
  validate: check,
  execute(context, args) {
    const error = check(args);
    if (error !== undefined) return error;
    const { control, bucketId } = context;
    let removed = 0;
    for (let i = 0; i < args.length; i += 2)
      if (control?.removeExpired(bucketId ?? 0, args[i]!, parseCount(args[i + 1])!) === true) removed++;
    return removed;
  },
};
