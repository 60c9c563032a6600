/** The load generator against a server that answers at once: what it sends, and what it says about it. */
import { type AddressInfo, createServer, type Server } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { runLoad } from '../../bench/load/generator.js';
import { type LoadOptions, parseLoadOptions, UsageError } from '../../bench/load/options.js';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** A server that answers every request of three or two words; returns its port and what it was sent. */
async function listen(
  answer: (name: string) => string | undefined,
): Promise<{ readonly port: number; readonly seen: string[] }> {
  const seen: string[] = [];
  const server = createServer((socket) => {
    let pending = '';
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      pending += chunk.toString('latin1');
      for (;;) {
        const match = /^\*(\d+)\r\n((?:\$\d+\r\n[^\r]*\r\n)*)/.exec(pending);
        const words = match?.[2]?.split('\r\n').filter((_, index) => index % 2 === 1);
        if (match === null || words === undefined || words.length < Number(match[1])) return;
        pending = pending.slice(match[0].length);
        seen.push(words.join(' '));
        const reply = answer(words[0] ?? '');
        if (reply === undefined) socket.destroy();
        else socket.write(reply);
      }
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as AddressInfo).port, seen };
}

function options(port: number, ...args: string[]): LoadOptions {
  const parsed = parseLoadOptions(['--url', `redis://127.0.0.1:${port}`, ...args], {});
  if (parsed === undefined) throw new Error('help was not asked for');
  return parsed;
}

describe('load generator', () => {
  test('a closed loop sends as many requests as asked for, and counts each answer once', async () => {
    const { port, seen } = await listen(() => '+OK\r\n');
    const result = await runLoad(options(port, '--requests', '1000', '--clients', '7', '--pipeline', '4'));
    expect(seen).toHaveLength(1000);
    expect(result).toMatchObject({ requests: 1000, errors: 0 });
    expect(result.latencyMs.p50).toBeLessThanOrEqual(result.latencyMs.p99);
    expect(result.latencyMs.p99).toBeLessThanOrEqual(result.latencyMs.max);
  });

  test('an open loop sends as many requests as asked for', async () => {
    const { port, seen } = await listen(() => '+OK\r\n');
    const result = await runLoad(options(port, '--requests', '300', '--clients', '3', '--rate', '10000'));
    expect(seen).toHaveLength(300);
    expect(result.requests).toBe(300);
  });

  test('reads and writes come in the ratio asked for', async () => {
    const { port, seen } = await listen((name) => (name === 'GET' ? '$-1\r\n' : '+OK\r\n'));
    await runLoad(options(port, '--requests', '2000', '--read-ratio', '0.9'));
    const reads = seen.filter((request) => request.startsWith('GET ')).length;
    expect(reads).toBeGreaterThan(1700);
    expect(reads).toBeLessThan(1900);
  });

  test('the same seed asks for the same keys', async () => {
    const first = await listen(() => '+OK\r\n');
    const second = await listen(() => '+OK\r\n');
    await runLoad(options(first.port, '--requests', '100', '--clients', '1', '--seed', '5'));
    await runLoad(options(second.port, '--requests', '100', '--clients', '1', '--seed', '5'));
    expect(second.seen).toEqual(first.seen);
  });

  test('error answers are counted, not fatal', async () => {
    const { port } = await listen((name) => (name === 'SET' ? '-ERR no\r\n' : '$-1\r\n'));
    const result = await runLoad(options(port, '--requests', '100', '--read-ratio', '0'));
    expect(result).toMatchObject({ requests: 100, errors: 100 });
  });

  test('the bucket is selected before the first request', async () => {
    const { port, seen } = await listen(() => '+OK\r\n');
    await runLoad(options(port, '--requests', '1', '--clients', '1', '--bucket', 'sessions'));
    expect(seen[0]).toBe('SELECT sessions');
  });

  test('an unknown bucket ends the run with its name', async () => {
    const { port } = await listen(() => '-ERR no such bucket\r\n');
    await expect(runLoad(options(port, '--bucket', 'nowhere'))).rejects.toThrow("no bucket 'nowhere'");
  });

  test('a server that leaves with requests unanswered ends the run', async () => {
    const { port } = await listen(() => undefined);
    await expect(runLoad(options(port, '--clients', '2'))).rejects.toThrow('unanswered');
  });

  test('a port where nobody listens ends the run', async () => {
    const { port } = await listen(() => '+OK\r\n');
    for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
    await expect(runLoad(options(port))).rejects.toThrow('ECONNREFUSED');
  });
});

describe('options of the load generator', () => {
  test('several URLs spread the clients over several nodes', () => {
    const parsed = parseLoadOptions(['--url', 'redis://a:1,redis://b:2'], {});
    expect(parsed?.targets).toEqual([
      { host: 'a', port: 1 },
      { host: 'b', port: 2 },
    ]);
  });

  test('the URL comes from the environment when none is given', () => {
    expect(parseLoadOptions([], { QUOIN_URL: 'redis://c:3' })?.targets).toEqual([{ host: 'c', port: 3 }]);
  });

  test.each([
    [['--clients', '0']],
    [['--clients', 'many']],
    [['--read-ratio', '2']],
    [['--url', 'http://a:1']],
    [['--unknown']],
    [['stray']],
  ])('%j is wrong usage', (args) => {
    expect(() => parseLoadOptions(args, {})).toThrow(UsageError);
  });

  test('help is not an error', () => {
    expect(parseLoadOptions(['--help'], {})).toBeUndefined();
  });
});
