import { describe, expect, test } from 'vitest';
import { LoadMeter } from '../../src/server/load-meter.js';

function fixture() {
  const state = { commands: 0, memoryBytes: 1000, readP99Ms: 1.6, epoch: 4 };
  const meter = new LoadMeter(
    {
      commands: () => state.commands,
      memoryBytes: () => state.memoryBytes,
      readP99Ms: () => state.readP99Ms,
      epoch: () => state.epoch,
    },
    20,
    0,
  );
  return { state, meter };
}

describe('how a node fares', () => {
  test('is told once a second, as a rate of that second', () => {
    const { state, meter } = fixture();
    for (let nowMs = 20; nowMs < 1000; nowMs += 20) {
      state.commands += 10;
      expect(meter.tick(nowMs)).toBeUndefined();
    }
    state.commands += 10;
    expect(meter.tick(1000)).toEqual({
      loopLagMs: 0,
      requestsPerSecond: 500,
      memoryBytes: 1000,
      readP99Ms: 2,
      epoch: 4,
    });
    for (let nowMs = 1020; nowMs < 2000; nowMs += 20) expect(meter.tick(nowMs)).toBeUndefined();
    expect(meter.tick(2000)).toMatchObject({ requestsPerSecond: 0 });
  });

  test('shows the longest delay of a tick, and forgets it with the next report', () => {
    const { meter } = fixture();
    meter.tick(20);
    meter.tick(340);
    meter.tick(360);
    expect(meter.tick(1000)).toMatchObject({ loopLagMs: 620 });
    for (let nowMs = 1020; nowMs < 2000; nowMs += 20) meter.tick(nowMs);
    expect(meter.tick(2000)).toMatchObject({ loopLagMs: 0 });
  });

  test('counts a late second for as long as it was', () => {
    const { state, meter } = fixture();
    state.commands = 4000;
    expect(meter.tick(4000)).toMatchObject({ requestsPerSecond: 1000, loopLagMs: 3980 });
  });
});
