import { describe, expect, test } from 'vitest';
import { SimulatedDiskContents, SimulatedDiskStore } from '../../sim/disk-store.js';
import { EngineHost } from '../../src/engine/engine-host.js';
import { openLog } from '../../src/log/write-ahead-log.js';
import { encodeGroupNote, type GroupNote, groupNoteName } from '../../src/replica/group-note.js';
import { recoverGroup } from '../../src/server/recovery.js';
import { manualEnv } from '../replica/support/manual-env.js';

const MEMBERS = ['n1', 'n2', 'n3'];

/** What a node finds: a log of entries 1 to `last` (of term 2), cut up to `compacted`, and a note or none. */
function found(options: { last?: number; compacted?: number; note?: Partial<GroupNote> }) {
  const env = manualEnv('recovery');
  const log = openLog(env.disk, env.clock, '/log', { syncStrategy: 'blocking' });
  const entries = Array.from({ length: options.last ?? 0 }, (_, position) => ({
    index: position + 1,
    term: 2,
    payload: Buffer.from('x'),
  }));
  log.append(1, entries);
  if (options.compacted !== undefined) log.compact(1, options.compacted);
  log.commit(() => {});
  env.clock.run();
  log.close();
  const contents = new SimulatedDiskContents();
  if (options.note !== undefined) {
    const note = {
      appliedIndex: 0,
      appliedTerm: 0,
      stateMissing: false,
      head: Buffer.from('head'),
      ...options.note,
    };
    contents.notes.set(groupNoteName(1), encodeGroupNote(note));
  }
  const engines = new EngineHost({
    openDiskStore: () => new SimulatedDiskStore(contents, { clock: env.clock }),
    clock: env.clock,
  });
  const reopened = openLog(env.disk, env.clock, '/log', { syncStrategy: 'blocking' });
  const heads: string[] = [];
  const recover = () =>
    recoverGroup({
      engines,
      log: reopened,
      group: 1,
      members: MEMBERS,
      restoreHead: (head) => heads.push(head.toString()),
    });
  return { recover, heads, log: reopened.group(1) };
}

const failure = (code: string) => expect.objectContaining({ code });

describe('what a replica starts from', () => {
  test('is nothing on a new node', () => {
    const { recover, heads } = found({});
    expect(recover()).toEqual({ group: 1, members: MEMBERS, appliedIndex: 0, stateMissing: false });
    expect(heads).toEqual([]);
  });

  test('is the log alone before the first checkpoint', () => {
    expect(found({ last: 5 }).recover()).toMatchObject({ appliedIndex: 0, stateMissing: false });
  });

  test('is the state of the last checkpoint, with the log behind it', () => {
    const { recover, heads, log } = found({
      last: 9,
      compacted: 4,
      note: { appliedIndex: 6, appliedTerm: 2 },
    });
    expect(recover()).toMatchObject({ appliedIndex: 6, stateMissing: false });
    expect(heads).toEqual(['head']);
    expect([log.firstIndex(), log.lastIndex()]).toEqual([5, 9]);
  });

  test('may be a checkpoint that reflects just what the log has dropped', () => {
    expect(
      found({ last: 6, compacted: 6, note: { appliedIndex: 6, appliedTerm: 2 } }).recover(),
    ).toMatchObject({ appliedIndex: 6 });
  });

  test('is a snapshot that became durable before the log was taken on from it', () => {
    for (const note of [
      { appliedIndex: 20, appliedTerm: 3 },
      { appliedIndex: 5, appliedTerm: 3 },
    ]) {
      const { recover, log } = found({ last: 9, compacted: 2, note });
      expect(recover()).toMatchObject({ appliedIndex: note.appliedIndex, stateMissing: false });
      expect([log.firstIndex(), log.lastIndex()]).toEqual([note.appliedIndex + 1, note.appliedIndex]);
      expect(log.term(note.appliedIndex)).toBe(3);
    }
  });

  test('is no state, but the whole log, when the state was being replaced', () => {
    const { recover, heads, log } = found({
      last: 9,
      compacted: 4,
      note: { appliedIndex: 6, appliedTerm: 2, stateMissing: true },
    });
    expect(recover()).toMatchObject({ appliedIndex: 4, stateMissing: true });
    expect(heads).toEqual([]);
    expect([log.firstIndex(), log.lastIndex()]).toEqual([5, 9]);
  });

  test('is refused where state and log do not meet', () => {
    expect(found({ last: 9, compacted: 4 }).recover).toThrow(failure('CHECKPOINT_DAMAGED'));
    expect(found({ last: 9, compacted: 4, note: { appliedIndex: 3, appliedTerm: 2 } }).recover).toThrow(
      failure('CHECKPOINT_DAMAGED'),
    );
  });
});
