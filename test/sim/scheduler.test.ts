import { describe, expect, it } from 'vitest';
import { MachineClock, SimulatedClock } from '../../sim/clock.js';
import { SeededRandom } from '../../sim/random.js';
import { Scheduler, SimulatedProcess } from '../../sim/scheduler.js';
import { Trace } from '../../sim/trace.js';

const drain = (scheduler: Scheduler): void => {
  while (scheduler.step());
};

describe('the scheduler', () => {
  it('executes events by time, and those of one time in the order they were scheduled', () => {
    const scheduler = new Scheduler(new Trace());
    const random = new SeededRandom('order');
    const seen: { at: number; order: number }[] = [];
    for (let order = 0; order < 5000; order++) {
      const at = random.integer(300);
      const event = scheduler.schedule(at, undefined, () => seen.push({ at, order }));
      if (order % 3 === 0) event.cancel();
    }
    drain(scheduler);
    const sorted = [...seen].sort((a, b) => a.at - b.at || a.order - b.order);
    expect(seen).toEqual(sorted);
    expect(seen.length).toBe(5000 - Math.ceil(5000 / 3));
    expect(scheduler.steps).toBe(seen.length);
  });

  it('keeps order and loses nothing when it sweeps out cancelled events', () => {
    const scheduler = new Scheduler(new Trace());
    const seen: number[] = [];
    for (let i = 0; i < 50_000; i++) {
      const at = (i * 7919) % 50_000;
      const event = scheduler.schedule(at, undefined, () => seen.push(at));
      if (i % 10 !== 0) event.cancel();
    }
    drain(scheduler);
    expect(seen.length).toBe(5000);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
  });

  it('executes nothing of a dead process and puts off what a busy one has to do', () => {
    const scheduler = new Scheduler(new Trace());
    const dead = new SimulatedProcess(0);
    const busy = new SimulatedProcess(1);
    const seen: string[] = [];
    scheduler.schedule(1, dead, () => seen.push('dead'));
    scheduler.schedule(1, busy, () => seen.push(`busy at ${scheduler.nowMs}`));
    scheduler.schedule(2, undefined, () => seen.push('other'));
    dead.alive = false;
    busy.busyUntilMs = 5;
    drain(scheduler);
    expect(seen).toEqual(['other', 'busy at 5']);
  });
});

describe('a simulated clock', () => {
  const machine = new MachineClock(-2000, 1.01, 7);
  const build = (): { scheduler: Scheduler; process: SimulatedProcess; clock: SimulatedClock } => {
    const scheduler = new Scheduler(new Trace());
    const process = new SimulatedProcess(0);
    return {
      scheduler,
      process,
      clock: new SimulatedClock(scheduler, machine, process, new SeededRandom('clock')),
    };
  };

  it('never fires a timer early by its own monotonic time', () => {
    const { scheduler, clock } = build();
    const start = clock.monotonicMs();
    let fired = 0;
    clock.setTimer(250, () => {
      fired = clock.monotonicMs();
    });
    drain(scheduler);
    expect(fired - start).toBeGreaterThanOrEqual(250 - 1e-6);
  });

  it('runs what is deferred in one turn as one event, after the call', () => {
    const { scheduler, clock } = build();
    const seen: number[] = [];
    clock.defer(() => {
      seen.push(1);
      clock.defer(() => seen.push(3));
    });
    clock.defer(() => seen.push(2));
    expect(seen).toEqual([]);
    scheduler.step();
    expect(seen).toEqual([1, 2]);
    drain(scheduler);
    expect(seen).toEqual([1, 2, 3]);
  });

  it('shows the end of a blocking call while the process is busy with it', () => {
    const { process, clock } = build();
    const before = clock.monotonicMs();
    process.busyUntilMs = 100;
    expect(clock.monotonicMs() - before).toBeCloseTo(101);
    expect(Number.isInteger(clock.wallMs())).toBe(true);
  });
});

describe('seeded chance', () => {
  it('repeats itself for one seed and differs between seeds and forks', () => {
    const draw = (random: SeededRandom): number[] => Array.from({ length: 8 }, () => random.next());
    expect(draw(new SeededRandom('7'))).toEqual(draw(new SeededRandom('7')));
    expect(draw(new SeededRandom('7'))).not.toEqual(draw(new SeededRandom('8')));
    const parent = new SeededRandom('7');
    const early = draw(parent.fork('a'));
    parent.next();
    expect(draw(parent.fork('a'))).toEqual(early);
    expect(draw(parent.fork('b'))).not.toEqual(early);
  });

  it('draws evenly', () => {
    const random = new SeededRandom('even');
    const counts = new Array<number>(10).fill(0);
    for (let i = 0; i < 100_000; i++) counts[random.integer(10)]!++;
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(600);
    expect(random.integer(2 ** 50)).toBeLessThan(2 ** 50);
    expect(random.hex(5)).toMatch(/^[0-9a-f]{10}$/);
  });
});
