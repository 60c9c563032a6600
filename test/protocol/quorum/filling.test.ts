import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type BucketToFill, Filling } from '../../../src/protocol/quorum/filling.js';
import type { NodeId } from '../../../src/protocol/quorum/types.js';

const SETTLED_MS = 1000;
const MEMBERS = ['n1', 'n2', 'n3', 'n4', 'n5'];

function bucket(n: number, w: number, evicts = false): BucketToFill {
  return { bucketId: 7, n, w, evicts };
}

/** A node n1 that fills; time goes on by 10 ms with every comparison. */
class Bench {
  readonly unreachable = new Set<NodeId>();
  readonly filling: Filling;
  nowMs = 10_000;
  ends = 0;
  knows = true;

  constructor(buckets: readonly BucketToFill[], groups: readonly (readonly NodeId[])[] = [MEMBERS]) {
    this.filling = new Filling({
      self: 'n1',
      buckets,
      settledMs: SETTLED_MS,
      knowsBucket: () => this.knows,
      filled: () => {
        this.ends++;
      },
    });
    this.setGroups(groups);
    this.tick();
    this.nowMs += SETTLED_MS;
    this.tick();
  }

  setGroups(groups: readonly (readonly NodeId[])[]): void {
    this.filling.setGroups(groups.map((members, i) => ({ group: i + 1, members, slots: [i] })));
  }

  tick(): void {
    this.filling.tick(this.nowMs, (peer) => !this.unreachable.has(peer));
  }

  compare(
    peer: NodeId,
    options: {
      group?: number;
      filling?: boolean;
      untaken?: boolean;
      compared?: boolean;
      forMs?: number;
    } = {},
  ): void {
    const beganAtMs = this.nowMs;
    this.nowMs += options.forMs ?? 10;
    this.filling.compared({
      group: options.group ?? 1,
      peer,
      beganAtMs,
      endedAtMs: this.nowMs,
      bucketIds: options.compared === false ? [] : [7],
      untakenIds: new Set(options.untaken === true ? [7] : []),
      peerIsFilling: options.filling ?? false,
    });
    this.tick();
  }

  get isFilling(): boolean {
    return this.filling.isFilling();
  }
}

describe('a replica that has lost its disk', () => {
  it('is filled once it was compared with all others', () => {
    const bench = new Bench([bucket(3, 2)]);
    bench.compare('n2');
    expect(bench.isFilling).toBe(true);
    bench.compare('n3');
    expect(bench.isFilling).toBe(false);
    bench.tick();
    expect(bench.ends).toBe(1);
  });

  it('needs n - w + 1 others, and those beyond only when they can be reached', () => {
    const bench = new Bench([bucket(5, 3)]);
    bench.unreachable.add('n5');
    bench.compare('n2');
    bench.compare('n3');
    expect(bench.isFilling).toBe(true);
    bench.unreachable.delete('n5');
    bench.compare('n4');
    expect(bench.isFilling).toBe(true);
    bench.unreachable.add('n5');
    bench.tick();
    expect(bench.isFilling).toBe(false);
  });

  it('waits for those who are away as long as it needs them', () => {
    for (const w of [1, 2]) {
      const bench = new Bench([bucket(3, w)]);
      bench.unreachable.add('n3');
      bench.compare('n2');
      bench.nowMs += 1e9;
      bench.tick();
      expect(bench.isFilling).toBe(true);
    }
  });

  it('counts no comparison that began before the writes of its former life had ended', () => {
    const bench = new Bench([bucket(3, 2)]);
    bench.nowMs -= 1;
    bench.compare('n2', { forMs: 50 });
    bench.compare('n3');
    expect(bench.isFilling).toBe(true);
    expect(bench.filling.wants(1, 'n2')).toBe(true);
    bench.compare('n2');
    expect(bench.isFilling).toBe(false);
  });

  it('counts no comparison that left something out, or brought what could not be taken', () => {
    for (const flaw of [{ compared: false }, { untaken: true }, { group: 2 }]) {
      const bench = new Bench([bucket(2, 2)]);
      bench.compare('n2', flaw);
      expect(bench.isFilling).toBe(true);
      bench.compare('n2');
      expect(bench.isFilling).toBe(false);
    }
  });

  it('need not take what a bucket that evicts has no room for', () => {
    const bench = new Bench([bucket(2, 2, true)]);
    bench.compare('n2', { untaken: true });
    expect(bench.isFilling).toBe(false);
  });

  it('is filled in all groups of which it is a replica, and no others matter', () => {
    const bench = new Bench(
      [bucket(2, 2)],
      [
        ['n1', 'n2', 'n3'],
        ['n2', 'n3', 'n1'],
        ['n3', 'n1', 'n2'],
      ],
    );
    bench.compare('n2');
    expect(bench.isFilling).toBe(true);
    expect([
      bench.filling.wants(1, 'n2'),
      bench.filling.wants(2, 'n2'),
      bench.filling.wants(3, 'n3'),
    ]).toEqual([false, false, true]);
    bench.compare('n3', { group: 3 });
    expect(bench.isFilling).toBe(false);
  });

  it('keeps what was compared when the map changes elsewhere, and compares a changed group anew', () => {
    const bench = new Bench([bucket(3, 2)]);
    bench.compare('n2');
    bench.setGroups([MEMBERS]);
    expect(bench.filling.wants(1, 'n2')).toBe(false);
    bench.setGroups([['n1', 'n2', 'n4']]);
    expect(bench.filling.wants(1, 'n2')).toBe(true);
  });

  it('does not wait for a bucket that was dropped, nor where there are none', () => {
    const bench = new Bench([bucket(3, 2)]);
    bench.knows = false;
    bench.tick();
    expect(bench.isFilling).toBe(false);
    expect(new Bench([]).isFilling).toBe(false);
    expect(new Bench([bucket(1, 1)]).isFilling).toBe(false);
  });
});

describe('replicas that have lost their disks together', () => {
  it('do not count for each other as long as an acknowledged write is left', () => {
    const bench = new Bench([bucket(3, 3)]);
    bench.compare('n2', { filling: true });
    bench.compare('n2', { filling: true });
    expect(bench.isFilling).toBe(true);
    bench.compare('n3');
    expect(bench.isFilling).toBe(false);
  });

  it('are filled from those that are left when there are fewer than the rule wants', () => {
    const bench = new Bench([bucket(3, 2)]);
    bench.compare('n2', { filling: true });
    expect(bench.isFilling).toBe(true);
    bench.compare('n3');
    expect(bench.isFilling).toBe(false);
  });

  it('still wait for one that is away and may have kept its disk', () => {
    const bench = new Bench([bucket(3, 2)]);
    bench.unreachable.add('n3');
    bench.compare('n2', { filling: true });
    bench.compare('n2', { filling: true });
    expect(bench.isFilling).toBe(true);
  });

  it('begin again with what they have when nobody has kept his disk', () => {
    const bench = new Bench([bucket(3, 2)]);
    bench.compare('n2', { filling: true });
    bench.compare('n3', { filling: true });
    // Each may have been in that state at another time.
    expect(bench.isFilling).toBe(true);
    bench.compare('n2', { filling: true });
    bench.compare('n3', { filling: true });
    expect(bench.isFilling).toBe(false);
  });

  it('take no word of a peer for its next life', () => {
    const bench = new Bench([bucket(3, 2)]);
    bench.compare('n2', { filling: true });
    bench.compare('n3', { filling: true });
    bench.filling.peerReset('n2');
    bench.compare('n2', { filling: true });
    bench.compare('n3', { filling: true });
    expect(bench.isFilling).toBe(true);
    bench.compare('n2', { filling: true });
    expect(bench.isFilling).toBe(false);
  });
});

describe('the rule', () => {
  it('leaves no acknowledged write behind while fewer than w replicas are without their disks', () => {
    const cases = fc.integer({ min: 2, max: 5 }).chain((n) =>
      fc.record({
        n: fc.constant(n),
        w: fc.integer({ min: 2, max: n }),
        order: fc.shuffledSubarray(MEMBERS.slice(1, n), { minLength: n - 1 }),
        ackers: fc.shuffledSubarray(MEMBERS.slice(1, n), { minLength: n - 1 }),
        losses: fc.shuffledSubarray(MEMBERS.slice(1, n)),
        away: fc.subarray(MEMBERS.slice(1, n)),
      }),
    );
    fc.assert(
      fc.property(cases, ({ n, w, order, ackers, losses, away }) => {
        const bench = new Bench([bucket(n, w)]);
        for (const peer of away) bench.unreachable.add(peer);
        // This node was one of the w; fewer than w are lost, this one among them.
        const holders = new Set(ackers.slice(0, w - 1));
        const lost = new Set(losses.slice(0, w - 2));
        let has = false;
        for (const peer of [...order, ...order]) {
          if (!bench.isFilling || bench.unreachable.has(peer)) continue;
          bench.compare(peer, { filling: lost.has(peer) });
          if (holders.has(peer) && !lost.has(peer)) has = true;
        }
        expect(bench.isFilling || has).toBe(true);
        // With everyone there it comes to an end.
        bench.unreachable.clear();
        for (const peer of [...order, ...order]) bench.compare(peer, { filling: lost.has(peer) });
        expect(bench.isFilling).toBe(false);
      }),
      { seed: 7, numRuns: 500 },
    );
  });
});
