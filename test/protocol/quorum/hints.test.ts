import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { ByteWriter, DecodeError } from '../../../src/base/bytes.js';
import { MemoryEngine } from '../../../src/engine/memory/memory-engine.js';
import { composeVersion } from '../../../src/protocol/quorum/clock.js';
import { forEachMutation, MutationEncoder } from '../../../src/protocol/quorum/codec.js';
import {
  applyHintChange,
  decodeHintChange,
  encodeHintChange,
} from '../../../src/protocol/quorum/hint-codec.js';
import type { HintChange } from '../../../src/protocol/quorum/hint-types.js';
import { HintHandoff } from '../../../src/protocol/quorum/hints.js';
import { DELETED_MS, type MutationBatch } from '../../../src/protocol/quorum/types.js';
import { EngineHintStore } from '../../../src/store/quorum/hint-store.js';
import { seededRandom } from '../raft/network.js';

const WALL_MS = 1_780_000_000_000;
const NODES = ['n1', 'n2', 'n3'];
const MAX_AGE_MS = 60_000;
/** A bucket that is no more. */
const DROPPED = 13;

interface Hint {
  readonly key: string;
  readonly value?: string;
  readonly ageMs?: number;
  readonly bucketId?: number;
  readonly deleted?: boolean;
}

function batchOf(...hints: readonly Hint[]): MutationBatch {
  const encoder = new MutationEncoder();
  for (const { key, value = 'v', ageMs = 0, bucketId = 1, deleted = false } of hints)
    encoder.add(
      bucketId,
      Buffer.from(key),
      Buffer.from(deleted ? '' : value),
      composeVersion(WALL_MS - ageMs, 0, 1),
      deleted ? DELETED_MS : 0,
    );
  return encoder.take();
}

function textOf(batch: MutationBatch): string[] {
  const found: string[] = [];
  forEachMutation(batch.bytes, (bucketId, key, value, _version, expiresAtMs) => {
    found.push(`${bucketId}/${key.toString()}=${expiresAtMs === DELETED_MS ? 'deleted' : value.toString()}`);
  });
  return found.sort();
}

function newStore(engine = new MemoryEngine()): EngineHintStore {
  return new EngineHintStore({
    engine,
    ordinalOf: (node) => NODES.indexOf(node),
    nodeOf: (ordinal) => NODES[ordinal],
    knowsBucket: (bucketId) => bucketId !== DROPPED,
  });
}

/** All hints for a node. */
function allOf(store: EngineHintStore, target: string): string[] {
  const page = store.page(target, 0, Number.MAX_SAFE_INTEGER, 0);
  return page === undefined ? [] : textOf(page.batch);
}

describe('hints at rest', () => {
  it('are the newest for each node, bucket and key', () => {
    const store = newStore();
    store.add('n2', batchOf({ key: 'a', value: 'old', ageMs: 20 }, { key: 'b' }));
    store.add('n2', batchOf({ key: 'a', value: 'new', ageMs: 10 }, { key: 'a', bucketId: 2 }));
    store.add('n2', batchOf({ key: 'a', value: 'older', ageMs: 30 }));
    store.add('n3', batchOf({ key: 'a', deleted: true }));
    expect(allOf(store, 'n2')).toEqual(['1/a=new', '1/b=v', '2/a=v']);
    expect(allOf(store, 'n3')).toEqual(['1/a=deleted']);
    expect(store.targets()).toEqual(['n2', 'n3']);
  });

  it('are counted in bytes for each node, also when they are opened again', () => {
    const engine = new MemoryEngine();
    const store = newStore(engine);
    store.add('n2', batchOf({ key: 'aa', value: '12345' }));
    store.add('n3', batchOf({ key: 'aa', value: '1' }));
    // One byte of bucket, two of key.
    expect([store.bytes('n1'), store.bytes('n2'), store.bytes('n3')]).toEqual([0, 8, 4]);
    store.add('n2', batchOf({ key: 'aa', value: '123', ageMs: -1 }));
    expect(store.bytes('n2')).toBe(6);
    expect(newStore(engine).bytes('n2')).toBe(6);
    store.dropTarget('n2');
    expect([store.bytes('n2'), store.bytes('n3')]).toEqual([0, 4]);
    expect(store.targets()).toEqual(['n3']);
  });

  it('are removed unless something newer has taken their place', () => {
    const store = newStore();
    store.add('n2', batchOf({ key: 'a', ageMs: 20 }, { key: 'b', ageMs: 20 }));
    const page = store.page('n2', 0, 1e6, 0)!;
    store.add('n2', batchOf({ key: 'a', value: 'newer', ageMs: 10 }));
    store.remove('n2', page.names);
    expect(allOf(store, 'n2')).toEqual(['1/a=newer']);
  });

  it('are paged in bounded pieces that together are all of them', () => {
    const store = newStore();
    const keys = Array.from({ length: 100 }, (_, i) => ({ key: `key${i}`, value: 'x'.repeat(50) }));
    store.add('n2', batchOf(...keys));
    const found: string[] = [];
    let from = 0;
    let pages = 0;
    do {
      const page = store.page('n2', from, 500, 0)!;
      expect(page.batch.bytes.length).toBeLessThan(1200);
      found.push(...textOf(page.batch));
      from = page.next;
      pages++;
    } while (from !== 0);
    expect(pages).toBeGreaterThan(8);
    expect(found.sort()).toEqual(allOf(store, 'n2'));
  });

  it('are not kept for a node that the map does not know', () => {
    const store = newStore();
    expect(store.add('stranger', batchOf({ key: 'a' }))).toBe(false);
    expect(store.page('stranger', 0, 1e6, 0)).toBeUndefined();
  });
});

describe('hinted handoff', () => {
  let store: EngineHintStore;
  let handoff: HintHandoff;
  let nowMs: number;
  let changes: HintChange[];

  function open(options: { maxBytes?: number; bytesPerSecond?: number } = {}): void {
    handoff = new HintHandoff({
      store,
      random: seededRandom(1),
      maxHintBytesPerTarget: options.maxBytes ?? 10_000,
      maxHintAgeMs: MAX_AGE_MS,
      maxBytesPerSecond: options.bytesPerSecond ?? 1e9,
      answerTimeoutMs: 500,
    });
  }

  beforeEach(() => {
    store = newStore();
    nowMs = 1000;
    changes = [];
    open();
  });

  /** One tick later: what is handed over, and what is lacking. */
  function tick(forMs = 20): {
    replays: { id: number; target: string; texts: string[] }[];
    lacking: string[];
  } {
    nowMs += forMs;
    handoff.tick(nowMs, WALL_MS + nowMs - 1000);
    const effects = handoff.takeEffects();
    changes.push(...effects.changes);
    return {
      replays: effects.replays.map(({ id, target, batch }) => ({ id, target, texts: textOf(batch) })),
      lacking: [...effects.lacking],
    };
  }

  it('waits until the target can be reached, then hands over and removes what was acknowledged', () => {
    handoff.add('n2', batchOf({ key: 'a' }, { key: 'b' }), WALL_MS);
    tick();
    expect(tick().replays).toEqual([]);
    handoff.setReachable('n2', true);
    const [replay] = tick().replays;
    expect(replay).toMatchObject({ target: 'n2', texts: ['1/a=v', '1/b=v'] });
    expect(tick().replays).toEqual([]);
    expect(store.bytes('n2')).toBeGreaterThan(0);
    handoff.replayed('n2', replay!.id, []);
    expect(store.bytes('n2')).toBe(0);
    expect(handoff.statistics()).toMatchObject({ kept: 2, replayed: 2 });
  });

  it('keeps what the target did not take, and offers it again later', () => {
    handoff.add('n2', batchOf({ key: 'a' }, { key: 'b' }), WALL_MS);
    handoff.setReachable('n2', true);
    tick();
    const [replay] = tick().replays;
    handoff.replayed('n2', replay!.id, [0]);
    expect(tick().replays).toEqual([]);
    expect(allOf(store, 'n2').length).toBe(1);
    expect(tick(2000).replays.map(({ texts }) => texts.length)).toEqual([1]);
  });

  it.each([
    ['it failed', (id: number) => handoff.failed('n2', id)],
    ['it was not answered in time', () => tick(600)],
    ['the link broke', () => handoff.peerReset('n2')],
  ])('hands a batch over again after %s', (_what, fail) => {
    handoff.add('n2', batchOf({ key: 'a' }), WALL_MS);
    handoff.setReachable('n2', true);
    tick();
    const [first] = tick().replays;
    fail(first!.id);
    let again = tick().replays;
    if (again.length === 0) again = tick(2000).replays;
    expect(again.length).toBe(1);
    handoff.replayed('n2', first!.id, []);
    expect(store.bytes('n2')).toBeGreaterThan(0);
    handoff.replayed('n2', again[0]!.id, []);
    expect(store.bytes('n2')).toBe(0);
    expect(handoff.statistics().failedReplays).toBe(1);
  });

  it('does not lose what was written while an older hint was under way', () => {
    handoff.add('n2', batchOf({ key: 'a', value: 'old', ageMs: 10 }), WALL_MS);
    handoff.setReachable('n2', true);
    tick();
    const [replay] = tick().replays;
    handoff.add('n2', batchOf({ key: 'a', value: 'new' }), WALL_MS);
    handoff.replayed('n2', replay!.id, []);
    expect(allOf(store, 'n2')).toEqual(['1/a=new']);
  });

  it('drops what has no room and says who lacks it', () => {
    open({ maxBytes: 100 });
    handoff.add('n2', batchOf({ key: 'a', value: 'x'.repeat(60) }), WALL_MS);
    handoff.add('n3', batchOf({ key: 'a', value: 'x'.repeat(60) }), WALL_MS);
    handoff.add('n2', batchOf({ key: 'b', value: 'x'.repeat(60) }), WALL_MS);
    expect(tick().lacking).toEqual(['n2']);
    expect(tick().lacking).toEqual([]);
    expect(allOf(store, 'n2').length).toBe(1);
    expect(allOf(store, 'n3').length).toBe(1);
    expect(handoff.statistics().overflowed).toBe(1);
  });

  it('never hands over what is too old, and says who lacks it', () => {
    handoff.add('n2', batchOf({ key: 'a', ageMs: MAX_AGE_MS - 1000 }, { key: 'b' }), WALL_MS);
    tick();
    tick(2000);
    handoff.setReachable('n2', true);
    const { replays, lacking } = tick();
    expect(replays.map(({ texts }) => texts)).toEqual([['1/b=v']]);
    expect(lacking).toEqual(['n2']);
    expect(allOf(store, 'n2')).toEqual(['1/b=v']);
  });

  it('drops what is of a bucket that is no more, instead of offering it for ever', () => {
    handoff.add('n2', batchOf({ key: 'a', bucketId: DROPPED }, { key: 'b' }), WALL_MS);
    handoff.setReachable('n2', true);
    tick();
    expect(tick(2000).replays.map(({ texts }) => texts)).toEqual([['1/b=v']]);
    expect(allOf(store, 'n2')).toEqual(['1/b=v']);
  });

  it('does not even keep what is too old when it comes', () => {
    handoff.add('n2', batchOf({ key: 'a', ageMs: MAX_AGE_MS + 1 }, { key: 'b' }), WALL_MS);
    expect(allOf(store, 'n2')).toEqual(['1/b=v']);
    expect(tick().lacking).toEqual(['n2']);
  });

  it('drops old hints of a node that stays away', () => {
    handoff.add('n2', batchOf({ key: 'a' }), WALL_MS);
    for (let elapsedMs = 0; elapsedMs < 3 * MAX_AGE_MS; elapsedMs += 1000) tick(1000);
    expect(store.bytes('n2')).toBe(0);
    expect(handoff.statistics()).toMatchObject({ expired: 1, replayed: 0 });
  });

  it('stays within the bytes a second that it is allowed', () => {
    open({ maxBytes: 1e9, bytesPerSecond: 200_000 });
    for (let i = 0; i < 200; i++)
      handoff.add('n2', batchOf({ key: `key${i}`, value: 'x'.repeat(10_000) }), WALL_MS);
    handoff.setReachable('n2', true);
    let replayed = 0;
    for (let elapsedMs = 0; elapsedMs < 5000; elapsedMs += 20)
      for (const { id, texts } of tick().replays) {
        replayed += texts.length * 10_000;
        handoff.replayed('n2', id, []);
      }
    expect(replayed).toBeGreaterThan(800_000);
    // One batch may overdraw what is allowed.
    expect(replayed).toBeLessThan(5 * 200_000 + 200_000);
  });

  it('forgets a node that is gone for good', () => {
    handoff.add('n2', batchOf({ key: 'a' }), WALL_MS);
    handoff.dropTarget('n2');
    expect(store.targets()).toEqual([]);
    tick();
    expect(changes.at(-1)).toEqual({ kind: 'drop', target: 'n2' });
  });

  it('is recovered by carrying its journaled changes out again, from wherever a checkpoint begins', () => {
    const action = fc.record({
      what: fc.constantFrom('add', 'add', 'add', 'run', 'drop'),
      key: fc.nat(6),
      ageMs: fc.nat(1000),
      target: fc.constantFrom('n2', 'n3'),
    });
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40 }), fc.nat(100), (actions, cut) => {
        store = newStore();
        changes = [];
        nowMs = 1000;
        open();
        for (const node of NODES) handoff.setReachable(node, true);
        for (const { what, key, ageMs, target } of actions) {
          if (what === 'add')
            handoff.add(target, batchOf({ key: `k${key}`, value: `${ageMs}`, ageMs }), WALL_MS);
          if (what === 'drop') handoff.dropTarget(target);
          if (what === 'run')
            for (const { id, target: to } of tick(2000).replays) handoff.replayed(to, id, []);
          tick();
        }
        const writer = new ByteWriter();
        const journal = changes.map((change) => {
          encodeHintChange(writer, change);
          return writer.take();
        });
        // A checkpoint holds a prefix of the changes and maybe some behind it, which are carried out a second time.
        const recovered = newStore();
        const first = journal.length === 0 ? 0 : cut % journal.length;
        for (const bytes of journal) applyHintChange(recovered, decodeHintChange(bytes));
        for (const bytes of journal.slice(first)) applyHintChange(recovered, decodeHintChange(bytes));
        for (const target of ['n2', 'n3']) {
          expect(allOf(recovered, target)).toEqual(allOf(store, target));
          expect(recovered.bytes(target)).toBe(store.bytes(target));
        }
      }),
    );
  });
});

describe('the codec of changes of hints', () => {
  const name = fc.record({
    bucketId: fc.nat(1000),
    key: fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
    version: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  });
  const changes: fc.Arbitrary<HintChange> = fc.oneof(
    fc.tuple(fc.string(), fc.array(fc.string({ maxLength: 10 }), { maxLength: 4 })).map(([target, keys]) => ({
      kind: 'add' as const,
      target,
      batch: batchOf(...keys.map((key) => ({ key }))),
    })),
    fc.record({
      kind: fc.constant('remove' as const),
      target: fc.string(),
      names: fc.array(name, { maxLength: 4 }),
    }),
    fc.record({ kind: fc.constant('drop' as const), target: fc.string() }),
  );

  function encoded(change: HintChange): Buffer {
    const writer = new ByteWriter();
    encodeHintChange(writer, change);
    return writer.take();
  }

  it('gives back every change as it was', () => {
    fc.assert(
      fc.property(changes, (change) => {
        expect(decodeHintChange(encoded(change))).toEqual(change);
      }),
    );
  });

  it('refuses truncated changes and bytes behind them', () => {
    fc.assert(
      fc.property(changes, (change) => {
        const bytes = encoded(change);
        for (let length = 0; length < bytes.length; length++)
          expect(() => decodeHintChange(bytes.subarray(0, length))).toThrow(DecodeError);
        expect(() => decodeHintChange(Buffer.concat([bytes, Buffer.from([0])]))).toThrow(DecodeError);
      }),
    );
  });

  it('decodes or refuses whatever a change is changed into', () => {
    fc.assert(
      fc.property(changes, fc.nat(), fc.nat(255), (change, where, byte) => {
        const bytes = encoded(change);
        bytes[where % bytes.length] = byte;
        try {
          decodeHintChange(bytes);
        } catch (error) {
          if (!(error instanceof DecodeError)) throw error;
        }
      }),
      { numRuns: 1000 },
    );
  });
});
