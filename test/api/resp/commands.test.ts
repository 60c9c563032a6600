import { describe, expect, it } from 'vitest';
import { CommandTable } from '../../../src/api/resp/command-table.js';
import { CONNECTION_COMMANDS } from '../../../src/api/resp/commands/index.js';
import {
  type Decoded,
  encodeCommand,
  RespError,
  type RespSocket,
  textOf,
} from '../../support/resp-socket.js';
import { openDoor, until } from './door.js';

async function open(): Promise<RespSocket> {
  return (await openDoor()).connect();
}

function fields(reply: Decoded): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of textOf(reply).split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) found.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return found;
}

const error = (text: string): RespError => new RespError(text);

describe('the command table', () => {
  it('finds every command in any case and nothing else', () => {
    const table = new CommandTable();
    for (const entry of table.entries) {
      for (const name of [
        entry.name,
        entry.name.toUpperCase(),
        entry.name.replace(/^./, (c) => c.toUpperCase()),
      ]) {
        const bytes = Buffer.from(`xx${name}yy`);
        expect(table.find(bytes, 2, 2 + name.length)).toBe(entry);
        expect(table.find(bytes, 1, 2 + name.length)).toBeUndefined();
        expect(table.find(bytes, 2, 3 + name.length)).toBeUndefined();
      }
    }
    // '[' and '{' differ by the bit that folds case, as do '@' and '`'.
    expect(table.byName(Buffer.from('g%t'))).toBeUndefined();
    expect(table.byName(Buffer.from('G\x05T'))).toBeUndefined();
  });

  it('gives every connection command a name of its own and a summary', () => {
    const names = new CommandTable().entries.map((entry) => entry.name);
    expect(new Set(names).size).toBe(names.length);
    for (const command of CONNECTION_COMMANDS) expect(command.summary).toMatch(/\.$/);
  });
});

describe('PING, ECHO, TIME, QUIT, RESET', () => {
  it('answer', async () => {
    const client = await open();
    expect(await client.command('ping')).toBe('PONG');
    expect(await client.command('PING', 'hello')).toBe('hello');
    expect(await client.command('ECHO', 'hello')).toBe('hello');
    const time = await client.command('TIME');
    expect(Array.isArray(time) && Math.abs(Number(time[0]) - Date.now() / 1000) < 60).toBe(true);
    expect(await client.command('ASKING')).toBe('OK');
    expect(await client.command('QUIT')).toBe('OK');
    await client.untilClosed();
  });

  it('QUIT ends the connection without looking at what follows', async () => {
    const { node, connect } = await openDoor();
    node.recording = true;
    const client = await connect();
    client.write(Buffer.concat([encodeCommand('QUIT'), encodeCommand('SET', 'a', '1')]));
    expect(await client.next()).toBe('OK');
    await client.untilClosed();
    expect(node.requests).toEqual([]);
  });

  it('RESET forgets name, protocol, transaction and consistency', async () => {
    const client = await open();
    await client.command('HELLO', '3', 'SETNAME', 'me');
    await client.command('READONLY');
    await client.command('MULTI');
    expect(await client.command('RESET')).toBe('RESET');
    expect(await client.command('CLIENT', 'GETNAME')).toBe(null);
    expect(await client.command('EXEC')).toEqual(error('ERR EXEC without MULTI'));
    const bytes = client.bytes(5);
    client.send('GET', 'absent');
    expect((await bytes).toString()).toBe('$-1\r\n');
  });
});

describe('HELLO and AUTH', () => {
  it('chooses the protocol, from its own answer on', async () => {
    const client = await open();
    const second = await client.command('HELLO');
    expect(second).toEqual(expect.arrayContaining(['server', 'redis', 'proto', 2, 'mode', 'cluster']));
    const third = await client.command('HELLO', '3');
    expect(third).toHaveProperty('map', expect.arrayContaining([['proto', 3]]));
    expect(await client.command('CONFIG', 'GET', 'save')).toEqual({ map: [['save', '']] });
    expect(await client.command('HELLO', '2')).toEqual(expect.arrayContaining(['proto', 2]));
  });

  it('leaves answers to earlier requests in the protocol they were asked in', async () => {
    const { node, connect } = await openDoor();
    const client = await connect();
    node.holding = true;
    client.write(
      Buffer.concat([encodeCommand('GET', 'a'), encodeCommand('HELLO', '3'), encodeCommand('GET', 'a')]),
    );
    await until(() => node.held.length === 2, 'the requests');
    node.release();
    expect((await client.bytes(5)).toString()).toBe('$-1\r\n');
    await client.next();
    expect((await client.bytes(3)).toString()).toBe('_\r\n');
  });

  it.each([
    [['HELLO', '4'], 'NOPROTO unsupported protocol version'],
    [['HELLO', 'x'], 'ERR Protocol version is not an integer or out of range'],
    [['HELLO', '3', 'NOSUCH'], "ERR Syntax error in HELLO option 'NOSUCH'"],
    [
      ['HELLO', '3', 'SETNAME', 'a b'],
      'ERR Client names cannot contain spaces, newlines or special characters.',
    ],
    [
      ['HELLO', '3', 'AUTH', 'nobody', 'secret'],
      'WRONGPASS invalid username-password pair or user is disabled.',
    ],
    [['AUTH', 'nobody', 'secret'], 'WRONGPASS invalid username-password pair or user is disabled.'],
    [
      ['AUTH', 'secret'],
      'ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?',
    ],
    [['AUTH', 'a', 'b', 'c'], 'ERR syntax error'],
  ])('%j is refused', async (words, text) => {
    const client = await open();
    expect(await client.command(...words)).toEqual(error(text));
    expect(await client.command('AUTH', 'default', 'anything')).toBe('OK');
  });

  it('asks for authentication where access control wants it', async () => {
    const { connect } = await openDoor({
      access: {
        requiresAuthentication: true,
        authenticate: (user, password) =>
          user === 'default' && password.toString() === 'secret' ? 'granted' : 'denied',
      },
    });
    const client = await connect();
    expect(await client.command('GET', 'a')).toEqual(error('NOAUTH Authentication required.'));
    expect(await client.command('HELLO', '3')).toEqual(
      error(
        'NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time',
      ),
    );
    expect(await client.command('AUTH', 'wrong')).toEqual(
      error('WRONGPASS invalid username-password pair or user is disabled.'),
    );
    expect(await client.command('AUTH', 'secret')).toBe('OK');
    expect(await client.command('GET', 'a')).toBe(null);
  });
});

describe('SELECT', () => {
  it('takes a bucket by its index in the map or by its name', async () => {
    const { node, connect } = await openDoor();
    await node.createBucket({ name: 'sessions', replication: 'raft', engine: 'memory', ttlMs: 60_000 });
    const client = await connect();
    await client.command('SET', 'a', 'default');
    expect(await client.command('SELECT', '1')).toBe('OK');
    await client.command('SET', 'a', 'session');
    expect(Number(await client.command('TTL', 'a'))).toBeGreaterThan(0);
    expect(await client.command('SELECT', '0')).toBe('OK');
    expect(await client.command('GET', 'a')).toBe('default');
    expect(await client.command('SELECT', 'sessions')).toBe('OK');
    expect(await client.command('GET', 'a')).toBe('session');
    expect(await client.command('SELECT', '2')).toEqual(error('ERR DB index is out of range'));
    expect(await client.command('SELECT', '-1')).toEqual(error('ERR DB index is out of range'));
    expect(await client.command('SELECT', 'nosuch')).toEqual(error("ERR no such bucket 'nosuch'"));
    expect(await client.command('GET', 'a')).toBe('session');
  });
});

describe('CLIENT', () => {
  it('tells and takes names', async () => {
    const client = await open();
    expect(await client.command('CLIENT', 'GETNAME')).toBe(null);
    expect(await client.command('CLIENT', 'SETNAME', 'worker-1')).toBe('OK');
    expect(await client.command('CLIENT', 'GETNAME')).toBe('worker-1');
    expect(await client.command('CLIENT', 'SETNAME', 'a b')).toEqual(
      error('ERR Client names cannot contain spaces, newlines or special characters.'),
    );
    expect(await client.command('CLIENT', 'SETINFO', 'LIB-NAME', 'lib')).toBe('OK');
    expect(await client.command('CLIENT', 'SETINFO', 'lib-ver', '1.0')).toBe('OK');
    expect(await client.command('CLIENT', 'SETINFO', 'other', '1')).toEqual(
      error("ERR Unrecognized option 'other'"),
    );
    const info = textOf(await client.command('CLIENT', 'INFO'));
    expect(info).toMatch(/ name=worker-1 .* cmd=client .* lib-name=lib lib-ver=1\.0 /);
    const id = Number(await client.command('CLIENT', 'ID'));
    expect(info.startsWith(`id=${id} `)).toBe(true);
  });

  it('lists and ends connections', async () => {
    const { connect } = await openDoor();
    const client = await connect();
    const other = await connect();
    const third = await connect();
    const id = Number(await other.command('CLIENT', 'ID'));
    await third.command('PING');
    const lines = textOf(await client.command('CLIENT', 'LIST'))
      .trim()
      .split('\n');
    expect(lines).toHaveLength(3);
    expect(textOf(await client.command('CLIENT', 'LIST', 'ID', String(id)))).toContain(`id=${id} `);
    expect(await client.command('CLIENT', 'LIST', 'TYPE', 'pubsub')).toBe('');
    expect(await client.command('CLIENT', 'KILL', 'ID', String(id))).toBe(1);
    await other.untilClosed();
    expect(await client.command('CLIENT', 'KILL', '1.2.3.4:5')).toEqual(error('ERR No such client'));
    expect(await client.command('CLIENT', 'KILL', 'TYPE', 'normal')).toBe(1);
    await third.untilClosed();
    expect(await client.command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'no')).toBe(1);
    await client.untilClosed();
  });

  it('answers only what the client wants answered', async () => {
    const client = await open();
    client.write(
      Buffer.concat([
        encodeCommand('CLIENT', 'REPLY', 'SKIP'),
        encodeCommand('SET', 'a', '1'),
        encodeCommand('GET', 'a'),
        encodeCommand('CLIENT', 'REPLY', 'OFF'),
        encodeCommand('INCR', 'a'),
        encodeCommand('NOSUCH'),
        encodeCommand('CLIENT', 'REPLY', 'ON'),
        encodeCommand('GET', 'a'),
      ]),
    );
    expect(await client.replies(3)).toEqual(['1', 'OK', '2']);
    expect(client.received.length).toBe(0);
  });

  it('lets commands wait during a pause, and only writes when so told', async () => {
    const { node, connect } = await openDoor();
    node.recording = true;
    const client = await connect();
    const other = await connect();
    expect(await client.command('CLIENT', 'PAUSE', '100000', 'WRITE')).toBe('OK');
    expect(await other.command('GET', 'a')).toBe(null);
    other.write(Buffer.concat([encodeCommand('SET', 'a', '1'), encodeCommand('GET', 'a')]));
    expect(await client.command('PING')).toBe('PONG');
    expect(node.requests).toHaveLength(1);
    expect(await client.command('CLIENT', 'UNPAUSE')).toBe('OK');
    expect(await other.replies(2)).toEqual(['OK', '1']);
    expect(await client.command('CLIENT', 'PAUSE', '1')).toBe('OK');
    expect(await other.command('GET', 'a')).toBe('1');
    expect(await client.command('CLIENT', 'PAUSE', 'x')).toEqual(
      error('ERR timeout is not an integer or out of range'),
    );
  });

  it('refuses what there is not, in words that clients pass over', async () => {
    const client = await open();
    expect(await client.command('CLIENT', 'MAINT_NOTIFICATIONS', 'ON')).toEqual(
      error("ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP."),
    );
    expect(await client.command('CLIENT', 'TRACKING', 'ON')).toBeInstanceOf(RespError);
    expect(await client.command('CLIENT', 'NO-EVICT', 'on')).toBe('OK');
    expect(await client.command('CLIENT', 'NO-TOUCH', 'on')).toBe('OK');
    expect(await client.command('CLIENT', 'NO-TOUCH', 'perhaps')).toEqual(error('ERR syntax error'));
    expect(await client.command('CLIENT')).toEqual(
      error("ERR wrong number of arguments for 'client' command"),
    );
    expect(await client.command('CLIENT', 'HELP')).toContain('HELP');
  });
});

describe('COMMAND', () => {
  it('describes every command', async () => {
    const client = await open();
    const all = await client.command('COMMAND');
    expect(Array.isArray(all) && all.length).toBe(await client.command('COMMAND', 'COUNT'));
    expect(await client.command('COMMAND', 'INFO', 'get', 'nosuch', 'WATCH')).toEqual([
      ['get', 2, ['readonly', 'fast'], 1, 1, 1, ['@string', '@read', '@fast'], [], expect.anything(), []],
      null,
      expect.arrayContaining(['watch', -2, 1, -1, 1]),
    ]);
    expect(await client.command('COMMAND', 'DOCS', 'get')).toEqual([
      'get',
      expect.arrayContaining(['summary', 'Returns the value of a key.', 'group', 'string']),
    ]);
    const list = await client.command('COMMAND', 'LIST', 'FILTERBY', 'PATTERN', 'ge*');
    expect(list).toEqual(expect.arrayContaining(['get', 'getdel']));
    expect(list).not.toContain('set');
  });

  it('finds the keys of a command', async () => {
    const client = await open();
    expect(await client.command('COMMAND', 'GETKEYS', 'MSET', 'a', '1', 'b', '2')).toEqual(['a', 'b']);
    expect(await client.command('COMMAND', 'GETKEYS', 'GET', 'k')).toEqual(['k']);
    expect(await client.command('COMMAND', 'GETKEYS', 'WATCH', 'a', 'b')).toEqual(['a', 'b']);
    expect(await client.command('COMMAND', 'GETKEYS', 'PING', 'x')).toEqual(
      error('ERR The command has no key arguments'),
    );
    expect(await client.command('COMMAND', 'GETKEYS', 'NOSUCH', 'x')).toEqual(
      error('ERR Invalid command specified'),
    );
    expect(await client.command('COMMAND', 'GETKEYS', 'GET', 'a', 'b')).toEqual(
      error('ERR Invalid number of arguments specified for command'),
    );
  });
});

describe('INFO and CONFIG', () => {
  it('has the sections that clients read, with true figures', async () => {
    const { node, connect } = await openDoor();
    const client = await connect();
    await client.command('SET', 'a', '1');
    const all = fields(await client.command('INFO'));
    expect(all.get('cluster_enabled')).toBe('1');
    expect(all.get('loading')).toBe('0');
    expect(all.get('connected_clients')).toBe('1');
    expect(all.get('quoin_node_id')).toBe(node.id);
    expect(all.get('quoin_writes')).toBe('1');
    expect(all.get('role')).toBe('master');
    expect(all.has('cmdstat_set')).toBe(false);
    const stats = textOf(await client.command('INFO', 'commandstats'));
    expect(stats).toContain('cmdstat_set:calls=1,');
    expect(stats).not.toContain('# Server');
    expect(await client.command('CONFIG', 'RESETSTAT')).toBe('OK');
    expect(textOf(await client.command('INFO', 'commandstats'))).not.toContain('cmdstat_set');
    expect(textOf(await client.command('INFO', 'nosuch'))).toBe('');
  });

  it('reads settings by pattern and changes those that can be changed', async () => {
    const client = await open();
    expect(await client.command('CONFIG', 'GET', 'appendonly')).toEqual(['appendonly', 'yes']);
    expect(await client.command('CONFIG', 'GET', 'SLOWLOG-*')).toEqual([
      'slowlog-log-slower-than',
      '10000',
      'slowlog-max-len',
      '128',
    ]);
    expect(await client.command('CONFIG', 'GET', 'nosuch')).toEqual([]);
    expect(await client.command('CONFIG', 'SET', 'cluster-redirects', 'yes')).toBe('OK');
    expect(await client.command('CONFIG', 'GET', 'cluster-redirects')).toEqual(['cluster-redirects', 'yes']);
    expect(await client.command('CONFIG', 'SET', 'cluster-redirects', 'maybe')).toEqual(
      error(
        "ERR CONFIG SET failed (possibly related to argument 'cluster-redirects') - argument must be 'yes' or 'no'",
      ),
    );
    expect(await client.command('CONFIG', 'SET', 'save', '')).toBe('OK');
    expect(await client.command('CONFIG', 'SET', 'nosuch', '1')).toEqual(
      error("ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'"),
    );
    expect(await client.command('CONFIG', 'SET', 'port', '1')).toEqual(
      error("ERR CONFIG SET failed (possibly related to argument 'port') - can't set immutable config"),
    );
    expect(await client.command('CONFIG', 'SET', 'slowlog-max-len', '5', 'appendonly', 'no')).toBeInstanceOf(
      RespError,
    );
    expect(await client.command('CONFIG', 'GET', 'slowlog-max-len')).toEqual(['slowlog-max-len', '128']);
  });
});

describe('SLOWLOG, LATENCY, DEBUG', () => {
  it('keep what took long, within their bounds', async () => {
    const client = await open();
    await client.command(
      'CONFIG',
      'SET',
      'slowlog-log-slower-than',
      '5000',
      'latency-monitor-threshold',
      '5',
    );
    expect(await client.command('DEBUG', 'SLEEP', '0.02')).toBe('OK');
    const entries = await client.command('SLOWLOG', 'GET');
    expect(entries).toEqual([
      [0, expect.any(Number), expect.any(Number), ['debug', 'SLEEP', '0.02'], expect.any(String), ''],
    ]);
    expect(await client.command('SLOWLOG', 'LEN')).toBe(1);
    expect(await client.command('LATENCY', 'LATEST')).toEqual([
      ['command', expect.any(Number), expect.any(Number), expect.any(Number)],
    ]);
    expect(await client.command('LATENCY', 'HISTORY', 'command')).toEqual([
      [expect.any(Number), expect.any(Number)],
    ]);
    expect(await client.command('LATENCY', 'RESET')).toBe(1);
    expect(await client.command('SLOWLOG', 'RESET')).toBe('OK');
    expect(await client.command('SLOWLOG', 'GET', '-1')).toEqual([]);
    await client.command('CONFIG', 'SET', 'slowlog-log-slower-than', '0', 'slowlog-max-len', '3');
    for (let i = 0; i < 10; i++) await client.command('SET', 'a', 'x'.repeat(500));
    expect(await client.command('SLOWLOG', 'LEN')).toBe(3);
    expect(JSON.stringify(await client.command('SLOWLOG', 'GET', '1'))).not.toContain('x'.repeat(129));
  });

  it('DEBUG knows SLEEP alone', async () => {
    const client = await open();
    expect(await client.command('DEBUG', 'SEGFAULT')).toEqual(
      error("ERR unknown subcommand 'SEGFAULT'. Try DEBUG HELP."),
    );
    expect(await client.command('DEBUG', 'SLEEP', 'x')).toEqual(error('ERR value is not a valid float'));
  });

  it('DEBUG SLEEP delays its own connection only, and keeps the order', async () => {
    const { connect } = await openDoor();
    const client = await connect();
    const other = await connect();
    client.write(Buffer.concat([encodeCommand('DEBUG', 'SLEEP', '0.2'), encodeCommand('PING')]));
    expect(await other.command('PING')).toBe('PONG');
    expect(client.received.length).toBe(0);
    expect(await client.replies(2)).toEqual(['OK', 'PONG']);
  });
});

describe('WAIT, ROLE, MEMORY, ACL, SHUTDOWN', () => {
  it('WAIT asks the node once earlier writes are answered', async () => {
    const { node, connect } = await openDoor();
    node.replicasReached = 2;
    node.holding = true;
    const client = await connect();
    client.write(Buffer.concat([encodeCommand('SET', 'a', '1'), encodeCommand('WAIT', '2', '1000')]));
    await until(() => node.held.length === 1, 'the write');
    expect(client.received.length).toBe(0);
    node.release();
    expect(await client.replies(2)).toEqual(['OK', 2]);
    expect(await client.command('WAIT', 'x', '0')).toEqual(
      error('ERR value is not an integer or out of range'),
    );
    expect(await client.command('WAIT', '1', '-1')).toEqual(error('ERR timeout is negative'));
  });

  it('ROLE says that a leader leads', async () => {
    const client = await open();
    expect(await client.command('ROLE')).toEqual(['master', 0, []]);
  });

  it('MEMORY measures a key and the node', async () => {
    const client = await open();
    await client.command('SET', 'key', 'x'.repeat(1000));
    expect(Number(await client.command('MEMORY', 'USAGE', 'key'))).toBeGreaterThanOrEqual(1003);
    expect(await client.command('MEMORY', 'USAGE', 'absent')).toBe(null);
    expect(await client.command('MEMORY', 'STATS')).toContain('total.allocated');
    expect(typeof (await client.command('MEMORY', 'DOCTOR'))).toBe('string');
  });

  it('ACL knows the default user', async () => {
    const client = await open();
    expect(await client.command('ACL', 'WHOAMI')).toBe('default');
    expect(await client.command('ACL', 'USERS')).toEqual(['default']);
    expect(await client.command('ACL', 'LIST')).toEqual([
      'user default on nopass sanitize-payload ~* &* +@all',
    ]);
    expect(await client.command('ACL', 'GETUSER', 'default')).toContain('flags');
    expect(await client.command('ACL', 'GETUSER', 'nobody')).toBe(null);
    expect(await client.command('ACL', 'CAT')).toContain('string');
    expect(await client.command('ACL', 'CAT', 'transaction')).toContain('multi');
    expect(await client.command('ACL', 'CAT', 'nosuch')).toEqual(error("ERR Unknown category 'nosuch'"));
    expect(await client.command('ACL', 'SETUSER', 'x')).toBeInstanceOf(RespError);
  });

  it('SHUTDOWN stops the node and ends the connection', async () => {
    let asked = 0;
    const { connect } = await openDoor({
      onShutdown: () => {
        asked++;
      },
    });
    const client = await connect();
    expect(await client.command('SHUTDOWN', 'ABORT')).toEqual(error('ERR No shutdown in progress.'));
    expect(await client.command('SHUTDOWN', 'MAYBE')).toEqual(error('ERR syntax error'));
    client.send('SHUTDOWN', 'NOSAVE');
    await client.untilClosed();
    expect(asked).toBe(1);
    const { node, connect: again } = await openDoor();
    const second = await again();
    second.send('SHUTDOWN');
    await second.untilClosed();
    expect(node.stopped).toBe(true);
  });
});
