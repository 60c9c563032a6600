/**
 * What GETRANGE and its older name SUBSTR do: bytes from one offset to another, both included; negative offsets count
 * from the end.
 */
import { clampToSafe, EMPTY, NOT_AN_INTEGER, parseInteger } from './arguments.js';
import type { ExecutionContext } from './command.js';
import type { ErrorReply, Reply } from './reply.js';

export function checkRange(args: readonly Buffer[]): ErrorReply | undefined {
  return parseInteger(args[1]!) === undefined || parseInteger(args[2]!) === undefined
    ? NOT_AN_INTEGER
    : undefined;
}

export function readRange(context: ExecutionContext, args: readonly Buffer[]): Reply {
  const first = parseInteger(args[1]!);
  const last = parseInteger(args[2]!);
  if (first === undefined || last === undefined) return NOT_AN_INTEGER;
  const value = context.keyspace.get(args[0]!)?.value;
  if (value === undefined) return EMPTY;
  let start = clampToSafe(first);
  let end = clampToSafe(last);
  if (start < 0 && end < 0 && start > end) return EMPTY;
  if (start < 0) start = Math.max(0, value.length + start);
  if (end < 0) end = Math.max(0, value.length + end);
  // The end is included, and so is the first byte when both offsets lie before the start.
  return start > end ? EMPTY : value.subarray(start, end + 1);
}
