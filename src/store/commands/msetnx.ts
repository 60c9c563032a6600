/** MSETNX key value [key value ...] */
import { wrongArgumentCount } from '../arguments.js';
import type { CommandDefinition } from '../command.js';
import { KEYS_AND_VALUES } from '../shapes.js';

export const msetnx: CommandDefinition = {
  ...KEYS_AND_VALUES,
  name: 'msetnx',
  id: 13,
  arity: -3,
  flags: ['write', 'denyoom'],
  category: 'string',
  summary: 'Sets the values of several keys, if none of them exists yet.',
  isWrite: true,
  validate(args) {
    return args.length % 2 === 0 ? undefined : wrongArgumentCount('msetnx');
  },
  execute(context, args) {
    const { keyspace } = context;
    if (args.length % 2 !== 0) return wrongArgumentCount('msetnx');
    for (let i = 0; i < args.length; i += 2) if (keyspace.get(args[i]!) !== undefined) return 0;
    for (let i = 0; i < args.length; i += 2) keyspace.put(args[i]!, args[i + 1]!, keyspace.defaultExpiryMs());
    return 1;
  },
};
