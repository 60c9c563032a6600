/** The application's side of an embedded node, over a thread of the test's own. */
import { EventEmitter } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/base/limits.js';
import type { LogFields, Logger } from '../../src/base/logger.js';
import { EmbeddedNode, type EmbeddedNodeOptions, type NodeThread } from '../../src/embed/embedded-node.js';
import { AnswerWriter, type Call, readCalls } from '../../src/embed/packet.js';
import type { FromWorker, ToWorker, WorkerStart } from '../../src/embed/protocol.js';
import { lockDirectory } from '../../src/env/real/directory-lock.js';
import { defaultConfiguration } from '../../src/server/configuration/index.js';

const ADDRESSES = { resp: '127.0.0.1:1', http: '127.0.0.1:2', grpc: '127.0.0.1:3' };
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

class FakeThread extends EventEmitter implements NodeThread {
  readonly messages: ToWorker[] = [];
  terminated = false;
  start: WorkerStart | undefined;

  postMessage(message: ToWorker): void {
    this.messages.push(message);
  }

  async terminate(): Promise<void> {
    this.terminated = true;
    this.emit('exit');
  }

  say(message: FromWorker): void {
    this.emit('message', message);
  }

  get calls(): Call[] {
    const calls: Call[] = [];
    for (const message of this.messages)
      if (message.kind === 'calls') readCalls(message.packet, (call) => calls.push(call));
    return calls;
  }

  answer(...ids: readonly number[]): void {
    const writer = new AnswerWriter();
    for (const id of ids) writer.value(id, id);
    this.say({ kind: 'answers', packet: writer.take() });
  }

  /** The thread comes to the end that it was asked for. */
  leave(): void {
    this.say({ kind: 'stopped' });
    this.emit('exit');
  }
}

let thread: FakeThread;
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'quoin-embed-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function newNode(options: EmbeddedNodeOptions = {}): EmbeddedNode {
  thread = new FakeThread();
  const defaults = defaultConfiguration();
  return new EmbeddedNode(
    { ...defaults, node: { ...defaults.node, dataDir: directory } },
    {
      startThread: (start) => {
        thread.start = start;
        return thread;
      },
      ...options,
    },
  );
}

const outcome = (promise: Promise<unknown>): Promise<unknown> => promise.catch((error: unknown) => error);

describe('calls to an embedded node', () => {
  test('cross in one message a turn and get the answer that is theirs', async () => {
    const node = newNode();
    const bucket = node.bucket();
    const first = bucket.set('a', '1');
    const second = bucket.set('b', '2');
    await turn();
    expect(thread.messages).toHaveLength(1);
    const [one, two] = thread.calls.map(({ id }) => id) as [number, number];
    thread.answer(two, one);
    expect([await first, await second]).toEqual([one, two]);
  });

  test('whose answer comes twice take the first', async () => {
    const node = newNode();
    const writing = node.bucket().set('a', '1');
    await turn();
    const [id = 0] = thread.calls.map((call) => call.id);
    thread.answer(id, id);
    expect(await writing).toBe(id);
  });

  test('are refused past their bound, and taken again after', async () => {
    const node = newNode();
    const calls = Array.from({ length: LIMITS.maxInflightRequestsPerGroup }, () =>
      node.call('default', 'quoin.get', []),
    );
    await expect(node.call('default', 'quoin.get', [])).rejects.toMatchObject({ code: 'OVERLOADED' });
    await turn();
    thread.answer(...thread.calls.map(({ id }) => id));
    await Promise.all(calls);
    const next = node.call('default', 'quoin.get', []);
    await turn();
    thread.answer(thread.calls.at(-1)?.id ?? 0);
    await next;
  });

  test('all settle when the thread dies: in doubt only where a write was on its way', async () => {
    const node = newNode();
    const bucket = node.bucket();
    const reading = outcome(bucket.get('a'));
    const writing = outcome(bucket.set('a', '1'));
    const deleting = outcome(bucket.delete('a'));
    await turn();
    const unsent = outcome(bucket.set('b', '2'));
    thread.emit('error', new Error('out of memory'));
    expect(await reading).toMatchObject({ code: 'CLOSED', definite: true });
    expect(await writing).toMatchObject({ code: 'OUTCOME_UNKNOWN', definite: false });
    expect(await deleting).toMatchObject({ code: 'OUTCOME_UNKNOWN' });
    expect(await unsent).toMatchObject({ code: 'CLOSED' });
    thread.emit('exit');
    expect(await node.ended).toMatchObject({
      code: 'INTERNAL',
      message: expect.stringContaining('out of memory'),
    });
    await turn();
    expect(thread.messages).toHaveLength(1);
    expect(await outcome(bucket.get('a'))).toMatchObject({ code: 'CLOSED' });
  });

  test('are in doubt after a message that cannot be read, rather than without an answer for ever', async () => {
    const node = newNode();
    const writing = outcome(node.bucket().set('a', '1'));
    await turn();
    thread.emit('messageerror', new Error('not cloned'));
    expect(await writing).toMatchObject({ code: 'OUTCOME_UNKNOWN' });
    expect(node.running).toBe(false);
  });
});

describe('the life of an embedded node', () => {
  test('starts, is ready, and stops', async () => {
    const node = newNode();
    expect(() => node.addresses).toThrow(expect.objectContaining({ code: 'STARTING' }));
    const started = node.started();
    thread.say({ kind: 'started', addresses: ADDRESSES });
    await started;
    expect(node.addresses).toEqual(ADDRESSES);
    const ready = node.ready();
    thread.say({ kind: 'ready' });
    await ready;
    const stopping = node.stop();
    expect(thread.messages).toEqual([{ kind: 'stop' }]);
    thread.leave();
    await stopping;
    expect(await node.ended).toBeUndefined();
    await node.stop();
    expect(thread.messages).toHaveLength(1);
    expect(thread.terminated).toBe(false);
  });

  test('sends what was called before it is told to stop', async () => {
    const node = newNode();
    const writing = node.bucket().set('a', '1');
    const stopping = node.stop();
    expect(thread.messages.map(({ kind }) => kind)).toEqual(['calls', 'stop']);
    thread.answer(thread.calls[0]?.id ?? 0);
    thread.leave();
    await stopping;
    expect(await writing).toBeTypeOf('number');
  });

  test('takes no call once it is told to stop, and lets nobody wait for its start', async () => {
    const node = newNode();
    const started = outcome(node.started());
    const ready = outcome(node.ready());
    const stopping = node.stop();
    expect(await outcome(node.bucket().get('a'))).toMatchObject({ code: 'CLOSED' });
    expect(await started).toMatchObject({ code: 'CLOSED' });
    expect(await ready).toMatchObject({ code: 'CLOSED' });
    thread.leave();
    await stopping;
  });

  test('that cannot start says why, to whoever waits and whoever comes later', async () => {
    const node = newNode();
    const started = outcome(node.started());
    const error = { code: 'ADDRESS_IN_USE', message: 'taken', remedy: 'Wait a minute.' } as const;
    thread.say({ kind: 'failed', error });
    expect(await started).toMatchObject(error);
    thread.emit('exit');
    expect(await outcome(node.ready())).toMatchObject({ code: 'ADDRESS_IN_USE' });
    expect(await node.ended).toMatchObject({ code: 'ADDRESS_IN_USE' });
    await node.stop();
  });

  test('that a client shut down has ended without a failure', async () => {
    const node = newNode();
    thread.say({ kind: 'started', addresses: ADDRESSES });
    thread.leave();
    expect(await node.ended).toBeUndefined();
    expect(node.running).toBe(false);
    await node.stop();
  });

  test('is not waited for longer than asked', async () => {
    const node = newNode();
    await expect(node.ready(20)).rejects.toMatchObject({ code: 'TIMEOUT' });
  });

  test('ends even when its thread does not', async () => {
    const node = newNode({ stopTimeoutMs: 20 });
    const writing = outcome(node.bucket().set('a', '1'));
    await node.stop();
    expect(thread.terminated).toBe(true);
    expect(await writing).toMatchObject({ code: 'OUTCOME_UNKNOWN' });
  });
});

describe('the directory of an embedded node', () => {
  const take = () => lockDirectory(directory);

  test('is free again when its thread died with the lock', async () => {
    const node = newNode();
    take();
    expect(take).toThrow(expect.objectContaining({ code: 'DIRECTORY_IN_USE' }));
    thread.emit('exit');
    await node.ended;
    take().release();
  });

  test('stays with whoever else has it when the node could not start', async () => {
    const node = newNode();
    const lock = take();
    thread.say({ kind: 'failed', error: { code: 'DIRECTORY_IN_USE', message: 'taken' } });
    thread.emit('exit');
    await node.ended;
    expect(take).toThrow(expect.objectContaining({ code: 'DIRECTORY_IN_USE' }));
    lock.release();
  });

  test('stays with another process', async () => {
    const node = newNode();
    writeFileSync(join(directory, 'LOCK'), '1\n\nsomebody\n');
    thread.emit('exit');
    await node.ended;
    expect(take).toThrow(expect.objectContaining({ code: 'DIRECTORY_IN_USE' }));
  });
});

describe('the log of an embedded node', () => {
  test('reaches the logger that the application gave', () => {
    const lines: unknown[] = [];
    const method = (level: string) => (fields: LogFields, message: string) =>
      lines.push([level, fields, message]);
    const logger: Logger = {
      trace: method('trace'),
      debug: method('debug'),
      info: method('info'),
      warn: method('warn'),
      error: method('error'),
    };
    newNode({ logger });
    expect(thread.start?.logLevel).toBe('info');
    thread.say({ kind: 'log', level: 'warn', fields: { peer: 'n2' }, message: 'peer is gone' });
    expect(lines).toEqual([['warn', { peer: 'n2' }, 'peer is gone']]);
  });

  test('is not even written when nobody wants it', () => {
    newNode();
    expect(thread.start?.logLevel).toBe('silent');
  });
});
