/** ACL WHOAMI | LIST | USERS | GETUSER | CAT: the one user that there is. */
import { MapReply, type Reply, SimpleString } from '../../../store/reply.js';
import { DEFAULT_USER } from '../access.js';
import { ACL_CATEGORIES, categoriesOf } from '../acl-categories.js';
import { container, type RunnableSubcommand } from '../container.js';
import { invalidArgument, notSupported } from '../messages.js';
import { bulk, lower } from '../words.js';

function refused(name: string, usage: string): RunnableSubcommand {
  return {
    name,
    arity: -2,
    usage,
    summary: 'Users cannot be changed in this version.',
    run: () => notSupported(`ACL ${name.toUpperCase()} is not supported: there is only the default user`),
  };
}

function describeUser(): Reply {
  return new MapReply([
    [bulk('flags'), [bulk('on'), bulk('nopass')]],
    [bulk('passwords'), []],
    [bulk('commands'), bulk('+@all')],
    [bulk('keys'), bulk('~*')],
    [bulk('channels'), bulk('&*')],
    [bulk('selectors'), []],
  ]);
}

export const acl = container({
  name: 'acl',
  category: 'server',
  summary: 'Who may do what.',
  flags: ['admin', 'noscript', 'loading', 'stale'],
  inTransaction: 'queued',
  subcommands: [
    {
      name: 'whoami',
      arity: 2,
      summary: 'Return the user of this connection.',
      run: (client) => bulk(client.user),
    },
    {
      name: 'list',
      arity: 2,
      summary: 'Return all users with their rules.',
      run: () => [bulk(`user ${DEFAULT_USER} on nopass sanitize-payload ~* &* +@all`)],
    },
    { name: 'users', arity: 2, summary: 'Return the names of all users.', run: () => [bulk(DEFAULT_USER)] },
    {
      name: 'getuser',
      arity: 3,
      usage: '<username>',
      summary: 'Return the rules of a user.',
      run: (_client, args) => (args[0]?.toString('utf8') === DEFAULT_USER ? describeUser() : null),
    },
    {
      name: 'cat',
      arity: -2,
      usage: '[<category>]',
      summary: 'Return all categories, or the commands of one.',
      run(client, args) {
        if (args.length === 0) return ACL_CATEGORIES.map((name) => bulk(name));
        const category = lower(args[0]);
        if (args.length > 1 || !ACL_CATEGORIES.includes(category)) {
          return invalidArgument(`Unknown category '${args[0]!.toString('utf8')}'`);
        }
        return client.server.table.entries
          .filter((entry) => categoriesOf(entry.shape).includes(category))
          .map((entry) => bulk(entry.name));
      },
    },
    refused('setuser', '<username> [<rule> ...]'),
    refused('deluser', '<username> [<username> ...]'),
    {
      name: 'save',
      arity: 2,
      summary: 'There is no ACL file.',
      run: () => notSupported('there is no ACL file'),
    },
    {
      name: 'load',
      arity: 2,
      summary: 'There is no ACL file.',
      run: () => notSupported('there is no ACL file'),
    },
    {
      name: 'log',
      arity: -2,
      usage: '[<count> | RESET]',
      summary: 'Return denied requests; there are none.',
      run: (_client, args) => (lower(args[0]) === 'reset' ? new SimpleString('OK') : []),
    },
  ],
});
