/** quoin.slot-count slot -> how many keys lie in the slot (CLUSTER COUNTKEYSINSLOT) */
import { firstTokenOfSlot, SLOT_COUNT } from '../../base/slots.js';
import { parseCount } from '../arguments.js';
import type { CommandDefinition } from '../command.js';
import { ErrorReply } from '../reply.js';
import { AT_CURSOR } from '../shapes.js';

const INVALID_SLOT = ErrorReply.of('WRONG_ARGUMENTS', 'Invalid slot');

function parseSlot(args: readonly Buffer[]): number | undefined {
  const slot = parseCount(args[0]);
  return slot !== undefined && slot < SLOT_COUNT ? slot : undefined;
}

export const quoinSlotCount: CommandDefinition = {
  ...AT_CURSOR,
  name: 'quoin.slot-count',
  id: 110,
  arity: 2,
  flags: ['readonly'],
  category: 'cluster',
  summary: 'Counts the keys of a slot.',
  isWrite: false,
  internal: true,
  cursorToken(args) {
    return firstTokenOfSlot(parseSlot(args) ?? 0);
  },
  validate(args) {
    return parseSlot(args) === undefined ? INVALID_SLOT : undefined;
  },
  execute(context, args) {
    const slot = parseSlot(args);
    return slot === undefined ? INVALID_SLOT : context.keyspace.keyCountInSlot(slot);
  },
};
