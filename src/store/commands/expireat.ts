/** EXPIREAT key unix-seconds [NX | XX | GT | LT] */
import type { CommandDefinition } from '../command.js';
import { expireCommand } from '../expire.js';
import { EXAT } from '../expiry.js';
import { ONE_KEY } from '../shapes.js';

export const expireat: CommandDefinition = {
  ...ONE_KEY,
  ...expireCommand('expireat', EXAT),
  name: 'expireat',
  id: 27,
  arity: -3,
  flags: ['write', 'fast'],
  category: 'generic',
  summary: 'Sets the second at which a key expires.',
  isWrite: true,
};
