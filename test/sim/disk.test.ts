import { beforeEach, describe, expect, it } from 'vitest';
import { type DiskFaults, SimulatedDisk } from '../../sim/disk.js';
import { SeededRandom } from '../../sim/random.js';
import { Scheduler, SimulatedProcess } from '../../sim/scheduler.js';
import { Trace } from '../../sim/trace.js';

const CALM: DiskFaults = { syncFailureRate: 0, syncMeanMs: 1, slowSyncRate: 0 };

let scheduler: Scheduler;
let process: SimulatedProcess;

beforeEach(() => {
  scheduler = new Scheduler(new Trace());
  process = new SimulatedProcess(0);
});

function build(seed = 'disk', faults = CALM) {
  const machine = new SimulatedDisk(scheduler, new SeededRandom(seed), faults);
  const disk = machine.view(process);
  disk.makeDirectory('/data');
  return { machine, disk };
}

describe('a simulated disk', () => {
  it('keeps what was synced, whatever the crash does to the rest', () => {
    const outcomes = new Set<string>();
    for (let seed = 0; seed < 60; seed++) {
      const { machine, disk } = build(`crash-${seed}`);
      const file = disk.open('/data/log', { create: true });
      disk.syncDirectory('/data');
      file.writeAt(0, Buffer.alloc(2048, 'a'));
      file.syncBlocking();
      file.writeAt(2048, Buffer.alloc(6000, 'b'));
      file.writeAt(512, Buffer.alloc(512, 'c'));
      machine.crash(seed % 3 === 0 ? 'lose' : seed % 3 === 1 ? 'keep' : 'tear');
      const found = machine.view(process).read('/data/log');
      expect(found.subarray(0, 512).equals(Buffer.alloc(512, 'a'))).toBe(true);
      expect(found.subarray(1024, 2048).equals(Buffer.alloc(1024, 'a'))).toBe(true);
      expect(['a', 'c']).toContain(found.toString('latin1', 512, 513));
      expect(found.toString('latin1', 512, 1024)).toMatch(/^(a+|c+)$/);
      expect(found.subarray(2048).every((byte) => byte === 0 || byte === 0x62)).toBe(true);
      outcomes.add(`${found.length > 2048}/${found.includes(0)}/${found[512]}`);
    }
    expect(outcomes.size).toBeGreaterThan(3);
  });

  it('forgets names that were not synced, and keeps those that were', () => {
    const { machine, disk } = build();
    disk.open('/data/kept', { create: true });
    disk.syncDirectory('/data');
    disk.open('/data/lost', { create: true });
    disk.rename('/data/kept', '/data/renamed');
    expect(disk.list('/data')).toEqual(['lost', 'renamed']);
    machine.crash('lose');
    expect(machine.view(process).list('/data')).toEqual(['kept']);
  });

  it('replaces a file durably and whole', () => {
    const { machine, disk } = build();
    disk.replace('/data/identity', Buffer.from('one'));
    disk.replace('/data/identity', Buffer.from('two!'));
    machine.crash('lose');
    expect(machine.view(process).read('/data/identity').toString()).toBe('two!');
  });

  it('makes durable with a background sync only what was written before it began', () => {
    const { machine, disk } = build();
    const file = disk.open('/data/log', { create: true });
    disk.syncDirectory('/data');
    file.writeAt(0, Buffer.alloc(512, 'a'));
    let synced = false;
    file.sync((error) => {
      expect(error).toBeUndefined();
      synced = true;
    });
    file.writeAt(512, Buffer.alloc(512, 'b'));
    expect(synced).toBe(false);
    while (scheduler.step());
    expect(synced).toBe(true);
    machine.crash('lose');
    expect(machine.view(process).read('/data/log').toString()).toBe('a'.repeat(512));
  });

  it('shows what a failed sync dropped, and never makes it durable by a later sync', () => {
    const { machine, disk } = build('failing', { ...CALM, syncFailureRate: 1 });
    const file = disk.open('/data/log', { create: true });
    disk.syncDirectory('/data');
    file.writeAt(0, Buffer.alloc(64 * 512, 'a'));
    expect(() => file.syncBlocking()).toThrow(/sync of/);
    machine.faults = CALM;
    file.syncBlocking();
    expect(disk.read('/data/log').toString('latin1')).toBe('a'.repeat(64 * 512));
    machine.crash('lose');
    expect(
      machine
        .view(process)
        .read('/data/log')
        .includes('a'.repeat(64 * 512)),
    ).toBe(false);
  });

  it('lets a killed process change nothing more', () => {
    const { disk } = build();
    const file = disk.open('/data/log', { create: true });
    process.alive = false;
    expect(() => file.writeAt(0, Buffer.from('x'))).toThrow();
    expect(() => disk.replace('/data/x', Buffer.from('x'))).toThrow();
  });

  it('flips one bit of old content and can undo it', () => {
    const { machine, disk } = build();
    const file = disk.open('/data/log', { create: true });
    disk.syncDirectory('/data');
    file.writeAt(0, Buffer.alloc(4096, 'a'));
    file.syncBlocking();
    file.writeAt(4096, Buffer.alloc(4096, 'b'));
    file.syncBlocking();
    const flip = machine.flipBit((path) => path.endsWith('log'))!;
    const damaged = disk.read('/data/log');
    expect(damaged.subarray(4096).equals(Buffer.alloc(4096, 'b'))).toBe(true);
    expect(damaged.subarray(0, 4096).equals(Buffer.alloc(4096, 'a'))).toBe(false);
    flip.undo();
    expect(disk.read('/data/log').subarray(0, 4096).equals(Buffer.alloc(4096, 'a'))).toBe(true);
  });

  it('reads back what was written, at any position and after truncation', () => {
    const { disk } = build();
    const random = new SeededRandom('model');
    const file = disk.open('/data/log', { create: true });
    let model = Buffer.alloc(0);
    for (let i = 0; i < 400; i++) {
      if (random.chance(0.1)) {
        const size = random.integer(20_000);
        const next = Buffer.alloc(size);
        model.copy(next);
        model = next;
        file.truncate(size);
      } else {
        const at = random.integer(20_000);
        const bytes = Buffer.alloc(random.integer(9000), random.chance(0.2) ? 0 : random.integer(256));
        const next = Buffer.alloc(
          bytes.length === 0 ? model.length : Math.max(model.length, at + bytes.length),
        );
        model.copy(next);
        bytes.copy(next, at);
        model = next;
        file.writeAt(at, bytes);
      }
      expect(file.sizeBytes()).toBe(model.length);
      expect(disk.read('/data/log').equals(model)).toBe(true);
    }
  });
});
