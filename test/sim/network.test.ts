import { beforeEach, describe, expect, it } from 'vitest';
import { addressOfNode } from '../../sim/addresses.js';
import { CALM_NETWORK, SimulatedFabric } from '../../sim/network.js';
import { SeededRandom } from '../../sim/random.js';
import { Scheduler, SimulatedProcess } from '../../sim/scheduler.js';
import { Trace } from '../../sim/trace.js';
import type { Link } from '../../src/env/env.js';

let scheduler: Scheduler;
let fabric: SimulatedFabric;
let processes: SimulatedProcess[];
let heard: string[];

const runFor = (ms: number): void => {
  let over = false;
  scheduler.schedule(ms, undefined, () => {
    over = true;
  });
  while (!over && scheduler.step());
};

async function listen(node: number, onLink: (link: Link) => void = () => {}): Promise<void> {
  await fabric.view(processes[node]!).listen(addressOfNode(node), (link) => {
    onLink(link);
    return {
      onFrame: (frame) => heard.push(`${node}<${frame.toString()}`),
      onDrain: () => heard.push(`${node} drain`),
      onClose: (reason) => heard.push(`${node} ${reason}`),
    };
  });
}

const dial = (from: number, to: number): Link =>
  fabric.view(processes[from]!).dial(addressOfNode(to), {
    onOpen: () => heard.push(`${from} open`),
    onFrame: (frame) => heard.push(`${from}<${frame.toString()}`),
    onDrain: () => heard.push(`${from} drain`),
    onClose: (reason) => heard.push(`${from} ${reason}`),
  });

beforeEach(() => {
  scheduler = new Scheduler(new Trace());
  fabric = new SimulatedFabric(scheduler, new SeededRandom('net'), 3);
  processes = [0, 1, 2].map((node) => new SimulatedProcess(node));
  heard = [];
});

describe('a simulated link', () => {
  it('carries frames whole and in order, both ways, whatever the latencies', async () => {
    fabric.faults = { ...CALM_NETWORK, meanExtraLatencyMs: 30 };
    let accepted: Link | undefined;
    await listen(1, (link) => {
      accepted = link;
    });
    const link = dial(0, 1);
    for (let i = 0; i < 100; i++) link.send(Buffer.from(`a${i}`));
    runFor(2000);
    for (let i = 0; i < 100; i++) accepted!.send(Buffer.from(`b${i}`));
    runFor(2000);
    expect(heard.filter((line) => line.startsWith('1<'))).toEqual(
      Array.from({ length: 100 }, (_, i) => `1<a${i}`),
    );
    expect(heard.filter((line) => line.startsWith('0<'))).toEqual(
      Array.from({ length: 100 }, (_, i) => `0<b${i}`),
    );
  });

  it('is refused where nobody listens, and reset when the other process is killed', async () => {
    dial(0, 1);
    runFor(100);
    expect(heard).toEqual(['0 refused']);
    await listen(1);
    dial(0, 1);
    runFor(100);
    processes[1]!.alive = false;
    fabric.processKilled(processes[1]!);
    runFor(100);
    dial(0, 1);
    runFor(100);
    expect(heard).toEqual(['0 refused', '0 open', '0 reset', '0 refused']);
  });

  it('delivers what was sent before the sender died', async () => {
    await listen(1);
    const link = dial(0, 1);
    runFor(10);
    link.send(Buffer.from('last words'));
    processes[0]!.alive = false;
    fabric.processKilled(processes[0]!);
    runFor(100);
    expect(heard).toEqual(['0 open', '1<last words', '1 reset']);
  });

  it('holds frames back while one way is blocked and delivers them after healing', async () => {
    let accepted: Link | undefined;
    await listen(1, (link) => {
      accepted = link;
    });
    const link = dial(0, 1);
    runFor(10);
    fabric.block(0, 1);
    link.send(Buffer.from('held'));
    accepted!.send(Buffer.from('passes'));
    runFor(1000);
    expect(heard).toEqual(['0 open', '0<passes']);
    fabric.healAll();
    runFor(100);
    expect(heard).toEqual(['0 open', '0<passes', '1<held']);
  });

  it('is given up by both sides when the way stays blocked, and then unreachable', async () => {
    await listen(1);
    dial(0, 1);
    runFor(10);
    fabric.block(1, 0);
    runFor(15_000);
    dial(0, 1);
    runFor(5000);
    expect([...heard].sort()).toEqual(['0 open', '0 reset', '0 unreachable', '1 reset']);
  });

  it('asks the sender to wait when too much is under way', async () => {
    await listen(1);
    const link = dial(0, 1);
    runFor(10);
    const frame = Buffer.alloc(256 * 1024, 'x');
    let sent = 0;
    while (link.send(frame)) sent++;
    expect(sent).toBeGreaterThan(2);
    runFor(1000);
    expect(heard).toContain('0 drain');
    expect(link.send(frame)).toBe(true);
  });

  it('drops, repeats and reorders frames only when told to', async () => {
    await listen(1);
    fabric.faults = { ...CALM_NETWORK, dropRate: 0.1, duplicateRate: 0.1, reorderRate: 0.1 };
    const link = dial(0, 1);
    runFor(10);
    for (let i = 0; i < 300; i++) link.send(Buffer.from(String(i).padStart(3, '0')));
    runFor(1000);
    const frames = heard.filter((line) => line.startsWith('1<'));
    expect(new Set(frames).size).toBeLessThan(300);
    expect(new Set(frames).size).toBeLessThan(frames.length);
    expect([...frames].sort()).not.toEqual(frames);
  });

  it('refuses a second listener on one address', async () => {
    await listen(1);
    await expect(listen(1)).rejects.toMatchObject({ code: 'ADDRESS_IN_USE' });
  });
});
