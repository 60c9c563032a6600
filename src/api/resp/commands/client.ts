/** CLIENT and its subcommands: what a connection is called, who is connected, and what they may be told to do. */
import { LIMITS } from '../../../base/limits.js';
import { OK, type Reply, VerbatimReply } from '../../../store/reply.js';
import { describeClient, isValidName, NAME_REFUSED } from '../client-list.js';
import type { ClientConnection } from '../connection.js';
import { container, type RunnableSubcommand } from '../container.js';
import { invalidArgument, NOT_AN_INTEGER, notSupported, SYNTAX_ERROR } from '../messages.js';
import { bulk, integer, lower } from '../words.js';
import { killClients } from './client-kill.js';
import { noteFormerChoice } from './promised-copies.js';

function onOff(name: string, apply: (client: ClientConnection, on: boolean) => void): RunnableSubcommand {
  return {
    name,
    arity: 3,
    usage: '(ON|OFF)',
    summary: 'Accepted for compatibility: Quoin evicts no client and keeps no access times.',
    run(client, args) {
      const word = lower(args[0]);
      if (word !== 'on' && word !== 'off') return SYNTAX_ERROR;
      apply(client, word === 'on');
      return OK;
    },
  };
}

function listClients(client: ClientConnection, args: readonly Buffer[]): Reply {
  let clients = [...client.server.connections.values()];
  if (args.length > 0) {
    const option = lower(args[0]);
    if (option === 'type' && args.length === 2) {
      const type = lower(args[1]);
      if (!['normal', 'master', 'replica', 'slave', 'pubsub'].includes(type)) {
        return invalidArgument(`Unknown client type '${args[1]!.toString('utf8')}'`);
      }
      if (type !== 'normal') clients = [];
    } else if (option === 'id' && args.length > 1) {
      const wanted = new Set<number>();
      for (const arg of args.slice(1)) {
        const id = integer(arg);
        if (id === undefined || id < 1) return invalidArgument('Invalid client ID');
        wanted.add(id);
      }
      clients = clients.filter((one) => wanted.has(one.id));
    } else {
      return SYNTAX_ERROR;
    }
  }
  return new VerbatimReply(clients.map((one) => `${describeClient(one)}\n`).join(''));
}

function setInfo(client: ClientConnection, args: readonly Buffer[]): Reply {
  const attribute = lower(args[0]);
  const value = args[1]!.toString('utf8');
  if (attribute !== 'lib-name' && attribute !== 'lib-ver') {
    return invalidArgument(`Unrecognized option '${args[0]!.toString('utf8')}'`);
  }
  if (!isValidName(value)) {
    return invalidArgument(`${attribute} cannot contain spaces, newlines or special characters.`);
  }
  if (attribute === 'lib-name') client.libraryName = value;
  else client.libraryVersion = value;
  return OK;
}

function pause(client: ClientConnection, args: readonly Buffer[]): Reply {
  const timeoutMs = integer(args[0]);
  const mode = args.length === 1 ? 'all' : lower(args[1]);
  if (args.length > 2) return SYNTAX_ERROR;
  if (mode !== 'all' && mode !== 'write') return invalidArgument('CLIENT PAUSE mode must be WRITE or ALL');
  if (timeoutMs === undefined) return invalidArgument('timeout is not an integer or out of range');
  if (timeoutMs < 0) return invalidArgument('timeout is negative');
  client.server.pause(Math.min(timeoutMs, 2 ** 31 - 1), mode === 'write');
  return OK;
}

function reply(client: ClientConnection, args: readonly Buffer[]): Reply {
  const mode = lower(args[0]);
  if (mode === 'on') client.replyMode = 'on';
  else if (mode === 'off') client.replyMode = 'off';
  else if (mode === 'skip') {
    if (client.replyMode !== 'off') client.replyMode = 'skip-next';
  } else return SYNTAX_ERROR;
  return OK;
}

/** Without arguments: what holds now, as the words that would set it. */
function quorum(client: ClientConnection, args: readonly Buffer[]): Reply {
  if (args.length === 0) {
    const { r, w } = client.quorum ?? {};
    const words: Reply[] = [];
    if (r !== undefined) words.push(bulk('r'), r);
    if (w !== undefined) words.push(bulk('w'), w);
    return words;
  }
  if (args.length === 1 && lower(args[0]) === 'default') {
    noteFormerChoice(client);
    client.quorum = undefined;
    return OK;
  }
  if (args.length % 2 !== 0) return SYNTAX_ERROR;
  let { r, w } = client.quorum ?? {};
  for (let i = 0; i < args.length; i += 2) {
    if (lower(args[i + 1]) === 'default')
      return invalidArgument("CLIENT QUORUM DEFAULT goes back to the bucket's own r and w, both at once");
    const replicas = integer(args[i + 1]);
    if (replicas === undefined || replicas < 1 || replicas > LIMITS.maxReplicas)
      return invalidArgument(`the number of replicas must lie between 1 and ${LIMITS.maxReplicas}`);
    const word = lower(args[i]);
    if (word === 'r') r = replicas;
    else if (word === 'w') w = replicas;
    else return SYNTAX_ERROR;
  }
  noteFormerChoice(client);
  client.quorum = { r, w };
  return OK;
}

function refused(name: string, message: string): RunnableSubcommand {
  return { name, arity: -2, summary: 'Not supported.', run: () => notSupported(message) };
}

export const client = container({
  name: 'client',
  category: 'connection',
  summary: 'About this connection and the others.',
  flags: ['noscript', 'loading', 'stale'],
  inTransaction: 'queued',
  subcommands: [
    { name: 'id', arity: 2, summary: 'Return the id of this connection.', run: (one) => one.id },
    {
      name: 'getname',
      arity: 2,
      summary: 'Return the name of this connection.',
      run: (one) => (one.name === '' ? null : bulk(one.name)),
    },
    {
      name: 'setname',
      arity: 3,
      usage: '<name>',
      summary: 'Name this connection.',
      run(one, args) {
        const name = args[0]!.toString('latin1');
        if (!isValidName(name)) return NAME_REFUSED;
        one.name = name;
        return OK;
      },
    },
    {
      name: 'setinfo',
      arity: 4,
      usage: '(LIB-NAME <name>|LIB-VER <version>)',
      summary: 'Say which library this client uses.',
      run: setInfo,
    },
    {
      name: 'info',
      arity: 2,
      summary: 'Return a line about this connection.',
      run: (one) => new VerbatimReply(`${describeClient(one)}\n`),
    },
    {
      name: 'list',
      arity: -2,
      usage: '[TYPE <type> | ID <id> ...]',
      summary: 'Return a line for each connection.',
      run: listClients,
    },
    {
      name: 'kill',
      arity: -3,
      usage: '<ip:port> | <option> <value> ...',
      summary: 'End connections by ID, ADDR, LADDR, USER, TYPE; SKIPME no includes this one.',
      run: killClients,
    },
    onOff('no-evict', (one, on) => {
      one.noEvict = on;
    }),
    onOff('no-touch', (one, on) => {
      one.noTouch = on;
    }),
    {
      name: 'reply',
      arity: 3,
      usage: '(ON|OFF|SKIP)',
      summary: 'Whether commands are answered.',
      run: reply,
    },
    {
      name: 'quorum',
      arity: -2,
      usage: '[DEFAULT | [R <replicas>] [W <replicas>]]',
      summary:
        'How many replicas must answer reads and have writes, in the eventual buckets of this connection.',
      run: quorum,
    },
    {
      name: 'pause',
      arity: -3,
      usage: '<timeout> [WRITE|ALL]',
      summary: 'Let the commands of all clients wait for so many milliseconds.',
      run: pause,
    },
    {
      name: 'unpause',
      arity: 2,
      summary: 'End a pause.',
      run(one) {
        one.server.unpause();
        return OK;
      },
    },
    {
      name: 'unblock',
      arity: -3,
      usage: '<client-id> [TIMEOUT|ERROR]',
      summary: 'No command blocks in a way that could be ended.',
      run: (_one, args) => (integer(args[0]) === undefined ? NOT_AN_INTEGER : 0),
    },
    { name: 'getredir', arity: 2, summary: 'Return -1: nothing is tracked.', run: () => -1 },
    refused('tracking', 'CLIENT TRACKING is not supported: there is no client-side caching'),
    refused('caching', 'CLIENT CACHING is not supported: there is no client-side caching'),
    refused('trackinginfo', 'CLIENT TRACKINGINFO is not supported: there is no client-side caching'),
  ],
});
