/** Failure detection among a thousand nodes: bounds in virtual time. The table of `docs/membership.md` comes from the same code. */
import { describe, expect, test } from 'vitest';
import { quantile, type SwimReport, simulateSwim } from '../../../sim/swim.js';
import { SWIM_TIMING } from '../../../src/protocol/swim/options.js';

const NODES = 1000;
const { periodMs, suspicionMultiplier, suspicionMaxMultiplier } = SWIM_TIMING;
const shortestSuspicionMs = suspicionMultiplier * Math.log10(NODES) * periodMs;

const run = (lossRate: number, watchMs: number, crashes: number, nodes = NODES): SwimReport =>
  simulateSwim({
    seed: '3',
    nodes,
    lossRate,
    warmUpMs: 3000,
    watchMs,
    crashes,
    crashPatienceMs: 30_000,
    loadIntervalMs: 0,
  });

describe('a thousand members', () => {
  test('without loss wrong nobody, and miss a dead one soon and all together', () => {
    const report = run(0, 4000, 4);
    expect(report.suspicionsPerNodeHour).toBe(0);
    expect(report.falseDeathsPerNodeHour).toBe(0);
    expect(report.undetected).toBe(0);
    // Somebody's probe, at most some periods away; then a suspicion that many confirm.
    expect(quantile(report.firstDetectedMs, 0.5)).toBeLessThan(shortestSuspicionMs + 6 * periodMs);
    expect(quantile(report.firstDetectedMs, 1)).toBeLessThan(shortestSuspicionMs * suspicionMaxMultiplier);
    expect(Math.min(...report.firstDetectedMs)).toBeGreaterThanOrEqual(shortestSuspicionMs);
    // A handful of periods, as the logarithm of the number of members has it.
    expect(quantile(report.disseminationMs, 1)).toBeLessThan(10 * periodMs);
    // A ping and an ack.
    expect(report.messagesPerNodePeriod).toBeCloseTo(2, 1);
  });

  test('with a tenth of all messages lost suspect some, wrong hardly any, and none for good', () => {
    const report = run(0.1, 8000, 1);
    expect(report.suspicionsPerNodeHour).toBeGreaterThan(0);
    expect(report.suspicionsPerNodeHour).toBeLessThan(60);
    expect(report.falseDeathsPerNodeHour).toBeLessThan(0.5);
    expect(report.longestFalseDeathMs).toBeLessThan(20 * periodMs);
    expect(report.falselyDeadAtEnd).toBe(0);
    expect(report.undetected).toBe(0);
    expect(quantile(report.allDetectedMs, 1)).toBeLessThan(shortestSuspicionMs * suspicionMaxMultiplier);
    expect(report.messagesPerNodePeriod).toBeLessThan(5);
  });

  test('send no more messages each than ten do', () => {
    for (const lossRate of [0, 0.1]) {
      const few = run(lossRate, 60_000, 0, 10).messagesPerNodePeriod;
      const many = run(lossRate, 1000, 0).messagesPerNodePeriod;
      expect(many / few).toBeGreaterThan(0.8);
      expect(many / few).toBeLessThan(1.2);
    }
  });

  test('do the same whenever the seed is the same', () => {
    const report = (seed: string): SwimReport =>
      simulateSwim({
        seed,
        nodes: 50,
        lossRate: 0.2,
        warmUpMs: 1000,
        watchMs: 20_000,
        crashes: 2,
        crashPatienceMs: 20_000,
        loadIntervalMs: 1000,
      });
    expect(report('1')).toEqual(report('1'));
    expect(report('1')).not.toEqual(report('2'));
  });
});
