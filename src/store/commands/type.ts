/** TYPE key */
import type { CommandDefinition } from '../command.js';
import { SimpleString } from '../reply.js';
import { ONE_KEY } from '../shapes.js';

const STRING = new SimpleString('string');
const NONE = new SimpleString('none');

export const type: CommandDefinition = {
  ...ONE_KEY,
  name: 'type',
  id: 34,
  arity: 2,
  flags: ['readonly', 'fast'],
  category: 'generic',
  summary: 'Returns the kind of value that a key holds.',
  isWrite: false,
  peeks: true,
  execute(context, args) {
    return context.keyspace.get(args[0]!) === undefined ? NONE : STRING;
  },
};
