/** INCRBYFLOAT key increment */
import { NOT_A_FLOAT } from '../arguments.js';
import type { CommandDefinition } from '../command.js';
import {
  addExtendedFloats,
  type ExtendedFloat,
  formatExtendedFloat,
  INFINITY,
  parseExtendedFloat,
} from '../extended-float.js';
import { ErrorReply } from '../reply.js';
import { ONE_KEY } from '../shapes.js';

const NOT_FINITE = ErrorReply.of('WRONG_ARGUMENTS', 'increment would produce NaN or Infinity');
const ZERO: ExtendedFloat = { negative: false, significand: 0n, exponent: 0 };

export const incrbyfloat: CommandDefinition = {
  ...ONE_KEY,
  name: 'incrbyfloat',
  id: 22,
  arity: 3,
  flags: ['write', 'denyoom', 'fast'],
  category: 'string',
  summary: 'Adds a decimal number to a value.',
  isWrite: true,
  validate(args) {
    return parseExtendedFloat(args[1]!) === undefined ? NOT_A_FLOAT : undefined;
  },
  execute(context, args) {
    const { keyspace } = context;
    const key = args[0]!;
    const old = keyspace.get(key);
    const present = old === undefined ? ZERO : parseExtendedFloat(old.value);
    const by = parseExtendedFloat(args[1]!);
    if (present === undefined || by === undefined) return NOT_A_FLOAT;
    if (present === INFINITY || by === INFINITY) return NOT_FINITE;
    const sum = addExtendedFloats(present, by);
    if (sum === INFINITY) return NOT_FINITE;
    const value = Buffer.from(formatExtendedFloat(sum), 'latin1');
    keyspace.put(key, value, old === undefined ? keyspace.defaultExpiryMs() : old.expiresAtMs);
    return value;
  },
};
