/** COMMAND: what commands there are, as clients read it to learn arities and key positions. */
import { GlobPattern } from '../../../store/glob.js';
import { MapReply, NULL_ARRAY, type Reply, SetReply, SimpleString } from '../../../store/reply.js';
import { categoriesOf } from '../acl-categories.js';
import type { CommandEntry } from '../command-table.js';
import type { ClientConnection } from '../connection.js';
import { container } from '../container.js';
import { keyPositions } from '../key-positions.js';
import { invalidArgument, SYNTAX_ERROR } from '../messages.js';
import { bulk, lower } from '../words.js';

function keySpecifications(entry: CommandEntry): Reply {
  const { shape } = entry;
  if (shape.firstKey === 0) return [];
  const last = shape.lastKey < 0 ? shape.lastKey : shape.lastKey - shape.firstKey;
  const search = new MapReply([
    [bulk('type'), bulk('index')],
    [bulk('spec'), new MapReply([[bulk('index'), shape.firstKey]])],
  ]);
  const find = new MapReply([
    [bulk('type'), bulk('range')],
    [
      bulk('spec'),
      new MapReply([
        [bulk('lastkey'), last],
        [bulk('keystep'), shape.keyStep],
        [bulk('limit'), 0],
      ]),
    ],
  ]);
  const flags = new SetReply([new SimpleString(entry.isWrite ? 'RW' : 'RO')]);
  return [
    new MapReply([
      [bulk('flags'), flags],
      [bulk('begin_search'), search],
      [bulk('find_keys'), find],
    ]),
  ];
}

function describeSubcommands(entry: CommandEntry): Reply {
  return (entry.connection?.subcommands ?? []).map((one) => [
    bulk(`${entry.name}|${one.name}`),
    one.arity,
    new SetReply(entry.shape.flags.map((flag) => new SimpleString(flag))),
    0,
    0,
    0,
    new SetReply(categoriesOf(entry.shape).map((name) => new SimpleString(`@${name}`))),
    [],
    [],
    [],
  ]);
}

function describe(entry: CommandEntry): Reply {
  const { shape } = entry;
  return [
    bulk(shape.name),
    shape.arity,
    new SetReply(shape.flags.map((flag) => new SimpleString(flag))),
    shape.firstKey,
    shape.lastKey,
    shape.keyStep,
    new SetReply(categoriesOf(shape).map((name) => new SimpleString(`@${name}`))),
    [],
    keySpecifications(entry),
    describeSubcommands(entry),
  ];
}

const GROUPS: Readonly<Record<string, string>> = { strings: 'string' };

function document(entry: CommandEntry): Reply {
  const { shape } = entry;
  const rows: [Reply, Reply][] = [
    [bulk('summary'), bulk(shape.summary)],
    [bulk('since'), bulk('1.0.0')],
    [bulk('group'), bulk(GROUPS[shape.category] ?? shape.category)],
  ];
  const subcommands = entry.connection?.subcommands ?? [];
  if (subcommands.length > 0) {
    const documents = subcommands.map((one): [Reply, Reply] => [
      bulk(`${entry.name}|${one.name}`),
      new MapReply([
        [bulk('summary'), bulk(one.summary)],
        [bulk('since'), bulk('1.0.0')],
        [bulk('group'), bulk(shape.category)],
      ]),
    ]);
    rows.push([bulk('subcommands'), new MapReply(documents)]);
  }
  return new MapReply(rows);
}

function list(client: ClientConnection, args: readonly Buffer[]): Reply {
  let entries = client.server.table.entries;
  if (args.length > 0) {
    if (args.length !== 3 || lower(args[0]) !== 'filterby') return SYNTAX_ERROR;
    const kind = lower(args[1]);
    if (kind === 'pattern') {
      const pattern = new GlobPattern(bulk(lower(args[2])));
      entries = entries.filter((entry) => pattern.matches(entry.nameBytes));
    } else if (kind === 'aclcat') {
      const category = lower(args[2]);
      entries = entries.filter((entry) => categoriesOf(entry.shape).includes(category));
    } else if (kind === 'module') {
      entries = [];
    } else {
      return SYNTAX_ERROR;
    }
  }
  return entries.map((entry) => bulk(entry.name));
}

function getKeys(client: ClientConnection, args: readonly Buffer[]): Reply {
  const entry = client.server.table.byName(args[0]!);
  if (entry === undefined) return invalidArgument('Invalid command specified');
  const count = args.length - 1;
  if (entry.shape.firstKey === 0) return invalidArgument('The command has no key arguments');
  if (count < entry.leastArgs || count > entry.mostArgs) {
    return invalidArgument('Invalid number of arguments specified for command');
  }
  return keyPositions(entry.shape, count).map((position) => args[position] ?? null);
}

export const command = container({
  name: 'command',
  category: 'server',
  summary: 'What commands there are.',
  flags: ['loading', 'stale'],
  inTransaction: 'queued',
  bare: (client) => client.server.table.entries.map(describe),
  subcommands: [
    {
      name: 'count',
      arity: 2,
      summary: 'Return how many commands there are.',
      run: (client) => client.server.table.entries.length,
    },
    {
      name: 'info',
      arity: -2,
      usage: '[<command-name> ...]',
      summary: 'Return details of some commands, or of all.',
      run(client, args) {
        const { table } = client.server;
        if (args.length === 0) return table.entries.map(describe);
        return args.map((name) => {
          const entry = table.byName(name);
          return entry === undefined ? NULL_ARRAY : describe(entry);
        });
      },
    },
    {
      name: 'docs',
      arity: -2,
      usage: '[<command-name> ...]',
      summary: 'Return what some commands do, or all.',
      run(client, args) {
        const { table } = client.server;
        const entries = args.length === 0 ? table.entries : args.flatMap((name) => table.byName(name) ?? []);
        return new MapReply(entries.map((entry) => [bulk(entry.name), document(entry)]));
      },
    },
    {
      name: 'list',
      arity: -2,
      usage: '[FILTERBY (MODULE <name>|ACLCAT <category>|PATTERN <pattern>)]',
      summary: 'Return the names of commands.',
      run: list,
    },
    {
      name: 'getkeys',
      arity: -4,
      usage: '<full-command>',
      summary: 'Return the keys of a command with its arguments.',
      run: getKeys,
    },
  ],
});
