import { describe, expect, it } from 'vitest';
import { contents, DIRECTORY, entries, entry, LogHarness, segmentPath } from './log-harness.js';

describe('A log', () => {
  it('begins empty, and knows no group', () => {
    const { log } = new LogHarness();
    expect(log.groups()).toEqual([]);
    expect(log.group(3).firstIndex()).toBe(1);
    expect(log.group(3).lastIndex()).toBe(0);
    expect(log.group(3).term(0)).toBe(0);
    expect(log.group(3).term(1)).toBe(-1);
    expect(log.group(3).entries(1, 1, 100)).toEqual([]);
    expect(log.group(3).recovered).toEqual({
      hardState: { term: 0, votedFor: '' },
      compactedIndex: 0,
      compactedTerm: 0,
      lastIndex: 0,
    });
  });

  it('tells appended entries at once, and after a restart what was committed', () => {
    const harness = new LogHarness();
    harness.log.append(1, entries(1, 4, 1));
    harness.log.append(7, [entry(1, 5, '')]);
    harness.log.saveHardState(1, { term: 2, votedFor: 'n3' });
    expect(harness.log.group(1).entries(1, 4, 1000)).toEqual(entries(1, 4, 1));
    expect(harness.commit()).toBeUndefined();
    harness.log.append(1, entries(4, 6, 2));
    const log = harness.restart();
    expect(log.groups()).toEqual([1, 7]);
    expect(contents(log, 1)).toEqual({
      base: 0,
      baseTerm: 0,
      entries: ['1/1/entry 1', '2/1/entry 2', '3/1/entry 3'],
    });
    expect(contents(log, 7)).toEqual({ base: 0, baseTerm: 0, entries: ['1/5/'] });
    expect(log.group(1).recovered).toEqual({
      hardState: { term: 2, votedFor: 'n3' },
      compactedIndex: 0,
      compactedTerm: 0,
      lastIndex: 3,
    });
  });

  it('cuts what a later append contradicts', () => {
    const harness = new LogHarness();
    harness.log.append(1, entries(1, 10, 1));
    harness.commit();
    harness.log.append(1, [entry(4, 2, 'other'), entry(5, 2, 'too')]);
    expect(harness.log.group(1).lastIndex()).toBe(5);
    expect(harness.log.group(1).term(6)).toBe(-1);
    harness.commit();
    expect(contents(harness.restart(), 1)).toEqual({
      base: 0,
      baseTerm: 0,
      entries: ['1/1/entry 1', '2/1/entry 2', '3/1/entry 3', '4/2/other', '5/2/too'],
    });
  });

  it('forgets what was compacted but for its last term', () => {
    const harness = new LogHarness();
    harness.log.append(1, [...entries(1, 600, 1), ...entries(600, 700, 2)]);
    harness.log.compact(1, 650);
    harness.log.compact(1, 20);
    harness.commit();
    for (const log of [harness.log, harness.restart()]) {
      expect(log.group(1).firstIndex()).toBe(651);
      expect(log.group(1).term(650)).toBe(2);
      expect(log.group(1).term(649)).toBe(-1);
      expect(log.group(1).entries(651, 700, Number.POSITIVE_INFINITY)).toEqual(entries(651, 700, 2));
    }
    expect(harness.log.group(1).recovered).toMatchObject({
      compactedIndex: 650,
      compactedTerm: 2,
      lastIndex: 699,
    });
  });

  it('starts anew after a snapshot, keeping the hard state', () => {
    const harness = new LogHarness();
    harness.log.append(1, entries(1, 10, 1));
    harness.log.saveHardState(1, { term: 4, votedFor: '' });
    harness.commit();
    harness.log.resetTo(1, 500, 4);
    harness.log.append(1, [entry(501, 5)]);
    harness.commit();
    const log = harness.restart();
    expect(contents(log, 1)).toEqual({ base: 500, baseTerm: 4, entries: ['501/5/entry 501'] });
    expect(log.group(1).recovered.hardState.term).toBe(4);
  });

  it('forgets a removed group, and lets it begin again', () => {
    const harness = new LogHarness();
    harness.log.append(1, entries(1, 10, 1));
    harness.log.append(2, entries(1, 3, 1));
    harness.commit();
    harness.log.removeGroup(1);
    harness.commit();
    expect(harness.restart().groups()).toEqual([2]);
    harness.log.append(1, [entry(1, 9)]);
    harness.commit();
    expect(contents(harness.restart(), 1)).toEqual({ base: 0, baseTerm: 0, entries: ['1/9/entry 1'] });
  });

  it('reads no more payload than asked for, but at least one entry', () => {
    const harness = new LogHarness();
    harness.log.append(
      1,
      [1, 2, 3, 4].map((index) => entry(index, 1, Buffer.alloc(100, index))),
    );
    harness.commit();
    for (const log of [harness.log, harness.restart()]) {
      const indexes = (maxBytes: number): number[] =>
        log
          .group(1)
          .entries(2, 5, maxBytes)
          .map((one) => one.index);
      expect(indexes(1)).toEqual([2]);
      expect(indexes(199)).toEqual([2]);
      expect(indexes(200)).toEqual([2, 3]);
      expect(indexes(1000)).toEqual([2, 3, 4]);
    }
  });

  it('reads entries back from disk when the cache is full', () => {
    const harness = new LogHarness({ cacheBytes: 4096, segmentBytes: 8192 });
    for (let index = 1; index <= 200; index++) {
      harness.log.append(1, [entry(index, 1, Buffer.alloc(150, index & 0xff))]);
      harness.log.append(2, [entry(index, 1, `other ${index}`)]);
      harness.commit();
    }
    expect(harness.log.statistics().segments).toBeGreaterThan(3);
    const read = harness.log.group(1).entries(1, 201, Number.POSITIVE_INFINITY);
    expect(read.map((one) => one.index)).toEqual(Array.from({ length: 200 }, (_, i) => i + 1));
    expect(read.every((one) => one.payload.equals(Buffer.alloc(150, one.index & 0xff)))).toBe(true);
    // What is read back is checked.
    harness.disk.tamper(segmentPath(1), (bytes) => {
      bytes[bytes.indexOf(Buffer.alloc(150, 3))]! ^= 1;
      return undefined;
    });
    expect(() => harness.log.group(1).entries(1, 201, Number.POSITIVE_INFINITY)).toThrow(
      expect.objectContaining({ code: 'LOG_DAMAGED', message: expect.stringContaining(segmentPath(1)) }),
    );
  });

  it('refuses gaps and entries out of order', () => {
    const { log } = new LogHarness();
    log.append(1, entries(1, 5, 1));
    expect(() => log.append(1, [entry(6, 1)])).toThrow(/no gap/);
    log.compact(1, 3);
    expect(() => log.append(1, [entry(3, 1)])).toThrow(/no gap/);
    expect(() => log.compact(1, 5)).toThrow(/that exist/);
    expect(() => log.group(1).entries(3, 4, 10)).toThrow(/retained/);
  });
});

describe('Segments', () => {
  it('go when no group needs them', () => {
    const harness = new LogHarness({ segmentBytes: 2048 });
    for (let index = 1; index <= 100; index++) {
      harness.log.append(1, [entry(index, 1, Buffer.alloc(200))]);
      harness.commit();
    }
    const before = harness.log.statistics().segments;
    expect(before).toBeGreaterThan(8);
    harness.log.compact(1, 99);
    harness.commit();
    expect(harness.log.statistics().segments).toBeLessThan(3);
    expect(harness.disk.list(DIRECTORY).length).toBeLessThan(3);
    expect(harness.disk.exists(segmentPath(1))).toBe(false);
    expect(contents(harness.restart(), 1)).toMatchObject({ base: 99 });
  });

  it('are not pinned by quiet groups: what these need is copied forward', () => {
    const harness = new LogHarness({ segmentBytes: 2048 });
    harness.log.saveHardState(5, { term: 3, votedFor: 'n1' });
    harness.log.append(5, entries(1, 4, 3));
    harness.log.compact(5, 1);
    harness.log.saveHardState(6, { term: 8, votedFor: 'n2' });
    harness.commit();
    for (let index = 1; index <= 100; index++) {
      harness.log.append(1, [entry(index, 1, Buffer.alloc(200))]);
      harness.commit();
    }
    harness.log.compact(1, 99);
    harness.commit();
    expect(harness.log.statistics().segments).toBeLessThan(3);
    const log = harness.restart();
    expect(contents(log, 5)).toEqual({ base: 1, baseTerm: 3, entries: ['2/3/entry 2', '3/3/entry 3'] });
    expect(log.group(5).recovered.hardState).toEqual({ term: 3, votedFor: 'n1' });
    expect(log.group(6).recovered.hardState).toEqual({ term: 8, votedFor: 'n2' });
  });

  it('stay while a group needs much of them', () => {
    const harness = new LogHarness({ segmentBytes: 2048, relocationBytes: 100 });
    harness.log.append(5, [entry(1, 1, Buffer.alloc(500, 5))]);
    harness.commit();
    for (let index = 1; index <= 50; index++) {
      harness.log.append(1, [entry(index, 1, Buffer.alloc(200))]);
      harness.commit();
    }
    harness.log.compact(1, 50);
    harness.commit();
    expect(harness.disk.exists(segmentPath(1))).toBe(true);
    expect(harness.log.group(5).entries(1, 2, 1000)[0]!.payload.equals(Buffer.alloc(500, 5))).toBe(true);
    harness.log.removeGroup(5);
    harness.commit();
    expect(harness.disk.exists(segmentPath(1))).toBe(false);
  });

  it('are deleted only after what was copied out of them is durable', () => {
    const harness = new LogHarness({ segmentBytes: 1024, syncStrategy: 'background' });
    harness.log.saveHardState(5, { term: 3, votedFor: 'n1' });
    for (let index = 1; index <= 30; index++) {
      harness.log.append(1, [entry(index, 1, Buffer.alloc(200))]);
      harness.commit();
    }
    harness.log.compact(1, 30);
    harness.log.commit(() => {});
    harness.clock.run();
    expect(harness.disk.exists(segmentPath(1))).toBe(true);
    harness.settle();
    expect(harness.disk.exists(segmentPath(1))).toBe(false);
    expect(harness.restart().group(5).recovered.hardState.term).toBe(3);
  });
});
