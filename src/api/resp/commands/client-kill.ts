/** CLIENT KILL: the old form names an address and answers OK; the new one filters and answers how many were ended. */
import { OK, type Reply } from '../../../store/reply.js';
import { DEFAULT_USER } from '../access.js';
import type { ClientConnection } from '../connection.js';
import { invalidArgument, SYNTAX_ERROR } from '../messages.js';
import { integer, lower } from '../words.js';

type Filter = (client: ClientConnection) => boolean;

/** A filter, or what is wrong with it. */
function filterFor(option: string, value: Buffer): Filter | Reply {
  const text = value.toString('utf8');
  switch (option) {
    case 'id': {
      const id = integer(value);
      if (id === undefined || id < 1) return invalidArgument('client-id should be greater than 0');
      return (client) => client.id === id;
    }
    case 'addr':
      return (client) => client.remoteAddress === text;
    case 'laddr':
      return (client) => client.localAddress === text;
    case 'user':
      if (text !== DEFAULT_USER) return invalidArgument(`No such user '${text}'`);
      return (client) => client.user === text;
    case 'type': {
      const type = text.toLowerCase();
      if (!['normal', 'master', 'replica', 'slave', 'pubsub'].includes(type)) {
        return invalidArgument(`Unknown client type '${text}'`);
      }
      return () => type === 'normal';
    }
    default:
      return SYNTAX_ERROR;
  }
}

function end(own: ClientConnection, client: ClientConnection): void {
  if (client === own) client.closeAfterReply();
  else client.destroy();
}

export function killClients(own: ClientConnection, args: readonly Buffer[]): Reply {
  const clients = [...own.server.connections.values()];
  if (args.length === 1) {
    const address = args[0]!.toString('utf8');
    const found = clients.find((client) => client.remoteAddress === address);
    if (found === undefined) return invalidArgument('No such client');
    end(own, found);
    return OK;
  }
  if (args.length % 2 !== 0) return SYNTAX_ERROR;
  const filters: Filter[] = [];
  let skipOwn = true;
  for (let i = 0; i < args.length; i += 2) {
    const option = lower(args[i]);
    const value = args[i + 1]!;
    if (option === 'skipme') {
      const word = lower(value);
      if (word !== 'yes' && word !== 'no') return SYNTAX_ERROR;
      skipOwn = word === 'yes';
      continue;
    }
    const filter = filterFor(option, value);
    if (typeof filter !== 'function') return filter;
    filters.push(filter);
  }
  let killed = 0;
  for (const client of clients) {
    if (client === own && skipOwn) continue;
    if (!filters.every((filter) => filter(client))) continue;
    end(own, client);
    killed++;
  }
  return killed;
}
