import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ForwardGate } from '../../src/server/forward-gate.js';

const admits = (gate: ForwardGate, sequence: number, acknowledgedBelow = 0, boot = 'boot'): boolean =>
  gate.admits('n2', boot, 1, sequence, acknowledgedBelow);
const givesBack = (gate: ForwardGate, sequence: number): void => gate.gaveBack('n2', 'boot', 1, sequence);

describe('the gate for forwarded requests', () => {
  test('lets everything through while nothing was given back', () => {
    const gate = new ForwardGate();
    expect([3, 1, 2].every((sequence) => admits(gate, sequence))).toBe(true);
  });

  test('holds back what comes behind a request that was given back, until that one comes again', () => {
    const gate = new ForwardGate();
    givesBack(gate, 5);
    expect(admits(gate, 6)).toBe(false);
    givesBack(gate, 6);
    expect(admits(gate, 5)).toBe(true);
    expect(admits(gate, 7)).toBe(false);
    expect(admits(gate, 6)).toBe(true);
    expect(admits(gate, 7)).toBe(true);
  });

  test('lets earlier requests through', () => {
    const gate = new ForwardGate();
    givesBack(gate, 5);
    expect(admits(gate, 4)).toBe(true);
  });

  test('forgets what was answered elsewhere', () => {
    const gate = new ForwardGate();
    givesBack(gate, 5);
    givesBack(gate, 6);
    expect(admits(gate, 8, 6)).toBe(false);
    expect(admits(gate, 8, 7)).toBe(true);
  });

  test('begins anew with a new process of the peer, and keeps groups and peers apart', () => {
    const gate = new ForwardGate();
    givesBack(gate, 5);
    expect(admits(gate, 6, 0, 'another boot')).toBe(true);
    expect(gate.admits('n2', 'boot', 2, 6, 0)).toBe(true);
    expect(gate.admits('n3', 'boot', 1, 6, 0)).toBe(true);
    expect(admits(gate, 6)).toBe(false);
  });

  test('never lets a request overtake one that is still to come, whatever is given back and sent again', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 1, maxLength: 200 }), fc.nat(), (verdicts, salt) => {
        const gate = new ForwardGate();
        const total = 20;
        const accepted: number[] = [];
        // A route: requests under way in order; those given back go to the front of what is sent next, in order.
        let underWay = Array.from({ length: total }, (_, index) => index + 1);
        let turn = salt;
        while (underWay.length > 0) {
          const again: number[] = [];
          for (const sequence of underWay) {
            const leads = verdicts[turn++ % verdicts.length]! || turn > 10_000;
            if (admits(gate, sequence) && leads) accepted.push(sequence);
            else {
              givesBack(gate, sequence);
              again.push(sequence);
            }
          }
          underWay = again;
        }
        expect(accepted).toEqual(Array.from({ length: total }, (_, index) => index + 1));
      }),
      { numRuns: 200, seed: 1 },
    );
  });
});
