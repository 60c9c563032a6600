/**
 * The sequential meaning of the operations on one key: a register that holds a string or nothing, with the
 * read-modify-write commands of Redis.
 */
import type { Operation } from '../history.js';

/** The value of the key; null: absent. */
export type RegisterState = string | null;

const INTEGER = /^-?(0|[1-9]\d*)$/;

/** What the operation leaves behind. */
export function nextState(state: RegisterState, operation: Operation): RegisterState {
  switch (operation.kind) {
    case 'get':
      return state;
    case 'set':
    case 'get-and-set':
      return operation.argument;
    case 'delete':
      return null;
    case 'increment':
      if (state !== null && !INTEGER.test(state)) return state;
      return String(BigInt(state ?? '0') + BigInt(operation.argument));
    case 'append':
      return (state ?? '') + operation.argument;
    case 'set-if-absent':
      return state === null ? operation.argument : state;
    case 'compare-and-set':
      return state === operation.expected ? operation.argument : state;
  }
}

/** Whether the answer it gave is the one it must give in this state. */
export function answerFits(state: RegisterState, operation: Operation): boolean {
  const { result } = operation;
  switch (operation.kind) {
    case 'get':
    case 'get-and-set':
      return result === state;
    case 'set':
      return true;
    case 'delete':
      return result === (state !== null);
    case 'increment':
      if (state !== null && !INTEGER.test(state)) return result === 'error';
      return result !== 'error' && nextState(state, operation) === String(result);
    case 'append':
      return result === (state ?? '').length + operation.argument.length;
    case 'set-if-absent':
      return result === (state === null);
    case 'compare-and-set':
      return result === (state === operation.expected);
  }
}
