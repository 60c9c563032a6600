/**
 * COPY source destination [DB index] [REPLACE]
 *
 * Departure: a bucket is not copied into from another, so every index is out of range (as in Redis Cluster, which has but one).
 */
import { isWord, NOT_AN_INTEGER, parseInteger, SYNTAX_ERROR } from '../arguments.js';
import type { CommandDefinition } from '../command.js';
import { ErrorReply } from '../reply.js';
import { TWO_KEYS } from '../shapes.js';

const SAME_OBJECT = ErrorReply.of('WRONG_ARGUMENTS', 'source and destination objects are the same');
const NO_SUCH_DATABASE = ErrorReply.of('WRONG_ARGUMENTS', 'DB index is out of range');

function parseReplace(args: readonly Buffer[]): boolean | ErrorReply {
  let replace = false;
  for (let i = 2; i < args.length; i++) {
    const word = args[i]!;
    if (isWord(word, 'REPLACE')) replace = true;
    else if (isWord(word, 'DB') && i + 1 < args.length)
      return parseInteger(args[i + 1]!) === undefined ? NOT_AN_INTEGER : NO_SUCH_DATABASE;
    else return SYNTAX_ERROR;
  }
  return args[0]!.equals(args[1]!) ? SAME_OBJECT : replace;
}

export const copy: CommandDefinition = {
  ...TWO_KEYS,
  name: 'copy',
  id: 40,
  arity: -3,
  flags: ['write', 'denyoom'],
  category: 'generic',
  summary: 'Copies the value and expiry of a key to another key.',
  isWrite: true,
  validate(args) {
    const replace = parseReplace(args);
    return replace instanceof ErrorReply ? replace : undefined;
  },
  execute(context, args) {
    const { keyspace } = context;
    const replace = parseReplace(args);
    if (replace instanceof ErrorReply) return replace;
    const record = keyspace.get(args[0]!);
    if (record === undefined) return 0;
    if (!replace && keyspace.get(args[1]!) !== undefined) return 0;
    keyspace.put(args[1]!, record.value, record.expiresAtMs);
    return 1;
  },
};
