/** HELLO [2 | 3 [AUTH username password] [SETNAME name]] */
import { ErrorReply, MapReply, type Reply } from '../../../store/reply.js';
import { isValidName, NAME_REFUSED } from '../client-list.js';
import { COMPATIBLE_VERSION } from '../compatibility.js';
import type { ClientConnection } from '../connection.js';
import { type ConnectionCommand, KEYLESS } from '../connection-command.js';
import { invalidArgument } from '../messages.js';
import { bulk, integer, lower } from '../words.js';
import { WRONG_PASSWORD } from './auth.js';

const UNSUPPORTED = new ErrorReply('WRONG_ARGUMENTS', 'NOPROTO unsupported protocol version');
const NOT_AUTHENTICATED = new ErrorReply(
  'WRONG_ARGUMENTS',
  'NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time',
);

export const hello: ConnectionCommand = {
  ...KEYLESS,
  name: 'hello',
  arity: -1,
  flags: ['noscript', 'loading', 'stale', 'fast', 'no_auth'],
  category: 'connection',
  summary: 'Chooses the protocol version, and may authenticate and name the connection.',
  inTransaction: 'refused',
  run(client, args) {
    let version: number = client.protocol;
    let name: string | undefined;
    if (args.length > 0) {
      const wanted = integer(args[0]);
      if (wanted === undefined) return invalidArgument('Protocol version is not an integer or out of range');
      if (wanted !== 2 && wanted !== 3) return UNSUPPORTED;
      version = wanted;
    }
    for (let i = 1; i < args.length; i++) {
      const option = lower(args[i]);
      const left = args.length - 1 - i;
      if (option === 'auth' && left >= 2) {
        const user = args[i + 1]!.toString('utf8');
        if (client.server.access.authenticate(user, args[i + 2]!) !== 'granted') return WRONG_PASSWORD;
        client.user = user;
        client.authenticated = true;
        i += 2;
      } else if (option === 'setname' && left >= 1) {
        name = args[i + 1]!.toString('latin1');
        if (!isValidName(name)) return NAME_REFUSED;
        i += 1;
      } else {
        return invalidArgument(`Syntax error in HELLO option '${args[i]!.toString('utf8')}'`);
      }
    }
    if (!client.authenticated) return NOT_AUTHENTICATED;
    if (name !== undefined) client.name = name;
    client.protocol = version === 3 ? 3 : 2;
    return greeting(client);
  },
};

function greeting(client: ClientConnection): Reply {
  return new MapReply([
    [bulk('server'), bulk('redis')],
    [bulk('version'), bulk(COMPATIBLE_VERSION)],
    [bulk('proto'), client.protocol],
    [bulk('id'), client.id],
    [bulk('mode'), bulk('cluster')],
    [bulk('role'), bulk('master')],
    [bulk('modules'), []],
  ]);
}
