/**
 * quoin.evict key version [key version ...] -> how many keys were removed
 *
 * What a bucket's bounds ask for: the leader proposes the keys that were idle for too long, or the coldest ones when memory
 * runs short; a key goes if it is still at that version. Which keys these are only the leader knows, so they stand in the
 * log. The keys lie in any slots of one group; the first one routes.
 */
import { NOT_AN_INTEGER, parseCount, wrongArgumentCount } from '../arguments.js';
import type { CommandDefinition } from '../command.js';
import type { ErrorReply } from '../reply.js';
import { KEYS_AND_VALUES } from '../shapes.js';

function check(args: readonly Buffer[]): ErrorReply | undefined {
  if (args.length % 2 !== 0) return wrongArgumentCount('quoin.evict');
  for (let i = 1; i < args.length; i += 2) if (parseCount(args[i]) === undefined) return NOT_AN_INTEGER;
  return undefined;
}

export const quoinEvict: CommandDefinition = {
  ...KEYS_AND_VALUES,
  name: 'quoin.evict',
  id: 112,
  arity: -3,
  flags: ['write', 'fast'],
  category: 'generic',
  summary: 'Removes keys that the bounds of their bucket leave no room or time for.',
  isWrite: true,
  internal: true,
  validate: check,
  execute(context, args) {
    const error = check(args);
    if (error !== undefined) return error;
    const { control, bucketId } = context;
    let removed = 0;
    for (let i = 0; i < args.length; i += 2)
      if (control?.evict(bucketId ?? 0, args[i]!, parseCount(args[i + 1])!) === true) removed++;
    return removed;
  },
};
