/** Bounds of eventual buckets: replicas that keep idle time and memory, each for itself, and tell each other. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SeededRandom } from '../../sim/random.js';
import { ByteWriter, DecodeError } from '../../src/base/bytes.js';
import { TOKEN_END, tokenOf } from '../../src/base/slots.js';
import { MemoryEngine } from '../../src/engine/memory/memory-engine.js';
import { composeVersion, MAX_ORDINALS } from '../../src/protocol/quorum/clock.js';
import { DELETED_MS } from '../../src/protocol/quorum/types.js';
import { EventualRetention } from '../../src/replica/quorum/eventual-retention.js';
import { decodeRetentionNews, encodeRemoval, encodeUse } from '../../src/replica/quorum/retention-codec.js';
import { BucketBounds } from '../../src/store/quorum/bucket-bounds.js';
import type { QuorumStore } from '../../src/store/quorum/quorum-store.js';
import type { BucketDescription, RetentionPolicy } from '../../src/store/types.js';
import { bytes, NO_VALUE, NOW_MS, quorumBucket, StoreMachine } from '../store/quorum-support.js';

const MIB = 1024 * 1024;
const BUCKET = 1;
const TICK_MS = 20;

function bucketWith(policy: Partial<RetentionPolicy>): BucketDescription {
  const retention = { maxIdleMs: 0, maxMemoryBytes: 0, eviction: 'lru' as const, ...policy };
  return quorumBucket(BUCKET, 'memory', {}, { retention });
}

interface BoundedEngine {
  readonly engine: MemoryEngine;
  readonly bounds: BucketBounds;
}

interface Replica {
  readonly name: string;
  readonly store: QuorumStore;
  readonly retention: EventualRetention;
}

/** Replicas of one bucket, whose news travel within the turn, or are lost. */
class Replicas {
  readonly all: readonly Replica[];
  nowMs = 1000;
  #lastVersion = 0;
  readonly #sent: { readonly from: string; readonly to: string; readonly body: Buffer }[] = [];
  /** Are news from one to the other lost? */
  loses: (from: string, to: string) => boolean = () => false;
  newsBytes = 0;

  constructor(count: number, policy: Partial<RetentionPolicy>) {
    const names = Array.from({ length: count }, (_, i) => 'abc'[i]!);
    this.all = names.map((name) => {
      const { store } = new StoreMachine();
      store.openBucket(bucketWith(policy));
      const others = names.filter((other) => other !== name);
      const retention = new EventualRetention({
        bounded: store.bounded,
        peers: {
          sendMessage: (to, _kind, _group, body) => {
            this.newsBytes += body.length;
            if (this.loses(name, to)) return false;
            this.#sent.push({ from: name, to, body: Buffer.from(body) });
            return true;
          },
        },
        replicasOf: () => ({ members: names, includesSelf: true, others }),
      });
      return { name, store, retention };
    });
    this.noteTime();
  }

  get wallMs(): number {
    return NOW_MS + this.nowMs;
  }

  noteTime(): void {
    for (const { retention } of this.all) retention.noteTime(this.nowMs, this.wallMs);
  }

  setPolicy(policy: Partial<RetentionPolicy>): void {
    for (const { store } of this.all) store.updateBucket(bucketWith(policy));
  }

  version(): number {
    this.#lastVersion = Math.max(this.#lastVersion + MAX_ORDINALS, composeVersion(this.wallMs, 0, 0));
    return this.#lastVersion;
  }

  /** A write that reaches these replicas. */
  write(key: string, value: Buffer | string, at: readonly Replica[] = this.all, expiresAtMs = 0): string[] {
    const version = this.version();
    const stored = Buffer.isBuffer(value) ? value : bytes(value);
    return at.map(({ store }) => store.merge(BUCKET, bytes(key), stored, version, expiresAtMs, this.wallMs));
  }

  delete(key: string): string[] {
    const version = this.version();
    return this.all.map(({ store }) =>
      store.merge(BUCKET, bytes(key), NO_VALUE, version, DELETED_MS, this.wallMs),
    );
  }

  read(at: number, key: string): string | undefined {
    return this.all[at]!.store.read(BUCKET, bytes(key))?.value.toString('latin1');
  }

  /** Is the key stored, as far as counts go? */
  holds(at: number, key: string): boolean {
    return this.all[at]!.store.versionOf(BUCKET, bytes(key)) !== 0;
  }

  /** One turn of every replica, and what they tell each other. True when some have more to do. */
  turn(): boolean {
    let goesOn = false;
    for (const { retention } of this.all) if (retention.collect()) goesOn = true;
    const sent = this.#sent.splice(0);
    for (const { to, body } of sent) this.all.find(({ name }) => name === to)!.retention.receive(body);
    return goesOn;
  }

  /** Lets time pass, tick by tick. */
  pass(ms: number, each: () => void = () => {}): void {
    const untilMs = this.nowMs + ms;
    while (this.nowMs < untilMs) {
      this.nowMs = Math.min(untilMs, this.nowMs + TICK_MS);
      this.noteTime();
      for (const { retention } of this.all) retention.tick();
      this.turn();
      each();
    }
  }

  /** What anti-entropy does between two replicas: each gets what it lacks. Returns how many records were taken and refused. */
  repair(one: number, other: number): { applied: number; refused: number } {
    const outcome = { applied: 0, refused: 0 };
    for (const [from, to] of [
      [this.all[one]!, this.all[other]!],
      [this.all[other]!, this.all[one]!],
    ] as const) {
      const moved: Parameters<QuorumStore['merge']>[] = [];
      from.store.contents.scanRange(BUCKET, 0, TOKEN_END, (_token, key, { value, version, expiresAtMs }) => {
        if (to.store.versionOf(BUCKET, key) < version)
          moved.push([BUCKET, key, value, version, expiresAtMs, this.wallMs]);
        return true;
      });
      for (const record of moved) {
        const result = to.store.contents.mergeRepaired(...record);
        if (result === 'applied') outcome.applied++;
        if (result === 'refused') outcome.refused++;
      }
    }
    return outcome;
  }

  memoryOf(at: number): number {
    return this.all[at]!.retention.statistics().memoryBytes;
  }

  keysOf(at: number): Map<string, number> {
    const keys = new Map<string, number>();
    this.all[at]!.store.contents.scanVersions(BUCKET, 0, TOKEN_END, (_token, key, version) => {
      keys.set(key.toString('latin1'), version);
      return true;
    });
    return keys;
  }
}

describe('news of replicas', () => {
  type News =
    | readonly ['idle' | 'evicted' | 'no-room', number, Buffer, number]
    | readonly ['used', number, Buffer, number];

  const key = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));
  const news: fc.Arbitrary<News> = fc.oneof(
    fc.tuple(
      fc.constantFrom('idle' as const, 'evicted' as const, 'no-room' as const),
      fc.nat(),
      key,
      fc.maxSafeNat(),
    ),
    fc.tuple(fc.constant('used' as const), fc.nat(), key, fc.nat({ max: 255 })),
  );

  function encode(list: readonly News[]): Buffer {
    const writer = new ByteWriter();
    for (const [what, bucketId, name, number] of list) {
      if (what === 'used') encodeUse(writer, bucketId, name, number);
      else encodeRemoval(writer, bucketId, what, name, number);
    }
    return writer.take();
  }

  function decode(body: Buffer): News[] {
    const list: News[] = [];
    decodeRetentionNews(body, {
      removed: (bucketId, reason, name, version) => list.push([reason, bucketId, name, version]),
      used: (bucketId, name, frequency) => list.push(['used', bucketId, name, frequency]),
    });
    return list;
  }

  test('come out as they went in; cut anywhere they are a beginning or malformed', () => {
    fc.assert(
      fc.property(fc.array(news, { maxLength: 6 }), (list) => {
        const body = encode(list);
        expect(decode(body)).toEqual(list);
        for (let end = 0; end < body.length; end++) {
          let cut: News[];
          try {
            cut = decode(body.subarray(0, end));
          } catch (error) {
            expect(error).toBeInstanceOf(DecodeError);
            continue;
          }
          expect(list.slice(0, cut.length)).toEqual(cut);
        }
      }),
      { seed: 1, numRuns: 150 },
    );
  });

  test('with bytes changed are read or refused, never more', () => {
    fc.assert(
      fc.property(
        fc.array(news, { minLength: 1, maxLength: 4 }),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (list, at, change) => {
          const body = encode(list);
          body[at % body.length]! ^= change;
          try {
            decode(body);
          } catch (error) {
            expect(error).toBeInstanceOf(DecodeError);
          }
        },
      ),
      { seed: 2, numRuns: 500 },
    );
    expect(() => decode(Buffer.from([9, 1, 0, 0]))).toThrow(DecodeError);
  });

  test('have pinned bytes', () => {
    const list: News[] = [
      ['idle', 1, bytes('a'), 300],
      ['evicted', 2, bytes('b'), 1],
      ['no-room', 200, bytes('c'), 2],
      ['used', 1, bytes('d'), 255],
    ];
    expect(encode(list).toString('hex')).toBe('01010161ac02' + '0202016201' + '03c801016302' + '04010164ff');
  });
});

describe('a bound of memory', () => {
  for (const eviction of ['lru', 'lfu'] as const) {
    test(`is held within 5 % by every replica after every write, with ${eviction}, and is used`, () => {
      const bound = 3 * MIB;
      const world = new Replicas(3, { maxMemoryBytes: bound, eviction });
      const random = new SeededRandom(`bytes ${eviction}`);
      const value = Buffer.alloc(6000, 'v');
      let highest = 0;
      for (let i = 1; i <= 20_000; i++) {
        const most = [100, 3000, 30, 800, 6000, 200][Math.floor(i / 3500)] ?? 500;
        const key = random.integer(4) === 0 ? `again${random.integer(500)}` : `k${i}`;
        const results = world.write(key, value.subarray(0, random.integer(most)));
        expect(results).toEqual(['applied', 'applied', 'applied']);
        for (let at = 0; at < 3; at++) highest = Math.max(highest, world.memoryOf(at));
        // Replicas see different reads, and so choose differently.
        for (let at = 0; at < 3; at++) world.read(at, `k${i - random.integer(1000)}`);
        if (i % 20 === 0) world.pass(TICK_MS);
      }
      expect(highest).toBeLessThan(bound * 1.05);
      for (const [at, { retention }] of world.all.entries()) {
        expect(world.memoryOf(at)).toBeGreaterThan(bound * 0.75);
        expect(retention.statistics().obeyed).toBeGreaterThan(500);
      }
    });

    test(`keeps what is read at one replica alone, on all of them, with ${eviction}`, () => {
      const world = new Replicas(3, { maxMemoryBytes: 2 * MIB, eviction });
      const value = Buffer.alloc(1000, 'v');
      const hot = Array.from({ length: 50 }, (_, i) => `hot${i}`);
      for (const key of hot) world.write(key, value);
      // Each is read at one replica; four times the bound is written meanwhile.
      for (let i = 0; i < 8000; i++) {
        world.write(`k${i}`, value);
        if (i % 10 !== 0) continue;
        world.pass(TICK_MS);
        for (const [number, key] of hot.entries()) expect(world.read(number % 3, key)).toBeDefined();
      }
      for (const [number, key] of hot.entries())
        for (let at = 0; at < 3; at++)
          expect([key, number, world.holds(at, key)]).toEqual([key, number, true]);
      // Nobody has read these.
      for (let at = 0; at < 3; at++) expect(world.holds(at, 'k100')).toBe(false);
    });
  }

  test('lets go what has expired before what lives, and never the mark of a deletion', () => {
    const world = new Replicas(2, { maxMemoryBytes: 2 * MIB });
    for (let i = 0; i < 200; i++) world.delete(`deleted${i}`);
    for (let i = 0; i < 400; i++)
      world.write(`session${i}`, Buffer.alloc(1000), world.all, world.wallMs + 1000);
    world.pass(2000);
    for (let i = 0; i < 1000; i++) world.write(`k${i}`, Buffer.alloc(1000));
    // Readers of what has expired do not make it look used.
    expect(world.all[0]!.store.read(BUCKET, bytes('session399'))?.expiresAtMs).toBeLessThan(world.wallMs);
    for (let i = 1000; i < 1500; i++) {
      world.write(`k${i}`, Buffer.alloc(1000));
      world.turn();
    }
    for (const { store } of world.all) {
      for (let i = 0; i < 200; i++) expect(store.versionOf(BUCKET, bytes(`deleted${i}`))).not.toBe(0);
      expect(store.versionOf(BUCKET, bytes('session0'))).toBe(0);
      expect(store.versionOf(BUCKET, bytes('session399'))).toBe(0);
      expect(store.read(BUCKET, bytes('k1499'))).toBeDefined();
    }
  });

  test('is refused more when nothing is left that may go', () => {
    const world = new Replicas(1, { maxMemoryBytes: MIB });
    let deleted = 0;
    while (world.memoryOf(0) < MIB * 1.1) expect(world.delete(`deleted${deleted++}`)).toEqual(['applied']);
    expect(world.write('k', 'v')).toEqual(['refused']);
    expect(world.delete('one more')).toEqual(['applied']);
  });

  test('is not given up for one value that could never fit', () => {
    const world = new Replicas(1, { maxMemoryBytes: MIB });
    for (let i = 0; i < 500; i++) world.write(`k${i}`, Buffer.alloc(500));
    expect(world.write('huge', Buffer.alloc(2 * MIB))).toEqual(['refused']);
    expect(world.keysOf(0).size).toBe(500);
    expect(world.write('large', Buffer.alloc(MIB / 2))).toEqual(['applied']);
    expect(world.memoryOf(0)).toBeLessThan(1.05 * MIB);
  });

  test('does not let an older write take the place of a newer one that would be evicted for it', () => {
    const world = new Replicas(1, { maxMemoryBytes: MIB });
    const late = world.version();
    world.pass(TICK_MS);
    for (let i = 0; i < 100; i++) world.write(`first${i}`, Buffer.alloc(1000));
    world.write('k', 'newer');
    for (let i = 0; world.holds(0, 'first90'); i++) world.write(`then${i}`, Buffer.alloc(1000));
    expect(world.holds(0, 'k')).toBe(true);
    // It is one of the next to go, and for this message about twenty would.
    const { store } = world.all[0]!;
    expect(store.merge(BUCKET, bytes('k'), Buffer.alloc(20_000), late, 0, world.wallMs)).toBe('older');
    expect(world.read(0, 'k')).toBe('newer');
  });

  test('is obeyed when it is lowered, in bounded turns, while writes go on', () => {
    const world = new Replicas(3, { maxMemoryBytes: 8 * MIB });
    for (let i = 0; i < 7000; i++) world.write(`k${i}`, Buffer.alloc(1000));
    world.turn();
    const before = world.keysOf(0).size;
    expect(before).toBeGreaterThan(6500);
    world.setPolicy({ maxMemoryBytes: 2 * MIB });
    expect(world.write('new', Buffer.alloc(1000))).toEqual(['applied', 'applied', 'applied']);
    expect(world.turn()).toBe(true);
    expect(before - world.keysOf(0).size).toBeLessThan(4000);
    for (let turns = 0; world.turn(); turns++) {
      expect(turns).toBeLessThan(20);
      expect(world.write(`more${turns}`, Buffer.alloc(1000))).toEqual(['applied', 'applied', 'applied']);
    }
    for (let at = 0; at < 3; at++) {
      expect(world.memoryOf(at)).toBeLessThan(2 * MIB * 1.05);
      expect(world.read(at, 'more0')).toBeDefined();
    }
  });

  test('refuses writes without eviction, takes deletes, and gives way once eviction is allowed', () => {
    const world = new Replicas(2, { maxMemoryBytes: MIB, eviction: 'noeviction' });
    let i = 0;
    while (world.write(`k${i}`, Buffer.alloc(1000)).every((result) => result === 'applied')) {
      expect(++i).toBeLessThan(2000);
    }
    world.pass(1000);
    expect(i).toBeGreaterThan(500);
    expect(world.memoryOf(0)).toBeLessThan(1.05 * MIB);
    expect(world.write('more', Buffer.alloc(1000))).toEqual(['refused', 'refused']);
    expect(world.delete('k0')).toEqual(['applied', 'applied']);
    expect(world.all[0]!.retention.statistics().removed).toBe(0);
    world.setPolicy({ maxMemoryBytes: MIB, eviction: 'lfu' });
    expect(world.write('more', Buffer.alloc(1000))).toEqual(['applied', 'applied']);
    world.setPolicy({});
    for (let j = 0; j < 2000; j++) world.write(`free${j}`, Buffer.alloc(1000));
    expect(world.turn()).toBe(false);
    expect(world.keysOf(0).size).toBeGreaterThan(2500);
  });
});

describe('how often a key is used', () => {
  test('is told to other replicas and believed by them', () => {
    const policy = { maxIdleMs: 0, maxMemoryBytes: MIB, eviction: 'lfu' as const };
    const key = bytes('k');
    const [one, other] = [0, 1].map(() => {
      const engine = new MemoryEngine();
      const bounds = BucketBounds.of({ engine, policy, remove: () => false })!;
      bounds.noteTime(1000, NOW_MS);
      engine.merge(tokenOf(key), key, bytes('v'), 1, 0);
      return { engine, bounds };
    }) as [BoundedEngine, BoundedEngine];
    const told: number[] = [];
    for (let nowMs = 2000; nowMs < 32_000; nowMs += 10) {
      one.bounds.noteTime(nowMs, NOW_MS + nowMs);
      other.bounds.noteTime(nowMs, NOW_MS + nowMs);
      one.bounds.tick();
      one.engine.get(tokenOf(key), key);
      expect(one.bounds.use(tokenOf(key), key)).toBe(true);
      one.bounds.takeNews({
        removed: () => expect.unreachable('nothing goes'),
        used: (name, frequency) => {
          told.push(frequency);
          // The others hear of the last uses alone.
          if (nowMs > 31_900) other.bounds.usedElsewhere(name, frequency);
        },
      });
    }
    const known = other.engine.access.frequencyOf(tokenOf(key), key)!;
    expect(known).toBeGreaterThan(15);
    expect(known).toBeGreaterThanOrEqual(told.at(-1)!);
    expect(told).toEqual(told.toSorted((left, right) => left - right));
  });
});

describe('a bound of idle time', () => {
  const MAX_IDLE_MS = 3200;

  test('is never early and at most a sixteenth late, wherever a key is used', () => {
    for (const seed of ['one', 'two', 'three', 'four']) {
      const world = new Replicas(3, { maxIdleMs: MAX_IDLE_MS });
      const random = new SeededRandom(seed);
      const keys = Array.from({ length: 20 }, (_, i) => `k${i}`);
      const usedAtMs = new Map<string, number>();
      for (const key of keys) {
        world.write(key, 'v');
        usedAtMs.set(key, world.nowMs);
      }
      world.pass(10 * MAX_IDLE_MS, () => {
        for (const [number, key] of keys.entries()) {
          const idleMs = world.nowMs - usedAtMs.get(key)!;
          for (let at = 0; at < 3; at++) {
            const isThere = world.holds(at, key);
            if (idleMs < MAX_IDLE_MS) expect([key, at, idleMs, isThere]).toEqual([key, at, idleMs, true]);
            if (idleMs > MAX_IDLE_MS * (17 / 16) + TICK_MS)
              expect([key, at, idleMs, isThere]).toEqual([key, at, idleMs, false]);
          }
          // Some are used all the time and some hardly ever, mostly at one replica.
          if (idleMs < MAX_IDLE_MS && random.integer(1 + number * 9) === 0) {
            const at = random.integer(4) === 0 ? random.integer(3) : number % 3;
            expect(world.read(at, key)).toBe('v');
            usedAtMs.set(key, world.nowMs);
          }
        }
      });
      const left = keys.filter((key) => world.holds(0, key));
      expect(left.length).toBeGreaterThan(3);
      expect(left.length).toBeLessThan(keys.length);
    }
  });

  test('is exact on reads, writes and scans, before anything is removed', () => {
    const world = new Replicas(1, { maxIdleMs: MAX_IDLE_MS });
    const { store } = world.all[0]!;
    world.write('k', 'v');
    world.write('deleted', 'v');
    world.delete('deleted');
    world.nowMs += (MAX_IDLE_MS * 17) / 16 - 1;
    world.noteTime();
    expect(world.read(0, 'k')).toBe('v');
    world.nowMs += (MAX_IDLE_MS * 17) / 16;
    world.noteTime();
    expect(world.read(0, 'k')).toBeUndefined();
    expect(world.holds(0, 'k')).toBe(true);
    // The mark of a deletion must be seen however old it is.
    expect(store.read(BUCKET, bytes('deleted'))?.expiresAtMs).toBe(DELETED_MS);
    const version = world.version();
    store.merge(BUCKET, bytes('k'), NO_VALUE, version, DELETED_MS, world.wallMs);
    expect(store.previousLive).toBe(false);
  });

  test('is not moved by comparisons, versions and scans', () => {
    const world = new Replicas(2, { maxIdleMs: MAX_IDLE_MS });
    world.write('k', 'v');
    world.pass(2 * MAX_IDLE_MS, () => {
      world.repair(0, 1);
      for (const { store } of world.all) {
        const version = store.versionOf(BUCKET, bytes('k'));
        // A repair repeats what is there.
        if (version > 0) store.merge(BUCKET, bytes('k'), bytes('v'), version, 0, world.wallMs);
        store.contents.digestOfSlot(BUCKET, 0);
      }
      const isOver = world.nowMs > 1000 + (MAX_IDLE_MS * 17) / 16 + TICK_MS;
      if (isOver) for (const at of [0, 1]) expect(world.holds(at, 'k')).toBe(false);
    });
  });

  test('takes what comes back by repair for good, when replicas differ in when it was used', () => {
    for (let late = 1; late <= 16; late++) {
      const world = new Replicas(2, { maxIdleMs: MAX_IDLE_MS });
      world.write('k', 'v');
      // Everything that they tell each other for a while is lost, and one of them serves a read.
      world.loses = () => true;
      world.pass((MAX_IDLE_MS * late) / 16);
      expect(world.read(1, 'k')).toBe('v');
      world.pass(TICK_MS);
      world.loses = () => false;
      let goneForMs = 0;
      world.pass(8 * MAX_IDLE_MS, () => {
        if (world.nowMs % 200 === 0) world.repair(0, 1);
        const isHeld = world.holds(0, 'k') || world.holds(1, 'k');
        goneForMs = isHeld ? 0 : goneForMs + TICK_MS;
      });
      expect([late, goneForMs > 4 * MAX_IDLE_MS]).toEqual([late, true]);
    }
  });

  test('does not take on another word what is in use here', () => {
    const world = new Replicas(2, { maxIdleMs: MAX_IDLE_MS });
    world.write('used', 'v');
    world.write('unused', 'v');
    // What the second tells is lost.
    world.loses = (from) => from === 'b';
    world.pass(2 * MAX_IDLE_MS, () => expect(world.read(1, 'used')).toBe('v'));
    expect(world.holds(0, 'used')).toBe(false);
    expect(world.holds(1, 'unused')).toBe(false);
  });

  test('does not take what is used beyond a broken link, and brings it back', () => {
    const world = new Replicas(2, { maxIdleMs: MAX_IDLE_MS });
    world.write('used', 'v');
    world.write('unused', 'v');
    world.loses = () => true;
    world.pass(3 * MAX_IDLE_MS, () => expect(world.read(1, 'used')).toBe('v'));
    expect(world.holds(0, 'used')).toBe(false);
    world.loses = () => false;
    world.pass(20_000, () => {
      world.repair(0, 1);
      expect(world.read(1, 'used')).toBe('v');
    });
    expect(world.read(0, 'used')).toBe('v');
    for (const at of [0, 1]) expect(world.holds(at, 'unused')).toBe(false);
  });

  test('is told of seldom, however often a key is read', () => {
    const world = new Replicas(2, { maxIdleMs: 60_000 });
    world.write('k', 'v');
    world.pass(60_000, () => {
      for (let i = 0; i < 20; i++) world.read(0, 'k');
    });
    // Sixteenths of a minute, rounded down to 2048 ms.
    expect(world.newsBytes).toBeLessThan(31 * 6);
    expect(world.newsBytes).toBeGreaterThan(28 * 5);
  });

  test('is obeyed from when it is set on a bucket that is in use', () => {
    const world = new Replicas(2, { maxMemoryBytes: MIB });
    world.write('a', 'v');
    world.write('b', 'v');
    world.pass(3 * MAX_IDLE_MS);
    expect(world.holds(0, 'a')).toBe(true);
    world.setPolicy({ maxMemoryBytes: MIB, maxIdleMs: MAX_IDLE_MS });
    expect(world.read(0, 'b')).toBeUndefined();
    world.write('c', 'v');
    world.pass(1000);
    for (const at of [0, 1]) expect([...world.keysOf(at).keys()]).toEqual(['c']);
    world.setPolicy({ maxIdleMs: 0 });
    world.pass(3 * MAX_IDLE_MS);
    expect(world.read(0, 'c')).toBe('v');
  });
});

describe('repair', () => {
  test('does not bring back at once what has just gone, but does when its removal was not heard of', () => {
    const world = new Replicas(2, { maxMemoryBytes: MIB });
    for (let i = 0; i < 1200; i++) world.write(`k${i}`, Buffer.alloc(1000), [world.all[0]!]);
    const lost = new Map([...world.keysOf(0)].slice(0, 1));
    const [name, version] = [...lost][0]!;
    world.all[1]!.store.merge(BUCKET, bytes(name), Buffer.alloc(10), version, 0, world.wallMs);
    world.setPolicy({ maxMemoryBytes: MIB, maxIdleMs: 100 });
    world.loses = () => true;
    world.pass(300);
    expect(world.keysOf(0).size).toBe(0);
    world.setPolicy({ maxMemoryBytes: MIB });
    // A message that was under way.
    const { contents } = world.all[0]!.store;
    const arrive = (at: number) =>
      contents.mergeRepaired(BUCKET, bytes(name), Buffer.alloc(10), at, 0, world.wallMs);
    expect(arrive(version)).toBe('refused');
    expect(arrive(world.version())).toBe('applied');
    world.all[0]!.store.evict(BUCKET, bytes(name), Number.MAX_SAFE_INTEGER);
    world.pass(11_000);
    expect(arrive(version)).toBe('applied');
  });

  test('between replicas that are full of different keys ends, equal and within the bound', () => {
    const bound = 2 * MIB;
    const world = new Replicas(2, { maxMemoryBytes: bound });
    const [one, other] = world.all as [Replica, Replica];
    for (let i = 0; i < 2500; i++) {
      world.write(`one${i}`, Buffer.alloc(1000), [one]);
      world.write(`other${i}`, Buffer.alloc(1000), [other]);
      if (i % 20 === 0) world.pass(TICK_MS);
    }
    world.pass(1000);
    const hot = 'one2499';
    let moved = 0;
    let rounds = 0;
    for (; rounds < 40; rounds++) {
      const { applied, refused } = world.repair(0, 1);
      moved += applied + refused;
      if (applied + refused === 0) break;
      world.pass(10_000, () => {
        if (world.nowMs % 100 === 0) world.read(0, hot);
      });
    }
    expect(rounds).toBeLessThan(20);
    expect(world.keysOf(0)).toEqual(world.keysOf(1));
    expect(world.keysOf(0).size).toBeGreaterThan(500);
    expect(world.read(1, hot)).toBeDefined();
    expect(moved).toBeLessThan(20_000);
    for (const at of [0, 1]) expect(world.memoryOf(at)).toBeLessThan(bound * 1.05);
  });

  test('brings what is read elsewhere even where memory is short', () => {
    const world = new Replicas(2, { maxMemoryBytes: MIB });
    const [one, other] = world.all as [Replica, Replica];
    let i = 0;
    const fill = (): void => {
      world.write(`k${i++}`, Buffer.alloc(1000));
    };
    const statistics = () => world.all[1]!.retention.statistics();
    while (i < 500) fill();
    const hot = Array.from({ length: 20 }, (_, number) => `hot${number}`);
    const cold = Array.from({ length: 40 }, (_, number) => `cold${number}`);
    for (const key of [...hot, ...cold]) world.write(key, Buffer.alloc(1000), [one]);
    while (statistics().removed === 0) fill();
    for (let ticks = 0; ticks < 20; ticks++) {
      fill();
      world.pass(TICK_MS);
      for (const key of hot) world.read(0, key);
    }
    for (let j = 0; j < 100; j++) world.write(`own${j}`, Buffer.alloc(1000), [other]);
    world.repair(0, 1);
    world.turn();
    for (const key of hot) expect(world.holds(1, key)).toBe(true);
    expect(cold.filter((key) => world.holds(1, key)).length).toBeLessThan(10);
    expect(statistics().memoryBytes).toBeLessThan(1.05 * MIB);
  });

  test('fills a replica that lost everything, and leaves what it is filled from', () => {
    const bound = 2 * MIB;
    const world = new Replicas(2, { maxMemoryBytes: bound });
    for (let i = 0; i < 3000; i++) {
      world.write(`k${i}`, Buffer.alloc(1000), [world.all[0]!]);
      if (i % 20 === 0) world.pass(TICK_MS);
    }
    const before = world.keysOf(0).size;
    world.pass(1000);
    for (let round = 0; round < 5; round++) {
      world.repair(0, 1);
      world.pass(10_000);
    }
    expect(world.keysOf(1)).toEqual(world.keysOf(0));
    expect(world.keysOf(1).size).toBeGreaterThan(before * 0.95);
  });
});
