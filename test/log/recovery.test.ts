/** What recovery makes of a log that a crash has torn, that has rotted, or that is none. */
import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.js';
import { checksum, encodeSegmentHeader } from '../../src/log/format.js';
import { type LogOptions, openLog } from '../../src/log/write-ahead-log.js';
import { contents, DIRECTORY, entry, LogHarness, REACH_PATH, segmentPath } from './log-harness.js';

const HEADER_BYTES = 40;
const ONE = segmentPath(1);

/** Commits one batch for each payload and tells where each batch begins, and where the last ends. */
function logOf(
  payloads: readonly string[],
  options: LogOptions = {},
): { harness: LogHarness; starts: number[] } {
  const harness = new LogHarness(options);
  const starts: number[] = [];
  harness.disk.onWrite = (_path, position, bytes) => {
    if (Buffer.from(bytes.subarray(0, 4)).toString('latin1') === 'QnBt')
      starts.push(position, position + bytes.length);
  };
  payloads.forEach((payload, i) => {
    harness.log.append(1, [entry(i + 1, 1, payload)]);
    harness.commit();
  });
  harness.disk.onWrite = () => {};
  const ends = starts.filter((_, i) => i % 2 === 1);
  return { harness, starts: [...starts.filter((_, i) => i % 2 === 0), ends.at(-1)!] };
}

function entriesOf(harness: LogHarness): string[] {
  return (contents(harness.log, 1) as { entries: string[] }).entries;
}

/** Expects opening to fail with LOG_DAMAGED at a place, and to leave the disk as it is. */
function expectDamage(harness: LogHarness, place: string | RegExp): void {
  const before = harness.disk.snapshot();
  expect(() => harness.restart()).toThrow(
    expect.objectContaining({ code: 'LOG_DAMAGED', message: expect.stringMatching(place) }),
  );
  expect(harness.disk.snapshot()).toEqual(before);
}

describe('A torn tail', () => {
  it.each([0, 4096])(
    'is cut at every point of the last batch, and the log goes on (fill %i)',
    (fillBytes) => {
      const { harness, starts } = logOf(['first', 'second', 'x'.repeat(700)], { fillBytes });
      const [, , start, end] = starts as [number, number, number, number];
      const whole = harness.disk.snapshot();
      for (let cut = start; cut < end; cut += cut < start + 60 ? 1 : 37) {
        harness.disk.load(whole);
        harness.disk.tamper(ONE, (bytes) => (fillBytes === 0 ? bytes.subarray(0, cut) : bytes.fill(0, cut)));
        harness.reopen();
        expect(entriesOf(harness)).toEqual(['1/1/first', '2/1/second']);
        harness.log.append(1, [entry(3, 2, 'anew')]);
        expect(harness.commit()).toBeUndefined();
        harness.restart();
        expect(entriesOf(harness)).toEqual(['1/1/first', '2/1/second', '3/2/anew']);
      }
      harness.disk.load(whole);
      harness.reopen();
      expect(entriesOf(harness)).toHaveLength(3);
    },
  );

  it('is cut when any byte of the last batch is wrong', () => {
    const { harness, starts } = logOf(['first', 'second', 'third'], { fillBytes: 512 });
    const [, , start, end] = starts as [number, number, number, number];
    const whole = harness.disk.snapshot();
    for (let at = start; at < end; at++) {
      harness.disk.load(whole);
      harness.disk.tamper(ONE, (bytes) => {
        bytes[at]! ^= 1 << (at % 8);
        return undefined;
      });
      harness.reopen();
      expect(entriesOf(harness)).toEqual(['1/1/first', '2/1/second']);
    }
  });

  it('leaves nothing behind that could be taken for a later batch', () => {
    // The torn third batch is longer than what is written in its place.
    const { harness, starts } = logOf(['first', 'second', 'x'.repeat(2000)], { fillBytes: 8192 });
    const [, , start, end] = starts as [number, number, number, number];
    harness.disk.tamper(ONE, (bytes) => bytes.fill(0, start, start + 30));
    harness.reopen();
    expect(
      harness.disk
        .bytes(ONE)
        .subarray(start, end)
        .every((byte) => byte === 0),
    ).toBe(true);
    harness.log.append(1, [entry(3, 2, 'short')]);
    harness.commit();
    harness.restart();
    expect(entriesOf(harness)).toEqual(['1/1/first', '2/1/second', '3/2/short']);
  });

  it('does not follow from what a client stored, even the image of a batch', () => {
    const first = logOf(['first', 'second']);
    const image = first.harness.disk.bytes(ONE).subarray(first.starts[1], first.starts[2]);
    const { harness, starts } = logOf(['first']);
    harness.clock.nowMs += 5;
    harness.log.append(1, [entry(2, 1, Buffer.concat([Buffer.alloc(600), image, image]))]);
    harness.commit();
    harness.disk.tamper(ONE, (bytes) => bytes.fill(0, starts[1], starts[1]! + 40));
    harness.reopen();
    expect(entriesOf(harness)).toEqual(['1/1/first']);
  });

  it('may be the first batch of all, or the segment itself', () => {
    const { harness } = logOf(['only']);
    // A segment whose header is not durable yet has not been named either.
    harness.disk.remove(REACH_PATH);
    const whole = harness.disk.snapshot();
    for (let length = 0; length <= HEADER_BYTES + 10; length++) {
      harness.disk.load(whole);
      harness.disk.tamper(ONE, (bytes) => bytes.subarray(0, length));
      harness.reopen();
      expect(entriesOf(harness)).toEqual([]);
      harness.log.append(1, [entry(1, 1, 'again')]);
      expect(harness.commit()).toBeUndefined();
      harness.restart();
      expect(entriesOf(harness)).toEqual(['1/1/again']);
    }
  });

  it('does not include a batch that reached the disk whole, though nobody was told of it', () => {
    const harness = new LogHarness({ syncStrategy: 'background' });
    harness.log.append(1, [entry(1, 1, 'whole')]);
    harness.log.commit(() => {});
    const { syncs } = harness.disk;
    harness.restart();
    expect(entriesOf(harness)).toEqual(['1/1/whole']);
    // It is made durable before anyone is told of it.
    expect(harness.disk.syncs).toBeGreaterThan(syncs);
    harness.disk.crash(() => 0);
    harness.reopen();
    expect(entriesOf(harness)).toEqual(['1/1/whole']);
  });
});

describe('Damage', () => {
  it('is any wrong byte before the last batch; it is named and nothing is changed', () => {
    const { harness, starts } = logOf(['first', 'second', 'third'], { fillBytes: 512 });
    const whole = harness.disk.snapshot();
    for (let at = HEADER_BYTES; at < starts[2]!; at++) {
      harness.disk.load(whole);
      harness.disk.tamper(ONE, (bytes) => {
        bytes[at]! ^= 1 << (at % 8);
        return undefined;
      });
      const batch = at < starts[1]! ? starts[0]! : starts[1]!;
      expectDamage(harness, `${ONE}: damaged at offset ${batch}:`);
    }
  });

  it('is a wrong byte in the header of a segment that holds something', () => {
    const { harness } = logOf(['first']);
    const whole = harness.disk.snapshot();
    for (let at = 8; at < HEADER_BYTES; at++) {
      harness.disk.load(whole);
      harness.disk.tamper(ONE, (bytes) => {
        bytes[at]! ^= 1;
        return undefined;
      });
      expectDamage(harness, `${ONE}: damaged at offset 0`);
    }
  });

  it('is a batch overwritten with zeros while a later one stands', () => {
    const { harness, starts } = logOf(['first', 'second', 'third']);
    harness.disk.tamper(ONE, (bytes) => bytes.fill(0, starts[1], starts[2]));
    expectDamage(harness, `${ONE}: damaged at offset ${starts[1]}: batch 2 is bad, and a later one follows`);
  });

  it('is told from a torn tail by the remains of a later batch', () => {
    const { harness, starts } = logOf(['first', 'second', 'x'.repeat(600)], { fillBytes: 4096 });
    harness.disk.tamper(ONE, (bytes) => {
      bytes[starts[1]! + 30]! ^= 1;
      return bytes.fill(0, starts[2], starts[2]! + 25);
    });
    expectDamage(harness, `${ONE}: damaged at offset ${starts[1]}`);
  });

  function threeSegments(): LogHarness {
    const { harness } = logOf(
      Array.from({ length: 9 }, (_, i) => `${i}`.repeat(300)),
      { segmentBytes: 900, fillBytes: 256 },
    );
    expect(harness.disk.list(DIRECTORY).length).toBeGreaterThanOrEqual(3);
    return harness;
  }

  it('is a bad or missing last batch in a closed segment', () => {
    const harness = threeSegments();
    const whole = harness.disk.snapshot();
    const lastBatch = harness.disk.bytes(ONE).lastIndexOf('QnBt');
    harness.disk.tamper(ONE, (bytes) => bytes.subarray(0, lastBatch));
    expectDamage(
      harness,
      `${ONE}: damaged at offset ${lastBatch}: batch 3 is bad, and the next segment begins with 4`,
    );
    harness.disk.load(whole);
    harness.disk.tamper(ONE, (bytes) => bytes.subarray(0, lastBatch + 50));
    expectDamage(harness, `${ONE}: damaged at offset ${lastBatch}`);
  });

  it('is not what stands in the unused end of a closed segment', () => {
    const harness = threeSegments();
    harness.disk.tamper(ONE, (bytes) => Buffer.concat([bytes, Buffer.from('rot')]));
    harness.restart();
    expect(entriesOf(harness)).toHaveLength(9);
  });

  it('is a segment missing between others, or at the front', () => {
    const harness = threeSegments();
    const whole = harness.disk.snapshot();
    harness.disk.load(new Map([...whole].filter(([name]) => name !== segmentPath(2))));
    expectDamage(harness, `${segmentPath(2)}: damaged at offset 0: the segment is missing`);
    harness.disk.load(new Map([...whole].filter(([name]) => name !== ONE)));
    expectDamage(harness, /group 1 begins at entry 4/);
  });

  it('is a log whose newest segments are gone, or all of them', () => {
    const harness = threeSegments();
    const whole = harness.disk.snapshot();
    const newest = [3, 2, 1];
    for (let gone = 1; gone <= newest.length; gone++) {
      const missing = newest.slice(0, gone).map(segmentPath);
      harness.disk.load(new Map([...whole].filter(([name]) => !missing.includes(name))));
      expectDamage(harness, /files of the log are missing: it reached segment 3 /);
    }
    harness.disk.load(whole);
    harness.restart();
    expect(entriesOf(harness).length).toBeGreaterThan(0);
  });

  it('is the loss of a segment that a large batch began, and not a death before that was named', () => {
    const harness = new LogHarness({ segmentBytes: 2048 });
    harness.log.append(1, [entry(1, 1, Buffer.alloc(3000, 1))]);
    harness.commit();
    harness.log.append(1, [entry(2, 1, Buffer.alloc(LIMITS.logBlockingSyncBytes + 1, 2))]);
    harness.log.commit(() => {});
    harness.clock.run();
    // The segment is there; the sync of the file that names it is under way.
    harness.disk.completeSync();
    expect(harness.disk.pendingSyncs).toBe(1);
    expect(harness.restart().group(1).lastIndex()).toBe(1);
    harness.log.append(1, [entry(2, 1, Buffer.alloc(LIMITS.logBlockingSyncBytes + 1, 2))]);
    expect(harness.commit()).toBeUndefined();
    expect(harness.restart().group(1).lastIndex()).toBe(2);
    harness.disk.remove(segmentPath(2));
    harness.disk.remove(segmentPath(3));
    expectDamage(harness, /files of the log are missing/);
  });

  it('is not an empty log that was never written to, nor one whose reach nobody has kept', () => {
    const never = new LogHarness();
    never.disk.load(new Map());
    never.restart();
    expect(entriesOf(never)).toEqual([]);
    const { harness } = logOf(['first']);
    harness.disk.remove(REACH_PATH);
    harness.restart();
    expect(entriesOf(harness)).toEqual(['1/1/first']);
    // From now on it is kept.
    harness.disk.remove(ONE);
    expectDamage(harness, /no segment is there/);
  });

  it('is a record of the reach that says nothing; one of a newer version is refused as such', () => {
    for (const text of ['', 'null', '{"format":1}', '{"format":1,"newestSegment":"1"}']) {
      const { harness } = logOf(['first']);
      harness.disk.replace(REACH_PATH, Buffer.from(text));
      expectDamage(harness, REACH_PATH);
    }
    const { harness } = logOf(['first']);
    harness.disk.replace(REACH_PATH, Buffer.from('{"format":2}'));
    expect(() => harness.restart()).toThrow(expect.objectContaining({ code: 'LOG_TOO_NEW' }));
  });

  it('is a segment under another name', () => {
    const harness = threeSegments();
    harness.disk.rename(ONE, segmentPath(4));
    expectDamage(harness, /damaged at offset 12/);
  });

  it('is a lone unfinished segment that is not the first', () => {
    const harness = new LogHarness();
    harness.disk.load(new Map([[segmentPath(3), Buffer.alloc(0)]]));
    expectDamage(harness, /segment is missing/);
  });
});

describe('A crash between the creation of a segment and its first batch', () => {
  it.each([
    ['an empty file', Buffer.alloc(0)],
    ['half a header', encodeSegmentHeader(2, 4, 99).subarray(0, 20)],
    ['zeros', Buffer.alloc(300)],
    ['a whole header', encodeSegmentHeader(2, 4, 99)],
    ['a header and zeros', Buffer.concat([encodeSegmentHeader(2, 4, 99), Buffer.alloc(1000)])],
  ])('leaves %s, and the log goes on', (_name, bytes) => {
    const { harness } = logOf(
      ['a', 'b', 'c'].map((letter) => letter.repeat(300)),
      { segmentBytes: 900 },
    );
    expect(harness.disk.list(DIRECTORY)).toHaveLength(1);
    harness.disk.load(new Map([...harness.disk.snapshot(), [segmentPath(2), bytes]]));
    for (let index = 4; index <= 8; index++) {
      harness.restart();
      expect(entriesOf(harness)).toHaveLength(index - 1);
      harness.log.append(1, [entry(index, 1, 'd'.repeat(300))]);
      expect(harness.commit()).toBeUndefined();
    }
    harness.restart();
    expect(entriesOf(harness)).toHaveLength(8);
    expect(harness.disk.exists(segmentPath(3))).toBe(true);
  });
});

describe('A directory that holds something else', () => {
  const open = (files: [string, Buffer][]): LogHarness => {
    const harness = new LogHarness();
    harness.disk.load(new Map(files.map(([name, bytes]) => [`${DIRECTORY}/${name}`, bytes])));
    return harness;
  };
  const refused = (files: [string, Buffer][], code: string): void => {
    const harness = open(files);
    const before = harness.disk.snapshot();
    expect(() => harness.restart()).toThrow(expect.objectContaining({ code }));
    expect(harness.disk.snapshot()).toEqual(before);
  };

  it('is refused when it holds foreign files only', () => {
    refused([['family-photo.jpg', Buffer.from('...')]], 'FOREIGN_DIRECTORY');
  });

  it('is refused when a file has the name of a segment but is none', () => {
    refused(
      [['0000000001.log', Buffer.from('2026-11-20 INFO server started, listening on port 80\n')]],
      'FOREIGN_DIRECTORY',
    );
    refused([['0000000001.log', Buffer.from('short')]], 'FOREIGN_DIRECTORY');
  });

  it('is taken when it is the root of a fresh file system', () => {
    const harness = open([['lost+found', Buffer.alloc(0)]]);
    expect(harness.restart().groups()).toEqual([]);
  });

  it('is refused when a newer version wrote it, whichever segment that is', () => {
    const newer = (segment: number): Buffer => {
      const header = encodeSegmentHeader(segment, 1, 7);
      header.writeUInt32LE(2, 8);
      header.writeUInt32LE(checksum(header, 0, 36), 36);
      return Buffer.concat([header, Buffer.from('who knows what')]);
    };
    refused([['0000000001.log', newer(1)]], 'LOG_TOO_NEW');
    refused(
      [
        ['0000000001.log', encodeSegmentHeader(1, 1, 7)],
        ['0000000002.log', newer(2)],
      ],
      'LOG_TOO_NEW',
    );
  });
});

describe('A repair that fails', () => {
  it('is the error of opening, and the next opening repairs', () => {
    const { harness, starts } = logOf(['first', 'second'], { fillBytes: 512 });
    harness.disk.tamper(ONE, (bytes) => bytes.fill(0xee, starts[1]! + 5, starts[2]));
    harness.disk.failSyncs = true;
    expect(() => openLog(harness.disk, harness.clock, DIRECTORY)).toThrow(
      expect.objectContaining({ code: 'DISK_FAILED' }),
    );
    harness.disk.failSyncs = false;
    harness.restart();
    expect(entriesOf(harness)).toEqual(['1/1/first']);
  });
});
