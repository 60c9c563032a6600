import { describe, expect, test } from 'vitest';
import { SimulatedDiskContents, SimulatedDiskStore } from '../../sim/disk-store.js';
import { changeLimits } from '../../sim/limits.js';
import { LIMITS } from '../../src/base/limits.js';
import { EngineHost } from '../../src/engine/engine-host.js';
import { openLog } from '../../src/log/write-ahead-log.js';
import { Checkpointer } from '../../src/replica/checkpointer.js';
import {
  decodeGroupNote,
  encodeGroupNote,
  type GroupNote,
  groupNoteName,
} from '../../src/replica/group-note.js';
import { bucketOf } from '../support/test-machine.js';
import { manualEnv } from './support/manual-env.js';

const INTERVAL_MS = 1000;
const COMMIT_MS = 50;

/** A checkpointer over one replica of group 1, whose applied index a test moves on. */
class Fixture {
  readonly env = manualEnv('checkpoints');
  readonly contents = new SimulatedDiskContents();
  readonly store = new SimulatedDiskStore(this.contents, {
    clock: this.env.clock,
    commitLatencyMs: () => COMMIT_MS,
  });
  readonly engines = new EngineHost({ openDiskStore: () => this.store, clock: this.env.clock });
  readonly log = openLog(this.env.disk, this.env.clock, '/log', { syncStrategy: 'blocking' });
  readonly engine = this.engines.open(bucketOf(0));
  readonly merged = this.engines.open({ id: 1, name: 'merged', engine: 'memory', replication: 'quorum' });
  mergedAreDue = true;
  appliedIndex = 0;
  compactTo = 0;
  readonly durable: number[] = [];
  done = 0;
  readonly failures: Error[] = [];
  readonly checkpointer = new Checkpointer({
    clock: this.env.clock,
    engines: this.engines,
    log: this.log,
    replicas: () => [
      {
        group: 1,
        note: (): GroupNote => ({
          appliedIndex: this.appliedIndex,
          appliedTerm: 1,
          stateMissing: false,
          head: Buffer.from('head'),
        }),
        checkpointed: (note) => {
          this.durable.push(note.appliedIndex);
          return this.compactTo;
        },
      },
      {
        group: 2,
        isDue: () => this.mergedAreDue,
        note: (): GroupNote => ({
          appliedIndex: this.appliedIndex,
          appliedTerm: 1,
          stateMissing: false,
          head: Buffer.alloc(0),
        }),
        checkpointed: () => 0,
      },
    ],
    intervalMs: INTERVAL_MS,
    onDone: () => {
      this.done++;
    },
    onFailure: (error) => this.failures.push(error),
  });

  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 10) {
      this.env.clock.advance(Math.min(10, left));
      this.env.clock.run();
      this.checkpointer.tick(this.env.clock.nowMs);
    }
  }

  write(bytes: number): void {
    this.engine.put(0, Buffer.from(`key-${this.appliedIndex}`), Buffer.alloc(bytes), ++this.appliedIndex, 0);
  }
}

describe('checkpoints', () => {
  test('are made at intervals, each with the state as it was when it began', () => {
    const fixture = new Fixture();
    fixture.write(10);
    fixture.pass(INTERVAL_MS - 10);
    expect(fixture.durable).toEqual([]);
    fixture.pass(10);
    fixture.write(10);
    fixture.pass(COMMIT_MS);
    expect(fixture.durable).toEqual([1]);
    expect(decodeGroupNote(1, fixture.contents.notes.get(groupNoteName(1))!).appliedIndex).toBe(1);
    expect(fixture.contents.tables.get('0')?.find(0, Buffer.from('key-1'))).toBe(0);
    fixture.pass(INTERVAL_MS);
    expect(fixture.durable).toEqual([1, 2]);
    expect(fixture.done).toBe(2);
  });

  test('leave merged records and the note of their journal alone until they are due', () => {
    const fixture = new Fixture();
    const noted = (): number => {
      const bytes = fixture.contents.notes.get(groupNoteName(2));
      return bytes === undefined ? 0 : decodeGroupNote(2, bytes).appliedIndex;
    };
    const key = Buffer.from('key');
    const isOnDisk = (): boolean => (fixture.contents.tables.get('1')?.find(0, key) ?? 0) !== 0;
    const merge = (): void => {
      fixture.write(10);
      fixture.merged.merge(0, key, Buffer.from('value'), fixture.appliedIndex, 0);
    };
    merge();
    fixture.mergedAreDue = false;
    fixture.pass(INTERVAL_MS + COMMIT_MS);
    expect(fixture.durable).toEqual([1]);
    expect([noted(), isOnDisk()]).toEqual([0, false]);
    merge();
    fixture.mergedAreDue = true;
    fixture.pass(INTERVAL_MS + COMMIT_MS);
    expect(fixture.durable).toEqual([1, 2]);
    expect([noted(), isOnDisk()]).toEqual([2, true]);
  });

  test('are made early when much is waiting to be written back', () => {
    const restore = changeLimits({ maxLedgerBytes: 4000 });
    try {
      const fixture = new Fixture();
      expect(fixture.checkpointer.mayApply()).toBe(true);
      fixture.write(100_000);
      expect(fixture.checkpointer.mayApply()).toBe(false);
      fixture.pass(10 + COMMIT_MS);
      expect(fixture.durable).toEqual([1]);
    } finally {
      restore();
    }
  });

  test('let writes go on below the bound of what may wait', () => {
    const fixture = new Fixture();
    fixture.write(1000);
    expect(fixture.engines.ledgerBytes()).toBeLessThan(LIMITS.maxLedgerBytes);
    expect(fixture.checkpointer.mayApply()).toBe(true);
  });

  test('begin at once when asked for, and tell whoever asked when they are durable', () => {
    const fixture = new Fixture();
    fixture.write(10);
    let told = 0;
    fixture.checkpointer.request(() => told++);
    expect(told).toBe(0);
    fixture.pass(COMMIT_MS);
    expect([told, fixture.durable]).toEqual([1, [1]]);
  });

  test('that are asked for during another one are made after it: what was applied since counts', () => {
    const fixture = new Fixture();
    fixture.write(10);
    const told: string[] = [];
    fixture.checkpointer.request(() => told.push('first'));
    fixture.write(10);
    fixture.checkpointer.request(() => told.push(`second as of ${fixture.durable.at(-1)}`));
    fixture.pass(COMMIT_MS);
    expect(told).toEqual(['first']);
    fixture.pass(COMMIT_MS + 20);
    expect(told).toEqual(['first', 'second as of 2']);
  });

  test('drop the log as far as the replica says, and no further', () => {
    const fixture = new Fixture();
    const group = fixture.log.group(1);
    fixture.log.append(
      1,
      [1, 2, 3, 4].map((index) => ({ index, term: 1, payload: Buffer.from('x') })),
    );
    fixture.log.commit(() => {});
    fixture.env.clock.run();
    fixture.appliedIndex = 4;
    fixture.pass(INTERVAL_MS + COMMIT_MS);
    expect(group.firstIndex()).toBe(1);
    fixture.compactTo = 3;
    fixture.pass(INTERVAL_MS + COMMIT_MS);
    expect(group.firstIndex()).toBe(4);
  });

  test('end for good when one fails: that is told once, and nothing more is called durable', () => {
    const fixture = new Fixture();
    fixture.write(10);
    let told = 0;
    fixture.store.failNextCommit(new Error('no disk'));
    fixture.checkpointer.request(() => told++);
    fixture.pass(COMMIT_MS);
    fixture.checkpointer.request(() => told++);
    fixture.pass(INTERVAL_MS * 3);
    expect([told, fixture.durable, fixture.done]).toEqual([0, [], 0]);
    expect(fixture.failures.map(({ message }) => message)).toEqual(['no disk']);
  });

  test('change nothing after a stop, though one that was under way ends', () => {
    const fixture = new Fixture();
    fixture.log.append(1, [{ index: 1, term: 1, payload: Buffer.from('x') }]);
    fixture.write(10);
    fixture.compactTo = 1;
    let told = 0;
    fixture.checkpointer.request(() => told++);
    fixture.checkpointer.stop();
    fixture.log.close();
    fixture.pass(COMMIT_MS);
    expect(fixture.contents.notes.size).toBe(2);
    fixture.checkpointer.request(() => told++);
    fixture.pass(INTERVAL_MS * 2);
    expect([told, fixture.durable, fixture.done]).toEqual([0, [], 0]);
  });
});

describe('the note of a group', () => {
  const NOTE: GroupNote = {
    appliedIndex: 300,
    appliedTerm: 7,
    stateMissing: true,
    head: Buffer.from('head'),
  };

  test('comes back as it was', () => {
    for (const stateMissing of [true, false])
      expect(decodeGroupNote(3, encodeGroupNote({ ...NOTE, stateMissing }))).toEqual({
        ...NOTE,
        stateMissing,
      });
  });

  test('is pinned to its bytes', () => {
    expect(encodeGroupNote(NOTE).toString('hex')).toBe(`01ac02070104${Buffer.from('head').toString('hex')}`);
    expect(groupNoteName(3)).toBe('group/3');
  });

  test('is called damaged when it is cut or has something over', () => {
    const whole = encodeGroupNote(NOTE);
    for (let length = 0; length < whole.length; length++)
      expect(() => decodeGroupNote(3, whole.subarray(0, length))).toThrow(
        expect.objectContaining({ code: 'CHECKPOINT_DAMAGED' }),
      );
    expect(() => decodeGroupNote(3, Buffer.concat([whole, Buffer.from([0])]))).toThrow(
      expect.objectContaining({ code: 'CHECKPOINT_DAMAGED' }),
    );
  });

  test('of a newer version says so', () => {
    const newer = encodeGroupNote(NOTE);
    newer[0] = 2;
    expect(() => decodeGroupNote(3, newer)).toThrow(expect.objectContaining({ code: 'LOG_TOO_NEW' }));
  });
});
