/**
 * The condition of `quoin.put` and `quoin.delete`: `any`, `absent`, `present`, or the version that the key must have, as a
 * decimal.
 */
import { parseCount } from './arguments.js';
import { ErrorReply } from './reply.js';

export const CONDITION_FAILED = ErrorReply.of(
  'CONDITION_FAILED',
  'the key is not in the state that was asked for',
);
const BAD_CONDITION = ErrorReply.of('WRONG_ARGUMENTS', 'condition is not any, absent, present or a version');

export type Condition = 'any' | 'absent' | 'present' | number;

export function parseCondition(text: Buffer): Condition | ErrorReply {
  const word = text.toString('latin1');
  if (word === 'any' || word === 'absent' || word === 'present') return word;
  return parseCount(text) ?? BAD_CONDITION;
}

/** `version`: of the live key, undefined when there is none. A version of 0 asks for absence, as in WATCH. */
export function holds(condition: Condition, version: number | undefined): boolean {
  switch (condition) {
    case 'any':
      return true;
    case 'absent':
      return version === undefined;
    case 'present':
      return version !== undefined;
    default:
      return (version ?? 0) === condition;
  }
}
