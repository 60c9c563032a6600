/** quoin.delete key condition -> 1 or 0, or CONDITION_FAILED */
import type { CommandDefinition } from '../command.js';
import { CONDITION_FAILED, holds, parseCondition } from '../condition.js';
import { ErrorReply } from '../reply.js';
import { ONE_KEY } from '../shapes.js';

export const quoinDelete: CommandDefinition = {
  ...ONE_KEY,
  name: 'quoin.delete',
  id: 102,
  arity: 3,
  flags: ['write', 'fast'],
  category: 'generic',
  summary: 'Removes a key on a condition.',
  isWrite: true,
  internal: true,
  validate(args) {
    const condition = parseCondition(args[1]!);
    return condition instanceof ErrorReply ? condition : undefined;
  },
  execute(context, args) {
    const { keyspace } = context;
    const condition = parseCondition(args[1]!);
    if (condition instanceof ErrorReply) return condition;
    if (condition !== 'any' && !holds(condition, keyspace.get(args[0]!)?.version)) return CONDITION_FAILED;
    return keyspace.remove(args[0]!) ? 1 : 0;
  },
};
