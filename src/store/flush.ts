/** The one option of FLUSHDB and FLUSHALL. Both ways of asking are the same here: the keys are gone when OK is answered. */
import { isWord, SYNTAX_ERROR } from './arguments.js';
import type { ErrorReply } from './reply.js';

export function checkFlush(args: readonly Buffer[]): ErrorReply | undefined {
  if (args.length === 0) return undefined;
  const isKnown = args.length === 1 && (isWord(args[0]!, 'ASYNC') || isWord(args[0]!, 'SYNC'));
  return isKnown ? undefined : SYNTAX_ERROR;
}
