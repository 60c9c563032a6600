/** SETRANGE key offset value */
import { LIMITS } from '../../base/limits.js';
import { EMPTY, NOT_AN_INTEGER, parseInteger, STRING_TOO_LARGE } from '../arguments.js';
import type { CommandDefinition } from '../command.js';
import { ErrorReply } from '../reply.js';
import { ONE_KEY } from '../shapes.js';

const OFFSET_OUT_OF_RANGE = ErrorReply.of('WRONG_ARGUMENTS', 'offset is out of range');

export const setrange: CommandDefinition = {
  ...ONE_KEY,
  name: 'setrange',
  id: 18,
  arity: 4,
  flags: ['write', 'denyoom'],
  category: 'string',
  summary: 'Overwrites a part of a value; what lies before it is filled with zero bytes.',
  isWrite: true,
  validate(args) {
    const offset = parseInteger(args[1]!);
    if (offset === undefined) return NOT_AN_INTEGER;
    return offset < 0 ? OFFSET_OUT_OF_RANGE : undefined;
  },
  execute(context, args) {
    const { keyspace } = context;
    const key = args[0]!;
    const offset = parseInteger(args[1]!);
    const part = args[2]!;
    if (offset === undefined) return NOT_AN_INTEGER;
    if (offset < 0) return OFFSET_OUT_OF_RANGE;
    const old = keyspace.get(key);
    const present = old === undefined ? EMPTY : old.value;
    if (part.length === 0) return present.length;
    const start = Number(offset);
    const end = start + part.length;
    if (end > LIMITS.maxValueBytes) return STRING_TOO_LARGE;
    const value = Buffer.alloc(Math.max(end, present.length));
    present.copy(value);
    part.copy(value, start);
    keyspace.put(key, value, old === undefined ? keyspace.defaultExpiryMs() : old.expiresAtMs);
    return value.length;
  },
};
