import { describe, expect, it } from 'vitest';
import { RealClock } from '../../src/env/real/clock.js';
import { RealRandom } from '../../src/env/real/random.js';
import { until } from './until.js';

describe('The real clock', () => {
  it('runs deferred callbacks in order, never inside the call, and new ones in a later turn', async () => {
    const clock = new RealClock();
    const seen: string[] = [];
    clock.defer(() => {
      seen.push('first');
      clock.defer(() => seen.push('later'));
      seen.push('first ends');
    });
    clock.defer(() => seen.push('second'));
    seen.push('call');
    await until(() => seen.length === 5);
    expect(seen).toEqual(['call', 'first', 'first ends', 'second', 'later']);
  });

  it('still runs the other deferred callbacks when one throws', async () => {
    const clock = new RealClock();
    const seen: string[] = [];
    const thrown: Error[] = [];
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.once('uncaughtException', (error) => thrown.push(error));
    clock.defer(() => {
      throw new Error('broken');
    });
    clock.defer(() => seen.push('second'));
    clock.defer(() => seen.push('third'));
    await until(() => seen.length === 2 && thrown.length === 1);
    for (const listener of listeners) process.on('uncaughtException', listener);
    expect(seen).toEqual(['second', 'third']);
    expect(thrown[0]!.message).toBe('broken');
  });

  it('never fires a timer early, and not at all once cancelled', async () => {
    const clock = new RealClock();
    const start = clock.monotonicMs();
    let firedMs = 0;
    let cancelledFired = false;
    let distantFired = false;
    clock
      .setTimer(1, () => {
        cancelledFired = true;
      })
      .cancel();
    const distant = clock.setTimer(2 ** 31 + 5, () => {
      distantFired = true;
    });
    clock.setTimer(5.5, () => {
      firedMs = clock.monotonicMs();
    });
    await until(() => firedMs > 0);
    expect(firedMs - start).toBeGreaterThanOrEqual(5.5);
    expect(cancelledFired).toBe(false);
    expect(distantFired).toBe(false);
    distant.cancel();
  });
});

describe('The real chance', () => {
  it('stays within its bounds', () => {
    const random = new RealRandom();
    for (let i = 0; i < 1000; i++) {
      const float = random.float();
      expect(float >= 0 && float < 1).toBe(true);
      const integer = random.integer(7);
      expect(Number.isInteger(integer) && integer >= 0 && integer < 7).toBe(true);
    }
    expect(random.hex(16)).toMatch(/^[0-9a-f]{32}$/);
    expect(random.hex(16)).not.toBe(random.hex(16));
  });
});
