import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { freeBasePort, quoinPortOffsets } from '../../bench/support/ports.js';
import { type HttpServer, startHttpServer } from '../../src/api/http/index.js';
import { type RunningRespServer, startRespServer } from '../../src/api/resp/server.js';
import { createFakeCluster, FakeNode, setAddresses } from '../support/fake-node.js';
import { type Outcome, quoin } from './memory-io.js';

const COMMANDS = [
  ['up'],
  ['start'],
  ['get'],
  ['put'],
  ['del'],
  ['scan'],
  ['bucket'],
  ['bucket', 'list'],
  ['bucket', 'create'],
  ['bucket', 'update'],
  ['bucket', 'describe'],
  ['bucket', 'drop'],
  ['cluster'],
  ['cluster', 'status'],
  ['proxy'],
  ['sim'],
  ['bench'],
];

/** One line on stderr that starts with the code. */
function expectFailure(outcome: Outcome, exitCode: number, errorCode: string): void {
  expect(outcome.err.trimEnd().split('\n')).toHaveLength(1);
  expect([outcome.code, outcome.err.split(':')[1]?.trim()]).toEqual([exitCode, errorCode]);
}

describe('the command line', () => {
  test.each(COMMANDS.map((words) => [words.join(' '), words] as const))(
    'explains `%s` with examples',
    async (_name, words) => {
      const outcome = await quoin([...words, '--help']);
      expect([outcome.code, outcome.err]).toEqual([0, '']);
      expect(outcome.out).toContain(`Usage: quoin ${words.join(' ')}`);
      expect(outcome.out).toContain('Examples:');
    },
  );

  test('lists every command and prints its version', async () => {
    const help = await quoin(['--help']);
    for (const [word = ''] of COMMANDS) expect(help.out).toContain(`\n  ${word} `);
    const version = await quoin(['--version']);
    const { version: expected } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    expect([version.code, version.out]).toEqual([0, `${expected}\n`]);
  });

  test('shows its help when called with nothing at all', async () => {
    const outcome = await quoin([]);
    expect(outcome.code).toBe(2);
    expect(outcome.err).toContain('Usage: quoin');
  });

  test.each([
    [['frobnicate']],
    [['bucket']],
    [['bucket', 'frobnicate']],
    [['frobnicate', '--help']],
    [['cluster', 'frobnicate', '--help']],
    [['get']],
    [['get', 'a', 'b']],
    [['get', 'a', '--frob']],
    [['put', 'a']],
    [['put', 'a', 'b', '--ttl', '30']],
    [['put', 'a', 'b', '--if-absent', '--if-present']],
    [['get', 'a', '--url', 'http://127.0.0.1:1']],
    [['get', 'a', '--url', 'redis://[']],
    [['bucket', 'list', '--http', 'nowhere']],
    [['bucket', 'update', 'a']],
    [['proxy']],
    [['proxy', '--nodes', 'nowhere']],
    [['proxy', '--nodes', ',']],
    [['proxy', '--nodes', '127.0.0.1:1', '--listen', 'here']],
    [['bucket', 'update', 'a', '--read-repair', 'maybe']],
    [['bucket', 'create', 'a', '--max-memory', 'much']],
    [['scan', '--limit', '0']],
    [['up', '--nodes', '0']],
    [['up', '--nodes', 'three']],
    [['up', '--preset', 'practicle']],
    [['up', '--base-port', '63000', '--nodes', '32', '--dir']],
  ])('answers %j with exit code 2 and one line', async (argv) => {
    expectFailure(await quoin(argv), 2, 'USAGE');
  });

  test('suggests what may have been meant', async () => {
    expect((await quoin(['gett', 'a'])).err).toContain('Did you mean get?');
    expect((await quoin(['up', '--preset', 'practicle'])).err).toContain('did you mean practical?');
  });

  test('refuses options of up that contradict each other', async () => {
    expectFailure(await quoin(['up', '--ephemeral', '--dir', 'kept']), 2, 'USAGE');
  });

  test('advises about a configuration file that is not there by its path', async () => {
    const outcome = await quoin(['start', '--config', '/nowhere/quoin.yaml']);
    expectFailure(outcome, 1, 'CONFIG_INVALID');
    expect(outcome.err).toContain('Check the path that --config was given');
  });

  test('reports the load generator’s failures as all others', async () => {
    const unreachable = await quoin(['bench', '--url', 'redis://127.0.0.1:1']);
    expectFailure(unreachable, 1, 'UNREACHABLE');
    expect(unreachable.err).toContain('redis://127.0.0.1:1: ');
    expectFailure(await quoin(['bench', '--clients', 'many']), 2, 'USAGE');
  });

  test('says where nobody answers', async () => {
    const outcome = await quoin(['get', 'a', '--url', 'redis://127.0.0.1:1']);
    expectFailure(outcome, 1, 'UNREACHABLE');
    expect(outcome.err).toContain('127.0.0.1:1');
    expectFailure(await quoin(['bucket', 'list', '--http', '127.0.0.1:1']), 1, 'UNREACHABLE');
  });

  test('gives up on a server that stays silent', async () => {
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const bound = silent.address();
    const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
    const url = `redis://127.0.0.1:${port}`;
    try {
      expectFailure(await quoin(['get', 'a', '--timeout', '50ms', '--url', url]), 1, 'UNREACHABLE');
      // A write may have happened.
      expectFailure(await quoin(['put', 'a', 'b', '--timeout', '50ms', '--url', url]), 1, 'OUTCOME_UNKNOWN');
    } finally {
      silent.close();
    }
  });
});

describe('a client command', () => {
  let node: FakeNode;
  let resp: RunningRespServer;
  let http: HttpServer;
  let environment: Record<string, string>;
  const call = (...argv: string[]) => quoin(argv, environment);

  beforeEach(async () => {
    node = new FakeNode();
    resp = await startRespServer({ node, address: '127.0.0.1:0' });
    http = await startHttpServer({ node, address: '127.0.0.1:0' });
    setAddresses([node], [resp.address], [http.address]);
    environment = { QUOIN_URL: `redis://${resp.address}` };
  });

  afterEach(async () => {
    await Promise.all([resp.close(), http.close()]);
  });

  test('puts, gets and deletes a key', async () => {
    expect(await call('put', 'greeting', 'hello')).toMatchObject({ code: 0, out: 'OK\n', err: '' });
    expect(await call('get', 'greeting')).toMatchObject({ code: 0, out: 'hello\n' });
    expect(await call('get', 'greeting', '--raw')).toMatchObject({ code: 0, out: 'hello' });
    expect(await call('get', 'greeting', '--json')).toMatchObject({
      code: 0,
      out: '{"key":"greeting","found":true,"value":"hello"}\n',
    });
    expect(await call('del', 'greeting', 'absent')).toMatchObject({ code: 0, out: '1\n' });
    expect(await call('del', 'greeting', '--json')).toMatchObject({ code: 0, out: '{"deleted":0}\n' });
  });

  test('fails for a key that is not there', async () => {
    expectFailure(await call('get', 'absent'), 1, 'NOT_FOUND');
    const json = await call('get', 'absent', '--json');
    expectFailure(json, 1, 'NOT_FOUND');
    expect(JSON.parse(json.out)).toEqual({ key: 'absent', found: false, value: null });
  });

  test('takes any bytes from stdin and gives them back', async () => {
    const bytes = Buffer.from([0, 255, 13, 10, 128, 0, 36]);
    expect((await quoin(['put', 'blob', '-'], environment, bytes)).code).toBe(0);
    expect((await call('get', 'blob', '--raw')).outBytes).toEqual(bytes);
    expect(JSON.parse((await call('get', 'blob', '--json')).out)).toEqual({
      key: 'blob',
      found: true,
      value: { base64: bytes.toString('base64') },
    });
  });

  test('puts a value that looks like an option', async () => {
    expect((await call('put', 'number', '--', '-5')).code).toBe(0);
    expect((await call('get', 'number')).out).toBe('-5\n');
  });

  test('puts with a time to live and on a condition', async () => {
    await call('put', 'a', '1', '--ttl', '90s');
    const expiresAtMs = node.store.keyspaces.get(0)?.get(Buffer.from('a'))?.expiresAtMs ?? 0;
    expect(expiresAtMs).toBeGreaterThan(Date.now());
    expectFailure(await call('put', 'a', '2', '--if-absent'), 1, 'CONDITION_FAILED');
    expectFailure(await call('put', 'b', '2', '--if-present'), 1, 'CONDITION_FAILED');
    expect((await call('put', 'a', '3', '--if-present', '--json')).out).toBe('{"key":"a","written":true}\n');
  });

  test('scans keys with a prefix that holds pattern characters', async () => {
    for (const key of ['a*1', 'a*2', 'ab1', '[x]', '\\y']) await call('put', key, 'v');
    const lines = async (...argv: string[]) => (await call('scan', ...argv)).out.trimEnd().split('\n').sort();
    expect(await lines('a*')).toEqual(['a*1', 'a*2']);
    expect(await lines('[x')).toEqual(['[x]']);
    expect(await lines('\\')).toEqual(['\\y']);
    expect(await lines()).toHaveLength(5);
    expect(await lines('--limit', '2')).toHaveLength(2);
    expect((JSON.parse((await call('scan', 'a*', '--json')).out) as string[]).sort()).toEqual(['a*1', 'a*2']);
    expect((await call('scan', 'none', '--json')).out).toBe('[]\n');
  });

  test('uses the bucket of --bucket or of the URL', async () => {
    await call('bucket', 'create', 'other');
    await call('put', 'a', 'in other', '--bucket', 'other');
    expectFailure(await call('get', 'a'), 1, 'NOT_FOUND');
    const url = `${environment.QUOIN_URL}/other`;
    expect((await call('get', 'a', '--url', url)).out).toBe('in other\n');
    expectFailure(await call('get', 'a', '--bucket', 'nowhere'), 1, 'UNKNOWN_BUCKET');
  });

  test('passes on the server’s errors with their codes', async () => {
    node.phase = { phase: 'starting', reason: 'reading the log' };
    expectFailure(await call('get', 'a'), 1, 'STARTING');
  });

  test('administers buckets through the HTTP address that the node tells', async () => {
    expect(await call('bucket', 'create', 'sessions', '--engine', 'memory', '--ttl', '30m')).toMatchObject({
      code: 0,
      out: 'created sessions\n',
    });
    const list = await call('bucket', 'list', '--json');
    expect((JSON.parse(list.out) as { name: string }[]).map((bucket) => bucket.name)).toEqual([
      'default',
      'sessions',
    ]);
    expect((await call('bucket', 'list')).out).toMatch(/sessions +raft +memory +- +30m +-/);
    expect((await call('bucket', 'update', 'sessions', '--ttl', '1h')).out).toBe('updated sessions\n');
    expect((await call('bucket', 'describe', 'sessions')).out).toContain('ttl: 1h');
    expect(JSON.parse((await call('bucket', 'describe', 'sessions', '--json')).out)).toMatchObject({
      ttlMs: 3_600_000,
    });
    expect((await call('bucket', 'drop', 'sessions', '--json')).out).toBe('{"dropped":"sessions"}\n');
    expectFailure(await call('bucket', 'describe', 'sessions'), 1, 'UNKNOWN_BUCKET');
  });

  test('shows bounds that do not hold as none', async () => {
    await call('bucket', 'create', 'bounded', '--engine', 'memory', '--max-memory', '1gb');
    const { out } = await call('bucket', 'describe', 'bounded');
    expect(out).toContain('maxMemory: 1gb\n');
    expect(out).toContain('maxIdle: none\n');
    expect(out).toContain('ttl: none\n');
  });

  test('administers eventual buckets and bounds, in the words that people write', async () => {
    const policy = ['--replication', 'quorum', '--engine', 'memory', '--n', '3', '--r', '1', '--w', '2'];
    const bounds = ['--max-idle', '1h', '--max-memory', '1gb', '--eviction', 'lru'];
    const switches = ['--read-repair', 'off', '--hinted-handoff', 'on'];
    const created = await call('bucket', 'create', 'e', ...policy, ...bounds, ...switches, '--json');
    expect(JSON.parse(created.out)).toMatchObject({
      ...{ n: 3, r: 1, w: 2, readRepair: false, hintedHandoff: true, antiEntropy: true },
      ...{ maxIdleMs: 3_600_000, maxMemoryBytes: 2 ** 30, eviction: 'lru' },
    });
    expect((await call('bucket', 'list')).out).toMatch(/\be +quorum +memory +3\/1\/2 +- +1h idle, 1gb lru/);
    expect((await call('bucket', 'update', 'e', '--w', '3', '--anti-entropy', 'off')).code).toBe(0);
    const described = (await call('bucket', 'describe', 'e')).out.trimEnd().split('\n');
    for (const line of ['w: 3', 'readRepair: off', 'hintedHandoff: on', 'antiEntropy: off', 'maxMemory: 1gb'])
      expect(described).toContain(line);
    expect(described.some((line) => /Ms|Bytes/.test(line))).toBe(false);
  });

  test('is told what a bucket cannot be', async () => {
    expectFailure(await call('bucket', 'create', 'default'), 1, 'BUCKET_EXISTS');
    expectFailure(await call('bucket', 'create', 'q', '--replication', 'mencius'), 1, 'NOT_SUPPORTED');
    expectFailure(await call('bucket', 'create', 'q', '--engine', 'lmbd'), 1, 'WRONG_ARGUMENTS');
    expectFailure(await call('bucket', 'update', 'default', '--engine', 'memory'), 1, 'BUCKET_UNCHANGEABLE');
    expectFailure(await call('bucket', 'update', 'default', '--n', '2'), 1, 'BUCKET_UNCHANGEABLE');
    expectFailure(await call('bucket', 'update', 'default', '--w', '2'), 1, 'WRONG_ARGUMENTS');
    expectFailure(await call('bucket', 'create', 'disk', '--max-idle', '1h'), 1, 'NOT_SUPPORTED');
    expectFailure(await call('bucket', 'drop', 'absent'), 1, 'UNKNOWN_BUCKET');
  });

  test('finds the HTTP address by itself or takes it from --http', async () => {
    expect((await call('bucket', 'list', '--http', http.address, '--url', 'redis://127.0.0.1:1')).code).toBe(
      0,
    );
  });
});

describe('the status of a cluster', () => {
  const doors: { close(): Promise<void> }[] = [];
  let cluster: FakeNode[];
  let url: string;

  beforeAll(async () => {
    cluster = createFakeCluster(3);
    const resp: string[] = [];
    const http: string[] = [];
    for (const node of cluster) {
      const respServer = await startRespServer({ node, address: '127.0.0.1:0' });
      const httpServer = await startHttpServer({ node, address: '127.0.0.1:0' });
      doors.push(respServer, httpServer);
      resp.push(respServer.address);
      http.push(httpServer.address);
    }
    // The third node's address leads nowhere.
    setAddresses(cluster, resp, [http[0] ?? '', http[1] ?? '', '127.0.0.1:1']);
    url = `redis://${resp[1]}`;
  });

  afterAll(async () => {
    await Promise.all(doors.map((door) => door.close()));
  });

  test('shows nodes, leaders and lag, and who is down', async () => {
    const outcome = await quoin(['cluster', 'status', '--url', url]);
    expect(outcome).toMatchObject({ code: 0, err: '' });
    expect(outcome.out).toMatch(/^n1 +serving +\d+ +1 +storage coordinator /m);
    expect(outcome.out).toMatch(/^n3 +down +- /m);
    expect(outcome.out).toMatch(/^1 +n1 +n1 n2 n3 +\d+ +1 /m);
  });

  test('is one JSON object for scripts', async () => {
    const outcome = await quoin(['cluster', 'status', '--url', url, '--json']);
    const status = JSON.parse(outcome.out) as { nodes: unknown[]; groups: unknown[] };
    expect(status).toMatchObject({ name: 'fake', epoch: cluster[0]?.store.epoch });
    expect(status.nodes).toMatchObject([
      { id: 'n1', up: true, leads: [1], roles: ['storage', 'coordinator'], forgot: false },
      { id: 'n2', up: true, leads: [2] },
      { id: 'n3', up: false, phase: 'down', leads: [3] },
    ]);
    expect(status.groups).toMatchObject([
      { id: 1, leader: 'n1', lag: { n2: 0, n3: 0 } },
      { id: 2, leader: 'n2', lag: { n3: 0, n1: 0 } },
      { id: 3, leader: 'n3', lag: null },
    ]);
  });
});

describe('before anything is started', () => {
  let dir: string;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'quoin-cli-'));
  });

  afterEach(() => {
    rmSync(dir, { recursive: true, force: true });
  });

  test('start names the line of a wrong key, in the file and in --set', async () => {
    const file = join(dir, 'quoin.yaml');
    writeFileSync(file, 'node:\n  id: n1\n  datadir: x\n');
    const outcome = await quoin(['start', '--config', file]);
    expectFailure(outcome, 1, 'CONFIG_INVALID');
    expect(outcome.err).toContain(`${file}:3: node.datadir: unknown key; did you mean dataDir?`);
    expectFailure(await quoin(['start', '--set', 'log.level=loud']), 1, 'CONFIG_INVALID');
    expectFailure(await quoin(['start', '--config', join(dir, 'absent.yaml')]), 1, 'CONFIG_INVALID');
  });

  test('up names the port that is in use and leaves nothing behind', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const bound = server.address();
    const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
    // The taken port is the second node's RESP, the only node's HTTP or the only node's gRPC port.
    const bases = [
      [port - 1, 2],
      [port - 1000, 1],
      [port - 2000, 1],
    ] as const;
    try {
      for (const [base, nodes] of bases.filter(([first]) => first >= 1024 && first <= 63_000)) {
        const outcome = await quoin([
          'up',
          '--dir',
          join(dir, 'data'),
          '--base-port',
          `${base}`,
          '--nodes',
          `${nodes}`,
        ]);
        expectFailure(outcome, 1, 'ADDRESS_IN_USE');
        expect(outcome.err).toContain(`127.0.0.1:${port}`);
      }
    } finally {
      server.close();
    }
    expect(() => readFileSync(join(dir, 'data', 'cluster.json'))).toThrow();
  });

  test('up refuses presets and keys that it does not know', async () => {
    const absent = await quoin(['up', '--preset', 'mencius', '--dir', dir]);
    expectFailure(absent, 1, 'NOT_SUPPORTED');
    expect(absent.err).toMatch(/ Choose one of the presets practical and memory\.\n$/);
    const beyond = [
      '--base-port',
      '63000',
      '--nodes',
      '32',
      '--coordinators',
      '32',
      '--set',
      'cluster.replicas=9',
    ];
    expectFailure(
      await quoin(['up', '--preset', 'memory', '--dir', dir, '--set', 'log.level=x']),
      1,
      'CONFIG_INVALID',
    );
    expectFailure(await quoin(['up', ...beyond, '--base-port', '63490']), 2, 'USAGE');
    expectFailure(await quoin(['up', '--set', 'log.level=loud', '--dir', dir]), 1, 'CONFIG_INVALID');
  });

  test('up refuses a directory that is not its own or was made otherwise', async () => {
    const basePort = await freeBasePort(quoinPortOffsets(4));
    const up = (...argv: string[]) => quoin(['up', '--dir', dir, '--base-port', `${basePort}`, ...argv]);
    writeFileSync(join(dir, 'thesis.txt'), 'precious');
    expectFailure(await up(), 1, 'FOREIGN_DIRECTORY');
    rmSync(join(dir, 'thesis.txt'));
    const made = { nodes: 3, basePort, preset: 'practical' };
    for (const [changes, argv, complaint] of [
      [{ nodes: 5 }, [], '--nodes 5, not 3'],
      [{ preset: 'memory' }, [], '--preset memory, not practical'],
      [{ coordinators: 2 }, [], '--coordinators 2, not 0'],
      [{}, ['--coordinators', '1'], '--coordinators 0, not 1'],
    ] as const) {
      writeFileSync(join(dir, 'cluster.json'), JSON.stringify({ ...made, ...changes }));
      const outcome = await up(...argv);
      expectFailure(outcome, 1, 'WRONG_CLUSTER');
      expect(outcome.err).toContain(complaint);
    }
    writeFileSync(join(dir, 'cluster.json'), '{"nod');
    expectFailure(await up(), 1, 'FOREIGN_DIRECTORY');
    rmSync(dir, { recursive: true });
    writeFileSync(dir, 'a file');
    expectFailure(await up(), 1, 'DISK_FAILED');
    expectFailure(await up('--dir', '/proc/quoin/data'), 1, 'DISK_FAILED');
  });
});
