/**
 * The same connection-scope requests to a real Redis 7 (Debian: redis-server) and to the door: the replies must be equal.
 * What may rightly differ (times, ids, lists of commands) is not asked here.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RespSocket } from '../../support/resp-socket.js';
import { openDoor, until } from './door.js';

let redis: ChildProcess;
let redisAddress = '';

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

beforeAll(async () => {
  const port = await freePort();
  redisAddress = `127.0.0.1:${port}`;
  let failure: Error | undefined;
  let output = '';
  redis = spawn(
    'redis-server',
    ['--port', String(port), '--save', '', '--appendonly', 'no', '--dir', '/tmp'],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  redis.once('error', () => {
    failure = new Error('redis-server is missing: install the Debian package redis-server');
  });
  redis.stdout?.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  await until(() => {
    if (failure !== undefined) throw failure;
    return output.includes('Ready to accept connections');
  }, 'redis-server');
});

afterAll(() => {
  redis.kill('SIGKILL');
});

const SCRIPTS: Record<string, string[][]> = {
  'arity and unknown commands': [
    ['NOSUCH'],
    ['NOSUCH', 'a', 'b'],
    ['nosuch', 'x'.repeat(300), 'y', 'z'],
    ['NoSuch', ...Array.from({ length: 200 }, (_, i) => `argument-${i}`)],
    ['n'.repeat(300)],
    [''],
    ['GET'],
    ['GET', 'a', 'b'],
    ['PING', 'a', 'b'],
    ['PING', 'hello'],
    ['ECHO'],
    ['TIME', 'x'],
    ['CLIENT'],
    ['CLIENT', 'NOSUCH'],
    ['CLIENT', 'GETNAME', 'x'],
    ['CONFIG'],
    ['CONFIG', 'NOSUCH'],
    ['CONFIG', 'SET', 'a'],
    ['CLUSTER', 'KEYSLOT'],
    ['ACL', 'WHOAMI', 'x'],
    ['SLOWLOG', 'LEN', 'x'],
    ['MEMORY', 'NOSUCH'],
    ['LATENCY', 'NOSUCH'],
    ['OBJECT', 'NOSUCH'],
    ['READONLY', 'a', 'b'],
    ['WAIT', '1'],
  ],
  'hello, auth and names': [
    ['HELLO', '1'],
    ['HELLO', '5'],
    ['HELLO', 'x'],
    ['HELLO', '2', 'NOSUCH'],
    ['HELLO', '2', 'AUTH', 'default'],
    ['HELLO', '2', 'AUTH', 'nobody', 'x'],
    ['HELLO', '2', 'SETNAME', 'a b'],
    ['AUTH', 'x'],
    ['AUTH', 'nobody', 'x'],
    ['AUTH', 'default', 'x'],
    ['AUTH', 'a', 'b', 'c'],
    ['CLIENT', 'GETNAME'],
    ['CLIENT', 'SETNAME', 'a b'],
    ['CLIENT', 'SETNAME', 'name'],
    ['CLIENT', 'GETNAME'],
    ['CLIENT', 'SETNAME', ''],
    ['CLIENT', 'GETNAME'],
    ['RESET'],
    ['SELECT', '99'],
    ['SELECT', '-1'],
    ['SELECT', '0'],
  ],
  client: [
    ['CLIENT', 'KILL', '1.2.3.4:5'],
    ['CLIENT', 'KILL', 'ID', 'x'],
    ['CLIENT', 'KILL', 'ID', '0'],
    ['CLIENT', 'KILL', 'ID', '123456789'],
    ['CLIENT', 'KILL', 'TYPE', 'nosuch'],
    ['CLIENT', 'KILL', 'USER', 'nobody'],
    ['CLIENT', 'KILL', 'NOSUCH', 'x'],
    ['CLIENT', 'KILL', 'ID', '1', 'SKIPME'],
    ['CLIENT', 'KILL', 'ID', '1', 'SKIPME', 'perhaps'],
    ['CLIENT', 'LIST', 'TYPE', 'nosuch'],
    ['CLIENT', 'LIST', 'ID', 'x'],
    ['CLIENT', 'LIST', 'NOSUCH', 'x'],
    ['CLIENT', 'REPLY', 'x'],
    ['CLIENT', 'NO-EVICT', 'on'],
    ['CLIENT', 'NO-EVICT', 'x'],
    ['CLIENT', 'PAUSE', 'x'],
    ['CLIENT', 'PAUSE', '-1'],
    ['CLIENT', 'PAUSE', '1', 'x'],
    ['CLIENT', 'UNPAUSE'],
    ['CLIENT', 'GETREDIR'],
    ['CLIENT', 'UNBLOCK', '123456789'],
  ],
  server: [
    ['CONFIG', 'GET', 'save'],
    ['CONFIG', 'GET', 'nosuch'],
    ['CONFIG', 'GET', 'maxmemory-polic?'],
    ['CONFIG', 'SET', 'nosuch', '1'],
    ['CONFIG', 'SET', 'slowlog-max-len', '64'],
    ['CONFIG', 'GET', 'slowlog-max-len'],
    ['CONFIG', 'SET', 'slowlog-max-len', '128'],
    ['CONFIG', 'RESETSTAT'],
    ['CONFIG', 'REWRITE'],
    ['WAIT', '0', '1'],
    ['WAIT', 'x', '1'],
    ['WAIT', '1', 'x'],
    ['WAIT', '1', '-1'],
    ['ROLE'],
    ['MEMORY', 'USAGE', 'absent'],
    ['MEMORY', 'USAGE', 'absent', 'NOSUCH', '1'],
    ['SLOWLOG', 'RESET'],
    ['SLOWLOG', 'LEN'],
    ['SLOWLOG', 'GET'],
    ['SLOWLOG', 'GET', '-2'],
    ['SLOWLOG', 'GET', 'x'],
    ['LATENCY', 'LATEST'],
    ['LATENCY', 'HISTORY', 'nosuch'],
    ['LATENCY', 'RESET'],
    ['SHUTDOWN', 'ABORT'],
    ['SHUTDOWN', 'NOSUCH'],
    ['ACL', 'WHOAMI'],
    ['ACL', 'USERS'],
    ['ACL', 'GETUSER', 'nobody'],
    ['ACL', 'CAT', 'nosuch'],
    ['COMMAND', 'GETKEYS', 'GET', 'a'],
    ['COMMAND', 'GETKEYS', 'MSET', 'a', '1', 'b', '2'],
    ['COMMAND', 'GETKEYS', 'NOSUCH'],
    ['COMMAND', 'GETKEYS', 'PING'],
    ['COMMAND', 'GETKEYS', 'GET'],
    ['COMMAND', 'GETKEYS', 'NOSUCH', 'x'],
    ['COMMAND', 'GETKEYS', 'PING', 'x'],
    ['COMMAND', 'GETKEYS', 'GET', 'a', 'b'],
    ['COMMAND', 'INFO', 'nosuch'],
    ['COMMAND', 'LIST', 'FILTERBY', 'NOSUCH', 'x'],
    ['COMMAND', 'DOCS', 'nosuch'],
  ],
  transactions: [
    ['EXEC'],
    ['EXEC', 'x'],
    ['DISCARD'],
    ['UNWATCH'],
    ['MULTI'],
    ['MULTI'],
    ['WATCH', 'a'],
    ['PING'],
    ['SET', 'a', '1'],
    ['INCR', 'a'],
    ['EXEC'],
    ['MULTI'],
    ['NOSUCH'],
    ['SET', 'a', '2'],
    ['EXEC'],
    ['GET', 'a'],
    ['MULTI'],
    ['GET'],
    ['EXEC'],
    ['MULTI'],
    ['SET', 'a', 'x'],
    ['INCR', 'a'],
    ['GET', 'a'],
    ['ECHO', 'e'],
    ['EXEC'],
    ['MULTI'],
    ['SET', 'a', 'discarded'],
    ['DISCARD'],
    ['GET', 'a'],
    ['WATCH', 'a'],
    ['SET', 'a', 'changed'],
    ['MULTI'],
    ['GET', 'a'],
    ['EXEC'],
    ['WATCH', 'a'],
    ['UNWATCH'],
    ['SET', 'a', '5'],
    ['MULTI'],
    ['INCR', 'a'],
    ['EXEC'],
    ['MULTI'],
    ['EXEC', 'x'],
    ['EXEC'],
    ['MULTI'],
    ['EXEC'],
    ['WATCH'],
    ['MULTI'],
    ['RESET'],
    ['EXEC'],
    ['DEL', 'a'],
  ],
};

const PROTOCOL_ERRORS = [
  '*a\r\n',
  '*1\r\nGET\r\n',
  '*1\r\n$x\r\n',
  '*1\r\n$-1\r\n',
  '*1\r\n$536870913\r\n',
  '"unbalanced\r\n',
  "'a'b\r\n",
  'x'.repeat(70_000),
];

describe('beside a real Redis', () => {
  it.each(Object.keys(SCRIPTS))('answers the same: %s', async (name) => {
    const { connect } = await openDoor();
    const here = await connect();
    const there = await RespSocket.connect(redisAddress);
    try {
      for (const words of SCRIPTS[name] ?? []) {
        const wanted = await there.command(...words);
        const got = await here.command(...words);
        expect({ words: words.slice(0, 6), reply: got }).toEqual({ words: words.slice(0, 6), reply: wanted });
      }
    } finally {
      there.close();
    }
  });

  it.each(PROTOCOL_ERRORS)('ends the connection with the same error', async (text) => {
    const { connect } = await openDoor();
    const here = await connect();
    const there = await RespSocket.connect(redisAddress);
    here.write(text);
    there.write(text);
    const wanted = await there.next();
    expect(await here.next()).toEqual(wanted);
    await here.untilClosed();
    await there.untilClosed();
  });

  it.each([
    '\r\n\r\nPING\r\n',
    'PING\n',
    'ECHO "a b"\r\n',
    "ECHO 'it\\'s'\r\n",
    'ECHO "\\x41\\n\\q"\r\n',
    '*0\r\nPING\r\n',
    '*-5\r\nPING\r\n',
    '*1\r\n$4\r\nPINGxxPING\r\n',
  ])('reads %j the same', async (text) => {
    const { connect } = await openDoor();
    const here = await connect();
    const there = await RespSocket.connect(redisAddress);
    here.write(text);
    there.write(text);
    expect(await here.next()).toEqual(await there.next());
    there.close();
  });
});
