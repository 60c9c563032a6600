import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.js';
import { SyncChooser } from '../../src/log/sync-chooser.js';
import { contents, entries, entry, LogHarness } from './log-harness.js';

/** So large a payload is not copied into the batch. */
const LARGE_BYTES = LIMITS.maxEntryBytes + 1;

describe.each(['blocking', 'background'] as const)('A commit (%s)', (syncStrategy) => {
  it('calls back, but never from within the call', () => {
    const harness = new LogHarness({ syncStrategy });
    const outcomes: (Error | undefined)[] = [];
    harness.log.append(1, entries(1, 3, 1));
    harness.log.commit((error) => outcomes.push(error));
    expect(outcomes).toEqual([]);
    harness.settle();
    expect(outcomes).toEqual([undefined]);
  });

  it('writes one batch with one write and one sync, however many groups have part in it', () => {
    const harness = new LogHarness({ syncStrategy });
    const { disk, log } = harness;
    const [writes, syncs] = [disk.writes, disk.syncs];
    for (let group = 0; group < 20; group++) {
      log.append(group, entries(1, 5, 1));
      log.saveHardState(group, { term: 1, votedFor: 'n1' });
    }
    expect(harness.commit()).toBeUndefined();
    expect(disk.writes - writes).toBe(1);
    expect(disk.syncs - syncs).toBe(1);
    expect(log.statistics().syncs).toBe(1);
  });

  it('answers without touching the disk when there is nothing new', () => {
    const harness = new LogHarness({ syncStrategy });
    const { syncs } = harness.disk;
    expect(harness.commit()).toBeUndefined();
    expect(harness.disk.syncs).toBe(syncs);
  });

  it('keeps failing after a failed sync, and never calls durable what might not be', () => {
    const harness = new LogHarness({ syncStrategy });
    harness.log.append(1, [entry(1, 1)]);
    expect(harness.commit()).toBeUndefined();
    harness.disk.failSyncs = true;
    harness.log.append(1, [entry(2, 1)]);
    expect(harness.commit()).toMatchObject({ code: 'SYNC_FAILED' });
    harness.disk.failSyncs = false;
    const { writes } = harness.disk;
    harness.log.append(1, [entry(3, 1)]);
    expect(harness.commit()).toMatchObject({ code: 'SYNC_FAILED' });
    expect(harness.log.failure).toMatchObject({ code: 'SYNC_FAILED' });
    expect(harness.disk.writes).toBe(writes);
    expect(harness.log.group(1).lastIndex()).toBe(3);
  });

  it('tells a full disk', () => {
    const harness = new LogHarness({ syncStrategy });
    harness.log.append(1, [entry(1, 1)]);
    expect(harness.commit()).toBeUndefined();
    harness.disk.capacityBytes = harness.disk.usedBytes() + 100;
    harness.log.append(1, [entry(2, 1, Buffer.alloc(500))]);
    expect(harness.commit()).toMatchObject({ code: 'DISK_FULL' });
    harness.disk.capacityBytes = Number.POSITIVE_INFINITY;
    expect(harness.commit()).toMatchObject({ code: 'DISK_FULL' });
    expect(contents(harness.restart(), 1)).toMatchObject({ entries: ['1/1/entry 1'] });
  });

  it('tells waiting commits when the log is closed', () => {
    const harness = new LogHarness({ syncStrategy: 'blocking' });
    const outcomes: (Error | undefined)[] = [];
    harness.log.append(1, [entry(1, 1)]);
    harness.log.commit((error) => outcomes.push(error));
    harness.log.close();
    harness.log.close();
    harness.log.commit((error) => outcomes.push(error));
    harness.settle();
    expect(outcomes).toMatchObject([{ code: 'SHUTTING_DOWN' }, { code: 'SHUTTING_DOWN' }]);
    expect(harness.disk.openHandles).toBe(0);
  });
});

describe('A commit while a sync is under way', () => {
  it('is gathered into the next one', () => {
    const harness = new LogHarness({ syncStrategy: 'background' });
    const { log, disk } = harness;
    const done: number[] = [];
    log.append(1, [entry(1, 1)]);
    log.commit(() => done.push(1));
    expect(disk.pendingSyncs).toBe(1);
    const { writes } = disk;
    for (let index = 2; index <= 5; index++) {
      log.append(1, [entry(index, 1)]);
      log.commit(() => done.push(index));
    }
    expect(disk.writes).toBe(writes);
    disk.completeSync();
    expect(done).toEqual([1]);
    expect(disk.writes).toBe(writes + 1);
    expect(disk.pendingSyncs).toBe(1);
    disk.completeSync();
    expect(done).toEqual([1, 2, 3, 4, 5]);
    harness.settle();
    expect(log.statistics().syncs).toBe(2);
  });

  it('waits for that sync even when it adds nothing', () => {
    const harness = new LogHarness({ syncStrategy: 'background' });
    const done: string[] = [];
    harness.log.append(1, [entry(1, 1)]);
    harness.log.commit(() => done.push('first'));
    harness.log.commit(() => done.push('second'));
    harness.clock.run();
    expect(done).toEqual([]);
    harness.settle();
    expect(done).toEqual(['first', 'second']);
  });

  it('fails with it', () => {
    const harness = new LogHarness({ syncStrategy: 'background' });
    const outcomes: (Error | undefined)[] = [];
    harness.log.append(1, [entry(1, 1)]);
    harness.log.commit((error) => outcomes.push(error));
    harness.log.append(1, [entry(2, 1)]);
    harness.log.commit((error) => outcomes.push(error));
    harness.disk.failSyncs = true;
    harness.settle();
    expect(outcomes).toMatchObject([{ code: 'SYNC_FAILED' }, { code: 'SYNC_FAILED' }]);
  });

  it('still ends when the log is closed meanwhile', () => {
    const harness = new LogHarness({ syncStrategy: 'background' });
    const outcomes: (Error | undefined)[] = [];
    harness.log.append(1, [entry(1, 1)]);
    harness.log.commit((error) => outcomes.push(error));
    harness.log.close();
    harness.settle();
    expect(outcomes).toEqual([undefined]);
    expect(harness.disk.openHandles).toBe(0);
    expect(contents(harness.restart(), 1)).toMatchObject({ entries: ['1/1/entry 1'] });
  });
});

describe('A large batch', () => {
  it('is synced in the background whatever the strategy', () => {
    const harness = new LogHarness({ syncStrategy: 'blocking' });
    harness.log.append(1, [entry(1, 1, Buffer.alloc(2 * 1024 * 1024, 9))]);
    harness.log.commit(() => {});
    harness.clock.run();
    expect(harness.disk.pendingSyncs).toBe(1);
    harness.settle();
    expect(harness.restart().group(1).entries(1, 2, 1)[0]!.payload.length).toBe(2 * 1024 * 1024);
  });

  it('holds small records before, between and after large payloads, which are written from where they are', () => {
    const harness = new LogHarness();
    const { log } = harness;
    const large = (byte: number, sizeBytes: number): Buffer => Buffer.alloc(sizeBytes, byte);
    log.saveHardState(1, { term: 1, votedFor: 'n1' });
    log.append(1, [entry(1, 1), entry(2, 1, large(65, LARGE_BYTES)), entry(3, 1), entry(4, 1)]);
    log.append(2, [entry(1, 1, large(66, LARGE_BYTES + 1)), entry(2, 1, large(67, LARGE_BYTES + 2))]);
    expect(harness.commit()).toBeUndefined();
    log.append(1, [entry(5, 1)]);
    expect(harness.commit()).toBeUndefined();
    const [first, second] = [contents(log, 1), contents(log, 2)];
    const again = harness.restart();
    expect(contents(again, 1)).toEqual(first);
    expect(contents(again, 2)).toEqual(second);
    const kept = again.group(2).entries(1, 3, Number.POSITIVE_INFINITY);
    expect(kept.map(({ payload }) => payload.length)).toEqual([LARGE_BYTES + 1, LARGE_BYTES + 2]);
    expect(kept[0]!.payload.equals(large(66, LARGE_BYTES + 1))).toBe(true);
  });

  it('that was torn between its parts is gone as a whole', () => {
    const harness = new LogHarness();
    harness.log.append(1, [entry(1, 1)]);
    expect(harness.commit()).toBeUndefined();
    // Room for the head of the batch, but not for the payload.
    harness.disk.capacityBytes = harness.disk.usedBytes() + 1000;
    harness.log.append(1, [entry(2, 1, Buffer.alloc(LARGE_BYTES, 65))]);
    expect(harness.commit()).toMatchObject({ code: 'DISK_FULL' });
    harness.disk.capacityBytes = Number.POSITIVE_INFINITY;
    expect(harness.restart().group(1).lastIndex()).toBe(1);
  });

  describe('that begins a segment', () => {
    function atTheEndOfASegment(): LogHarness {
      const harness = new LogHarness({ segmentBytes: 2048 });
      harness.log.append(1, [entry(1, 1, Buffer.alloc(3000, 1))]);
      expect(harness.commit()).toBeUndefined();
      harness.log.append(1, [entry(2, 1, Buffer.alloc(LARGE_BYTES, 2))]);
      return harness;
    }

    it('waits for it in the background, and takes along what is queued meanwhile', () => {
      const harness = atTheEndOfASegment();
      const outcomes: (Error | undefined)[] = [];
      const { writes } = harness.disk;
      harness.log.commit((error) => outcomes.push(error));
      harness.clock.run();
      expect(harness.disk.pendingSyncs).toBe(1);
      // Its header alone.
      expect(harness.disk.writes - writes).toBe(1);
      harness.log.append(1, [entry(3, 1)]);
      harness.log.commit((error) => outcomes.push(error));
      harness.settle();
      expect(outcomes).toEqual([undefined, undefined]);
      expect(harness.restart().group(1).lastIndex()).toBe(3);
    });

    it('is lost when the process dies before the segment is there, and the log goes on', () => {
      const harness = atTheEndOfASegment();
      harness.log.commit(() => {});
      harness.clock.run();
      const log = harness.restart();
      expect(log.group(1).lastIndex()).toBe(1);
      log.append(1, [entry(2, 1)]);
      expect(harness.commit()).toBeUndefined();
      expect(harness.restart().group(1).lastIndex()).toBe(2);
    });

    it('fails with the sync of the segment, and nothing after it is called durable', () => {
      const harness = atTheEndOfASegment();
      harness.disk.failSyncs = true;
      expect(harness.commit()).toMatchObject({ code: 'DISK_FAILED' });
      harness.disk.failSyncs = false;
      harness.log.append(1, [entry(3, 1)]);
      expect(harness.commit()).toMatchObject({ code: 'DISK_FAILED' });
    });

    it('is told of a close meanwhile, once', () => {
      const harness = atTheEndOfASegment();
      const outcomes: (Error | undefined)[] = [];
      harness.log.commit((error) => outcomes.push(error));
      harness.clock.run();
      harness.log.close();
      harness.settle();
      expect(outcomes).toEqual([expect.objectContaining({ code: 'SHUTTING_DOWN' })]);
      expect(harness.reopen().group(1).lastIndex()).toBe(1);
    });
  });
});

/** Runs syncs of constant cost; tells how many of the last `counted` blocked. */
function blockingShare(blockingMs: number, backgroundMs: number, syncs: number, counted: number): number {
  const chooser = new SyncChooser('auto');
  let blocked = 0;
  for (let i = 0; i < syncs; i++) {
    const strategy = chooser.choose(1000);
    if (strategy === 'blocking' && i >= syncs - counted) blocked++;
    chooser.record(strategy, strategy === 'blocking' ? blockingMs : backgroundMs, 1000);
  }
  return blocked / counted;
}

describe('The choice of the sync strategy', () => {
  it('blocks where that is short and clearly faster', () => {
    expect(blockingShare(0.12, 0.3, 1000, 900)).toBe(1);
  });

  it('stays in the background where blocking is long or no faster', () => {
    expect(blockingShare(5, 9, 1000, 900)).toBe(0);
    expect(blockingShare(0.12, 0.13, 1000, 900)).toBe(0);
  });

  it('tries the other way now and then', () => {
    const share = blockingShare(0.3, 0.31, 10_000, 9000);
    expect(share).toBeGreaterThan(0);
    expect(share).toBeLessThan(0.01);
  });

  it('follows a disk that changes', () => {
    const chooser = new SyncChooser('auto');
    const run = (syncs: number, blockingMs: number, backgroundMs: number): void => {
      for (let i = 0; i < syncs; i++) {
        const strategy = chooser.choose(1000);
        chooser.record(strategy, strategy === 'blocking' ? blockingMs : backgroundMs, 1000);
      }
    };
    run(100, 0.1, 0.4);
    expect(chooser.preferred).toBe('blocking');
    run(100, 8, 9);
    expect(chooser.preferred).toBe('background');
    run(60_000, 0.1, 0.4);
    expect(chooser.preferred).toBe('blocking');
  });

  it('is not shaken by one slow sync', () => {
    const chooser = new SyncChooser('auto');
    for (let i = 0; i < 100; i++) {
      const strategy = chooser.choose(1000);
      chooser.record(strategy, strategy === 'blocking' ? 0.1 : 0.4, 1000);
    }
    chooser.record('blocking', 30, 1000);
    expect(chooser.preferred).toBe('blocking');
  });
});
