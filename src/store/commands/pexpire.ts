/** PEXPIRE key milliseconds [NX | XX | GT | LT] */
import type { CommandDefinition } from '../command.js';
import { expireCommand } from '../expire.js';
import { PX } from '../expiry.js';
import { ONE_KEY } from '../shapes.js';

export const pexpire: CommandDefinition = {
  ...ONE_KEY,
  ...expireCommand('pexpire', PX),
  name: 'pexpire',
  id: 26,
  arity: -3,
  flags: ['write', 'fast'],
  category: 'generic',
  summary: 'Sets the time to live of a key in milliseconds.',
  isWrite: true,
};
