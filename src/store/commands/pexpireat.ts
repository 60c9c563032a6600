/** PEXPIREAT key unix-milliseconds [NX | XX | GT | LT] */
import type { CommandDefinition } from '../command.js';
import { expireCommand } from '../expire.js';
import { PXAT } from '../expiry.js';
import { ONE_KEY } from '../shapes.js';

export const pexpireat: CommandDefinition = {
  ...ONE_KEY,
  ...expireCommand('pexpireat', PXAT),
  name: 'pexpireat',
  id: 28,
  arity: -3,
  flags: ['write', 'fast'],
  category: 'generic',
  summary: 'Sets the millisecond at which a key expires.',
  isWrite: true,
};
