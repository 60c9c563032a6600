/**
 * Random work, random crashes: what a log tells after a crash is what it had called durable, or that and the one batch
 * that was being written, whole.
 */
import { describe, expect, it } from 'vitest';
import { type LogOptions, openLog } from '../../src/log/write-ahead-log.js';
import type { LogEntry } from '../../src/protocol/raft/types.js';
import { Crash } from './faulty-disk.js';
import { DIRECTORY, LogHarness } from './log-harness.js';
import { cloneModel, describeModel, emptyGroup, groupOf, type Model, readModel } from './model.js';

/** A small generator of numbers with a seed (mulberry32). */
function chanceOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const GROUPS = [0, 1, 2, 77];

class CrashRun {
  readonly #chance: () => number;
  readonly #harness: LogHarness;
  #model: Model = new Map();
  /** The model as of each batch that was written since the last crash; the first is what recovery found. */
  #written: Model[] = [new Map()];
  /** Which of them was the last to be called durable. */
  #acknowledged = 0;
  #recovering = false;
  crashes = 0;
  segmentsDeleted = 0;
  tornBatches = 0;

  constructor(seed: number, options: LogOptions) {
    this.#chance = chanceOf(seed);
    this.#harness = new LogHarness(options);
    this.#harness.disk.onWrite = (_path, _position, bytes) => {
      if (this.#recovering || Buffer.from(bytes.subarray(0, 4)).toString('latin1') !== 'QnBt') return;
      // A batch is written only after the one before has been synced.
      this.#acknowledged = this.#written.length - 1;
      this.#written.push(cloneModel(this.#model));
    };
  }

  #below(bound: number): number {
    return Math.floor(this.#chance() * bound);
  }

  #payload(): Buffer {
    const size = this.#chance() < 0.1 ? this.#below(3000) : this.#below(60);
    return Buffer.alloc(size, this.#below(256));
  }

  /** One change, to log and model alike. */
  #change(): void {
    const { log } = this.#harness;
    const number = GROUPS[this.#below(GROUPS.length)]!;
    const group = groupOf(this.#model, number);
    const last = group.base + group.entries.length;
    const term = (group.entries.at(-1)?.term ?? group.baseTerm) + (this.#chance() < 0.1 ? 1 : 0);
    const kind = this.#chance();
    if (kind < 0.7) {
      const cuts = group.entries.length > 0 && this.#chance() < 0.15;
      const first = cuts ? group.base + 1 + this.#below(group.entries.length) : last + 1;
      const count = 1 + this.#below(5);
      const added: LogEntry[] = Array.from({ length: count }, (_, i) => ({
        index: first + i,
        term: Math.max(1, term),
        payload: this.#payload(),
      }));
      group.entries = [...group.entries.slice(0, first - group.base - 1), ...added];
      log.append(number, added);
    } else if (kind < 0.8) {
      group.hardState = { term: this.#below(1000), votedFor: ['', 'n1', 'knöten-2'][this.#below(3)]! };
      log.saveHardState(number, group.hardState);
    } else if (kind < 0.95) {
      if (group.entries.length === 0) return;
      const drop = 1 + this.#below(group.entries.length);
      group.base += drop;
      group.baseTerm = group.entries[drop - 1]!.term;
      group.entries = group.entries.slice(drop);
      log.compact(number, group.base);
    } else if (kind < 0.98) {
      group.base = last + this.#below(50);
      group.baseTerm = Math.max(1, term);
      group.entries = [];
      log.resetTo(number, group.base, group.baseTerm);
    } else {
      this.#model.set(number, emptyGroup());
      log.removeGroup(number);
    }
  }

  #commit(): void {
    const ownBatch = this.#written.length;
    this.#harness.log.commit((error) => {
      // A crash inside a write is the log's failure; what it was writing must not be called durable.
      if (error === undefined) {
        // Its own batch, or the one before when there was nothing new to write.
        const durable = Math.min(ownBatch, this.#written.length - 1);
        this.#acknowledged = Math.max(this.#acknowledged, durable);
      } else expect(error.message).toContain('the power has failed');
    });
  }

  /** Works until the planned crash strikes, or `steps` are done. */
  work(steps: number): void {
    const { disk, clock } = this.#harness;
    const segmentsBefore = Number(disk.list(DIRECTORY)[0]?.slice(0, 10));
    disk.crashAfter(this.#below(60));
    try {
      for (let step = 0; step < steps; step++) {
        const what = this.#chance();
        if (what < 0.6) this.#change();
        else if (what < 0.8) this.#commit();
        else if (what < 0.9) clock.turn();
        else disk.completeSync();
        this.#checkReadable();
      }
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
    }
    this.segmentsDeleted += Number(disk.list(DIRECTORY)[0]?.slice(0, 10)) - segmentsBefore;
  }

  #checkReadable(): void {
    if (this.#chance() > 0.2) return;
    const number = GROUPS[this.#below(GROUPS.length)]!;
    const group = groupOf(this.#model, number);
    if (group.entries.length === 0) return;
    const from = this.#below(group.entries.length);
    const maxBytes = this.#below(4000);
    const read = this.#harness.log
      .group(number)
      .entries(group.base + 1 + from, group.base + 1 + group.entries.length, maxBytes);
    const bytes = read.reduce((sum, one) => sum + one.payload.length, 0);
    expect(read.length).toBeGreaterThan(0);
    if (read.length > 1) expect(bytes).toBeLessThanOrEqual(maxBytes);
    read.forEach((one, i) => {
      const expected = group.entries[from + i]!;
      expect(one.index).toBe(expected.index);
      expect(one.term).toBe(expected.term);
      expect(one.payload.equals(expected.payload)).toBe(true);
    });
  }

  crash(): void {
    const { disk, clock } = this.#harness;
    if (this.#chance() < 0.7) disk.crash(this.#chance);
    else disk.kill();
    clock.clear();
    this.crashes++;
    this.#recovering = true;
    // The machine may fail again while the log is being repaired.
    for (let attempt = 0; attempt < 3; attempt++) {
      disk.crashAfter(this.#below(6));
      try {
        openLog(disk, clock, DIRECTORY, this.#harness.options);
      } catch (error) {
        if (!(error instanceof Crash)) throw error;
      }
      disk.crash(this.#chance);
      clock.clear();
    }
    const log = this.#harness.reopen();
    this.#recovering = false;
    const found = describeModel(readModel(log, GROUPS));
    const candidates = this.#written.slice(this.#acknowledged);
    expect(candidates.length).toBeLessThanOrEqual(2);
    const matching = candidates.find((candidate) => describeModel(candidate) === found);
    if (matching === undefined) expect(found).toBe(describeModel(candidates[0]!));
    if (matching === candidates[0] && candidates.length === 2) this.tornBatches++;
    for (const number of log.groups()) expect(GROUPS).toContain(number);
    this.#model = cloneModel(matching!);
    this.#written = [cloneModel(matching!)];
    this.#acknowledged = 0;
  }
}

const SETTINGS: readonly [string, LogOptions][] = [
  ['blocking', { syncStrategy: 'blocking', segmentBytes: 4096, fillBytes: 0, cacheBytes: 2048 }],
  ['background', { syncStrategy: 'background', segmentBytes: 2048, fillBytes: 1024, cacheBytes: 4096 }],
  ['chosen by measuring', { syncStrategy: 'auto', segmentBytes: 4096, fillBytes: 4096, cacheBytes: 512 }],
  [
    'background, with little copied forward',
    {
      syncStrategy: 'background',
      segmentBytes: 1024,
      fillBytes: 512,
      cacheBytes: 1024,
      relocationBytes: 100,
    },
  ],
];

describe('A log that crashes at any moment', () => {
  it.each(SETTINGS)('keeps exactly what it called durable (%s)', (_name, options) => {
    let crashes = 0;
    let deleted = 0;
    let torn = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const run = new CrashRun(seed, options);
      try {
        for (let round = 0; round < 8; round++) {
          run.work(120);
          run.crash();
        }
      } catch (error) {
        throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}`, {
          cause: error,
        });
      }
      crashes += run.crashes;
      deleted += run.segmentsDeleted;
      torn += run.tornBatches;
    }
    // The runs must have been where it hurts.
    expect(crashes).toBe(320);
    expect(deleted).toBeGreaterThan(30);
    expect(torn).toBeGreaterThan(15);
  });
});
