/** MSET key value [key value ...] */
import { wrongArgumentCount } from '../arguments.js';
import type { CommandDefinition } from '../command.js';
import { OK } from '../reply.js';
import { KEYS_AND_VALUES, mergeOk } from '../shapes.js';

export const mset: CommandDefinition = {
  ...KEYS_AND_VALUES,
  name: 'mset',
  id: 12,
  arity: -3,
  flags: ['write', 'denyoom'],
  category: 'string',
  summary: 'Sets the values of several keys.',
  isWrite: true,
  split: { wordsPerPart: 2, merge: mergeOk },
  validate(args) {
    return args.length % 2 === 0 ? undefined : wrongArgumentCount('mset');
  },
  execute(context, args) {
    const { keyspace } = context;
    if (args.length % 2 !== 0) return wrongArgumentCount('mset');
    for (let i = 0; i < args.length; i += 2) keyspace.put(args[i]!, args[i + 1]!, keyspace.defaultExpiryMs());
    return OK;
  },
};
