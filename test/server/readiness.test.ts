/** What a node says of its readiness, of leaders and of its log, when its cluster is not whole. */
import { describe, expect, test } from 'vitest';
import { DEFAULT_BUCKET, EVENTUAL_BUCKET, NodeWorld } from './support-nodes.js';

const BUCKETS = [DEFAULT_BUCKET, EVENTUAL_BUCKET];

describe('a node that is left alone', () => {
  test('is not ready and knows no leader until a majority is back', async () => {
    const world = new NodeWorld('alone', 3);
    const [first] = await world.startAll({ buckets: BUCKETS });
    world.crash(1);
    world.crash(2);
    await world.until('it is not ready', () => !first!.ready());
    await world.until('it knows no leader, not even itself', () =>
      first!.groupStatus().every(({ leader }) => leader === undefined),
    );
    const alone = { bucket: 'eventual', quorum: { r: 1, w: 1 } };
    expect(await world.run(first!, ['SET', 'key', 'value'], alone)).toBe('+OK');
    expect(await world.run(first!, ['GET', 'key'], alone)).toBe('value');
    await world.start(1, { buckets: BUCKETS });
    await world.until('it is ready', () => first!.ready());
    expect(await world.run(first!, ['SET', 'key', 'value'])).toBe('+OK');
  });

  test('is not ready when it only coordinates and nobody leads any more', async () => {
    const world = new NodeWorld('front', 4);
    for (const number of [0, 1, 2]) await world.start(number, { buckets: BUCKETS });
    const front = await world.start(3, { buckets: BUCKETS, roles: ['coordinator'] });
    await world.until('it is ready', () => front.ready());
    world.crash(1);
    world.crash(2);
    await world.until('it knows no leader', () =>
      front.groupStatus().every(({ leader }) => leader === undefined),
    );
    expect(front.ready()).toBe(false);
    expect(await world.run(front, ['SET', 'key', 'value'], { bucket: 'eventual', quorum: { w: 1 } })).toBe(
      '+OK',
    );
    await world.start(2, { buckets: BUCKETS });
    await world.until('it is ready again', () => front.ready());
  });
});

describe('an eventual bucket', () => {
  test('refuses commands over several keys that read before they write, whatever the slots of the keys', async () => {
    const world = new NodeWorld('several keys', 3);
    const [node] = await world.startAll({ buckets: BUCKETS });
    const commands = [
      ['RENAME', 'a', 'b'],
      ['RENAMENX', 'a', 'b'],
      ['COPY', 'a', 'b'],
      ['MSETNX', 'a', '1', 'b', '2'],
      ['RENAME', '{t}a', '{t}b'],
    ];
    for (const words of commands)
      expect(await world.run(node!, words, { bucket: 'eventual' }), words.join(' ')).toMatch(
        /reads before it writes/,
      );
    expect(await world.run(node!, ['RENAME', 'a', 'b'])).toMatch(/CROSSSLOT/);
  });
});

describe('the counters of the log', () => {
  test('add up its syncs and what was written, also when the log has become shorter', async () => {
    const world = new NodeWorld('log counters', 3);
    const [node] = await world.startAll({ checkpointIntervalMs: 100 });
    for (let i = 0; i < 200; i++) expect(await world.run(node!, ['SET', `k${i}`, 'v'])).toBe('+OK');
    const { logSyncs, logSyncMs, logTotalSyncMs, logWrittenBytes } = node!.counters();
    expect(logSyncs).toBeGreaterThan(100);
    expect(logSyncMs).toBeGreaterThan(0);
    expect(logTotalSyncMs).toBeGreaterThan(10 * logSyncMs);
    for (let i = 0; i < 20; i++) await world.run(node!, ['SET', `k${i}`, 'w']);
    const later = node!.counters();
    expect(later.logTotalSyncMs).toBeGreaterThan(logTotalSyncMs);
    expect(later.logWrittenBytes).toBeGreaterThan(logWrittenBytes);
  });
});
