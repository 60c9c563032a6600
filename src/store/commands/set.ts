/** SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL] */
import { isWord, SYNTAX_ERROR } from '../arguments.js';
import type { CommandDefinition } from '../command.js';
import { checkExpiry, type ExpiryUnit, expiryFrom, expiryUnit, putUnlessExpired } from '../expiry.js';
import { ErrorReply, OK } from '../reply.js';
import { ONE_KEY } from '../shapes.js';

interface SetOptions {
  onlyAbsent: boolean;
  onlyPresent: boolean;
  returnOld: boolean;
  keepExpiry: boolean;
  unit: ExpiryUnit | undefined;
  expiry: Buffer | undefined;
}

function parseOptions(args: readonly Buffer[]): SetOptions | ErrorReply {
  const options: SetOptions = {
    onlyAbsent: false,
    onlyPresent: false,
    returnOld: false,
    keepExpiry: false,
    unit: undefined,
    expiry: undefined,
  };
  for (let i = 2; i < args.length; i++) {
    const word = args[i]!;
    const unit = expiryUnit(word);
    if (unit !== undefined) {
      // The same unit may be given again, and then counts; another one may not.
      const clashes = options.keepExpiry || (options.unit !== undefined && options.unit !== unit);
      if (clashes || i + 1 >= args.length) return SYNTAX_ERROR;
      options.unit = unit;
      options.expiry = args[++i];
    } else if (isWord(word, 'NX') && !options.onlyPresent) options.onlyAbsent = true;
    else if (isWord(word, 'XX') && !options.onlyAbsent) options.onlyPresent = true;
    else if (isWord(word, 'GET')) options.returnOld = true;
    else if (isWord(word, 'KEEPTTL') && options.unit === undefined) options.keepExpiry = true;
    else return SYNTAX_ERROR;
  }
  return options;
}

export const set: CommandDefinition = {
  ...ONE_KEY,
  name: 'set',
  id: 2,
  arity: -3,
  flags: ['write', 'denyoom'],
  category: 'string',
  summary: 'Sets the value of a key, whatever it held before.',
  isWrite: true,
  validate(args) {
    if (args.length === 2) return undefined;
    const options = parseOptions(args);
    if (options instanceof ErrorReply) return options;
    if (options.unit === undefined) return undefined;
    return checkExpiry(options.expiry!, options.unit, true, 'set');
  },
  execute(context, args) {
    const { keyspace } = context;
    const key = args[0]!;
    const value = args[1]!;
    if (args.length === 2) {
      keyspace.put(key, value, keyspace.defaultExpiryMs());
      return OK;
    }
    const options = parseOptions(args);
    if (options instanceof ErrorReply) return options;
    let expiresAtMs = 0;
    if (options.unit !== undefined) {
      const at = expiryFrom(options.expiry!, options.unit, context.nowMs, true, 'set');
      if (at instanceof ErrorReply) return at;
      expiresAtMs = at;
    }
    const needsOld = options.returnOld || options.onlyAbsent || options.onlyPresent || options.keepExpiry;
    const old = needsOld ? keyspace.get(key) : undefined;
    const refused = old === undefined ? options.onlyPresent : options.onlyAbsent;
    if (!refused) {
      if (options.keepExpiry && old !== undefined) expiresAtMs = old.expiresAtMs;
      else if (options.unit === undefined) expiresAtMs = keyspace.defaultExpiryMs();
      putUnlessExpired(context, key, value, expiresAtMs);
    }
    if (options.returnOld) return old === undefined ? null : old.value;
    return refused ? null : OK;
  },
};
