/**
 * Replicas under faults: after healing all are equal, nothing acknowledged is lost to something older, deleted keys stay deleted,
 * and tombstones go in the end. Then planted bugs, each of which must be caught: a check that never caught anything proves
 * nothing.
 */
import { describe, expect, it, vi } from 'vitest';
import { PurgeDriver } from '../../../src/protocol/quorum/anti-entropy-purge.js';
import { DELETED_MS } from '../../../src/protocol/quorum/types.js';
import { EngineHintStore } from '../../../src/store/quorum/hint-store.js';
import { ModelContents } from './model-contents.js';
import { runRepairSeed } from './repair-network.js';

const SEEDS = 20;
const MAX_SEEDS = 60;

describe('replicas after faults', () => {
  it('become equal, keep what was acknowledged, let no deleted key come back and purge the dead', () => {
    const total = { purged: 0, mended: 0, replayed: 0, expired: 0 };
    for (let seed = 1; seed <= SEEDS; seed++) {
      let found: typeof total;
      try {
        found = runRepairSeed(seed);
      } catch (error) {
        throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
      }
      for (const name of ['purged', 'mended', 'replayed', 'expired'] as const) total[name] += found[name];
    }
    // All parts have had something to do.
    for (const count of Object.values(total)) expect(count).toBeGreaterThan(SEEDS);
  });

  it('do the same under the same seed', () => {
    expect(runRepairSeed(7)).toEqual(runRepairSeed(7));
  });
});

/** A method as it stands before it is replaced. */
function methodOf<Name extends 'scanRange' | 'scanVersions' | 'mergeRepaired' | 'purge'>(
  name: Name,
): ModelContents[Name] {
  return Object.getOwnPropertyDescriptor(ModelContents.prototype, name)?.value as ModelContents[Name];
}

const mutations: [string, () => void][] = [
  [
    'repair moves no tombstones',
    () => {
      const original = methodOf('scanRange');
      vi.spyOn(ModelContents.prototype, 'scanRange').mockImplementation(function (
        this: ModelContents,
        bucketId,
        from,
        to,
        visitor,
      ) {
        original.call(
          this,
          bucketId,
          from,
          to,
          (token, key, record) => record.expiresAtMs !== 0 || visitor(token, key, record),
        );
      });
    },
  ],
  [
    'repair takes a tombstone for an absent key',
    () => {
      const scanRange = methodOf('scanRange');
      const scanVersions = methodOf('scanVersions');
      const mergeRepaired = methodOf('mergeRepaired');
      vi.spyOn(ModelContents.prototype, 'scanRange').mockImplementation(function (
        this: ModelContents,
        bucketId,
        from,
        to,
        visitor,
      ) {
        scanRange.call(this, bucketId, from, to, (token, key, record) =>
          record.expiresAtMs === DELETED_MS ? true : visitor(token, key, record),
        );
      });
      vi.spyOn(ModelContents.prototype, 'scanVersions').mockImplementation(function (
        this: ModelContents,
        bucketId,
        from,
        to,
        visitor,
      ) {
        scanVersions.call(this, bucketId, from, to, (token, key, version, expiresAtMs, digest) =>
          expiresAtMs === DELETED_MS ? true : visitor(token, key, version, expiresAtMs, digest),
        );
      });
      vi.spyOn(ModelContents.prototype, 'mergeRepaired').mockImplementation(function (
        this: ModelContents,
        bucketId,
        key,
        value,
        version,
        expiresAtMs,
      ) {
        if (this.read(bucketId, key)?.expiresAtMs === DELETED_MS) this.remove(bucketId, key);
        return mergeRepaired.call(this, bucketId, key, value, version, expiresAtMs);
      });
    },
  ],
  [
    'dead records are purged although the digests differ',
    () => {
      vi.spyOn(PurgeDriver.prototype, 'mayPurge').mockReturnValue(true);
      const original = methodOf('purge');
      vi.spyOn(ModelContents.prototype, 'purge').mockImplementation(function (
        this: ModelContents,
        bucketId,
        slot,
        _digest,
        throughMs,
      ) {
        return original.call(this, bucketId, slot, undefined, throughMs);
      });
    },
  ],
  [
    'a hint is applied over something newer',
    () => {
      vi.spyOn(ModelContents.prototype, 'mergeHint').mockImplementation(function (
        this: ModelContents,
        bucketId,
        key,
        value,
        version,
        expiresAtMs,
      ) {
        this.put(bucketId, key, value, version, expiresAtMs);
        return 'applied';
      });
    },
  ],
  [
    'hints of any age are handed over',
    () => {
      const original = Object.getOwnPropertyDescriptor(EngineHintStore.prototype, 'page')
        ?.value as EngineHintStore['page'];
      vi.spyOn(EngineHintStore.prototype, 'page').mockImplementation(function (
        this: EngineHintStore,
        target,
        from,
        maxBytes,
      ) {
        return original.call(this, target, from, maxBytes, 0);
      });
    },
  ],
];

describe('planted bugs', () => {
  for (const [name, plant] of mutations)
    it(`are caught: ${name}`, () => {
      let caught = '';
      plant();
      try {
        for (let seed = 1; seed <= MAX_SEEDS && caught === ''; seed++) {
          try {
            runRepairSeed(seed);
          } catch (error) {
            caught = `seed ${seed}: ${String(error)}`;
          }
        }
      } finally {
        vi.restoreAllMocks();
      }
      expect(caught).not.toBe('');
    });
});
