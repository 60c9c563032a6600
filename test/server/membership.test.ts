import { describe, expect, test } from 'vitest';
import { SeededRandom } from '../../sim/random.js';
import { ByteWriter, DecodeError } from '../../src/base/bytes.js';
import type { Clock } from '../../src/env/env.js';
import type { LoadDigest } from '../../src/protocol/swim/types.js';
import { MESSAGE } from '../../src/replica/peers/frame.js';
import { type MemberChange, Membership, type MembershipOptions } from '../../src/server/membership.js';
import { ManualClock } from '../replica/support/manual-env.js';

const TICK_MS = 20;
const LOAD: LoadDigest = {
  loopLagMs: 2,
  requestsPerSecond: 500,
  memoryBytes: 12_345,
  readP99Ms: 0.75,
  epoch: 9,
};

/** Nodes whose links are a test's to open and to cut. Messages arrive with the next tick. */
class FakeCluster {
  readonly clock = new ManualClock();
  readonly nodes = new Map<string, FakeNode>();
  readonly #open = new Set<string>();

  constructor(ids: readonly string[]) {
    for (const id of ids) this.nodes.set(id, new FakeNode(this, id, 1));
    for (const id of ids) this.node(id).membership.setMembers(ids.map((one) => ({ id: one })));
    for (const id of ids) for (const other of ids) if (other !== id) this.connect(id, other);
  }

  node(id: string): FakeNode {
    return this.nodes.get(id)!;
  }

  isOpen(from: string, to: string): boolean {
    return this.#open.has(`${from}>${to}`);
  }

  /** The link that `from` has dialled. */
  connect(from: string, to: string): void {
    this.#open.add(`${from}>${to}`);
    this.node(from).membership.peerUp(to);
  }

  disconnect(from: string, to: string): void {
    this.#open.delete(`${from}>${to}`);
  }

  /** All links to and from a node close; nobody learns why. */
  isolate(id: string): void {
    for (const other of this.nodes.keys()) {
      this.disconnect(id, other);
      this.disconnect(other, id);
    }
  }

  run(ms: number): void {
    const untilMs = this.clock.nowMs + ms;
    while (this.clock.nowMs < untilMs) {
      this.clock.nowMs += TICK_MS;
      for (const node of this.nodes.values()) node.deliver();
      for (const node of this.nodes.values()) if (node.up) node.membership.tick(this.clock.nowMs);
    }
  }

  runUntil(condition: () => boolean, limitMs = 60_000): number {
    const fromMs = this.clock.nowMs;
    while (!condition()) {
      if (this.clock.nowMs - fromMs > limitMs) throw new Error(`not so within ${limitMs} ms`);
      this.run(TICK_MS);
    }
    return this.clock.nowMs - fromMs;
  }
}

class FakeNode {
  readonly id: string;
  readonly changes: MemberChange[] = [];
  readonly boots = new Map<string, string>();
  readonly #cluster: FakeCluster;
  readonly #inbox: { readonly from: string; readonly boot: string; readonly body: Buffer }[] = [];
  membership: Membership;
  boot: string;
  up = true;
  sent = 0;

  constructor(cluster: FakeCluster, id: string, life: number) {
    this.#cluster = cluster;
    this.id = id;
    this.boot = `${id}-${life}`;
    this.membership = this.#start();
  }

  #start(): Membership {
    const clock: Clock = this.#cluster.clock;
    const random = new SeededRandom(this.boot);
    const membership = new Membership({ env: { clock, random }, self: this.id, peers: this.#hub() });
    membership.onChange((change) => this.changes.push(change));
    return membership;
  }

  restart(life: number, ids: readonly string[]): void {
    this.boot = `${this.id}-${life}`;
    this.up = true;
    this.changes.length = 0;
    this.boots.clear();
    this.membership = this.#start();
    this.membership.setMembers(ids.map((id) => ({ id })));
  }

  /** As the hub does it: who sent it is noted first, and a new boot number is proof that the former process is gone. */
  deliver(): void {
    for (const { from, boot, body } of this.#inbox.splice(0)) {
      if (!this.up) continue;
      const known = this.boots.get(from);
      this.boots.set(from, boot);
      if (known !== undefined && known !== boot) this.membership.peerDead(from);
      this.membership.receive(from, body);
    }
  }

  #hub(): MembershipOptions['peers'] {
    const writer = new ByteWriter();
    return {
      connected: (node) => this.#cluster.isOpen(this.id, node),
      bootOf: (node) => this.boots.get(node) ?? '',
      beginMessage: (to, kind) => {
        expect(kind).toBe(MESSAGE.swim);
        return this.#cluster.isOpen(this.id, to) ? writer : undefined;
      },
      endMessage: (to) => {
        this.sent++;
        const body = writer.take();
        this.#cluster.node(to).#inbox.push({ from: this.id, boot: this.boot, body });
        return true;
      },
    };
  }

  stateOf(id: string): string | undefined {
    return this.membership.states().find((one) => one.id === id)?.state;
  }
}

const IDS = ['n1', 'n2', 'n3'];

describe('the membership of a node', () => {
  test('sees all alive and reachable, itself too, and tells of each one that becomes reachable', () => {
    const cluster = new FakeCluster(IDS);
    cluster.run(10_000);
    for (const { membership, changes, id } of cluster.nodes.values()) {
      expect(membership.states().map((one) => [one.id, one.state, one.reachable])).toEqual(
        IDS.map((one) => [one, 'alive', true]),
      );
      expect(changes).toEqual(
        IDS.filter((one) => one !== id).map((node) => ({ node, state: 'alive', reachable: true })),
      );
    }
  });

  test('takes nobody for reachable to whom there is no link, but does not take him for dead', () => {
    const cluster = new FakeCluster(IDS);
    cluster.run(1000);
    cluster.disconnect('n1', 'n2');
    cluster.run(TICK_MS);
    const { membership, changes } = cluster.node('n1');
    expect(membership.reachable('n2')).toBe(false);
    expect(changes.at(-1)).toEqual({ node: 'n2', state: 'alive', reachable: false });
    cluster.run(30_000);
    expect(cluster.node('n1').stateOf('n2')).toBe('alive');
    expect(cluster.node('n3').membership.reachable('n2')).toBe(true);
    cluster.connect('n1', 'n2');
    expect(membership.reachable('n2')).toBe(true);
    expect(changes.at(-1)).toEqual({ node: 'n2', state: 'alive', reachable: true });
  });

  test('declares a member dead that nobody can reach, everywhere', () => {
    const cluster = new FakeCluster(IDS);
    cluster.run(1000);
    cluster.isolate('n2');
    cluster.runUntil(() => ['n1', 'n3'].every((id) => cluster.node(id).stateOf('n2') === 'dead'), 10_000);
    const states = cluster.node('n1').changes.filter(({ node }) => node === 'n2');
    expect(states.map(({ state }) => state)).toEqual(['alive', 'alive', 'suspect', 'dead']);
  });

  test('declares a member dead at once whose process is gone, and spreads it', () => {
    const cluster = new FakeCluster(IDS);
    cluster.run(1000);
    cluster.node('n2').up = false;
    cluster.isolate('n2');
    cluster.node('n1').membership.peerDead('n2');
    expect(cluster.node('n1').stateOf('n2')).toBe('dead');
    expect(cluster.node('n1').membership.reachable('n2')).toBe(false);
    const tookMs = cluster.runUntil(() => cluster.node('n3').stateOf('n2') === 'dead');
    expect(tookMs).toBeLessThan(500);
  });

  test('takes a dead one back as soon as a link to it opens', () => {
    const cluster = new FakeCluster(IDS);
    cluster.run(1000);
    cluster.isolate('n2');
    cluster.runUntil(() => ['n1', 'n3'].every((id) => cluster.node(id).stateOf('n2') === 'dead'), 10_000);
    cluster.connect('n2', 'n1');
    cluster.connect('n1', 'n2');
    const tookMs = cluster.runUntil(() => cluster.node('n1').stateOf('n2') === 'alive');
    expect(tookMs).toBeLessThanOrEqual(4 * TICK_MS);
  });

  test('does not take a member for dead that has been restarted before anybody missed it', () => {
    const cluster = new FakeCluster(IDS);
    cluster.run(1000);
    cluster.node('n2').restart(2, IDS);
    cluster.run(30_000);
    for (const id of ['n1', 'n3']) {
      expect(cluster.node(id).changes.map(({ state }) => state)).toEqual(['alive', 'alive']);
      expect(cluster.node(id).stateOf('n2')).toBe('alive');
    }
  });

  test('takes a restarted process for alive though its clock is behind', () => {
    const cluster = new FakeCluster(IDS);
    cluster.run(1000);
    cluster.node('n2').up = false;
    cluster.isolate('n2');
    cluster.node('n1').membership.peerDead('n2');
    cluster.runUntil(() => cluster.node('n3').stateOf('n2') === 'dead');
    const { clock } = cluster;
    const wallMs = clock.wallMs.bind(clock);
    clock.wallMs = () => wallMs() - 86_400_000;
    cluster.node('n2').restart(2, IDS);
    for (const id of ['n1', 'n3']) {
      cluster.connect('n2', id);
      cluster.connect(id, 'n2');
    }
    cluster.runUntil(
      () => IDS.every((id) => IDS.every((other) => cluster.node(id).stateOf(other) === 'alive')),
      1000,
    );
  });

  test('follows the map', () => {
    const cluster = new FakeCluster(IDS);
    cluster.run(1000);
    const { membership, changes } = cluster.node('n1');
    changes.length = 0;
    membership.setMembers([{ id: 'n1' }, { id: 'n3' }]);
    expect(membership.reachable('n2')).toBe(false);
    expect(membership.states().map(({ id }) => id)).toEqual(['n1', 'n3']);
    membership.setMembers(IDS.map((id) => ({ id })));
    expect(changes).toEqual([{ node: 'n2', state: 'alive', reachable: true }]);
    expect(membership.reachable('n9')).toBe(false);
  });

  test('knows the load of all', () => {
    const cluster = new FakeCluster(IDS);
    expect(cluster.node('n3').membership.loadOf('n1')).toBeUndefined();
    cluster.node('n1').membership.setLoad(LOAD);
    cluster.run(1000);
    for (const id of IDS) expect(cluster.node(id).membership.loadOf('n1')).toEqual(LOAD);
    expect(cluster.node('n2').membership.states()[0]).toMatchObject({ id: 'n1', load: LOAD });
  });

  test('says for how long a member has been as it is', () => {
    const cluster = new FakeCluster(IDS);
    cluster.run(1000);
    cluster.node('n1').membership.peerDead('n2');
    cluster.node('n2').up = false;
    cluster.run(700);
    expect(cluster.node('n1').membership.states()[1]).toMatchObject({ state: 'dead', stateAgeMs: 700 });
  });

  test('sends two messages in a period, whatever the time', () => {
    const cluster = new FakeCluster(IDS);
    cluster.run(1000);
    const before = [...cluster.nodes.values()].reduce((sum, { sent }) => sum + sent, 0);
    cluster.run(20_000);
    const after = [...cluster.nodes.values()].reduce((sum, { sent }) => sum + sent, 0);
    expect((after - before) / 3 / 100).toBeCloseTo(2, 1);
    expect(cluster.node('n1').membership.statistics()).toMatchObject({ suspicions: 0, localHealth: 0 });
  });

  test('refuses what is no message, whole or cut short or too long', () => {
    const cluster = new FakeCluster(IDS);
    const { membership } = cluster.node('n1');
    const ping = Buffer.from('0105010000', 'hex');
    for (let size = 0; size < ping.length; size++)
      expect(() => membership.receive('n2', ping.subarray(0, size))).toThrow(DecodeError);
    expect(() => membership.receive('n2', Buffer.concat([ping, ping]))).toThrow(DecodeError);
    membership.receive('n2', ping);
  });
});
