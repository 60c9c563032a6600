import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkHistory } from '../../sim/checkers/linearizability.js';
import { answerFits, nextState, type RegisterState } from '../../sim/checkers/register-model.js';
import type { Operation, OperationKind, OperationResult, Outcome } from '../../sim/history.js';

function operation(
  kind: OperationKind,
  argument: string,
  result: OperationResult,
  calledAt: number,
  returnedAt: number,
  outcome: Outcome = 'ok',
  expected: string | null = null,
): Operation {
  return { client: 'c', key: 'k', kind, argument, expected, calledAt, returnedAt, outcome, result };
}

const set = (value: string, from: number, to: number): Operation =>
  operation('set', value, undefined, from, to);
const maybeSet = (value: string, from: number): Operation =>
  operation('set', value, undefined, from, Number.POSITIVE_INFINITY, 'maybe');
const get = (value: string | null, from: number, to: number): Operation =>
  operation('get', '', value, from, to);

/** Tries every order: the definition itself, for small histories. */
function linearizableByBruteForce(operations: readonly Operation[]): boolean {
  const relevant = operations.filter((o) => o.outcome !== 'failed');
  const used = new Array<boolean>(relevant.length).fill(false);
  const attempt = (state: RegisterState): boolean => {
    if (relevant.every((o, i) => used[i] || o.outcome === 'maybe')) return true;
    for (let i = 0; i < relevant.length; i++) {
      const candidate = relevant[i]!;
      if (used[i]) continue;
      const mustWait = relevant.some(
        (o, j) => !used[j] && j !== i && o.outcome === 'ok' && o.returnedAt < candidate.calledAt,
      );
      if (mustWait) continue;
      if (candidate.outcome === 'ok' && !answerFits(state, candidate)) continue;
      used[i] = true;
      if (attempt(nextState(state, candidate))) return true;
      used[i] = false;
    }
    return false;
  };
  return attempt(null);
}

describe('linearizable histories pass', () => {
  it.each<[string, Operation[]]>([
    ['a write and a later read of it', [set('a', 0, 1), get('a', 2, 3)]],
    ['a read that overlaps the write and sees the old value', [set('a', 0, 3), get(null, 1, 2)]],
    [
      'a write of unknown outcome that a much later read sees',
      [maybeSet('a', 0), get(null, 1, 2), get('a', 3, 4)],
    ],
    [
      'a write of unknown outcome that nobody ever sees',
      [maybeSet('a', 0), get(null, 1, 2), get(null, 3, 4)],
    ],
    ['a failed write that nobody sees', [operation('set', 'a', undefined, 0, 1, 'failed'), get(null, 2, 3)]],
    [
      'two increments that overlap',
      [operation('increment', '1', 2, 0, 3), operation('increment', '1', 1, 1, 2)],
    ],
    [
      'a compare-and-set that lost against a concurrent write',
      [set('a', 0, 1), set('b', 2, 5), operation('compare-and-set', 'c', false, 3, 4, 'ok', 'a')],
    ],
  ])('%s', (_name, history) => {
    expect(checkHistory(history)).toEqual({ ok: true });
  });
});

describe('histories that are not linearizable are refused', () => {
  it.each<[string, Operation[]]>([
    ['a stale read after the write was acknowledged', [set('a', 0, 1), get(null, 2, 3)]],
    [
      'two reads that see two writes in opposite orders',
      [set('a', 0, 10), set('b', 1, 11), get('a', 2, 3), get('b', 4, 5), get('a', 6, 7)],
    ],
    [
      'an increment that was counted twice',
      [operation('increment', '1', 1, 0, 1), operation('increment', '1', 3, 2, 3)],
    ],
    [
      'two conditional writes that both found the key absent',
      [operation('set-if-absent', 'a', true, 0, 3), operation('set-if-absent', 'b', true, 1, 2)],
    ],
    [
      'a write of unknown outcome that takes effect twice',
      [maybeSet('a', 0), get('a', 1, 2), set('b', 3, 4), get('a', 5, 6)],
    ],
    ['a failed write that is seen', [operation('set', 'a', undefined, 0, 1, 'failed'), get('a', 2, 3)]],
    ['a value read before anyone began to write it', [get('a', 0, 1), set('a', 2, 3)]],
  ])('%s', (_name, history) => {
    expect(checkHistory(history)).toMatchObject({ ok: false, kind: 'violation' });
  });

  it('names the answer that cannot be explained and what surrounds it', () => {
    const result = checkHistory([set('a', 0, 1), set('b', 2, 3), get('a', 4, 5), get('b', 6, 7)]);
    expect(result).toMatchObject({ ok: false, culprit: { calledAt: 4 } });
    expect(!result.ok && result.explanation).toContain('get() = "a"');
    expect(!result.ok && result.explanation).toContain('set(b)');
  });

  it('judges each key on its own', () => {
    const other = { ...get(null, 2, 3), key: 'other' };
    expect(checkHistory([set('a', 0, 1), other])).toEqual({ ok: true });
  });
});

describe('the search', () => {
  it('agrees with trying every order, on random small histories', () => {
    const kinds: OperationKind[] = [
      'get',
      'set',
      'delete',
      'increment',
      'append',
      'set-if-absent',
      'get-and-set',
      'compare-and-set',
    ];
    const value = fc.constantFrom('1', '2');
    const maybeAbsent = fc.option(value, { nil: null });
    const arbitrary = fc.array(
      fc.record({
        kind: fc.constantFrom(...kinds),
        argument: value,
        expected: maybeAbsent,
        answer: fc.tuple(maybeAbsent, fc.boolean(), fc.integer({ min: 1, max: 4 })),
        from: fc.integer({ min: 0, max: 12 }),
        length: fc.integer({ min: 1, max: 6 }),
        outcome: fc.constantFrom<Outcome>('ok', 'ok', 'ok', 'maybe', 'failed'),
      }),
      { minLength: 1, maxLength: 6 },
    );
    const seen = { yes: 0, no: 0 };
    fc.assert(
      fc.property(arbitrary, (parts) => {
        const history = parts.map((part, i): Operation => {
          const [text, flag, number] = part.answer;
          const result =
            part.kind === 'get' || part.kind === 'get-and-set'
              ? text
              : part.kind === 'increment' || part.kind === 'append'
                ? number
                : part.kind === 'set'
                  ? undefined
                  : flag;
          // Calls and returns are all at different moments.
          return operation(
            part.kind,
            part.argument,
            result,
            part.from + i / 100,
            part.from + part.length + i / 100 + 0.5,
            part.outcome,
            part.expected,
          );
        });
        const expected = linearizableByBruteForce(history);
        seen[expected ? 'yes' : 'no']++;
        expect(checkHistory(history).ok).toBe(expected);
      }),
      { numRuns: 3000, seed: 20 },
    );
    expect(Math.min(seen.yes, seen.no)).toBeGreaterThan(100);
  });

  it('accepts every history of a real register and refuses most corrupted ones', () => {
    let refused = 0;
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            kind: fc.constantFrom<OperationKind>('get', 'set', 'increment', 'delete'),
            wait: fc.nat(5),
            length: fc.integer({ min: 1, max: 9 }),
            lost: fc.nat(9),
          }),
          { minLength: 30, maxLength: 60 },
        ),
        fc.nat(),
        (parts, victim) => {
          let state: RegisterState = null;
          let now = 0;
          const history = parts.map((part, i): Operation => {
            const argument = part.kind === 'increment' ? '1' : String(i * 1000);
            now += part.wait + 1;
            const draft = operation(
              part.kind,
              argument,
              undefined,
              now - part.length + i / 1000,
              now + part.length + i / 1000 + 0.5,
            );
            const before: RegisterState = state;
            state = nextState(state, draft);
            const result =
              part.kind === 'get'
                ? before
                : part.kind === 'increment'
                  ? Number(state)
                  : part.kind === 'delete'
                    ? before !== null
                    : undefined;
            return part.lost === 0
              ? { ...draft, outcome: 'maybe', returnedAt: Number.POSITIVE_INFINITY }
              : { ...draft, result };
          });
          expect(checkHistory(history)).toEqual({ ok: true });
          const reads = history.filter((o) => o.kind === 'get' && o.outcome === 'ok');
          const corrupted = reads[victim % Math.max(1, reads.length)];
          if (corrupted === undefined) return;
          const broken = history.map((o) => (o === corrupted ? { ...o, result: '77' } : o));
          if (!checkHistory(broken).ok) refused++;
        },
      ),
      { numRuns: 60, seed: 4 },
    );
    expect(refused).toBeGreaterThan(40);
  });

  it('says undecided, never ok, when it outgrows its bound', () => {
    const history = Array.from({ length: 12 }, (_, i) => set(String(i), i / 100, 50 + i / 100));
    expect(checkHistory([...history, get('none', 60, 61)], { maxStates: 50 })).toMatchObject({
      kind: 'undecided',
    });
  });
});
