/** Anti-entropy over the store of a real node, not the plain model. */
import { describe, expect, it } from 'vitest';
import { slotOf } from '../../../src/base/slots.js';
import { MemoryEngine } from '../../../src/engine/memory/memory-engine.js';
import { AntiEntropy } from '../../../src/protocol/quorum/anti-entropy.js';
import { DELETED_MS } from '../../../src/protocol/quorum/types.js';
import { QuorumStore } from '../../../src/store/quorum/quorum-store.js';
import type { BucketDescription } from '../../../src/store/types.js';
import { seededRandom } from '../raft/network.js';
import { versionAt, WALL_START_MS } from './repair-pair.js';

const BUCKET: BucketDescription = {
  id: 5,
  name: 'sessions',
  replication: 'quorum',
  engine: 'memory',
  ttlMs: 0,
  quorum: {
    n: 2,
    r: 1,
    w: 1,
    readRepair: true,
    hintedHandoff: true,
    antiEntropy: true,
    flushedThrough: 0,
  },
};
const MEMBERS = ['n1', 'n2'];
const GRACE_MS = 30_000;
const SLOTS = Array.from({ length: 16384 }, (_, slot) => slot);

class StoredPair {
  readonly stores: QuorumStore[] = [];
  readonly cores: AntiEntropy[] = [];
  nowMs = 1000;

  constructor() {
    for (const self of MEMBERS) {
      const store = new QuorumStore({ engines: { open: () => new MemoryEngine(), drop: () => undefined } });
      store.openBucket(BUCKET);
      const core = new AntiEntropy({
        self,
        contents: store.contents,
        random: seededRandom(3),
        intervalMs: 1000,
        maxBytesPerSecond: 1e9,
        answerTimeoutMs: 500,
        graceMs: GRACE_MS,
        maxClockDriftMs: 100,
      });
      core.setGroups([{ group: 1, members: MEMBERS, slots: SLOTS }]);
      for (const peer of MEMBERS) if (peer !== self) core.setReachable(peer, true);
      this.stores.push(store);
      this.cores.push(core);
    }
  }

  put(store: number, key: string, value: string, ageMs: number, expiresAtMs = 0): void {
    this.stores[store]!.merge(
      BUCKET.id,
      Buffer.from(key),
      Buffer.from(value),
      versionAt(ageMs, 0, store),
      expiresAtMs,
      WALL_START_MS + this.nowMs,
    );
  }

  run(forMs: number): void {
    for (const endMs = this.nowMs + forMs; this.nowMs < endMs; ) {
      this.nowMs += 100;
      const wallMs = WALL_START_MS + this.nowMs;
      for (const core of this.cores) core.tick(this.nowMs, wallMs);
      for (let idle = false; !idle; ) {
        idle = true;
        this.cores.forEach((core, position) => {
          if (!core.hasEffects()) return;
          idle = false;
          const { messages, messagesAfterPersist } = core.takeEffects();
          for (const { body } of [...messages, ...messagesAfterPersist])
            this.cores[1 - position]!.step(MEMBERS[position]!, body, this.nowMs, wallMs);
        });
      }
    }
  }

  digests(store: number): number[] {
    return SLOTS.map((slot) => this.stores[store]!.digestOfSlot(BUCKET.id, slot));
  }
}

describe('anti-entropy over stored records', () => {
  it('makes two stores equal, by what is newest of each key', () => {
    const pair = new StoredPair();
    const random = seededRandom(11);
    for (let i = 0; i < 3000; i++) {
      const store = random() < 0.5 ? 0 : 1;
      const dead = random() < 0.3;
      const key = `key${Math.floor(random() * 1500)}`;
      pair.put(store, key, dead ? '' : `value ${i}`, 5000 - i, dead ? DELETED_MS : 0);
    }
    expect(pair.digests(0)).not.toEqual(pair.digests(1));
    pair.run(2000);
    expect(pair.digests(0)).toEqual(pair.digests(1));
  });

  it('purges tombstones from both, and takes none of them back', () => {
    const pair = new StoredPair();
    const slot = slotOf(Buffer.from('{a}'));
    for (const store of [0, 1]) {
      pair.put(store, '{a}live', 'value', 20_000);
      pair.put(store, '{a}dead', '', 10_000, DELETED_MS);
    }
    pair.run(GRACE_MS);
    const counts = (): number[] =>
      pair.stores.map(({ contents }) => contents.keyCountInSlot(BUCKET.id, slot));
    expect(counts()).toEqual([1, 1]);
    const result = pair.stores[0]!.contents.mergeRepaired(
      BUCKET.id,
      Buffer.from('{a}dead'),
      Buffer.alloc(0),
      versionAt(10_000),
      DELETED_MS,
      WALL_START_MS + pair.nowMs,
    );
    expect(result).toBe('purged');
    expect(counts()).toEqual([1, 1]);
  });
});
