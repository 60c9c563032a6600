/** DECRBY key decrement */
import { INT64_MIN, NOT_AN_INTEGER, parseInteger, toInteger } from '../arguments.js';
import type { CommandDefinition } from '../command.js';
import { increment } from '../increment.js';
import { ErrorReply } from '../reply.js';
import { ONE_KEY } from '../shapes.js';

/** The lowest integer has no counterpart to add. */
const OVERFLOW = ErrorReply.of('WRONG_ARGUMENTS', 'decrement would overflow');

function check(args: readonly Buffer[]): ErrorReply | undefined {
  const by = parseInteger(args[1]!);
  if (by === undefined) return NOT_AN_INTEGER;
  return by === INT64_MIN ? OVERFLOW : undefined;
}

export const decrby: CommandDefinition = {
  ...ONE_KEY,
  name: 'decrby',
  id: 21,
  arity: 3,
  flags: ['write', 'denyoom', 'fast'],
  category: 'string',
  summary: 'Subtracts a number from an integer value.',
  isWrite: true,
  validate: check,
  execute(context, args) {
    const error = check(args);
    if (error !== undefined) return error;
    const by = parseInteger(args[1]!)!;
    return increment(context, args[0]!, typeof by === 'number' ? -by : toInteger(-by));
  },
};
