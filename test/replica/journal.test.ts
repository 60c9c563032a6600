import { describe, expect, test } from 'vitest';
import { changeLimits } from '../../sim/limits.js';
import { DecodeError } from '../../src/base/bytes.js';
import { openLog } from '../../src/log/write-ahead-log.js';
import { encodeGroupNote, groupNoteName } from '../../src/replica/group-note.js';
import { Journal } from '../../src/replica/quorum/journal.js';
import { manualEnv } from './support/manual-env.js';

/** One disk; `open` is a process on it, which ends when the next one opens. */
class Machine {
  readonly env = manualEnv('journal');
  readonly heads: string[] = [];
  #log: ReturnType<typeof openLog> | undefined;
  note: Buffer | undefined;
  waitingBytes = 0;

  open(): Journal {
    this.#log?.close();
    this.#log = openLog(this.env.disk, this.env.clock, '/log', { syncStrategy: 'blocking' });
    return new Journal({
      log: this.#log,
      note: (name) => (name === groupNoteName(0xffff) ? this.note : undefined),
      encodeHead: () => Buffer.from('head'),
      restoreHead: (head) => this.heads.push(head.toString()),
      waitingBytes: () => this.waitingBytes,
    });
  }

  sync(): void {
    this.#log!.commit(() => {});
    this.env.clock.run();
  }

  checkpoint(journal: Journal): void {
    const note = journal.note();
    this.note = encodeGroupNote(note);
    this.#log!.compact(journal.group, journal.checkpointed(note));
  }
}

function replayed(journal: Journal): string[] {
  const found: string[] = [];
  journal.replay({
    mutations: (bytes) => found.push(`mutations ${bytes.toString()}`),
    hints: (bytes) => found.push(`hints ${bytes.toString()}`),
  });
  return found;
}

describe('the journal of eventual buckets', () => {
  test('gives back after a restart what was appended, in its order', () => {
    const machine = new Machine();
    const journal = machine.open();
    expect(replayed(journal)).toEqual([]);
    journal.appendMutations(Buffer.from('\x00a'));
    journal.appendHints(Buffer.from('b'));
    journal.appendMutations(Buffer.from('\x02c'));
    machine.sync();
    const again = machine.open();
    expect(replayed(again)).toEqual(['mutations \x00a', 'hints b', 'mutations \x02c']);
    expect(again.lastIndex).toBe(3);
    again.appendHints(Buffer.from('d'));
    machine.sync();
    expect(replayed(machine.open())).toHaveLength(4);
  });

  test('begins behind the last checkpoint, whose head it gives back', () => {
    const machine = new Machine();
    const journal = machine.open();
    journal.appendMutations(Buffer.from('\x00a'));
    machine.checkpoint(journal);
    journal.appendMutations(Buffer.from('\x00b'));
    machine.sync();
    expect(replayed(machine.open())).toEqual(['mutations \x00b']);
    expect(machine.heads).toEqual(['head']);
  });

  test('goes on behind a checkpoint whose last entries never reached the disk', () => {
    const machine = new Machine();
    const journal = machine.open();
    journal.appendMutations(Buffer.from('\x00a'));
    machine.sync();
    const { note } = machine;
    journal.appendMutations(Buffer.from('\x00b'));
    machine.note = encodeGroupNote({ ...journal.note(), appliedIndex: 5 });
    expect(note).toBeUndefined();
    const again = machine.open();
    expect(replayed(again)).toEqual([]);
    again.appendMutations(Buffer.from('\x00c'));
    expect(again.lastIndex).toBe(6);
    machine.sync();
    expect(replayed(machine.open())).toEqual(['mutations \x00c']);
  });

  test('is not begun with a checkpoint older than what is left of it', () => {
    const machine = new Machine();
    const journal = machine.open();
    for (const name of ['a', 'b']) {
      journal.appendMutations(Buffer.from(`\x00${name}`));
      machine.sync();
    }
    machine.checkpoint(journal);
    machine.sync();
    machine.note = undefined;
    expect(() => machine.open()).toThrow(expect.objectContaining({ code: 'CHECKPOINT_DAMAGED' }));
  });

  test('says which entry cannot be read', () => {
    const machine = new Machine();
    const journal = machine.open();
    journal.appendMutations(Buffer.from('\x00a'));
    journal.appendMutations(Buffer.from('\x00b'));
    machine.sync();
    const again = machine.open();
    const failing = () =>
      again.replay({
        mutations: (bytes) => {
          if (bytes.toString() === '\x00b') throw new DecodeError('no mutation');
        },
        hints: () => {},
      });
    expect(failing).toThrow(
      expect.objectContaining({ code: 'LOG_DAMAGED', message: expect.stringContaining('entry 2') }),
    );
  });

  test('keeps batches and hints apart: no batch begins like hints', () => {
    const journal = new Machine().open();
    expect(() => journal.appendMutations(Buffer.from([0xff, 1]))).toThrow();
  });

  test('wants its records written back seldom, and sooner when it is long or much waits for it', () => {
    const machine = new Machine();
    const journal = machine.open();
    expect(journal.isDue(1000)).toBe(false);
    expect(journal.isDue(1000 + 60_000)).toBe(true);
    machine.checkpoint(journal);
    expect(journal.isDue(62_000)).toBe(false);
    journal.writeBackSoon();
    expect(journal.isDue(62_000)).toBe(true);
    machine.checkpoint(journal);
    machine.waitingBytes = 64 * 1024 * 1024;
    expect(journal.isDue(63_000)).toBe(true);
    machine.waitingBytes = 0;
    expect(journal.isDue(63_000)).toBe(false);
    expect(journal.isDue(62_000 + 60_000)).toBe(true);
  });

  test('counts what was replayed as not written back: a node that often restarts gets no endless journal', () => {
    const restore = changeLimits({ logBlockingSyncBytes: 8 * 1024 * 1024 });
    try {
      const machine = new Machine();
      const journal = machine.open();
      const batch = Buffer.alloc(1024 * 1024, 1);
      for (let i = 0; i < 64; i++) {
        for (let j = 0; j < 4; j++) journal.appendMutations(batch);
        machine.sync();
      }
      const again = machine.open();
      again.replay({ mutations: () => {}, hints: () => {} });
      expect(again.lastIndex).toBe(256);
      expect(again.isDue(1000)).toBe(true);
    } finally {
      restore();
    }
  });
});
