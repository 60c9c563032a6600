/**
 * The package as its users have it: built, and imported by its name. Applications that must be blocked, killed or come to
 * their end by themselves run as processes of their own.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, connect as connectSocket, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type RunningProcess, startProcess } from '../../bench/support/processes.js';
import { waitFor } from '../../bench/support/wait.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PATIENCE_MS = 60_000;

// Through variables: the compiler must not need the build that it makes.
const PACKAGE = 'quoin';
const CLIENT = 'quoin/client';
const quoin = (await import(PACKAGE)) as typeof import('../../src/index.js');
const { connect } = (await import(CLIENT)) as typeof import('../../src/client/index.js');
type Cluster = Awaited<ReturnType<typeof quoin.startCluster>>;

const programs: RunningProcess[] = [];

/** Runs a program that imports the package, as an application would. */
async function run(
  code: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<RunningProcess> {
  const program = await startProcess(process.execPath, ['--input-type=module', '-e', code], {
    directory: ROOT,
    environment,
  });
  programs.push(program);
  return program;
}

/** The program's exit code; it must come to its end by itself. */
function end(program: RunningProcess): Promise<number | null | undefined> {
  let code: number | null | undefined;
  void program.exited.then((exitCode) => {
    code = exitCode;
  });
  return waitFor('the program to end by itself', PATIENCE_MS, () => code).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${program.output()}`);
  });
}

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'quoin-embedding-'));
});
afterEach(async () => {
  await Promise.all(programs.splice(0).map((program) => program.stop('SIGKILL')));
  rmSync(directory, { recursive: true, force: true });
});

async function collect<T>(keys: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const key of keys) found.push(key);
  return found;
}

/** The TypeScript blocks of a page that import `name`, as programs. */
function programsIn(page: string, name: string): string[] {
  const text = readFileSync(join(ROOT, page), 'utf8');
  const blocks = [...text.matchAll(/^```ts\n(.*?)^```/gms)].map(([, code]) => code ?? '');
  const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 };
  return blocks
    .filter((code) => code.includes(`from '${name}'`))
    .map((code) => ts.transpileModule(code, { compilerOptions }).outputText);
}

describe('the documentation', () => {
  test('shows a first session in the README that runs as it stands and comes to its end', async () => {
    const [code, ...others] = programsIn('README.md', 'quoin');
    expect(others).toEqual([]);
    const program = await run(code ?? '');
    const lines: string[] = [];
    program.onLine((line) => lines.push(line));
    expect([await end(program), program.output()]).toEqual([0, '{"visits":1}\nada\nada\n']);
  });

  test('shows programs in the guide that run as they stand and come to their end', async () => {
    const codes = programsIn('docs/embedding.md', 'quoin');
    expect(codes.length).toBeGreaterThan(0);
    for (const [index, code] of codes.entries()) {
      const inDirectory = code.replaceAll("'./data'", JSON.stringify(join(directory, String(index))));
      const program = await run(inDirectory);
      expect([await end(program), program.output()]).toEqual([0, expect.not.stringContaining('Error')]);
    }
  });
});

describe('a cluster in this process', () => {
  let cluster: Cluster;
  const https = (): string[] => cluster.nodes.map(({ addresses }) => `http://${addresses.http}`);
  const closers: (() => unknown)[] = [];

  beforeAll(async () => {
    cluster = await quoin.startCluster({
      buckets: [{ name: 'default' }, { name: 'brief', engine: 'memory', ttl: '1500ms' }],
    });
  });
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });
  afterAll(() => cluster.stop());

  /** The same bucket by each of its ways: every node's handle, and the client. */
  function ways(name = 'default') {
    const client = connect({ nodes: https() });
    closers.push(() => client.close());
    return [...cluster.nodes.map((node) => node.bucket(name)), cluster.bucket(name), client.bucket(name)];
  }

  test('is one store, whichever node is asked and by whichever way', async () => {
    const buckets = ways();
    for (const [index, writer] of buckets.entries()) {
      const version = await writer.set('shared', `by ${index}`);
      for (const reader of buckets)
        expect(await reader.getEntry('shared')).toEqual({
          value: Buffer.from(`by ${index}`),
          version,
          expiresAt: undefined,
        });
    }
    const [first, , , , client] = buckets;
    expect(await client?.delete('shared')).toBe(true);
    expect(await first?.delete('shared')).toBe(false);
  });

  test('lets one of many who compare and set win, each time', async () => {
    const buckets = ways();
    for (let round = 0; round < 20; round++) {
      const before = (await buckets[0]?.getEntry('race'))?.version ?? 'absent';
      const versions = await Promise.all(
        buckets.map((bucket, index) => bucket.compareAndSet('race', before, `${round}/${index}`)),
      );
      const winners = versions.flatMap((version, index) => (version === undefined ? [] : [index]));
      expect(winners).toHaveLength(1);
      expect(await buckets[0]?.getText('race')).toBe(`${round}/${winners[0]}`);
    }
  });

  test('loses no step of writers who count together', async () => {
    const buckets = ways();
    const steps = 15;
    await Promise.all(
      buckets.map(async (bucket) => {
        for (let done = 0; done < steps; ) {
          const entry = await bucket.getEntry('counter');
          const next = String(Number(entry?.value.toString() ?? '0') + 1);
          if ((await bucket.compareAndSet('counter', entry?.version ?? 'absent', next)) !== undefined) done++;
        }
      }),
    );
    expect(await buckets[0]?.getText('counter')).toBe(String(steps * buckets.length));
  });

  test('shows a scan every key that is there throughout, while others come and go', async () => {
    const [bucket, other] = ways();
    if (bucket === undefined || other === undefined) throw new Error('two ways');
    const lasting = Array.from({ length: 300 }, (_, index) => `lasting:${index}`);
    await Promise.all(lasting.map((key) => bucket.set(key, '')));
    const writer = new AbortController();
    const writing = (async () => {
      for (let count = 0; !writer.signal.aborted; count++) {
        await other.set(`lasting:new:${count}`, '');
        await other.delete(`lasting:new:${count}`);
        await other.set(`unrelated:${count % 50}`, '');
      }
    })();
    for (const way of ways()) {
      const seen = await collect(way.scan({ prefix: 'lasting:', pageSize: 7 }));
      expect(seen.filter((key) => !key.startsWith('lasting:'))).toEqual([]);
      expect(lasting.filter((key) => !seen.includes(key))).toEqual([]);
    }
    writer.abort();
    await writing;
  });

  test('lets keys go when their time is over: their own, or their bucket’s', async () => {
    const [bucket, , , , client] = ways();
    const [brief] = ways('brief');
    if (bucket === undefined || client === undefined || brief === undefined) throw new Error('three ways');
    await bucket.set('hour', 'x', { ttlMs: 3_600_000 });
    const entry = await bucket.getEntry('hour');
    expect(entry?.expiresAt).toBeInstanceOf(Date);
    expect(await client.getEntry('hour')).toEqual(entry);
    await client.set('soon', 'x', { ttlMs: 400 });
    await brief.set('own', 'x');
    await brief.set('endless', 'x', { ttlMs: 0 });
    for (const [where, key] of [
      [bucket, 'soon'],
      [brief, 'own'],
    ] as const)
      await waitFor(`${key} to go`, PATIENCE_MS, async () =>
        (await where.get(key)) === undefined ? true : undefined,
      );
    expect(await brief.getText('endless')).toBe('x');
  });

  test('carries large values, and many small ones at once', async () => {
    const [bucket, , , , client] = ways();
    if (bucket === undefined || client === undefined) throw new Error('two ways');
    const large = Buffer.alloc(5_000_000, 'quoin');
    await bucket.set('large', large);
    expect((await client.get('large'))?.equals(large)).toBe(true);
    expect((await bucket.get('large'))?.equals(large)).toBe(true);
    const keys = Array.from({ length: 2000 }, (_, index) => `small:${index}`);
    await Promise.all(keys.map((key) => bucket.set(key, key)));
    const values = await Promise.all(keys.map((key) => bucket.getText(key)));
    expect(values).toEqual(keys);
  });

  test('refuses what is too large or nowhere, with the same code by every way', async () => {
    const key = Buffer.alloc(65_537);
    for (const way of ways())
      await expect(way.set(key, '')).rejects.toMatchObject({ code: 'KEY_TOO_LARGE', definite: true });
    for (const way of ways('nowhere'))
      await expect(way.get('key')).rejects.toMatchObject({ code: 'UNKNOWN_BUCKET' });
    expect(await cluster.bucket().get('key')).toBeUndefined();
  });

  test('lets each call to an eventual bucket choose its copies, by every way', async () => {
    const all = ways('quorum');
    for (const [number, way] of all.entries()) {
      const key = `chosen:${number}`;
      await way.set(key, 'everywhere', { w: 3 });
      // All copies have it, so any one of them is enough.
      for (const other of all) expect(await other.getText(key, { r: 1 })).toBe('everywhere');
      expect(await way.delete(key, { w: 3 })).toBe(true);
      for (const other of all) expect(await other.get(key, { r: 1 })).toBeUndefined();
      const tooMany = [
        () => way.get(key, { r: 4 }),
        () => way.set(key, '', { w: 4 }),
        () => way.delete(key, { w: 4 }),
      ];
      for (const call of tooMany)
        await expect(call()).rejects.toMatchObject({
          code: 'WRONG_ARGUMENTS',
          message: expect.stringContaining('must be a whole number from 1 to 3'),
        });
    }
    for (const way of ways()) {
      const misplaced = [
        () => way.get('key', { r: 1 }),
        () => way.set('key', '', { w: 1 }),
        () => way.delete('key', { w: 1 }),
      ];
      for (const call of misplaced)
        await expect(call()).rejects.toMatchObject({
          code: 'WRONG_ARGUMENTS',
          message: expect.stringContaining(
            "belongs to buckets of quorum replication; 'default' is one of raft",
          ),
        });
    }
  });

  test('carries out once what the client sent twice because the answer was lost', async () => {
    // A way to a node that swallows the answer to every other connection's first request.
    let connections = 0;
    let swallowed = 0;
    const sockets = new Set<Socket>();
    const target = cluster.nodes[1]?.addresses.http ?? '';
    const proxy: Server = createServer((incoming) => {
      const loses = ++connections % 2 === 1;
      const outgoing = connectSocket(Number(target.split(':')[1]), '127.0.0.1');
      for (const socket of [incoming, outgoing]) {
        sockets.add(socket);
        socket.on('error', () => undefined);
      }
      incoming.pipe(outgoing);
      outgoing.on('data', (chunk) => {
        if (!loses) incoming.write(chunk);
        else {
          swallowed++;
          incoming.destroy();
          outgoing.destroy();
        }
      });
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    closers.push(() => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => proxy.close(resolve));
    });
    const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    const client = connect({ nodes: [url], maxInflight: 8 });
    closers.push(() => client.close());
    const bucket = client.bucket();
    // Done twice, the second would find the key there and be told that somebody was faster.
    const keys = Array.from({ length: 40 }, (_, index) => `once:${index}`);
    const versions = await Promise.all(keys.map((key) => bucket.compareAndSet(key, 'absent', 'x')));
    expect(versions.filter((version) => version === undefined)).toEqual([]);
    const deleted = await Promise.all(keys.map((key) => bucket.delete(key)));
    expect(deleted).toEqual(keys.map(() => true));
    expect(swallowed).toBeGreaterThan(0);
  });

  test('is reached by the client as the guide shows it', async () => {
    await cluster.bucket().set('greeting', 'hello');
    const [code = '', ...others] = programsIn('docs/embedding.md', 'quoin/client');
    expect(others).toEqual([]);
    const urls = https();
    const program = await run(
      code.replace(/http:\/\/127\.0\.0\.1:800(\d)/g, (_, n) => urls[Number(n) - 1] ?? ''),
    );
    expect([await end(program), program.output()]).toEqual([0, 'hello\n']);
  });

  test('refuses a second cluster on its ports, and leaves nothing of it', async () => {
    const blocker = createHttpServer();
    await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve));
    closers.push(() => new Promise((resolve) => blocker.close(resolve)));
    const { port } = blocker.address() as AddressInfo;
    const before = readdirSync(tmpdir()).filter((name) => name.startsWith('quoin-'));
    const starting = quoin.startCluster({ nodes: 1, basePort: port - 1000 });
    await expect(starting).rejects.toMatchObject({
      code: 'ADDRESS_IN_USE',
      message: expect.stringContaining(`127.0.0.1:${port}`),
    });
    const after = readdirSync(tmpdir()).filter((name) => name.startsWith('quoin-'));
    expect(after.filter((name) => !before.includes(name) && existsOfOurs(name))).toEqual([]);
  });
});

/** Other programs on this machine have temporary directories of their own. */
function existsOfOurs(name: string): boolean {
  try {
    return readFileSync(join(tmpdir(), name, 'n1', 'LOCK'), 'utf8').startsWith(`${process.pid}\n`);
  } catch {
    return false;
  }
}

describe('an application that blocks its own loop', () => {
  /** Starts a cluster, then blocks its loop for three seconds whenever it is told to, and says when. */
  const APPLICATION = `
    import { startCluster } from 'quoin';
    const cluster = await startCluster();
    console.log(JSON.stringify({ http: cluster.nodes.map((node) => node.addresses.http) }));
    process.stdin.on('data', async (word) => {
      if (String(word).trim() !== 'block') return cluster.stop().then(() => process.stdin.destroy());
      const until = Date.now() + 3000;
      process.stdout.write('blocked\\n');
      let turns = 0;
      while (Date.now() < until) turns++;
      await cluster.bucket().set('after', String(turns));
      process.stdout.write('unblocked\\n');
    });`;

  interface Status {
    readonly groups: readonly {
      readonly id: number;
      readonly leader: string | null;
      readonly local: { readonly term: number; readonly role: string } | null;
    }[];
  }

  /** Leader and term of every group as every node sees them, and how many elections each has won. */
  async function leadership(nodes: readonly string[]): Promise<unknown> {
    return Promise.all(
      nodes.map(async (http) => {
        const cluster = (await (await fetch(`http://${http}/v1/cluster`)).json()) as Status;
        const { counters } = (await (await fetch(`http://${http}/v1/nodes`)).json()) as {
          readonly counters: { readonly elections: number };
        };
        const groups = cluster.groups.map(({ id, leader, local }) => [id, leader, local?.term, local?.role]);
        return { http, groups, elections: counters.elections };
      }),
    );
  }

  /** Leadership that has settled: the same twice in a row, with a leader for every group. */
  async function settled(nodes: readonly string[]): Promise<unknown> {
    let last = '';
    return waitFor(
      'leadership to settle',
      PATIENCE_MS,
      async () => {
        const now = await leadership(nodes);
        const text = JSON.stringify(now);
        const same = text === last && !text.includes('null');
        last = text;
        return same ? now : undefined;
      },
      1000,
    );
  }

  test('moves no leadership, and the nodes answer others meanwhile', async () => {
    const application = await run(APPLICATION);
    const line = await application.line((text) => text.startsWith('{'), PATIENCE_MS);
    const { http } = JSON.parse(line) as { readonly http: readonly string[] };
    const before = await settled(http);

    let unblocked = false;
    let answeredMeanwhile = 0;
    application.onLine((text) => {
      if (text === 'unblocked') unblocked = true;
    });
    application.write('block\n');
    await application.line((text) => text === 'blocked', PATIENCE_MS);
    const client = connect({ nodes: http.map((address) => `http://${address}`) });
    for (let count = 0; !unblocked; count++) {
      const bucket = client.bucket();
      await bucket.set(`meanwhile:${count}`, String(count));
      expect(await bucket.getText(`meanwhile:${count}`)).toBe(String(count));
      if (!unblocked) answeredMeanwhile++;
    }
    expect(answeredMeanwhile).toBeGreaterThan(10);
    expect(await leadership(http)).toEqual(before);
    expect(Number(await client.bucket().getText('after'))).toBeGreaterThan(0);
    client.close();

    application.write('stop\n');
    expect(await end(application)).toBe(0);
  });
});

describe('an application with data of its own', () => {
  const KEEPER = `
    import { startCluster } from 'quoin';
    const cluster = await startCluster({ dir: process.env.DIRECTORY });
    const bucket = cluster.bucket();
    for (let count = 0; ; count++) {
      await bucket.set('key:' + count, String(count));
      process.stdout.write(count + '\\n');
    }`;

  test('finds every acknowledged write again after it was killed', async () => {
    const keeper = await run(KEEPER, { DIRECTORY: directory });
    let acknowledged = -1;
    keeper.onLine((line) => {
      acknowledged = Number(line);
    });
    await waitFor('some writes', PATIENCE_MS, () => (acknowledged >= 50 ? true : undefined));
    keeper.kill('SIGKILL');
    await keeper.exited;
    const cluster = await quoin.startCluster({ dir: directory });
    try {
      const bucket = cluster.bucket();
      const keys = Array.from({ length: acknowledged + 1 }, (_, index) => String(index));
      expect(await Promise.all(keys.map((key) => bucket.getText(`key:${key}`)))).toEqual(keys);
    } finally {
      await cluster.stop();
    }
  });

  test('on a file system that takes no directories is refused', async () => {
    await expect(quoin.startCluster({ dir: '/proc/quoin/cluster' })).rejects.toMatchObject({
      code: 'DISK_FAILED',
      message: expect.stringContaining('/proc/quoin/cluster'),
    });
  });

  test('finds its data and its addresses again after a stop, and keeps its directory to itself', async () => {
    const first = await quoin.startCluster({ dir: directory, nodes: 2 });
    const addresses = first.nodes.map((node) => node.addresses);
    await first.bucket().set('key', 'value');
    await expect(quoin.startCluster({ dir: directory })).rejects.toMatchObject({ code: 'DIRECTORY_IN_USE' });
    expect(await first.bucket().getText('key')).toBe('value');
    await first.stop();
    const second = await quoin.startCluster({ dir: directory });
    try {
      expect(second.nodes.map((node) => node.addresses)).toEqual(addresses);
      expect(await second.bucket().getText('key')).toBe('value');
    } finally {
      await second.stop();
    }
  });

  test('goes on with the nodes that are left when one has ended', async () => {
    const cluster = await quoin.startCluster({ dir: directory });
    try {
      const bucket = cluster.bucket();
      await bucket.set('key', 'value');
      await cluster.nodes[0]?.stop();
      await expect(cluster.nodes[0]?.bucket().get('key')).rejects.toMatchObject({ code: 'CLOSED' });
      expect(await bucket.getText('key')).toBe('value');
      await bucket.set('key', 'again');
      expect(await cluster.nodes[2]?.bucket().getText('key')).toBe('again');
    } finally {
      await cluster.stop();
    }
    await expect(cluster.bucket().get('key')).rejects.toMatchObject({ code: 'CLOSED' });
  });
});

describe('an eventual bucket whose nodes end one after the other', () => {
  test('goes on with as many copies as a call is content with, also without a leader', async () => {
    const cluster = await quoin.startCluster();
    try {
      const [last, ...others] = cluster.nodes;
      const bucket = last!.bucket('quorum');
      await bucket.set('key', 'three', { w: 3 });
      const refusal = { code: 'QUORUM_UNREACHABLE', definite: true };

      await others[0]!.stop();
      await expect(bucket.set('key', 'none', { w: 3 })).rejects.toMatchObject(refusal);
      await expect(bucket.get('key', { r: 3 })).rejects.toMatchObject(refusal);
      await bucket.set('key', 'two', { w: 2 });
      expect(await bucket.getText('key', { r: 2 })).toBe('two');

      await others[1]!.stop();
      await expect(bucket.set('key', 'none')).rejects.toMatchObject(refusal);
      await expect(bucket.delete('key', { w: 2 })).rejects.toMatchObject(refusal);
      await bucket.set('key', 'one', { w: 1 });
      expect(await bucket.getText('key', { r: 1 })).toBe('one');
      expect(await bucket.delete('key', { w: 1 })).toBe(true);
      const leaderless = await waitFor('the node to miss its leaders', PATIENCE_MS, async () => {
        const answer = await fetch(`http://${last!.addresses.http}/readyz`);
        const body = (await answer.json()) as { readonly leaderless?: readonly number[] };
        return body.leaderless?.length === 4 ? body.leaderless : undefined;
      });
      expect(leaderless).toEqual([0, 1, 2, 3]);
      await bucket.set('key', 'leaderless', { w: 1 });
      expect(await bucket.getText('key', { r: 1 })).toBe('leaderless');
    } finally {
      await cluster.stop();
    }
  });
});

describe('a node of its own', () => {
  test('takes free ports, serves alone, and says when its directory or a port is taken', async () => {
    const free = { resp: '127.0.0.1:0', http: '127.0.0.1:0', grpc: '127.0.0.1:0' };
    const logged: string[] = [];
    const note = (_fields: object, message: string): void => {
      logged.push(message);
    };
    const node = await quoin.startNode({
      node: { dataDir: join(directory, 'n1') },
      listen: free,
      logger: { trace: note, debug: note, info: note, warn: note, error: note },
    });
    try {
      await node.ready(PATIENCE_MS);
      await node.bucket().set('key', 'value');
      const client = connect({ nodes: [`http://${node.addresses.http}`] });
      expect(await client.bucket().getText('key')).toBe('value');
      expect(logged).toContain('the node serves');
      await expect(
        quoin.startNode({ node: { dataDir: join(directory, 'n1') }, listen: free }),
      ).rejects.toMatchObject({ code: 'DIRECTORY_IN_USE' });
      for (const door of ['resp', 'http', 'grpc'] as const)
        await expect(
          quoin.startNode({
            node: { dataDir: join(directory, 'n2') },
            listen: { ...free, [door]: node.addresses[door] },
          }),
        ).rejects.toMatchObject({
          code: 'ADDRESS_IN_USE',
          message: expect.stringContaining(node.addresses[door]),
        });
      expect(await client.bucket().getText('key')).toBe('value');
      client.close();
    } finally {
      await node.stop();
    }
  });

  test('that dies with its thread gives its directory back, with the data', async () => {
    const options = {
      node: { dataDir: join(directory, 'n1') },
      listen: { resp: '127.0.0.1:0', http: '127.0.0.1:0', grpc: '127.0.0.1:0' },
    };
    const program = await run(
      `
      import { Worker } from 'node:worker_threads';
      import { startNode } from 'quoin';
      const options = JSON.parse(process.env.OPTIONS);
      // The thread is nobody's business but the node's; this catches it as it starts.
      const threads = [];
      const on = Worker.prototype.on;
      Worker.prototype.on = function (...args) {
        if (!threads.includes(this)) threads.push(this);
        return on.apply(this, args);
      };
      const first = await startNode(options);
      await first.ready();
      await first.bucket().set('key', 'value');
      const lost = first.bucket().set('lost', 'x').catch((error) => error.code);
      await new Promise(setImmediate);
      await threads[0].terminate();
      console.log(['OUTCOME_UNKNOWN', 'CLOSED'].includes(await lost) || Number.isInteger(await lost));
      console.log((await first.ended)?.code, first.running);
      await first.stop();
      const second = await startNode(options);
      await second.ready();
      console.log(await second.bucket().getText('key'));
      await second.stop();`,
      { OPTIONS: JSON.stringify(options) },
    );
    expect([await end(program), program.output()]).toEqual([0, 'true\nINTERNAL false\nvalue\n']);
  });

  test('leaves the process free to end, however it ended itself', async () => {
    const program = await run(
      `
      import { startNode } from 'quoin';
      import { connect } from 'quoin/client';
      const listen = { resp: '127.0.0.1:0', http: '127.0.0.1:0', grpc: '127.0.0.1:0' };
      const dataDir = process.env.DIRECTORY;
      await startNode({ listen: { resp: 'nowhere' } }).catch((error) => console.log(error.code));
      const node = await startNode({ node: { dataDir }, listen });
      await startNode({ node: { dataDir }, listen }).catch((error) => console.log(error.code));
      await node.ready();
      const client = connect({ nodes: ['http://' + node.addresses.http] });
      await client.bucket().set('key', 'value');
      console.log(await client.bucket().getText('key'));
      const stopping = node.stop();
      console.log(await node.bucket().get('key').catch((error) => error.code));
      await stopping;
      await node.stop();`,
      { DIRECTORY: join(directory, 'n1') },
    );
    expect([await end(program), program.output()]).toEqual([
      0,
      'CONFIG_INVALID\nDIRECTORY_IN_USE\nvalue\nCLOSED\n',
    ]);
  });
});
