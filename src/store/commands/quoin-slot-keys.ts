/** quoin.slot-keys slot count -> up to so many keys of the slot (CLUSTER GETKEYSINSLOT) */
import { firstTokenOfSlot, SLOT_COUNT } from '../../base/slots.js';
import { parseCount } from '../arguments.js';
import type { CommandDefinition } from '../command.js';
import { ErrorReply } from '../reply.js';
import { AT_CURSOR } from '../shapes.js';

const INVALID = ErrorReply.of('WRONG_ARGUMENTS', 'Invalid slot or number of keys');

function parse(args: readonly Buffer[]): { slot: number; count: number } | undefined {
  const slot = parseCount(args[0]);
  const count = parseCount(args[1]);
  return slot !== undefined && slot < SLOT_COUNT && count !== undefined ? { slot, count } : undefined;
}

export const quoinSlotKeys: CommandDefinition = {
  ...AT_CURSOR,
  name: 'quoin.slot-keys',
  id: 111,
  arity: 3,
  flags: ['readonly'],
  category: 'cluster',
  summary: 'Returns keys of a slot.',
  isWrite: false,
  internal: true,
  cursorToken(args) {
    return firstTokenOfSlot(parse(args)?.slot ?? 0);
  },
  validate(args) {
    return parse(args) === undefined ? INVALID : undefined;
  },
  execute(context, args) {
    const wanted = parse(args);
    if (wanted === undefined) return INVALID;
    const keys: Buffer[] = [];
    if (wanted.count === 0) return keys;
    context.keyspace.scan(
      firstTokenOfSlot(wanted.slot),
      firstTokenOfSlot(wanted.slot + 1),
      (_token, key) => keys.push(key) < wanted.count,
    );
    return keys;
  },
};
