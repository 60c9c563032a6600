/**
 * The few ways in which commands name their keys, to be spread into definitions, and the merges that split commands share.
 */
import type { CommandDefinition } from './command.js';
import { ErrorReply, isArrayReply, OK, type Reply } from './reply.js';

type Shape = Pick<CommandDefinition, 'firstKey' | 'lastKey' | 'keyStep' | 'scope'>;

/** The first word after the name is the only key. */
export const ONE_KEY: Shape = { firstKey: 1, lastKey: 1, keyStep: 1, scope: 'keys' };
/** The first two words after the name are keys. */
export const TWO_KEYS: Shape = { firstKey: 1, lastKey: 2, keyStep: 1, scope: 'keys' };
/** Every word after the name is a key. */
export const ALL_KEYS: Shape = { firstKey: 1, lastKey: -1, keyStep: 1, scope: 'keys' };
/** Keys and values take turns. */
export const KEYS_AND_VALUES: Shape = { firstKey: 1, lastKey: -1, keyStep: 2, scope: 'keys' };
/** No key: the command runs in every group. */
export const EVERY_GROUP: Shape = { firstKey: 0, lastKey: 0, keyStep: 0, scope: 'all-groups' };
/** No key: the command runs in the group that holds the slot of its cursor. */
export const AT_CURSOR: Shape = { firstKey: 0, lastKey: 0, keyStep: 0, scope: 'cursor' };

/** The first error among the parts, which then is the answer to the whole. */
export function firstError(replies: readonly Reply[]): ErrorReply | undefined {
  for (const reply of replies) if (reply instanceof ErrorReply) return reply;
  return undefined;
}

/** Parts that count something. */
export function mergeSum(replies: readonly Reply[]): Reply {
  let sum = 0;
  for (const reply of replies) {
    if (reply instanceof ErrorReply) return reply;
    if (typeof reply === 'number') sum += reply;
  }
  return sum;
}

/** Parts that all say OK. */
export function mergeOk(replies: readonly Reply[]): Reply {
  return firstError(replies) ?? OK;
}

/** Parts that are arrays, one after the other. */
export function mergeConcatenation(replies: readonly Reply[]): Reply {
  const merged: Reply[] = [];
  for (const reply of replies) {
    if (reply instanceof ErrorReply) return reply;
    if (isArrayReply(reply)) for (const item of reply) merged.push(item);
  }
  return merged;
}
