import { describe, expect, it } from 'vitest';
import { encodeCommand, RespError } from '../../support/resp-socket.js';
import { openDoor, until } from './door.js';

const error = (text: string): RespError => new RespError(text);

describe('MULTI and EXEC', () => {
  it('carry out what was queued, and answer it as one array', async () => {
    const { node, connect } = await openDoor();
    node.recording = true;
    const client = await connect();
    expect(await client.command('MULTI')).toBe('OK');
    expect(await client.command('SET', 'a', '1')).toBe('QUEUED');
    expect(await client.command('INCR', 'a')).toBe('QUEUED');
    expect(await client.command('GET', 'a')).toBe('QUEUED');
    expect(node.requests).toEqual([]);
    expect(await client.command('EXEC')).toEqual(['OK', 2, '2']);
    expect(node.requests.map((request) => request.definition.name)).toEqual(['quoin.exec']);
    expect(await client.command('EXEC')).toEqual(error('ERR EXEC without MULTI'));
  });

  it('put the answers of connection commands in their places', async () => {
    const { connect } = await openDoor();
    const client = await connect();
    await client.command('MULTI');
    for (const words of [['PING'], ['SET', 'a', '1'], ['ECHO', 'hi'], ['GET', 'a'], ['TIME']]) {
      expect(await client.command(...words)).toBe('QUEUED');
    }
    expect(await client.command('EXEC')).toEqual([
      'PONG',
      'OK',
      'hi',
      '1',
      [expect.any(String), expect.any(String)],
    ]);
    await client.command('MULTI');
    await client.command('PING');
    expect(await client.command('EXEC')).toEqual(['PONG']);
    await client.command('MULTI');
    expect(await client.command('EXEC')).toEqual([]);
  });

  it('answer an error of one command in its place and carry out the others', async () => {
    const { connect } = await openDoor();
    const client = await connect();
    await client.command('SET', 'a', 'text');
    await client.command('MULTI');
    await client.command('INCR', 'a');
    await client.command('SET', 'a', 'x', 'BADOPTION');
    await client.command('SET', 'a', 'new');
    expect(await client.command('EXEC')).toEqual([
      error('ERR value is not an integer or out of range'),
      error('ERR syntax error'),
      'OK',
    ]);
    expect(await client.command('GET', 'a')).toBe('new');
  });

  it.each([
    [['NOSUCH'], /unknown command/],
    [['GET'], /wrong number of arguments/],
    [['DBSIZE'], /not allowed inside a transaction/],
    [['SELECT', '0'], /not allowed inside a transaction/],
    [['MGET', 'a', 'b'], /CROSSSLOT/],
    [['SET', 'k'.repeat(70_000), 'x'], /over the limit/],
  ])('abort after %j', async (words, message) => {
    const { connect } = await openDoor();
    const client = await connect();
    await client.command('MULTI');
    expect(await client.command('SET', 'a', '1')).toBe('QUEUED');
    const refused = await client.command(...words);
    expect(refused instanceof RespError && refused.message).toMatch(message);
    expect(await client.command('EXEC')).toEqual(
      error('EXECABORT Transaction discarded because of previous errors.'),
    );
    expect(await client.command('GET', 'a')).toBe(null);
    expect(await client.command('PING')).toBe('PONG');
  });

  it('refuse keys of several slots', async () => {
    const { connect } = await openDoor();
    const client = await connect();
    await client.command('MULTI');
    await client.command('SET', 'a', '1');
    await client.command('SET', 'b', '1');
    expect(await client.command('EXEC')).toEqual(
      error("CROSSSLOT Keys in request don't hash to the same slot"),
    );
    await client.command('WATCH', 'c');
    await client.command('MULTI');
    await client.command('SET', 'a', '1');
    expect(await client.command('EXEC')).toEqual(
      error("CROSSSLOT Keys in request don't hash to the same slot"),
    );
    await client.command('MULTI');
    await client.command('SET', '{t}a', '1');
    await client.command('SET', '{t}b', '2');
    expect(await client.command('EXEC')).toEqual(['OK', 'OK']);
    expect(await client.command('WATCH', 'a', 'b')).toBeInstanceOf(RespError);
  });

  it('cannot be nested, and DISCARD forgets them', async () => {
    const { connect } = await openDoor();
    const client = await connect();
    expect(await client.command('DISCARD')).toEqual(error('ERR DISCARD without MULTI'));
    await client.command('MULTI');
    expect(await client.command('MULTI')).toEqual(error('ERR MULTI calls can not be nested'));
    expect(await client.command('WATCH', 'a')).toEqual(error('ERR WATCH inside MULTI is not allowed'));
    await client.command('SET', 'a', '1');
    expect(await client.command('DISCARD')).toBe('OK');
    expect(await client.command('GET', 'a')).toBe(null);
  });

  it('keep their order in a pipeline, with other requests around them', async () => {
    const { node, connect } = await openDoor();
    node.holding = true;
    const client = await connect();
    client.write(
      Buffer.concat([
        encodeCommand('SET', 'a', '1'),
        encodeCommand('MULTI'),
        encodeCommand('INCR', 'a'),
        encodeCommand('PING'),
        encodeCommand('EXEC'),
        encodeCommand('GET', 'a'),
      ]),
    );
    await until(() => node.held.length === 3, 'the requests');
    expect(node.held[2]?.request.ordered).toBe(true);
    node.release((held) => [...held].reverse());
    expect(await client.replies(6)).toEqual(['OK', 'OK', 'QUEUED', 'QUEUED', [2, 'PONG'], '2']);
  });
});

describe('WATCH', () => {
  it('makes EXEC answer nothing when a key has changed', async () => {
    const { connect } = await openDoor();
    const client = await connect();
    const other = await connect();
    await client.command('SET', 'a', '1');
    expect(await client.command('WATCH', 'a')).toBe('OK');
    await other.command('SET', 'a', '2');
    await client.command('MULTI');
    await client.command('SET', 'a', '3');
    expect(await client.command('EXEC')).toBe(null);
    expect(await client.command('GET', 'a')).toBe('2');
    await client.command('MULTI');
    await client.command('SET', 'a', '4');
    expect(await client.command('EXEC')).toEqual(['OK']);
  });

  it('lets EXEC through when nothing has changed, and notices a key that appears', async () => {
    const { connect } = await openDoor();
    const client = await connect();
    const other = await connect();
    await client.command('WATCH', 'a');
    await client.command('MULTI');
    await client.command('SET', 'a', '1');
    expect(await client.command('EXEC')).toEqual(['OK']);
    await client.command('WATCH', '{a}new');
    await other.command('SET', '{a}new', 'x');
    await client.command('MULTI');
    await client.command('PING');
    expect(await client.command('EXEC')).toBe(null);
  });

  it('keeps the first version of a key that is watched twice', async () => {
    const { connect } = await openDoor();
    const client = await connect();
    await client.command('WATCH', 'a');
    await client.command('SET', 'a', '1');
    await client.command('WATCH', 'a');
    await client.command('MULTI');
    await client.command('GET', 'a');
    expect(await client.command('EXEC')).toBe(null);
  });

  it('is forgotten after UNWATCH, DISCARD and EXEC', async () => {
    const { connect } = await openDoor();
    const client = await connect();
    const forget: (() => Promise<unknown>)[] = [
      () => client.command('UNWATCH'),
      async () => {
        await client.command('MULTI');
        await client.command('DISCARD');
      },
      async () => {
        await client.command('MULTI');
        await client.command('EXEC');
      },
    ];
    for (const step of forget) {
      await client.command('WATCH', 'a');
      await step();
      await client.command('SET', 'a', 'changed');
      await client.command('MULTI');
      await client.command('GET', 'a');
      expect(await client.command('EXEC')).toEqual(['changed']);
    }
  });

  it('holds up what follows it in a pipeline until the versions are known', async () => {
    const { node, connect } = await openDoor();
    const client = await connect();
    const other = await connect();
    await other.command('SET', 'a', '1');
    node.holding = true;
    client.write(
      Buffer.concat([
        encodeCommand('WATCH', 'a'),
        encodeCommand('MULTI'),
        encodeCommand('INCR', 'a'),
        encodeCommand('EXEC'),
      ]),
    );
    await until(() => node.held.length === 1, 'the version');
    node.holding = false;
    node.release();
    expect(await client.replies(4)).toEqual(['OK', 'OK', 'QUEUED', [2]]);
  });
});
