/** The node's side of the bucket handles, over a fake node. */
import { beforeEach, describe, expect, test } from 'vitest';
import { CallHost } from '../../src/embed/call-host.js';
import { EmbeddedBucket } from '../../src/embed/embedded-bucket.js';
import { type Answered, type Call, CallWriter, type Packet, readAnswers } from '../../src/embed/packet.js';
import type { Failure } from '../../src/embed/protocol.js';
import { SimpleString } from '../../src/store/reply.js';
import { FakeNode } from '../support/fake-node.js';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

let node: FakeNode;
let host: CallHost;
let packets: Packet[];
let outcomes: Map<number, Answered | Failure>;

beforeEach(() => {
  node = new FakeNode();
  packets = [];
  outcomes = new Map();
  host = new CallHost(node, { maxKeyBytes: 10, maxValueBytes: 20 }, (packet) => {
    packets.push(packet);
    readAnswers(packet, {
      value: (id, value) => outcomes.set(id, value),
      error: (id, failure) => outcomes.set(id, failure),
    });
  });
});

function send(...calls: readonly (Omit<Call, 'args'> & { readonly args: readonly string[] })[]): void {
  const writer = new CallWriter();
  for (const call of calls) writer.add({ ...call, args: call.args.map((text) => Buffer.from(text)) });
  host.receive(writer.take());
}

const put = (id: number, key: string, value = 'v', condition = 'any', bucket = 'default') =>
  ({ id, bucket, command: 'quoin.put', args: [key, value, '-1', condition] }) as const;

describe('calls of an application', () => {
  test('are answered in one packet a turn', async () => {
    send(put(1, 'a'), put(2, 'b'), { id: 3, bucket: 'default', command: 'quoin.get', args: ['c'] });
    expect(packets).toEqual([]);
    await turn();
    expect(packets).toHaveLength(1);
    expect(outcomes.get(1)).toBeTypeOf('number');
    expect(outcomes.get(3)).toBeNull();
  });

  test('are refused with a code and without the error word of Redis', async () => {
    send(put(1, 'a'), put(2, 'a', 'v', 'absent'));
    await turn();
    expect(outcomes.get(2)).toEqual({
      code: 'CONDITION_FAILED',
      message: 'the key is not in the state that was asked for',
    });
  });

  test('are refused before the log when they are too large or make no sense', async () => {
    node.recording = true;
    send(put(1, 'k'.repeat(11)), put(2, 'k', 'v'.repeat(21)), put(3, 'k', 'v', 'perhaps'));
    await turn();
    expect(outcomes.get(1)).toMatchObject({ code: 'KEY_TOO_LARGE' });
    expect(outcomes.get(2)).toMatchObject({ code: 'VALUE_TOO_LARGE' });
    expect(outcomes.get(3)).toMatchObject({ code: 'WRONG_ARGUMENTS' });
    expect(node.requests).toEqual([]);
  });

  test('learn that there is no such bucket, or why the node cannot know', async () => {
    send(put(1, 'k', 'v', 'any', 'nowhere'));
    node.phase = { phase: 'starting', reason: 'waiting for others' };
    send(put(2, 'k', 'v', 'any', 'nowhere'));
    node.phase = { phase: 'stopping', reason: 'going' };
    send(put(3, 'k', 'v', 'any', 'nowhere'));
    await turn();
    expect(outcomes.get(1)).toMatchObject({ code: 'UNKNOWN_BUCKET' });
    expect(outcomes.get(2)).toEqual({ code: 'STARTING', message: 'waiting for others' });
    expect(outcomes.get(3)).toMatchObject({ code: 'SHUTTING_DOWN' });
  });

  test('get an answer even where the reply is none that can cross', async () => {
    node.store.execute = () => new SimpleString('OK');
    send(put(1, 'k'));
    await turn();
    expect(outcomes.get(1)).toMatchObject({ code: 'INTERNAL' });
  });

  test('choose copies in eventual buckets alone, and no more than there are', async () => {
    node.store.create({ name: 'eventual', replication: 'quorum', engine: 'memory', ttlMs: 0 });
    node.recording = true;
    send(
      { ...put(1, 'a', 'v', 'any', 'eventual'), quorum: { w: 3 } },
      { id: 2, bucket: 'eventual', command: 'quoin.get', args: ['a'], quorum: { r: 1 } },
      { ...put(3, 'a', 'v', 'any', 'eventual'), quorum: { w: 4 } },
      { ...put(4, 'a'), quorum: { w: 1 } },
      put(5, 'a'),
    );
    await turn();
    expect(node.requests.map(({ quorum }) => quorum)).toEqual([{ w: 3 }, { r: 1 }, undefined]);
    expect(outcomes.get(3)).toEqual({
      code: 'WRONG_ARGUMENTS',
      message: 'w must be a whole number from 1 to 3',
    });
    expect(outcomes.get(4)).toEqual({
      code: 'WRONG_ARGUMENTS',
      message: "w belongs to buckets of quorum replication; 'default' is one of raft",
    });
  });

  test('that complete late are answered when they do', async () => {
    node.holding = true;
    send(put(1, 'a'), put(2, 'b'));
    await turn();
    expect(packets).toEqual([]);
    node.release((held) => [...held].reverse());
    host.flush();
    expect([...outcomes.keys()]).toEqual([2, 1]);
  });
});

describe('a bucket handle', () => {
  /** Handle, packets and host, without the threads. */
  function bucket(): EmbeddedBucket {
    let id = 100;
    return new EmbeddedBucket('default', async (name, command, args) => {
      const writer = new CallWriter();
      writer.add({ id: ++id, bucket: name, command, args });
      const mine = id;
      host.receive(writer.take());
      await turn();
      const outcome = outcomes.get(mine);
      if (outcome === undefined) throw new Error('no answer');
      return outcome as Answered;
    });
  }

  test('sets, reads, compares and deletes', async () => {
    const users = bucket();
    const version = await users.set('ada', 'one');
    expect(await users.getEntry('ada')).toEqual({ value: Buffer.from('one'), version, expiresAt: undefined });
    expect(await users.compareAndSet('ada', version, 'two')).toBeGreaterThan(version);
    expect(await users.getText('ada')).toBe('two');
    expect(await users.delete('ada')).toBe(true);
    expect(await users.delete('ada')).toBe(false);
    expect(await users.get('ada')).toBeUndefined();
  });

  test('walks text and bytes page by page', async () => {
    const users = bucket();
    const odd = Buffer.from([0x75, 0xff]);
    for (const key of ['u1', 'u2', 'u3', 'x', odd]) await users.set(key, '');
    const seen = new Set<string>();
    for await (const key of users.scanBytes({ prefix: 'u', pageSize: 1 })) seen.add(key.toString('hex'));
    expect([...seen].sort()).toEqual(
      [Buffer.from('u1'), Buffer.from('u2'), Buffer.from('u3'), odd].map((key) => key.toString('hex')).sort(),
    );
    const texts = new Set<string>();
    for await (const key of users.scan({ prefix: Buffer.from('x') })) texts.add(key);
    expect([...texts]).toEqual(['x']);
  });

  test.each<readonly [string, (users: EmbeddedBucket) => Promise<unknown>]>([
    ['a key that is no bytes', (users) => users.get({} as never)],
    ['half a millisecond', (users) => users.set('k', 'v', { ttlMs: 0.5 })],
    ['a read of no copy', (users) => users.get('k', { r: 0 })],
    ['a write of half a copy', (users) => users.set('k', 'v', { w: 0.5 })],
    ['a delete of less than nothing', (users) => users.delete('k', { w: -1 })],
    ['a version that no key has', (users) => users.compareAndSet('k', -1, 'v')],
    [
      'a page of nothing',
      async (users) => {
        for await (const _ of users.scan({ pageSize: 0 })) throw new Error('a key');
      },
    ],
  ])('refuses %s', async (_what, call) => {
    await expect(call(bucket())).rejects.toMatchObject({ code: 'WRONG_ARGUMENTS' });
    expect(packets).toEqual([]);
  });
});
