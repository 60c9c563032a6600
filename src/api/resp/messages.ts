/** Error replies of the RESP door in Redis's own words, which clients match on. */
import { ErrorReply } from '../../store/reply.js';

/** As much of an unknown command and its arguments as an error repeats. */
const ECHOED_BYTES = 128;

export function unknownCommand(name: Buffer, args: readonly Buffer[]): ErrorReply {
  let echoed = '';
  let size = 0;
  for (const arg of args) {
    if (size >= ECHOED_BYTES) break;
    const part = arg.subarray(0, ECHOED_BYTES - size);
    echoed += `'${part.toString('utf8')}' `;
    size += part.length + 3;
  }
  const shown = name.subarray(0, ECHOED_BYTES).toString('utf8');
  return ErrorReply.of('UNKNOWN_COMMAND', `unknown command '${shown}', with args beginning with: ${echoed}`);
}

export function unknownSubcommand(container: string, subcommand: Buffer): ErrorReply {
  const shown = subcommand.subarray(0, ECHOED_BYTES).toString('utf8');
  return ErrorReply.of(
    'UNKNOWN_COMMAND',
    `unknown subcommand '${shown}'. Try ${container.toUpperCase()} HELP.`,
  );
}

/** `name` is `get`, or `config|get` for a subcommand. */
export function wrongArity(name: string): ErrorReply {
  return ErrorReply.of('WRONG_ARGUMENTS', `wrong number of arguments for '${name}' command`);
}

export const SYNTAX_ERROR = ErrorReply.of('WRONG_ARGUMENTS', 'syntax error');
export const NOT_AN_INTEGER = ErrorReply.of('WRONG_ARGUMENTS', 'value is not an integer or out of range');
export const CROSS_SLOT = ErrorReply.of('CROSS_SLOT', "Keys in request don't hash to the same slot");
export const NOT_IN_TRANSACTION = ErrorReply.of(
  'WRONG_ARGUMENTS',
  'Command not allowed inside a transaction',
);
export const MAX_CLIENTS = '-ERR max number of clients reached\r\n';

export function invalidArgument(message: string): ErrorReply {
  return ErrorReply.of('WRONG_ARGUMENTS', message);
}

export function notSupported(message: string): ErrorReply {
  return ErrorReply.of('NOT_SUPPORTED', message);
}

/** EXEC itself was refused. */
export function transactionDiscarded(reason: ErrorReply): ErrorReply {
  const text = reason.text.replace(/^ERR /, '');
  return new ErrorReply(reason.code, `EXECABORT Transaction discarded because of: ${text}`);
}
