import { describe, expect, it } from 'vitest';
import { MAX_BULK_BYTES } from '../../../src/api/resp/parser.js';
import { LIMITS } from '../../../src/base/limits.js';
import { FakeNode } from '../../support/fake-node.js';
import { encodeCommand, RespError, textOf } from '../../support/resp-socket.js';
import { openDoor, until } from './door.js';

describe('pipelined requests', () => {
  it('are answered in their order when the node completes them in another', async () => {
    const { node, connect } = await openDoor();
    const client = await connect();
    node.holding = true;
    client.write(
      Buffer.concat([
        encodeCommand('SET', 'a', '1'),
        encodeCommand('PING'),
        encodeCommand('GET', 'a'),
        encodeCommand('INCR', 'a'),
        encodeCommand('NOSUCH'),
        encodeCommand('GET', 'a'),
      ]),
    );
    await until(() => node.held.length === 4, 'the requests');
    node.release((held) => [...held].reverse());
    const replies = await client.replies(6);
    expect(replies).toEqual(['OK', 'PONG', '1', 2, expect.any(RespError), '2']);
  });

  it('are not answered past one that is still open', async () => {
    const { node, connect } = await openDoor();
    const client = await connect();
    node.holding = true;
    client.write(Buffer.concat([encodeCommand('GET', 'a'), encodeCommand('PING')]));
    await until(() => node.held.length === 1, 'the request');
    const other = await connect();
    expect(await other.command('PING')).toBe('PONG');
    expect(client.received.length).toBe(0);
    node.release();
    expect(await client.replies(2)).toEqual([null, 'PONG']);
  });

  it('are marked as ordered while an earlier write of the connection is open', async () => {
    const { node, connect } = await openDoor();
    const client = await connect();
    node.holding = true;
    node.recording = true;
    client.write(
      Buffer.concat([
        encodeCommand('GET', 'a'),
        encodeCommand('SET', 'a', '1'),
        encodeCommand('GET', 'b'),
        encodeCommand('SET', 'b', '1'),
      ]),
    );
    await until(() => node.held.length === 4, 'the requests');
    expect(node.requests.map((request) => request.ordered)).toEqual([false, false, true, true]);
    node.holding = false;
    node.release();
    await client.replies(4);
    expect(await client.command('GET', 'a')).toBe('1');
    expect(node.requests.at(-1)?.ordered).toBe(false);
  });

  it('are all answered when they come in one large burst', async () => {
    const { connect } = await openDoor();
    const client = await connect();
    const count = LIMITS.maxConnectionInflight * 2 + 100;
    const burst: Buffer[] = [];
    for (let i = 0; i < count; i++) burst.push(encodeCommand('INCR', 'counter'));
    client.write(Buffer.concat(burst));
    const replies = await client.replies(count);
    expect(replies.at(0)).toBe(1);
    expect(replies.at(-1)).toBe(count);
  });

  it('are answered when they come byte by byte', async () => {
    const { connect } = await openDoor();
    const client = await connect();
    for (const byte of encodeCommand('SET', 'a', 'value')) client.write(Buffer.from([byte]));
    for (const byte of Buffer.from('GET a\r\n')) client.write(Buffer.from([byte]));
    expect(await client.replies(2)).toEqual(['OK', 'value']);
  });
});

describe('backpressure', () => {
  it('stops reading at the limit of unanswered requests and goes on when they are answered', async () => {
    const { node, connect } = await openDoor();
    const client = await connect();
    // A connection that has shown what answers it gets may have many requests under way.
    for (let i = 0; i < 20; i++) await client.command('SET', 'n', '0');
    node.holding = true;
    const count = LIMITS.maxConnectionInflight + 500;
    client.write(Buffer.concat(Array.from({ length: count }, () => encodeCommand('INCR', 'n'))));
    await until(() => node.held.length >= LIMITS.maxConnectionInflight, 'the limit');
    const other = await connect();
    expect(await other.command('PING')).toBe('PONG');
    expect(node.held.length).toBe(LIMITS.maxConnectionInflight);
    node.holding = false;
    node.release();
    const replies = await client.replies(count);
    expect(replies.at(-1)).toBe(count);
  });

  it('takes few requests from a new connection until it knows how large its answers are', async () => {
    const { node, connect } = await openDoor();
    const writer = await connect();
    await writer.command('SET', 'big', Buffer.alloc(4 * 1024 * 1024, 'x'));
    node.holding = true;
    const client = await connect();
    client.socket.pause();
    client.write(Buffer.concat(Array.from({ length: 5000 }, () => encodeCommand('GET', 'big'))));
    await until(() => node.held.length > 0, 'the first request');
    const bystander = await connect();
    for (let i = 0; i < 20; i++) expect(await bystander.command('PING')).toBe('PONG');
    expect(node.held.length * 4).toBeLessThanOrEqual(64);
    node.holding = false;
    node.release();
    client.close();
  });

  it('refuses reads whose answers a connection cannot hold, and answers the others', async () => {
    const { node, connect } = await openDoor();
    const client = await connect();
    const size = 4 * 1024 * 1024;
    await client.command('SET', 'big', Buffer.alloc(size, 'x'));
    // Small answers first: they let many requests be under way.
    for (let i = 0; i < 20; i++) await client.command('STRLEN', 'big');
    node.holding = true;
    const count = 200;
    client.write(Buffer.concat(Array.from({ length: count }, () => encodeCommand('GET', 'big'))));
    await until(() => node.held.length === count, 'all requests');
    node.holding = false;
    node.release();
    let answered = 0;
    let refused = 0;
    for (let i = 0; i < count; i++) {
      const reply = await client.next();
      if (reply instanceof RespError) {
        expect(reply.message).toMatch(/^OVERLOADED /);
        refused++;
      } else answered++;
    }
    expect(answered * size).toBeLessThanOrEqual(LIMITS.maxConnectionHeldBytes);
    expect(answered).toBeGreaterThan(0);
    expect(answered + refused).toBe(count);
    expect(await client.command('STRLEN', 'big')).toBe(size);
    client.close();
  });

  it('stops reading from a client that does not take its answers, and answers all in the end', async () => {
    const { node, connect } = await openDoor();
    const writer = await connect();
    const size = 1024 * 1024;
    await writer.command('SET', 'big', Buffer.alloc(size, 'x'));
    node.recording = true;
    const client = await connect();
    client.socket.pause();
    const count = 200;
    client.write(Buffer.concat(Array.from({ length: count }, () => encodeCommand('GET', 'big'))));
    await until(() => node.requests.length > 0, 'the first request');
    const bystander = await connect();
    for (let i = 0; i < 20; i++) expect(await bystander.command('PING')).toBe('PONG');
    expect(node.requests.length).toBeLessThan(count);
    let received = 0;
    // Counted, not kept: it is more than a test should hold.
    client.socket.removeAllListeners('data');
    client.socket.on('data', (chunk) => {
      received += chunk.length;
    });
    client.socket.resume();
    await until(() => received >= count * (size + 12), 'all answers');
    expect(node.requests.length).toBe(count);
  });

  it('carries on for others when a client vanishes with requests open', async () => {
    const { node, connect } = await openDoor();
    const client = await connect();
    node.holding = true;
    client.write(Buffer.concat([encodeCommand('SET', 'a', '1'), encodeCommand('GET', 'a')]));
    await until(() => node.held.length === 2, 'the requests');
    client.socket.resetAndDestroy();
    const other = await connect();
    await until(() => other.received.length === 0, 'nothing');
    node.holding = false;
    node.release();
    expect(await other.command('GET', 'a')).toBe('1');
  });

  it('answers what was asked when the client has closed its side', async () => {
    const { node, connect } = await openDoor();
    const client = await connect();
    node.holding = true;
    client.write(Buffer.concat([encodeCommand('SET', 'a', '1'), encodeCommand('PING')]));
    client.socket.end();
    await until(() => node.held.length === 1, 'the request');
    node.release();
    expect(await client.replies(2)).toEqual(['OK', 'PONG']);
    await client.untilClosed();
  });
});

describe('bad input', () => {
  it.each([
    ['*1\r\n$abc\r\n', 'ERR Protocol error: invalid bulk length'],
    ['*abc\r\n', 'ERR Protocol error: invalid multibulk length'],
    ['*1\r\nGET\r\n', "ERR Protocol error: expected '$', got 'G'"],
    ['GET "a\r\n', 'ERR Protocol error: unbalanced quotes in request'],
    [`*2\r\n$3\r\nGET\r\n$${MAX_BULK_BYTES + 1}\r\n`, 'ERR Protocol error: invalid bulk length'],
  ])(
    'ends the connection after %j with an error, and earlier requests are answered first',
    async (text, message) => {
      const { connect } = await openDoor();
      const client = await connect();
      client.write(Buffer.concat([encodeCommand('PING'), Buffer.from(text), encodeCommand('PING')]));
      expect(await client.replies(2)).toEqual(['PONG', new RespError(message)]);
      await client.untilClosed();
      expect(client.received.length).toBe(0);
      const other = await connect();
      expect(await other.command('PING')).toBe('PONG');
    },
  );

  it('refuses a value over the limit and keeps the connection', async () => {
    const { connect } = await openDoor({ limits: { maxValueBytes: 1000, maxKeyBytes: 10 } });
    const client = await connect();
    expect(await client.command('SET', 'a', Buffer.alloc(1001))).toEqual(
      new RespError('ERR argument of 1001 bytes is over the limit of 1000'),
    );
    expect(await client.command('SET', 'a'.repeat(11), 'x')).toEqual(
      new RespError('ERR key of 11 bytes is over the limit of 10'),
    );
    expect(await client.command('MGET', 'a', 'a'.repeat(11))).toEqual(
      new RespError('ERR key of 11 bytes is over the limit of 10'),
    );
    expect(await client.command('SET', 'a', Buffer.alloc(1000))).toBe('OK');
  });

  it('names an unknown command and the first of its arguments as Redis does', async () => {
    const { connect } = await openDoor();
    const client = await connect();
    expect(await client.command('FOO')).toEqual(
      new RespError("ERR unknown command 'FOO', with args beginning with: "),
    );
    expect(await client.command('FOO', 'a', 'b\r\nc')).toEqual(
      new RespError("ERR unknown command 'FOO', with args beginning with: 'a' 'b  c' "),
    );
    const long = await client.command('x'.repeat(200), 'y'.repeat(200), 'z');
    expect(long).toEqual(
      new RespError(
        `ERR unknown command '${'x'.repeat(128)}', with args beginning with: '${'y'.repeat(128)}' `,
      ),
    );
    expect(await client.command('quoin.get', 'a')).toEqual(
      new RespError("ERR unknown command 'quoin.get', with args beginning with: 'a' "),
    );
  });

  it('refuses a wrong number of words', async () => {
    const { connect } = await openDoor();
    const client = await connect();
    for (const words of [['GET'], ['GET', 'a', 'b'], ['SET', 'a'], ['ECHO'], ['PING', 'a', 'b']]) {
      expect(await client.command(...words)).toEqual(
        new RespError(`ERR wrong number of arguments for '${words[0]?.toLowerCase()}' command`),
      );
    }
    expect(await client.command('CLIENT', 'SETNAME')).toEqual(
      new RespError("ERR wrong number of arguments for 'client|setname' command"),
    );
  });

  it('ends a connection that speaks HTTP', async () => {
    const { connect } = await openDoor();
    const client = await connect();
    client.write('POST / HTTP/1.1\r\nHost: localhost\r\n\r\nSET a 1\r\n');
    await client.untilClosed();
    expect(client.received.length).toBe(0);
    const other = await connect();
    expect(await other.command('GET', 'a')).toBe(null);
  });

  it('keeps an argument that ends in the middle of nowhere from reaching the node', async () => {
    const { node, connect } = await openDoor();
    node.recording = true;
    const client = await connect();
    client.write('*3\r\n$3\r\nSET\r\n$1\r\na\r\n$100\r\nhalf');
    client.socket.end();
    await client.untilClosed();
    expect(node.requests).toEqual([]);
  });
});

describe('connections', () => {
  it('are refused past the limit, and accepted again when one has gone', async () => {
    const { connect } = await openDoor({ limits: { maxConnections: 2 } });
    const first = await connect();
    const second = await connect();
    expect(await first.command('PING')).toBe('PONG');
    expect(await second.command('PING')).toBe('PONG');
    const third = await connect();
    expect(await third.next()).toEqual(new RespError('ERR max number of clients reached'));
    await third.untilClosed();
    expect(await first.command('QUIT')).toBe('OK');
    await first.untilClosed();
    const fourth = await connect();
    expect(await fourth.command('PING')).toBe('PONG');
  });

  it('hear that the node is starting, until it serves', async () => {
    const { node, connect } = await openDoor();
    node.phase = { phase: 'starting', reason: 'the log is being read' };
    const client = await connect();
    expect(await client.command('GET', 'a')).toEqual(new RespError('LOADING the log is being read'));
    expect(await client.command('PING')).toBe('PONG');
    expect(textOf(await client.command('INFO', 'persistence'))).toContain('loading:1');
    node.phase = { phase: 'serving', reason: '' };
    expect(await client.command('SET', 'a', '1')).toBe('OK');
  });

  it('hear of a node that is stopping or has failed', async () => {
    const { node, connect } = await openDoor();
    const client = await connect();
    expect(await client.command('SET', 'a', '1')).toBe('OK');
    node.phase = { phase: 'stopping', reason: 'the node is stopping' };
    expect(await client.command('GET', 'a')).toEqual(new RespError('TRYAGAIN the node is stopping'));
  });

  it('get their last answers when the door closes', async () => {
    const { node, server, connect } = await openDoor();
    const client = await connect();
    node.holding = true;
    client.send('SET', 'a', '1');
    await until(() => node.held.length === 1, 'the request');
    const closed = server.close();
    node.release();
    expect(await client.next()).toBe('OK');
    await closed;
    await client.untilClosed();
  });

  it('cannot be opened at an address that is taken', async () => {
    const { address } = await openDoor();
    await expect(openDoor({ address }, new FakeNode())).rejects.toMatchObject({ code: 'ADDRESS_IN_USE' });
    await expect(openDoor({ address: 'nonsense' }, new FakeNode())).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    });
  });
});
