/** The measures of repair, as far as they need no cluster: what nodes tell, what counts as stale, and the tables. */
import { type AddressInfo, createServer, type Server } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { parseCompareOptions } from '../../bench/compare/options.js';
import { type CompareResults, renderResults } from '../../bench/compare/results.js';
import { renderMarkdownTable, renderTextTable } from '../../bench/compare/table.js';
import { addCounters, areEqual, countersIn, metricOf } from '../../bench/repair/figures.js';
import { KEY_AND_VALUE_BYTES, KeyClient, keyOf, valueOfKey } from '../../bench/repair/key-client.js';
import { REPAIR_MODES, type RepairFigures } from '../../bench/repair/repair.js';

const METRICS = `# HELP quoin_read_repairs_total Stale replicas mended after a read
# TYPE quoin_read_repairs_total counter
quoin_read_repairs_total{node="n1"} 7
quoin_hints_replayed_total{node="n1"} 40
quoin_repair_keys_total{node="n1"} 3
quoin_repair_bytes_total{node="n1"} 1.5e3
quoin_peer_sent_bytes_total{node="n1"} 9000
quoin_up 1
quoin_member_reachable{member="n2",node="n1"} 1
quoin_member_reachable{member="n3",node="n1"} 1
`;

describe('what nodes tell', () => {
  test('a metric is found by its whole name, with labels or without, and summed over them', () => {
    expect(metricOf(METRICS, 'quoin_read_repairs_total')).toBe(7);
    expect(metricOf(METRICS, 'quoin_repair_bytes_total')).toBe(1500);
    expect(metricOf(METRICS, 'quoin_up')).toBe(1);
    expect(metricOf(METRICS, 'quoin_member_reachable')).toBe(2);
    expect(() => metricOf(METRICS, 'quoin_repair')).toThrow('quoin_repair');
  });

  test('counters are read, added and taken from each other one by one', () => {
    const counters = countersIn(METRICS);
    expect(counters).toEqual({
      readRepairs: 7,
      hintsReplayed: 40,
      antiEntropyKeys: 3,
      antiEntropyBytes: 1500,
      peerBytes: 9000,
    });
    expect(addCounters(addCounters(counters, counters), counters, -1)).toEqual(counters);
  });

  test('replicas are equal when all show the same digest of every group, in whatever order', () => {
    const one = {
      groups: [
        { id: 0, eventualDigest: 'aa' },
        { id: 1, eventualDigest: '01' },
        { id: 2, eventualDigest: '02' },
      ],
    };
    const same = { groups: [one.groups[2]!, one.groups[1]!, { id: 0, eventualDigest: 'bb' }] };
    const other = {
      groups: [
        { id: 1, eventualDigest: '01' },
        { id: 2, eventualDigest: '03' },
      ],
    };
    expect(areEqual([one, same, one])).toBe(true);
    expect(areEqual([one, same, other])).toBe(false);
    expect(areEqual([one, { groups: [one.groups[1]!, { id: 2 }] }])).toBe(false);
  });

  test('replicas that show no digest yet are not called equal', () => {
    expect(areEqual([{ groups: [] }, { groups: [] }])).toBe(false);
  });
});

describe('numbered keys', () => {
  const servers: Server[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
  });

  /** A server that holds values by key, and answers an error where `fails` says so. */
  async function listen(
    held: Map<string, string>,
    fails: (words: readonly string[]) => boolean,
  ): Promise<string> {
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
          const [command, key = '', value = ''] = words;
          const found = held.get(key);
          if (fails(words)) socket.write('-UNREACHABLE too few replicas\r\n');
          else if (command !== 'GET') {
            if (command === 'SET') held.set(key, value);
            socket.write('+OK\r\n');
          } else socket.write(found === undefined ? '$-1\r\n' : `$${found.length}\r\n${found}\r\n`);
        }
      });
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  test('all are written, and those that show another generation or none are counted as stale', async () => {
    const held = new Map<string, string>();
    const client = await KeyClient.connect(await listen(held, () => false), { w: 2 });
    try {
      await client.write({ from: 0, to: 1000 }, 1);
      expect(held.size).toBe(1000);
      await client.write({ from: 100, to: 700 }, 2);
      held.delete(keyOf(650).toString());
      expect(await client.countStale({ from: 0, to: 1000 }, 1)).toBe(600);
      expect(await client.countStale({ from: 100, to: 700 }, 2)).toBe(1);
      expect(await client.countStale({ from: 5, to: 5 }, 1)).toBe(0);
    } finally {
      client.close();
    }
  });

  test('differ in value between keys and generations, and not in size', () => {
    const values = [
      valueOfKey(1, 1),
      valueOfKey(1, 2),
      valueOfKey(2, 1),
      valueOfKey(11, 1),
      valueOfKey(1, 11),
    ];
    expect(new Set(values.map(String)).size).toBe(values.length);
    for (const value of values) expect(keyOf(1).length + value.length).toBe(KEY_AND_VALUE_BYTES);
  });

  test('a request that is answered with an error ends the measurement', async () => {
    const address = await listen(
      new Map(),
      ([command, key]) => command === 'GET' && key === keyOf(3).toString(),
    );
    const client = await KeyClient.connect(address);
    try {
      await client.probe();
      await expect(client.countStale({ from: 0, to: 10 }, 1)).rejects.toThrow('too few replicas');
    } finally {
      client.close();
    }
  });

  test('a server that knows no choice of replicas is refused', async () => {
    const address = await listen(new Map(), ([command]) => command === 'CLIENT');
    await expect(KeyClient.connect(address, { r: 1 })).rejects.toThrow('too few replicas');
  });
});

describe('tables of repair', () => {
  const base: RepairFigures = {
    mode: 'nothing',
    staleAtOnce: 1,
    staleAfterTwo: 0.034,
    staleAfterThree: 0,
    convergedMs: null,
    limitMs: 30_000,
    differingBytes: 1_600_000,
    bytesPerRecord: 100,
    counters: { readRepairs: 0, hintsReplayed: 0, antiEntropyKeys: 0, antiEntropyBytes: 0, peerBytes: 0 },
  };
  const results: CompareResults = {
    machine: 'a machine',
    command: 'npm run bench -- --only repair',
    rounds: 2,
    systems: [],
    throughput: {},
    failover: {},
    missing: [],
  };

  test('show stale shares, the time to equal replicas, and bytes moved of all three kinds', () => {
    const counters = {
      readRepairs: 2000,
      hintsReplayed: 10_000,
      antiEntropyKeys: 5,
      antiEntropyBytes: 400_000,
      peerBytes: 3_000_000,
    };
    const repair = [base, { ...base, mode: 'all three', convergedMs: 812.4, counters }];
    const text = renderResults({ ...results, repair }, 'markdown');
    expect(text).toContain('1.60 MB');
    expect(text).toContain('| nothing | 100 % | 3.4 % | 0 % |');
    expect(text).toContain(
      '| repaired by | ms | moved for it (to what differs) | hints | read repairs | records in comparisons | all between nodes |',
    );
    expect(text).toContain('| nothing | never within 30 s | 0.00 MB (0.00) | 0 | 0 | 0 | 0.00 MB |');
    expect(text).toContain('| all three | 812 | 1.60 MB (1.00) | 10000 | 2000 | 5 | 3.00 MB |');
  });

  test('show what repair costs as the ratio of the medians', () => {
    const samples = (...rates: number[]) =>
      rates.map((ratePerSecond) => ({ ratePerSecond, p50Ms: 1, p99Ms: 2 }));
    const text = renderResults(
      {
        ...results,
        repairCost: {
          off: { set: samples(40_000, 60_000), get: samples(100_000, 100_000) },
          on: { set: samples(45_000, 45_000), get: samples(80_000, 100_000) },
        },
      },
      'markdown',
    );
    expect(text).toContain('median of 2 rounds');
    expect(text).toContain('| SET, 256 clients | 50.0 k | 45.0 k | 0.90 |');
    expect(text).toContain('| GET, 256 clients | 100 k | 90.0 k | 0.90 |');
  });

  test('show latencies beside a slow replica with the reads that did not wait for it', () => {
    const run = { r: 2, p50Ms: 1, p99Ms: 12.34, maxMs: 51, reads: 10_000, speculative: 17 };
    const text = renderResults(
      {
        ...results,
        slowReplica: [
          { ...run, slowed: false },
          { ...run, slowed: true, r: 3 },
        ],
      },
      'text',
    );
    expect(text).toMatch(/r = 2, none slowed +1\.0 +12\.3 +51\.0 +17 of 10000/);
    expect(text).toMatch(/r = 3, one replica slowed +1\.0/);
  });

  test('are refused when a row does not fit the head', () => {
    const table = {
      title: 'a table',
      rows: [
        ['', 'one'],
        ['row', '1', '2'],
      ],
    };
    expect(() => renderTextTable(table)).toThrow("'a table': a row has 3 cells");
    expect(() => renderMarkdownTable(table)).toThrow("'a table': a row has 3 cells");
  });

  test('are absent when nothing was measured', () => {
    const text = renderResults({ ...results, repair: [] }, 'text');
    expect(text).not.toContain('stale');
    expect(text).not.toContain('equal');
  });
});

describe('modes', () => {
  test('switch everything off, each means on alone, and everything on', () => {
    const shown = REPAIR_MODES.map(({ switches }) => Object.values(switches).filter(Boolean).length);
    expect(shown).toEqual([0, 1, 1, 1, 3]);
    expect(new Set(REPAIR_MODES.map(({ switches }) => JSON.stringify(switches))).size).toBe(5);
  });

  test('are measured by name, with fewer keys when it must be quick', () => {
    const quick = parseCompareOptions(['--quick', '--only', 'repair,slow-replica']);
    const full = parseCompareOptions(['--only', 'repair']);
    expect([...(quick?.only ?? [])]).toEqual(['repair', 'slow-replica']);
    expect(quick?.repairKeys).toBeLessThan(full?.repairKeys ?? 0);
    expect(quick?.slowReplicaSeconds).toBeLessThan(full?.slowReplicaSeconds ?? 0);
  });
});
