import { describe, expect, test } from 'vitest';
import { Heartbeats } from '../../src/proxy/heartbeats.js';
import { Rotation } from '../../src/proxy/rotation.js';
import { FakeNodes, StepClock, viewOf } from './fake-network.js';

class Fixture {
  readonly clock = new StepClock();
  readonly nodes = new FakeNodes(this.clock);
  readonly rotation = new Rotation();
  readonly heartbeats: Heartbeats;
  changes = 0;

  constructor(seeds: readonly string[] = ['a:80']) {
    this.heartbeats = new Heartbeats({
      rotation: this.rotation,
      seeds,
      network: this.nodes,
      clock: this.clock,
      onChange: () => this.changes++,
    });
  }

  /** Every node of the cluster is well and knows this map. */
  form(epoch: number, ids: readonly string[], clusterId?: string): void {
    for (const id of ids) {
      this.nodes.health.set(`${id}:80`, 'ready');
      this.nodes.views.set(`${id}:80`, viewOf(epoch, ids, clusterId));
    }
  }

  states(): Record<string, string> {
    return Object.fromEntries(this.rotation.entries().map(({ id, state }) => [id, state]));
  }
}

describe('heartbeats', () => {
  test('learn of all coordinators from one node, and ask them at once', async () => {
    const fixture = new Fixture(['b:80']);
    fixture.form(1, ['a', 'b', 'c']);
    fixture.heartbeats.start();
    await fixture.clock.advance(1);
    expect(fixture.states()).toEqual({ a: 'ready', b: 'ready', c: 'ready' });
  });

  test('wait for a cluster that is not there yet', async () => {
    const fixture = new Fixture(['a:80', 'b:80']);
    fixture.heartbeats.start();
    await fixture.clock.advance(5000);
    expect(fixture.states()).toEqual({});
    fixture.form(1, ['a', 'b']);
    await fixture.clock.advance(200);
    expect(fixture.states()).toEqual({ a: 'ready', b: 'ready' });
  });

  test.each([
    ['is gone', undefined],
    ['hangs', 'hangs'],
    ['says that it stops', 'unfit'],
  ] as const)(
    'take a coordinator that %s out within a second, and back when it is well',
    async (_how, health) => {
      const fixture = new Fixture();
      fixture.form(1, ['a', 'b']);
      fixture.heartbeats.start();
      await fixture.clock.advance(1001);
      if (health === undefined) fixture.nodes.health.delete('b:80');
      else fixture.nodes.health.set('b:80', health);
      await fixture.clock.advance(999);
      expect(fixture.states()).toEqual({ a: 'ready', b: 'down' });
      fixture.nodes.health.set('b:80', 'ready');
      await fixture.clock.advance(600);
      expect(fixture.states()).toEqual({ a: 'ready', b: 'ready' });
    },
  );

  test('have few requests under way to one that hangs', async () => {
    const fixture = new Fixture();
    fixture.form(1, ['a', 'b']);
    fixture.heartbeats.start();
    await fixture.clock.advance(300);
    fixture.nodes.health.set('b:80', 'hangs');
    await fixture.clock.advance(20_000);
    expect(fixture.nodes.mostUnderWay).toBe(2);
  });

  test('find coordinators that come later, and ask one healthy node a second for them', async () => {
    const fixture = new Fixture();
    fixture.form(1, ['a', 'b']);
    fixture.heartbeats.start();
    await fixture.clock.advance(1500);
    const looked = fixture.nodes.looks.length;
    await fixture.clock.advance(10_000);
    expect(fixture.nodes.looks.length - looked).toBeLessThanOrEqual(10);
    fixture.form(2, ['a', 'b', 'c']);
    await fixture.clock.advance(1400);
    expect(fixture.states()).toEqual({ a: 'ready', b: 'ready', c: 'ready' });
  });

  test('fall back on the addresses they began with when all coordinators are gone', async () => {
    const fixture = new Fixture(['seed:80']);
    fixture.form(1, ['a']);
    fixture.nodes.health.set('seed:80', 'ready');
    fixture.nodes.views.set('seed:80', viewOf(1, ['a']));
    fixture.heartbeats.start();
    await fixture.clock.advance(500);
    fixture.nodes.health.delete('a:80');
    await fixture.clock.advance(1000);
    expect(fixture.states()).toEqual({ a: 'down' });
    fixture.form(2, ['b']);
    fixture.nodes.views.set('seed:80', viewOf(2, ['b']));
    await fixture.clock.advance(400);
    expect(fixture.states()).toEqual({ b: 'ready' });
  });

  test('do not go back to an older map, but to another cluster', async () => {
    const fixture = new Fixture();
    fixture.form(5, ['a', 'b']);
    fixture.heartbeats.start();
    await fixture.clock.advance(500);
    for (const id of ['a', 'b']) fixture.nodes.views.set(`${id}:80`, viewOf(4, ['a']));
    await fixture.clock.advance(3000);
    expect(Object.keys(fixture.states())).toEqual(['a', 'b']);
    fixture.form(1, ['a', 'c'], 'another');
    fixture.nodes.views.set('b:80', viewOf(1, ['a', 'c'], 'another'));
    await fixture.clock.advance(3000);
    expect(Object.keys(fixture.states())).toEqual(['a', 'c']);
  });

  test('end when they are stopped', async () => {
    const fixture = new Fixture();
    fixture.form(1, ['a']);
    fixture.heartbeats.start();
    await fixture.clock.advance(500);
    fixture.heartbeats.stop();
    const { beats } = fixture.nodes;
    await fixture.clock.advance(5000);
    expect([fixture.nodes.beats, fixture.clock.timers]).toEqual([beats, 0]);
  });
});
