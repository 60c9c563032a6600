/** The comparison's parts that need no load: reading figures, statistics, tables, options, and the accounting of outages. */
import { describe, expect, test } from 'vitest';
import { MEASURE_NAMES } from '../../bench/compare/measures.js';
import { parseCompareOptions } from '../../bench/compare/options.js';
import { type CompareResults, renderResults } from '../../bench/compare/results.js';
import { type Acknowledgement, measureFailover } from '../../bench/failover/failover.js';
import { UsageError } from '../../bench/load/options.js';
import { parseRedisBenchmark, redisBenchmarkArgs } from '../../bench/support/redis-benchmark.js';
import { median, percentile } from '../../bench/support/statistics.js';

describe('statistics', () => {
  test('the median of an even number of samples lies between the two in the middle', () => {
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([3, 1, 2])).toBe(2);
  });

  test('a percentile is a sample, the nearest rank', () => {
    const samples = Array.from({ length: 30 }, (_, index) => 30 - index);
    expect(percentile(samples, 0.5)).toBe(15);
    expect(percentile(samples, 0.99)).toBe(30);
    expect(percentile([7], 0.01)).toBe(7);
  });
});

describe('figures of redis-benchmark', () => {
  const head =
    '"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"';

  test('are read from its CSV', () => {
    const csv = `${head}\n"SET","105263.16","0.3","0.1","0.287","0.5","0.711","1.2"\n`;
    expect(parseRedisBenchmark(csv)).toEqual({ ratePerSecond: 105263.16, p50Ms: 0.287, p99Ms: 0.711 });
  });

  test('are found amid the prose of cluster mode', () => {
    const csv = `Cluster has 3 master nodes:\n\nMaster 0: abc 127.0.0.1:7001\n\n${head}\n"GET","5.00","1","2","3","4","5","6"\n`;
    expect(parseRedisBenchmark(csv)).toEqual({ ratePerSecond: 5, p50Ms: 3, p99Ms: 5 });
  });

  test('are missed when they are not there', () => {
    expect(() => parseRedisBenchmark('Could not connect')).toThrow('no figures');
    expect(() => parseRedisBenchmark(`${head}\n`)).toThrow('no figures');
  });

  test('come of the command line that the workload asks for', () => {
    const workload = { operation: 'set', clients: 256, requests: 10, keys: 100, valueBytes: 64 } as const;
    const plain = redisBenchmarkArgs(7001, { ...workload, mode: 'plain', pipeline: 1 }).join(' ');
    expect(plain).toBe('-p 7001 -t set -c 256 -n 10 -r 100 -d 64 --csv');
    const routed = redisBenchmarkArgs(7001, { ...workload, mode: 'routed', pipeline: 16 }).join(' ');
    expect(routed).toBe('-p 7001 -t set -c 256 -n 10 -r 100 -d 64 -P 16 --cluster --csv');
  });
});

describe('options of the comparison', () => {
  test('without any, everything is measured', () => {
    expect([...(parseCompareOptions([])?.only ?? [])]).toEqual(MEASURE_NAMES);
  });

  test('each run is warmed up by as many requests as it counts, unless told otherwise', () => {
    expect(parseCompareOptions(['--requests', '5000'])).toMatchObject({ warmUpRequests: 5000 });
    expect(parseCompareOptions(['--warm-up', '700'])).toMatchObject({
      requests: 200_000,
      warmUpRequests: 700,
    });
    expect(parseCompareOptions(['--warm-up', '0'])).toMatchObject({ warmUpRequests: 0 });
  });

  test('takes only the systems that are asked for', () => {
    expect([...(parseCompareOptions(['--systems', 'etcd,quoin'])?.systems ?? [])]).toEqual(['etcd', 'quoin']);
  });

  test.each([
    [['--only', 'set,nothing']],
    [['--systems', 'redis']],
    [['--rounds', '0']],
    [['--requests', '0']],
    [['--warm-up', '-1']],
    [['--json', '--markdown']],
    [['stray']],
  ])('%j is wrong usage', (args) => {
    expect(() => parseCompareOptions(args)).toThrow(UsageError);
  });
});

describe('outages', () => {
  /** A target whose parts come back at set times after the kill, on a clock of its own. */
  function target(returnsAfterMs: readonly number[]): Parameters<typeof measureFailover>[0] {
    return {
      prepare: (onAcknowledged) => {
        const acknowledge = (part: number, sentMs: number, acknowledgedMs: number): void => {
          const acknowledgement: Acknowledgement = { part, sentMs, acknowledgedMs };
          setImmediate(() => onAcknowledged(acknowledgement));
        };
        for (const part of returnsAfterMs.keys()) acknowledge(part, 0, 1);
        return Promise.resolve({
          parts: returnsAfterMs.length,
          nowMs: () => 1000,
          kill: () => {
            for (const [part, afterMs] of returnsAfterMs.entries()) {
              // Sent before the kill: its answer proves nothing.
              acknowledge(part, 999, 1001);
              acknowledge(part, 1005, 1000 + afterMs);
              acknowledge(part, 1010, 1000 + afterMs + 50);
            }
          },
          restore: () => Promise.resolve(),
        });
      },
      stop: () => Promise.resolve(),
    };
  }

  test('last until the first write that was sent after the kill is acknowledged', async () => {
    expect(await measureFailover(target([200]), 1, () => {})).toEqual([200]);
  });

  test('last until the slowest part is back', async () => {
    expect(await measureFailover(target([200, 350, 100]), 1, () => {})).toEqual([350]);
  });
});

describe('tables', () => {
  const results: CompareResults = {
    machine: 'a machine',
    command: 'npm run bench',
    rounds: 3,
    systems: [
      { name: 'quoin', description: 'three nodes' },
      { name: 'etcd', description: 'three members' },
    ],
    throughput: {
      set: {
        quoin: [40_000, 60_000, 50_000].map((ratePerSecond) => ({ ratePerSecond, p50Ms: 2, p99Ms: 5 })),
        etcd: [10_000, 12_000, 11_000].map((ratePerSecond) => ({ ratePerSecond, p50Ms: 20, p99Ms: 50 })),
      },
    },
    failover: { quoin: [100, 200, 300] },
    missing: ['simulator: not there'],
  };

  test('show medians with their range, ratios, outages, and what is missing', () => {
    const text = renderResults(results, 'markdown');
    expect(text).toContain('| SET, 256 clients | 50.0 k (40.0 k to 60.0 k) | 11.0 k (10.0 k to 12.0 k) |');
    expect(text).toContain('| SET: Quoin to etcd | 4.55 |');
    expect(text).toContain('| quoin | 3 | 200 | 300 | 100 | 300 |');
    expect(text).toContain('- simulator: not there');
    expect(text).toContain('Machine: a machine');
    expect(text).toContain('`npm run bench`');
  });

  test('leave out what was not asked for', () => {
    const text = renderResults({ ...results, throughput: {}, failover: {}, missing: [] }, 'text');
    expect(text).not.toContain('Requests a second');
    expect(text).not.toContain('SIGKILL');
    expect(text).not.toContain('Not measured');
  });
});
