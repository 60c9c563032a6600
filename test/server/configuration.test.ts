import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { QuoinError } from '../../src/base/errors.js';
import {
  defaultConfiguration,
  formatDuration,
  formatSize,
  nearest,
  parseAddress,
  parseBucket,
  parseBucketChanges,
  parseConfiguration,
  parseDurationMs,
  parseSizeBytes,
} from '../../src/server/configuration/index.js';
import { configurationSchema } from '../../src/server/configuration/schema.js';
import { FIRST_BUCKETS } from '../../src/server/configuration/types.js';

function failure(action: () => unknown): QuoinError {
  try {
    action();
  } catch (error) {
    if (error instanceof QuoinError) return error;
    throw error;
  }
  throw new Error('expected a QuoinError');
}

/** The message of the CONFIG_INVALID that a text is refused with. */
function complaint(text: string, overrides: readonly string[] = []): string {
  const error = failure(() => parseConfiguration(text, 'quoin.yaml', overrides));
  expect(error.code).toBe('CONFIG_INVALID');
  expect(error.message).not.toContain('\n');
  return error.message;
}

const FULL = `node:    { id: n1, dataDir: /var/lib/quoin, roles: [storage, coordinator], zone: a, weight: 1 }
listen:  { resp: 0.0.0.0:7001, http: 0.0.0.0:8001, grpc: 0.0.0.0:9001 }
advertise: 10.0.0.1
cluster: { name: quoin, topology: managed, join: [10.0.0.1:9001, 10.0.0.2:9001], replicas: 3, placement: balanced }
storage: { sync: always, checkpointInterval: 5s }
buckets:
  - { name: default, replication: raft, engine: lmdb }
  - { name: ledger, replication: raft, engine: memory, ttl: 30m }
  - { name: sessions, replication: quorum, engine: memory, n: 2, r: 1, w: 2, ttl: 30m, maxIdle: 1h, maxMemory: 1gb, eviction: lru, readRepair: off, hintedHandoff: true, antiEntropy: false }
quorum:
  { timeout: 1s, maxClockDrift: 3s, readRepairChance: 0.5, tombstoneGrace: 2h, maxHintAge: 1h, maxHintBytes: 1gb, hintRate: 1mb, repairInterval: 5s, repairRate: 2mb }
security: {}
limits:  { maxKeyBytes: 64kb, maxValueBytes: 128mb, maxConnections: 10000 }
log:     { level: info, format: json }
`;

describe('a configuration', () => {
  test('holds every key of the documented file', () => {
    expect(parseConfiguration(FULL, 'quoin.yaml')).toEqual({
      node: {
        id: 'n1',
        dataDir: '/var/lib/quoin',
        roles: ['storage', 'coordinator'],
        zone: 'a',
        weight: 1,
      },
      listen: { resp: '0.0.0.0:7001', http: '0.0.0.0:8001', grpc: '0.0.0.0:9001' },
      advertise: '10.0.0.1',
      cluster: {
        name: 'quoin',
        topology: 'managed',
        join: ['10.0.0.1:9001', '10.0.0.2:9001'],
        replicas: 3,
        placement: 'balanced',
        leaseReads: false,
        electionTimeoutMs: 1000,
        heartbeatIntervalMs: 100,
      },
      storage: { sync: 'always', checkpointIntervalMs: 5000, syncStrategy: 'auto' },
      buckets: [
        ...FIRST_BUCKETS,
        { name: 'ledger', replication: 'raft', engine: 'memory', ttlMs: 1_800_000 },
        {
          name: 'sessions',
          replication: 'quorum',
          engine: 'memory',
          ttlMs: 1_800_000,
          retention: { maxIdleMs: 3_600_000, maxMemoryBytes: 2 ** 30, eviction: 'lru' },
          quorum: { n: 2, r: 1, w: 2, readRepair: false, hintedHandoff: true, antiEntropy: false },
        },
      ],
      quorum: {
        timeoutMs: 1000,
        maxClockDriftMs: 3000,
        readRepairChance: 0.5,
        tombstoneGraceMs: 7_200_000,
        maxHintAgeMs: 3_600_000,
        maxHintBytes: 2 ** 30,
        hintBytesPerSecond: 2 ** 20,
        repairIntervalMs: 5000,
        repairBytesPerSecond: 2 ** 21,
      },
      limits: { maxKeyBytes: 65536, maxValueBytes: 134217728, maxConnections: 10000 },
      log: { level: 'info', format: 'json' },
    });
  });

  test('that is empty is the default configuration', () => {
    expect(parseConfiguration('', 'quoin.yaml')).toEqual(defaultConfiguration());
    expect(parseConfiguration('# nothing\n', 'quoin.yaml')).toEqual(defaultConfiguration());
  });

  test('has a bucket of each replication, whatever else the file lists', () => {
    const { buckets } = parseConfiguration('buckets: [{ name: other, engine: memory }]', 'quoin.yaml');
    expect(buckets.map((bucket) => [bucket.name, bucket.replication])).toEqual([
      ['default', 'raft'],
      ['raft', 'raft'],
      ['quorum', 'quorum'],
      ['other', 'raft'],
    ]);
  });

  test('may describe these buckets otherwise; default stays the first', () => {
    const text =
      'buckets: [{ name: quorum, replication: quorum, n: 1 }, { name: default, replication: quorum }]';
    const { buckets } = parseConfiguration(text, 'quoin.yaml');
    expect(buckets.map((bucket) => [bucket.name, bucket.replication, bucket.quorum?.n])).toEqual([
      ['default', 'quorum', undefined],
      ['raft', 'raft', undefined],
      ['quorum', 'quorum', 1],
    ]);
  });

  test.each(['storage', 'coordinator'])('of one among several nodes may have the role %s alone', (role) => {
    const join = '127.0.0.1:9001,127.0.0.1:9002';
    const { node } = parseConfiguration('', 'f', [`node.roles=[${role}, ${role}]`, `cluster.join=${join}`]);
    expect(node.roles).toEqual([role]);
  });

  test('advertises the host it listens on unless that is every interface', () => {
    expect(parseConfiguration('listen: { grpc: "10.1.1.1:9001" }', 'f').advertise).toBe('10.1.1.1');
    expect(parseConfiguration('listen: { grpc: "0.0.0.0:9001" }', 'f').advertise).toBe('127.0.0.1');
    expect(parseConfiguration('listen: { grpc: "[::]:9001" }', 'f').advertise).toBe('127.0.0.1');
  });
});

describe('--set', () => {
  test('changes keys of the file, the last one winning', () => {
    const configuration = parseConfiguration(FULL, 'quoin.yaml', [
      'cluster.replicas=5',
      'cluster.replicas=2',
      'storage.checkpointInterval=250ms',
      'buckets[1].ttl=1h',
      'log.level=debug',
    ]);
    expect(configuration.cluster.replicas).toBe(2);
    expect(configuration.storage.checkpointIntervalMs).toBe(250);
    expect(configuration.buckets.find(({ name }) => name === 'ledger')?.ttlMs).toBe(3_600_000);
    expect(configuration.log.level).toBe('debug');
    expect(configuration.log.format).toBe('json');
  });

  test('takes lists with commas and lists in YAML', () => {
    const both = [
      'cluster.join=127.0.0.1:9001,127.0.0.1:9002',
      'cluster.join=[127.0.0.1:9001, 127.0.0.1:9002]',
    ];
    for (const assignment of both)
      expect(parseConfiguration('', 'f', [assignment]).cluster.join).toEqual([
        '127.0.0.1:9001',
        '127.0.0.1:9002',
      ]);
  });

  test('is named as the place of what is wrong in it', () => {
    expect(complaint(FULL, ['cluster.replicas=none'])).toBe(
      '--set: cluster.replicas: must be a whole number from 1 to 16',
    );
    expect(complaint('', ['cluster.replikas=3'])).toBe(
      '--set: cluster.replikas: unknown key; did you mean replicas?',
    );
    expect(complaint('', ['nothing'])).toContain('--set nothing: must be key=value');
    expect(complaint('', ['__proto__.x=1'])).toContain('must be key=value');
    expect(complaint('', ['buckets[3].name=a'])).toContain('leaves a gap');
    expect(complaint('', ['cluster=[a'])).toContain('the value is no YAML');
  });
});

describe('a configuration error', () => {
  test('names file, line, key and the likely key when a key is unknown', () => {
    expect(complaint('node:\n  id: n1\n  datadir: /x\n')).toBe(
      'quoin.yaml:3: node.datadir: unknown key; did you mean dataDir?',
    );
    expect(complaint('cluster:\n  electionTimout: 1s\n')).toBe(
      'quoin.yaml:2: cluster.electionTimout: unknown key; did you mean electionTimeout?',
    );
    expect(complaint('\n\nclutser: {}\n')).toBe('quoin.yaml:3: clutser: unknown key; did you mean cluster?');
  });

  test('lists the known keys when none is near', () => {
    expect(complaint('log:\n  zzzzzz: 1\n')).toBe(
      'quoin.yaml:2: log.zzzzzz: unknown key; known are level, format',
    );
  });

  test('names the rule that a value breaks', () => {
    expect(complaint('node:\n  id: "a b"\n')).toContain('quoin.yaml:2: node.id: must be a node name');
    expect(complaint('storage:\n  checkpointInterval: 10\n')).toBe(
      'quoin.yaml:2: storage.checkpointInterval: must be a duration with its unit, such as 500ms, 10s or 30m',
    );
    expect(complaint('storage:\n  checkpointInterval: 1ms\n')).toBe(
      'quoin.yaml:2: storage.checkpointInterval: must lie between 100ms and 1d',
    );
    expect(complaint('storage: { checkpointInterval: [1] }')).toContain(
      'checkpointInterval: must be a single value',
    );
    expect(complaint('limits:\n  maxKeyBytes: 1mb\n')).toBe(
      'quoin.yaml:2: limits.maxKeyBytes: must lie between 1b and 64kb',
    );
    expect(complaint('listen:\n  resp: 7001\n')).toContain(
      'quoin.yaml:2: listen.resp: must be an address host:port',
    );
    expect(complaint('listen:\n  resp: localhost:70000\n')).toContain(
      'listen.resp: must be an address host:port',
    );
    expect(complaint('advertise: 10.0.0.1:9001\n')).toContain('advertise: must be a host name or address');
    expect(complaint('log:\n  level: loud\n')).toBe(
      'quoin.yaml:2: log.level: must be one of trace, debug, info, warn, error, silent',
    );
    expect(complaint('cluster: 3\n')).toContain(
      'quoin.yaml:1: cluster: must be a group of keys: name, topology',
    );
    expect(complaint('- a\n')).toContain('must be a group of keys: node, listen');
    expect(complaint('buckets:\n  - { name: a }\n  - { engine: memory }\n')).toContain(
      'quoin.yaml:3: buckets[1].name: is missing; it must be a bucket name',
    );
  });

  test('names the line of broken YAML and of a key that stands there twice', () => {
    expect(complaint('node:\n  id: [n1\n')).toMatch(/^quoin\.yaml:\d: /);
    expect(complaint('node:\n  id: n1\n  id: n2\n')).toBe('quoin.yaml:3: Map keys must be unique');
  });

  test('tells of all that is wrong at once', () => {
    const message = complaint('log:\n  level: loud\nlisten:\n  http: nowhere\n');
    expect(message).toContain('quoin.yaml:2: log.level');
    expect(message).toContain('quoin.yaml:4: listen.http');
  });

  test('names both keys of a broken relation', () => {
    expect(complaint('cluster:\n  heartbeatInterval: 500ms\n')).toBe(
      'quoin.yaml:2: cluster.heartbeatInterval: must be at most a third of cluster.electionTimeout (1s)',
    );
    expect(complaint('cluster:\n  join: [10.0.0.1:9001]\n')).toContain(
      'quoin.yaml:2: cluster.join: must list all first nodes, this one (127.0.0.1:9001) included; set advertise',
    );
    expect(complaint('cluster:\n  join: ["127.0.0.1:9001", "127.0.0.1:9001"]\n')).toContain(
      'stands there twice',
    );
    expect(complaint('listen:\n  http: 127.0.0.1:7001\n')).toBe(
      'quoin.yaml:2: listen.http: is the address of listen.resp too; give each its own',
    );
    expect(complaint('buckets:\n  - name: a\n  - name: a\n')).toBe(
      'quoin.yaml:3: buckets[1].name: a bucket a stands there twice',
    );
  });

  test.each([
    ['cluster: { topology: static }', 'cluster.topology'],
    ['cluster: { topology: chord }', 'cluster.topology'],
    ['cluster: { placement: ring }', 'cluster.placement'],
    ['node: { roles: [log] }', 'node.roles'],
    ['storage: { mirrorDir: /mnt/b }', 'storage.mirrorDir'],
    ['storage: { scrubInterval: 24h }', 'storage.scrubInterval'],
    ['security: { tls: { cert: a, key: b, ca: c } }', 'security.tls'],
    ['security: { users: [ { name: alice } ] }', 'security.users'],
    ['buckets: [ { name: a, replication: mencius } ]', 'buckets[0].replication'],
    ['buckets: [ { name: a, replication: primary } ]', 'buckets[0].replication'],
    ['buckets: [ { name: a, engine: level } ]', 'buckets[0].engine'],
    ['buckets: [ { name: a, acks: all } ]', 'buckets[0].acks'],
  ])('refuses %s, which this version cannot do', (text, key) => {
    expect(complaint(text)).toContain(`quoin.yaml:1: ${key}: `);
  });

  test.each([
    ['a: 1', 'a: unknown key'],
    ['n: 2', 'n: belongs to buckets of quorum replication; the copies of all others are cluster.replicas'],
    ['w: 1', "w: belongs to buckets of quorum replication; 'a' is one of raft"],
    ['readRepair: on', 'readRepair: belongs to buckets of quorum replication'],
    ['replication: quorum, n: 2', 'n: must be a whole number from 1 to 1'],
    ['replication: quorum, r: 2', 'r: must be a whole number from 1 to 1, which is n'],
    ['replication: quorum, antiEntropy: maybe', 'antiEntropy: must be true or false'],
    ['maxIdle: 1h', 'maxIdle: needs the engine memory'],
    ['maxMemory: 1gb', 'maxMemory: needs the engine memory'],
    ['engine: memory, eviction: lru', 'eviction: lru needs maxMemory'],
    ['engine: memory, maxMemory: 1gb, eviction: none', 'eviction: must be one of noeviction, lru, lfu'],
  ])('refuses a bucket with %s', (keys, message) => {
    expect(complaint(`buckets:\n  - { name: a, ${keys} }`)).toContain(`quoin.yaml:2: buckets[0].${message}`);
  });

  test.each([
    ['quorum: { maxHintAge: 2h }', 'quorum.maxHintAge: must be at most quorum.tombstoneGrace (1h)'],
    ['quorum: { readRepairChance: 1.5 }', 'quorum.readRepairChance: must be a number from 0 to 1'],
    ['quorum: { hintRate: 1b }', 'quorum.hintRate: must lie between 1kb and 1024gb'],
    ['node: { roles: [] }', 'node.roles: must not be empty'],
    ['node: { roles: [coordinator] }', 'node.roles: a node on its own needs the role storage'],
    ['node: { roles: [storage] }', 'node.roles: a node on its own needs the role coordinator'],
  ])('names the rule that %s breaks', (text, message) => {
    expect(complaint(text)).toContain(`quoin.yaml:1: ${message}`);
  });

  test('of a key that this version lacks still checks its value first', () => {
    expect(complaint('storage: { scrubInterval: soon }')).toContain('must be a duration');
    expect(complaint('security: { tls: { crt: a } }')).toContain('unknown key; did you mean cert?');
  });

  test('is the only thing that any text is refused with', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 80 }), fc.string({ maxLength: 30 }), (text, assignment) => {
        try {
          parseConfiguration(text, 'f', assignment === '' ? [] : [assignment]);
        } catch (error) {
          expect(error).toBeInstanceOf(QuoinError);
        }
      }),
      { numRuns: 300, seed: 7 },
    );
  });
});

describe('a bucket from outside', () => {
  test('gets its defaults', () => {
    expect(parseBucket({ name: 'a' })).toEqual({ name: 'a', replication: 'raft', engine: 'lmdb', ttlMs: 0 });
  });

  test('is refused with the code that fits', () => {
    expect(failure(() => parseBucket({ name: 'a', tll: '3s' })).message).toBe(
      'tll: unknown key; did you mean ttl?',
    );
    expect(failure(() => parseBucket(null)).code).toBe('WRONG_ARGUMENTS');
    expect(failure(() => parseBucket({ name: 'a', replication: 'mencius' })).code).toBe('NOT_SUPPORTED');
  });

  test('carries what belongs to quorums alone, so that whoever decides can refuse it by name', () => {
    expect(parseBucket({ name: 'a', w: 1 })).toMatchObject({ replication: 'raft', quorum: { w: 1 } });
  });
});

describe('changes of a bucket', () => {
  test('hold what was given and nothing else', () => {
    const given = {
      ttl: '1h',
      maxIdle: '2s',
      maxMemory: '1kb',
      eviction: 'lfu',
      r: 1,
      w: 2,
      readRepair: 'off',
    };
    const rest = { hintedHandoff: true, antiEntropy: 'on' };
    expect(parseBucketChanges({ ...given, ...rest })).toEqual({
      ttlMs: 3_600_000,
      maxIdleMs: 2000,
      maxMemoryBytes: 1024,
      eviction: 'lfu',
      r: 1,
      w: 2,
      readRepair: false,
      hintedHandoff: true,
      antiEntropy: true,
    });
    expect(parseBucketChanges({ w: 3 })).toEqual({ w: 3 });
  });

  test.each([
    [{ name: 'b' }, 'BUCKET_UNCHANGEABLE'],
    [{ replication: 'raft' }, 'BUCKET_UNCHANGEABLE'],
    [{ ttl: '1h', engine: 'memory' }, 'BUCKET_UNCHANGEABLE'],
    [{ n: 1 }, 'BUCKET_UNCHANGEABLE'],
    [{ acks: 1 }, 'NOT_SUPPORTED'],
    [{}, 'WRONG_ARGUMENTS'],
    [[], 'WRONG_ARGUMENTS'],
    [null, 'WRONG_ARGUMENTS'],
    [{ ttl: 5 }, 'WRONG_ARGUMENTS'],
    [{ colour: 'red' }, 'WRONG_ARGUMENTS'],
    [{ readRepair: 'perhaps' }, 'WRONG_ARGUMENTS'],
  ])('%j are refused with %s', (value, code) => {
    expect(failure(() => parseBucketChanges(value)).code).toBe(code);
  });
});

describe('units and addresses', () => {
  test('are read as written', () => {
    expect(['500ms', '10s', '1.5s', '30m', '24h', '7d', '0'].map(parseDurationMs)).toEqual([
      500, 10_000, 1500, 1_800_000, 86_400_000, 604_800_000, 0,
    ]);
    expect(['10', '-1s', '1.5ms', 's', '10 parsecs', '', '1e3s'].map(parseDurationMs)).toEqual(
      Array.from({ length: 7 }, () => undefined),
    );
    expect(['100', '100b', '64kb', '64KiB', '128mb', '1gb'].map(parseSizeBytes)).toEqual([
      100, 100, 65536, 65536, 134217728, 1073741824,
    ]);
    expect(parseSizeBytes('1.5b')).toBeUndefined();
    expect(parseSizeBytes('1constructor')).toBeUndefined();
  });

  test('are written so that they read back equal', () => {
    fc.assert(
      fc.property(fc.nat(1e12), (value) => {
        expect(parseDurationMs(formatDuration(value))).toBe(value);
        expect(parseSizeBytes(formatSize(value))).toBe(value);
      }),
    );
  });

  test('of IPv6 stand in brackets', () => {
    expect(parseAddress('[::1]:7001')).toEqual({ host: '::1', port: 7001 });
    expect(parseAddress('localhost:0')).toEqual({ host: 'localhost', port: 0 });
    for (const bad of ['::1:7001', ':7001', 'a:', 'a:99999', 'a b:1', '[a]:1', 'http://a:1'])
      expect(parseAddress(bad)).toBeUndefined();
  });

  test('are guessed at only when near', () => {
    expect(nearest('Replica', ['replicas', 'placement'])).toBe('replicas');
    expect(nearest('completely', ['replicas', 'placement'])).toBeUndefined();
  });
});

describe('the documentation', () => {
  /** Every key of the schema as the page writes it. */
  function keysOf(value: unknown, prefix: string): string[] {
    if (typeof value !== 'object' || value === null) return [prefix];
    const { properties, items } = value as { properties?: Record<string, unknown>; items?: unknown };
    if (items !== undefined && prefix === 'buckets') return keysOf(items, 'buckets[]');
    if (properties === undefined || prefix === 'security.tls') return [prefix];
    return Object.entries(properties).flatMap(([key, child]) =>
      keysOf(child, prefix === '' ? key : `${prefix}.${key}`),
    );
  }

  test('has a line for every key', () => {
    const page = readFileSync('docs/configuration.md', 'utf8');
    const known = keysOf(z.toJSONSchema(configurationSchema, { io: 'input', unrepresentable: 'any' }), '');
    expect(known.length).toBeGreaterThan(30);
    const documented = page
      .split('\n')
      .filter((line) => line.startsWith('| `'))
      .flatMap((line) =>
        [...(line.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? ''),
      )
      .map((key) =>
        /^(n|r|w|maxMemory|eviction|hintedHandoff|antiEntropy)$/.test(key) ? `buckets[].${key}` : key,
      );
    expect(new Set(documented)).toEqual(new Set([...known, 'buckets']));
  });

  test('shows a file that is valid', () => {
    const page = readFileSync('docs/configuration.md', 'utf8');
    const example = /```yaml\n(.*?)```/s.exec(page)?.[1] ?? '';
    expect(parseConfiguration(example, 'docs').cluster.join).toHaveLength(3);
  });
});
