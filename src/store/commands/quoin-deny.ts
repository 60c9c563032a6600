/**
 * quoin.deny key -> OUT_OF_MEMORY
 *
 * Stands in the log in the place of a write for which its bucket has no room, under that write's session and sequence: if an
 * earlier leader has carried the write out after all, its reply is given instead. How much room there is only the leader
 * knows, so what it decides stands in the log.
 */
import type { CommandDefinition } from '../command.js';
import { ErrorReply } from '../reply.js';
import { ONE_KEY } from '../shapes.js';

const OUT_OF_MEMORY = ErrorReply.of('OUT_OF_MEMORY', "command not allowed when used memory > 'maxmemory'.");

export const quoinDeny: CommandDefinition = {
  ...ONE_KEY,
  name: 'quoin.deny',
  id: 113,
  arity: 2,
  flags: ['write', 'fast'],
  category: 'generic',
  summary: 'Refuses a write for which there is no room.',
  isWrite: true,
  internal: true,
  execute() {
    return OUT_OF_MEMORY;
  },
};
