/** Pins the format: what this version writes is byte for byte the golden file, and the golden file can be read. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { contents, entry, LogHarness, segmentPath } from './log-harness.js';

/** Each line: hex bytes, then a remark after '#'. */
function goldenBytes(name: string): Buffer {
  const text = readFileSync(new URL(`./golden/${name}`, import.meta.url), 'utf8');
  return Buffer.from(
    text
      .split('\n')
      .map((line) => line.replace(/#.*/, '').replaceAll(' ', ''))
      .join(''),
    'hex',
  );
}

/** One of each kind of record. */
function writeSample(harness: LogHarness): void {
  const { log } = harness;
  log.saveHardState(1, { term: 3, votedFor: 'n2' });
  log.append(1, [entry(1, 2, ''), entry(2, 3, 'hello')]);
  harness.commit();
  log.compact(1, 1);
  log.resetTo(7, 2 ** 40 + 5, 2 ** 33);
  log.append(7, [entry(2 ** 40 + 6, 2 ** 33 + 1, Buffer.from([0xff, 0, 1]))]);
  log.append(9, [entry(1, 1, 'x')]);
  log.removeGroup(9);
  harness.commit();
}

describe('The golden file of format version 1', () => {
  it('is what this version writes', () => {
    const harness = new LogHarness();
    writeSample(harness);
    const written = harness.disk.bytes(segmentPath(1));
    expect(written.toString('hex')).toBe(goldenBytes('version-1.hex').toString('hex'));
  });

  it('can be read', () => {
    const harness = new LogHarness();
    harness.disk.load(new Map([[segmentPath(1), goldenBytes('version-1.hex')]]));
    const log = harness.reopen();
    expect(log.groups()).toEqual([1, 7]);
    expect(log.group(1).recovered).toEqual({
      hardState: { term: 3, votedFor: 'n2' },
      compactedIndex: 1,
      compactedTerm: 2,
      lastIndex: 2,
    });
    expect(contents(log, 1)).toEqual({ base: 1, baseTerm: 2, entries: ['2/3/hello'] });
    expect(log.group(7).recovered).toMatchObject({ compactedIndex: 2 ** 40 + 5, compactedTerm: 2 ** 33 });
    expect(log.group(7).entries(2 ** 40 + 6, 2 ** 40 + 7, 10)).toEqual([
      { index: 2 ** 40 + 6, term: 2 ** 33 + 1, payload: Buffer.from([0xff, 0, 1]) },
    ]);
  });
});
