/** Options of the embedding API: checked before anything is started, by the rules of the configuration file. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startCluster } from '../../src/embed/cluster.js';
import { readLayout, writeLayout } from '../../src/embed/cluster-layout.js';
import { addressesFrom, freeAddresses } from '../../src/embed/ports.js';
import { configurationOf, type StartNodeOptions, startNode } from '../../src/embed/start.js';
import { workerLogger } from '../../src/embed/worker-logger.js';
import { parseConfiguration } from '../../src/server/configuration/index.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'quoin-options-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe('options of a node', () => {
  test('mean what they mean in the configuration file', () => {
    const options: StartNodeOptions = {
      node: { id: 'n7', dataDir: '/data', zone: 'a' },
      listen: { resp: '127.0.0.1:1', http: '127.0.0.1:2', grpc: '127.0.0.1:3' },
      cluster: { name: 'test', join: ['127.0.0.1:3', '127.0.0.1:4'], electionTimeout: '2s' },
      storage: { checkpointInterval: '30s' },
      buckets: [{ name: 'sessions', engine: 'memory', ttl: '30m' }],
      limits: { maxValueBytes: '1mb' },
    };
    expect(configurationOf(options, 'test')).toEqual(parseConfiguration(JSON.stringify(options), 'test'));
  });

  test('left out are those of a file without keys', () => {
    expect(configurationOf({}, 'test')).toEqual(parseConfiguration('', 'test'));
    expect(configurationOf({ listen: undefined as never }, 'test')).toEqual(parseConfiguration('', 'test'));
  });

  test.each<readonly [string, unknown, string]>([
    ['an unknown key', { nodes: {} }, 'startNode: nodes: unknown key; did you mean node?'],
    ['a bad name', { node: { id: '' } }, 'startNode: node.id: must be a node name'],
    ['a bad address', { listen: { resp: 'here' } }, 'listen.resp: must be an address host:port'],
    [
      'keys that do not agree',
      { cluster: { heartbeatInterval: '900ms' } },
      'cluster.heartbeatInterval: must be at most a third',
    ],
    [
      'a duration without its unit',
      { cluster: { electionTimeout: 1000 } },
      'cluster.electionTimeout: must be a duration with its unit',
    ],
    [
      'what this version does not have',
      { buckets: [{ name: 'b', replication: 'mencius' }] },
      'this version does not have mencius replication',
    ],
    ['what no file can hold', { node: { weight: 1n } }, 'the options are no plain data'],
  ])('with %s are refused, and told the rule', async (_what, options, complaint) => {
    await expect(startNode(options as StartNodeOptions)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining(complaint),
    });
  });
});

describe('options of a cluster', () => {
  test.each<readonly [object, string]>([
    [{ nodes: 0 }, 'nodes must be a whole number'],
    [{ nodes: 1.5 }, 'nodes must be a whole number'],
    [{ basePort: 65_000 }, 'basePort must be a whole number'],
    [{ buckets: [{ name: '!' }] }, 'buckets[0].name'],
  ])('%j are refused before anything is made', async (options, complaint) => {
    await expect(startCluster({ dir: join(directory, 'new'), ...options })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining(complaint),
    });
    expect(await readLayout(join(directory, 'new'))).toBeUndefined();
  });

  test('that contradict what the directory holds are refused', async () => {
    const layout = { name: 'embedded-test', nodes: addressesFrom(12_000, 2) };
    await writeLayout(directory, layout);
    expect(await readLayout(directory)).toEqual(layout);
    // A node that knows its cluster makes the layout final.
    await writeLayout(join(directory, 'n1'), layout);
    writeFileSync(join(directory, 'n1', 'cluster.json'), '{}');
    await expect(startCluster({ dir: directory, nodes: 3 })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('holds a cluster of 2 nodes, not 3'),
    });
    await expect(startCluster({ dir: directory, basePort: 13_000 })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('was made at 127.0.0.1:12000'),
    });
  });

  test.each(['', 'no JSON', '{}', '{"format":1,"name":"x","nodes":[{"resp":"a"}]}', '{"format":2}', 'null'])(
    'do not overwrite a layout that is none: %j',
    async (text) => {
      writeFileSync(join(directory, 'cluster-layout.json'), text);
      await expect(startCluster({ dir: directory })).rejects.toMatchObject({ code: 'FOREIGN_DIRECTORY' });
    },
  );
});

describe('ports', () => {
  test('that were found free differ, and can be listened on', async () => {
    const addresses = (await freeAddresses(4)).flatMap(({ resp, http, grpc }) => [resp, http, grpc]);
    expect(new Set(addresses).size).toBe(12);
    for (const address of addresses.slice(0, 3)) {
      const server = createServer();
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(Number(address.split(':')[1]), '127.0.0.1', resolve);
      });
      await new Promise((resolve) => server.close(resolve));
    }
  });

  test('from a base are those of the command line', () => {
    expect(addressesFrom(7001, 2)).toEqual([
      { resp: '127.0.0.1:7001', http: '127.0.0.1:8001', grpc: '127.0.0.1:9001' },
      { resp: '127.0.0.1:7002', http: '127.0.0.1:8002', grpc: '127.0.0.1:9002' },
    ]);
  });
});

describe('log lines that cross between threads', () => {
  test('are those of the level and above, in a form that can be cloned', () => {
    const lines: unknown[] = [];
    const logger = workerLogger('info', (...line) => lines.push(structuredClone(line)));
    logger.debug({}, 'not heard');
    logger.info(
      { count: 1, error: new Error('broken'), nested: { a: [1] }, run: () => 1, none: null },
      'heard',
    );
    expect(lines).toEqual([
      ['info', { count: 1, error: 'broken', nested: '{"a":[1]}', run: 'function', none: null }, 'heard'],
    ]);
  });

  test('are none when nobody listens', () => {
    const lines: unknown[] = [];
    workerLogger('silent', (...line) => lines.push(line)).error({}, 'unheard');
    expect(lines).toEqual([]);
  });
});
