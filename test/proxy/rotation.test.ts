import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Coordinator, type HeartbeatOutcome, Rotation } from '../../src/proxy/rotation.js';

function coordinator(id: string, http = `${id}:8001`): Coordinator {
  return { id, resp: `${id}:7001`, http, grpc: `${id}:9001` };
}

function rotationOf(...ids: readonly string[]): Rotation {
  const rotation = new Rotation();
  rotation.setCoordinators(
    ids.map((id) => coordinator(id)),
    0,
  );
  return rotation;
}

function turns(rotation: Rotation, count: number): (string | undefined)[] {
  return Array.from({ length: count }, () => rotation.next()?.id);
}

const stateOf = (rotation: Rotation, id: string): string | undefined =>
  rotation.entries().find((entry) => entry.id === id)?.state;

describe('the rotation', () => {
  test('hands out nobody before somebody has answered', () => {
    const rotation = rotationOf('a', 'b');
    expect([rotation.healthy, rotation.next()]).toEqual([false, undefined]);
    expect(rotation.entries().map(({ state }) => state)).toEqual(['unknown', 'unknown']);
  });

  test('gives everyone who is ready a turn', () => {
    const rotation = rotationOf('a', 'b', 'c');
    for (const id of ['a', 'b', 'c']) rotation.note(id, 0, 'ready', 1);
    expect(turns(rotation, 6)).toEqual(['a', 'b', 'c', 'a', 'b', 'c']);
  });

  test('lets go of a coordinator that refuses at once, and of a silent one the second time in a row', () => {
    const rotation = rotationOf('a', 'b');
    rotation.note('a', 0, 'ready', 1);
    rotation.note('b', 0, 'ready', 1);
    expect(rotation.note('a', 1, 'refused', 5)).toBe(true);
    expect(turns(rotation, 2)).toEqual(['b', 'b']);
    expect(rotation.note('b', 1, 'silent', 6)).toBe(false);
    expect(rotation.note('b', 2, 'ready', 7)).toBe(false);
    expect(rotation.note('b', 3, 'silent', 8)).toBe(false);
    expect(rotation.healthy).toBe(true);
    expect(rotation.note('b', 4, 'silent', 9)).toBe(true);
    expect(rotation.next()).toBeUndefined();
    expect(rotation.entries().map(({ state, sinceMs }) => [state, sinceMs])).toEqual([
      ['down', 5],
      ['down', 9],
    ]);
  });

  test('takes a coordinator back with its first good answer', () => {
    const rotation = rotationOf('a');
    rotation.note('a', 0, 'refused', 1);
    expect(rotation.note('a', 1, 'ready', 2)).toBe(true);
    expect(rotation.next()?.id).toBe('a');
  });

  test('hands out those that wait for leaders only while nobody is ready', () => {
    const rotation = rotationOf('a', 'b');
    rotation.note('a', 0, 'waiting', 1);
    rotation.note('b', 0, 'unfit', 1);
    expect(turns(rotation, 2)).toEqual(['a', 'a']);
    rotation.note('b', 1, 'ready', 2);
    expect(turns(rotation, 2)).toEqual(['b', 'b']);
  });

  test('does not hear what an earlier heartbeat says after a later one', () => {
    const rotation = rotationOf('a');
    rotation.note('a', 5, 'ready', 1);
    for (const outcome of ['silent', 'silent', 'refused'] as const)
      expect(rotation.note('a', 4, outcome, 2)).toBe(false);
    expect(stateOf(rotation, 'a')).toBe('ready');
  });

  test('keeps what it knows when the map changes, but not of one that has moved or gone', () => {
    const rotation = rotationOf('a', 'b', 'c');
    for (const id of ['a', 'b', 'c']) rotation.note(id, 0, 'ready', 1);
    rotation.setCoordinators([coordinator('a'), coordinator('b', 'elsewhere:1'), coordinator('d')], 9);
    expect(rotation.entries().map(({ id, state }) => [id, state])).toEqual([
      ['a', 'ready'],
      ['b', 'unknown'],
      ['d', 'unknown'],
    ]);
    expect(rotation.note('c', 1, 'ready', 10)).toBe(false);
  });

  test('never hands out a coordinator whose last answer was no good, and hands out all of the best', () => {
    const anyOutcome = fc.constantFrom<HeartbeatOutcome>('ready', 'waiting', 'unfit', 'refused', 'silent');
    const anyBeat = fc.tuple(fc.constantFrom('a', 'b', 'c'), anyOutcome);
    fc.assert(
      fc.property(fc.array(anyBeat, { maxLength: 40 }), (beats) => {
        const rotation = rotationOf('a', 'b', 'c');
        const model = new Map<string, { state: string; silences: number }>();
        beats.forEach(([id, outcome], beat) => {
          rotation.note(id, beat, outcome, beat);
          const before = model.get(id) ?? { state: 'unknown', silences: 0 };
          const silences = outcome === 'silent' ? before.silences + 1 : 0;
          const good = outcome === 'ready' || outcome === 'waiting';
          const state =
            outcome === 'silent' ? (silences < 2 ? before.state : 'down') : good ? outcome : 'down';
          model.set(id, { state, silences });
        });
        const having = (state: string): string[] =>
          [...model].filter(([, one]) => one.state === state).map(([id]) => id);
        const best = having('ready').length > 0 ? having('ready') : having('waiting');
        const given = turns(rotation, 6).filter((id) => id !== undefined);
        expect(new Set(given)).toEqual(new Set(best));
      }),
      { seed: 1, numRuns: 200 },
    );
  });
});
