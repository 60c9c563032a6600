/** SCAN cursor [MATCH pattern] [COUNT count] [TYPE type] */
import { LIMITS } from '../../base/limits.js';
import { clampToSafe, isWord, NOT_AN_INTEGER, parseInteger, SYNTAX_ERROR } from '../arguments.js';
import type { CommandDefinition } from '../command.js';
import { formatCursor, parseCursor, walk } from '../cursor.js';
import { GlobPattern } from '../glob.js';
import { ErrorReply } from '../reply.js';
import { AT_CURSOR } from '../shapes.js';

const INVALID_CURSOR = ErrorReply.of('WRONG_ARGUMENTS', 'invalid cursor');
const DEFAULT_COUNT = 10;

interface ScanOptions {
  token: number;
  pattern: Buffer | undefined;
  count: number;
  /** False when another type than strings is asked for. */
  strings: boolean;
}

function parse(args: readonly Buffer[]): ScanOptions | ErrorReply {
  const token = parseCursor(args[0]!);
  if (token === undefined) return INVALID_CURSOR;
  const options: ScanOptions = { token, pattern: undefined, count: DEFAULT_COUNT, strings: true };
  for (let i = 1; i < args.length; i += 2) {
    const word = args[i]!;
    const argument = args[i + 1];
    if (argument === undefined) return SYNTAX_ERROR;
    if (isWord(word, 'COUNT')) {
      const count = parseInteger(argument);
      if (count === undefined) return NOT_AN_INTEGER;
      if (count < 1) return SYNTAX_ERROR;
      options.count = Math.min(clampToSafe(count), LIMITS.maxScanKeys);
    } else if (isWord(word, 'MATCH')) options.pattern = argument;
    else if (isWord(word, 'TYPE')) options.strings = isWord(argument, 'STRING');
    else return SYNTAX_ERROR;
  }
  return options;
}

export const scan: CommandDefinition = {
  ...AT_CURSOR,
  name: 'scan',
  id: 35,
  arity: -2,
  flags: ['readonly'],
  category: 'generic',
  summary: 'Walks the keys bit by bit.',
  isWrite: false,
  cursorToken(args) {
    return parseCursor(args[0]!) ?? 0;
  },
  validate(args) {
    const options = parse(args);
    return options instanceof ErrorReply ? options : undefined;
  },
  execute(context, args) {
    const options = parse(args);
    if (options instanceof ErrorReply) return options;
    const pattern = options.pattern === undefined ? undefined : new GlobPattern(options.pattern);
    const keys: Buffer[] = [];
    const next = walk(context.keyspace, options.token, options.count, (key) => {
      if (options.strings && (pattern === undefined || pattern.matches(key))) keys.push(key);
      return true;
    });
    return [formatCursor(next), keys];
  },
};
