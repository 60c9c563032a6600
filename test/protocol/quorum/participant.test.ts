import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../../src/base/limits.js';
import { composeVersion } from '../../../src/protocol/quorum/clock.js';
import type { MutationPurpose, QuorumMessage } from '../../../src/protocol/quorum/types.js';
import { BenchCore, batchOf, mutation, mutationsOf, replicaSet, TIMING } from './bench-core.js';

function mutate(
  id: number,
  batch: ReturnType<typeof batchOf>,
  options: { readonly durable?: boolean; readonly purpose?: MutationPurpose } = {},
): QuorumMessage {
  return {
    kind: 'mutate',
    id,
    purpose: options.purpose ?? 'write',
    durable: options.durable ?? false,
    batch,
  };
}

describe('mutations of another coordinator', () => {
  it('are merged, journaled as they travelled, and acknowledged', () => {
    const bench = new BenchCore();
    const batch = batchOf(mutation('a', '1', 5), mutation('b', '2', 6));
    bench.step('n2', mutate(77, batch));
    expect([bench.value('a'), bench.value('b')]).toEqual(['1', '2']);
    const { journal, messages, persistToken } = bench.take();
    expect(journal).toEqual([batch]);
    expect(messages).toEqual([{ to: 'n2', message: { kind: 'mutated', id: 77, notes: [] } }]);
    expect(persistToken).toBe(0);
  });

  it('that are durable are acknowledged after the journal, also when they were known', () => {
    const bench = new BenchCore();
    const batch = batchOf(mutation('a', '1', 5));
    for (const id of [1, 2]) {
      bench.step('n2', mutate(id, batch, { durable: true }));
      const { journal, messages, messagesAfterPersist } = bench.take();
      expect(journal).toHaveLength(id === 1 ? 1 : 0);
      expect(messages).toEqual([]);
      expect(messagesAfterPersist).toMatchObject([{ to: 'n2', message: { kind: 'mutated', id } }]);
    }
  });

  it('are told of newer, replaced, refused and too early ones by position', () => {
    const bench = new BenchCore();
    bench.holds('newer', 'x', 100);
    bench.holds('lived', 'x', 1);
    const tooEarly = composeVersion(bench.wallMs + TIMING.maxClockDriftMs + 1, 0, 0);
    const batch = batchOf(
      mutation('fresh', '1', 5),
      mutation('newer', '1', 6),
      mutation('lived', '1', 7),
      mutation('early', '1', tooEarly),
    );
    bench.step('n2', mutate(1, batch));
    expect(bench.take().messages[0]!.message).toMatchObject({
      notes: [
        { position: 1, what: 'newer', version: 100 },
        { position: 2, what: 'lived', version: 0 },
        { position: 3, what: 'ahead', version: 0 },
      ],
    });
    bench.store.full = true;
    bench.step('n2', mutate(2, batchOf(mutation('another', '1', 8))));
    expect(bench.take().messages[0]!.message).toMatchObject({
      notes: [{ position: 0, what: 'refused', version: 0 }],
    });
  });

  it('refused below a purge or flush are told of the version that hides them', () => {
    const bench = new BenchCore();
    bench.store.purgedThrough = 50;
    bench.step('n2', mutate(1, batchOf(mutation('k', 'v', 20))));
    expect(bench.take().messages[0]!.message).toMatchObject({
      notes: [{ position: 0, what: 'newer', version: 50 }],
    });
  });

  it('too far ahead are not taken, do not move the clock and are not in the journal', () => {
    const bench = new BenchCore();
    const tooEarly = composeVersion(bench.wallMs + TIMING.maxClockDriftMs + 1, 0, 0);
    const early = mutation('early', '1', tooEarly);
    const fine = mutation('fine', '1', bench.version());
    bench.step('n2', mutate(1, batchOf(early, fine, early)));
    expect(bench.take().journal.flatMap(mutationsOf)).toEqual([fine]);
    expect(bench.value('early')).toBeUndefined();
    bench.write('k', 'v', { replicas: replicaSet('n1'), w: 1 });
    expect(bench.store.versionOf(1, Buffer.from('k'))).toBeLessThan(tooEarly);
  });

  it('of which none is new are not journaled', () => {
    const bench = new BenchCore();
    bench.holds('k', 'x', 100);
    bench.step('n2', mutate(1, batchOf(mutation('k', 'y', 50))));
    expect(bench.take().journal).toEqual([]);
  });

  it('take the clock along', () => {
    const bench = new BenchCore();
    const ahead = bench.version(700);
    bench.step('n2', mutate(1, batchOf(mutation('k', 'v', ahead))));
    bench.write('other', 'v', { replicas: replicaSet('n1'), w: 1 });
    expect(bench.store.versionOf(1, Buffer.from('other'))).toBeGreaterThan(ahead);
  });

  it.each(['repair', 'hint', 'anti-entropy'] as const)(
    'of purpose %s never replace something newer',
    (purpose) => {
      const bench = new BenchCore();
      bench.holds('k', 'new', 100);
      bench.step('n2', mutate(1, batchOf(mutation('k', 'old', 50)), { purpose }));
      expect(bench.value('k')).toBe('new');
    },
  );
});

describe('questions of another coordinator', () => {
  it.each([
    ['nothing held here', 'absent', 0, { what: 'none' }],
    ['nothing held here, something there', 'absent', 4, { what: 'none' }],
    ['the version alone', 'k', -1, { what: 'version', version: 9 }],
    ['the same version', 'k', 9, { what: 'same' }],
    ['an older version there', 'k', 5, { what: 'record', record: { version: 9, value: Buffer.from('v') } }],
    ['a newer version there', 'k', 12, { what: 'version', version: 9 }],
    ['no version there', 'k', 0, { what: 'record', record: { version: 9 } }],
  ])('are answered for %s', (_name, key, knownVersion, answer) => {
    const bench = new BenchCore();
    bench.holds('k', 'v', 9);
    bench.step('n2', {
      kind: 'read',
      id: 3,
      queries: [{ bucketId: 1, key: Buffer.from(key), knownVersion }],
    });
    expect(bench.take().messages).toMatchObject([
      { to: 'n2', message: { kind: 'records', id: 3, answers: [answer] } },
    ]);
  });

  it('get versions instead of records once the answer is large', () => {
    const bench = new BenchCore();
    const large = 'x'.repeat(LIMITS.maxQuorumAnswerBytes / 2 + 1);
    for (const key of ['a', 'b', 'c']) bench.holds(key, large, 9);
    const queries = ['a', 'b', 'c'].map((key) => ({ bucketId: 1, key: Buffer.from(key), knownVersion: 0 }));
    bench.step('n2', { kind: 'read', id: 3, queries });
    const { message } = bench.take().messages[0]!;
    expect(message.kind === 'records' && message.answers.map(({ what }) => what)).toEqual([
      'record',
      'record',
      'version',
    ]);
  });

  it('cut short that way are asked again', () => {
    const bench = new BenchCore();
    const ends = bench.read('k', { replicas: replicaSet('n2', 'n3'), r: 1 });
    bench.take();
    bench.answer('n2', bench.readTo('n2'), { what: 'version', version: 9, expiresAtMs: 0 });
    bench.take();
    bench.answer('n2', bench.readTo('n2'), {
      what: 'record',
      record: { value: Buffer.from('v'), version: 9, expiresAtMs: 0 },
    });
    expect(ends).toMatchObject([{ record: { version: 9 } }]);
  });
});

describe('a node that is being filled after the loss of its disk', () => {
  it('takes mutations and answers no reads, until it is filled', () => {
    let isFilling = true;
    const bench = new BenchCore({ filling: { isFilling: () => isFilling } });
    bench.step('n2', mutate(1, batchOf(mutation('a', '1', 5)), { durable: true }));
    expect(bench.take().messagesAfterPersist).toMatchObject([{ message: { kind: 'mutated', notes: [] } }]);
    const queries = ['a', 'b'].map((key) => ({ bucketId: 1, key: Buffer.from(key), knownVersion: 5 }));
    bench.step('n2', { kind: 'read', id: 2, queries });
    expect(bench.take().messages).toEqual([
      { to: 'n2', message: { kind: 'records', id: 2, answers: [{ what: 'filling' }, { what: 'filling' }] } },
    ]);
    isFilling = false;
    bench.step('n2', { kind: 'read', id: 3, queries });
    expect(bench.take().messages).toEqual([
      { to: 'n2', message: { kind: 'records', id: 3, answers: [{ what: 'same' }, { what: 'none' }] } },
    ]);
  });
});
