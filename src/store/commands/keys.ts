/** KEYS pattern */
import { TOKEN_END } from '../../base/slots.js';
import type { CommandDefinition } from '../command.js';
import { GlobPattern } from '../glob.js';
import { EVERY_GROUP, mergeConcatenation } from '../shapes.js';

export const keys: CommandDefinition = {
  ...EVERY_GROUP,
  name: 'keys',
  id: 36,
  arity: 2,
  flags: ['readonly'],
  category: 'generic',
  summary: 'Returns all keys that match a pattern.',
  isWrite: false,
  merge: mergeConcatenation,
  execute(context, args) {
    const pattern = new GlobPattern(args[0]!);
    const found: Buffer[] = [];
    context.keyspace.scan(0, TOKEN_END, (_token, key) => {
      if (pattern.matches(key)) found.push(key);
      return true;
    });
    return found;
  },
};
