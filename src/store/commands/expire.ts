/** EXPIRE key seconds [NX | XX | GT | LT] */
import type { CommandDefinition } from '../command.js';
import { expireCommand } from '../expire.js';
import { EX } from '../expiry.js';
import { ONE_KEY } from '../shapes.js';

export const expire: CommandDefinition = {
  ...ONE_KEY,
  ...expireCommand('expire', EX),
  name: 'expire',
  id: 25,
  arity: -3,
  flags: ['write', 'fast'],
  category: 'generic',
  summary: 'Sets the time to live of a key in seconds.',
  isWrite: true,
};
