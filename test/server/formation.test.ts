import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { QuoinError } from '../../src/base/errors.js';
import type { ClusterMap, NodeDescription } from '../../src/cluster/map.js';
import { encodeMap } from '../../src/cluster/map-codec.js';
import type { Hello } from '../../src/replica/peers/hello.js';
import { Formation, type FormationOptions } from '../../src/server/formation.js';
import { describeNode } from '../support/fake-node.js';

const IDS = ['n1', 'n2', 'n3'];
const JOIN = IDS.map((id) => `${id}:9001`);

function nodeOf(id: string, changes: Partial<NodeDescription> = {}): NodeDescription {
  return { ...describeNode(id), grpc: `${id}:9001`, ...changes };
}

/** One node's way to its cluster, and what came of it. */
class Fixture {
  readonly self: NodeDescription;
  readonly maps: ClusterMap[] = [];
  readonly failures: QuoinError[] = [];
  readonly formation: Formation;

  constructor(id: string, changes: Partial<FormationOptions> = {}) {
    this.self = changes.self ?? nodeOf(id);
    this.formation = new Formation({
      clusterName: 'test',
      self: this.self,
      join: JOIN,
      replicas: 3,
      buckets: [{ name: 'default', replication: 'raft', engine: 'memory', ttlMs: 0 }],
      onMap: (map) => this.maps.push(map),
      onFailure: (error) => this.failures.push(error),
      ...changes,
    });
    this.formation.begin();
  }

  hello(changes: Partial<Hello> = {}): Hello {
    return {
      clusterName: 'test',
      map: this.maps[0] === undefined ? '' : encodeMap(this.maps[0]).toString('utf8'),
      node: this.self,
      join: this.formation.join,
      settings: this.formation.settings,
      wantsAnswer: true,
      knownIncarnation: '',
      ...changes,
    };
  }

  get outcome(): string {
    return this.failures[0]?.code ?? (this.maps.length > 0 ? 'formed' : 'waiting');
  }
}

describe('forming a cluster', () => {
  test('gives every node the same map, in whatever order hellos come, repeat and carry maps', () => {
    const anyHello = fc.tuple(fc.nat(2), fc.nat(2));
    fc.assert(
      fc.property(fc.array(anyHello, { maxLength: 25 }), (order) => {
        const fixtures = IDS.map((id) => new Fixture(id));
        const all = [...order, ...[0, 1, 2].flatMap((from) => [0, 1, 2].map((to) => [from, to] as const))];
        for (const [from, to] of all)
          if (from !== to) fixtures[to]!.formation.receive(fixtures[from]!.hello());
        expect(fixtures.map(({ outcome }) => outcome)).toEqual(['formed', 'formed', 'formed']);
        const encoded = new Set(fixtures.map(({ maps }) => encodeMap(maps[0]!).toString()));
        expect(encoded.size).toBe(1);
        for (const { maps } of fixtures) expect(maps).toHaveLength(1);
      }),
      { seed: 1, numRuns: 40 },
    );
  });

  test('waits for every address of the list, and says for which', () => {
    const fixture = new Fixture('n1');
    expect(fixture.formation.missing).toEqual(['n2:9001', 'n3:9001']);
    fixture.formation.receive(new Fixture('n3').hello());
    expect(fixture.formation.missing).toEqual(['n2:9001']);
    expect(fixture.outcome).toBe('waiting');
  });

  test('of a single node needs nobody', () => {
    expect(new Fixture('n1', { join: [] }).outcome).toBe('formed');
  });

  test('takes its list in any order, and once', () => {
    const fixture = new Fixture('n1', { join: ['n3:9001', 'n1:9001', 'n2:9001', 'n3:9001'] });
    fixture.formation.receive(new Fixture('n2').hello());
    fixture.formation.receive(new Fixture('n3').hello());
    expect(fixture.outcome).toBe('formed');
  });

  test('needs this node in its own list', () => {
    const { outcome, failures } = new Fixture('n1', { join: ['n2:9001'] });
    expect(outcome).toBe('CONFIG_INVALID');
    expect(failures[0]!.message).toContain('n1:9001');
  });

  test('fails where lists differ, naming both', () => {
    const fixture = new Fixture('n1');
    expect(fixture.formation.receive(new Fixture('n2', { join: JOIN.slice(0, 2) }).hello())).toBe(false);
    expect(fixture.outcome).toBe('WRONG_CLUSTER');
    expect(fixture.failures[0]!.message).toMatch(
      /n1:9001, n2:9001, this node one of n1:9001, n2:9001, n3:9001/,
    );
  });

  test('fails where two nodes would make different maps, naming what differs', () => {
    for (const changes of [
      { replicas: 1 },
      { buckets: [] },
      { buckets: [{ name: 'default', replication: 'raft', engine: 'lmdb', ttlMs: 0 }] },
      { buckets: [{ name: 'default', replication: 'raft', engine: 'memory', ttlMs: 5 }] },
      { buckets: [{ name: 'default', replication: 'quorum', engine: 'memory', ttlMs: 0, quorum: { w: 1 } }] },
    ] as const) {
      const fixture = new Fixture('n1');
      expect(fixture.formation.receive(new Fixture('n2', changes).hello())).toBe(false);
      expect(fixture.outcome).toBe('WRONG_CLUSTER');
    }
  });

  test('of which one node coordinates only puts no data there; without a storage node it fails', () => {
    const form = (storage: readonly string[]): Fixture => {
      const fixtures = IDS.map((id) => {
        const roles = storage.includes(id) ? (['storage'] as const) : (['coordinator'] as const);
        return new Fixture(id, { self: nodeOf(id, { roles }) });
      });
      for (const from of fixtures.slice(1)) fixtures[0]!.formation.receive(from.hello());
      return fixtures[0]!;
    };
    const { maps } = form(['n1', 'n2']);
    expect(maps[0]?.groups.map(({ members }) => members)).toEqual([
      ['n1', 'n2'],
      ['n1', 'n2'],
      ['n2', 'n1'],
    ]);
    expect(form([]).outcome).toBe('CONFIG_INVALID');
  });

  test('fails where two nodes have one id', () => {
    const twin = new Fixture('n1');
    twin.formation.receive(
      new Fixture('n1', { self: nodeOf('n1', { grpc: 'n2:9001', incarnation: 'other' }) }).hello(),
    );
    expect(twin.outcome).toBe('WRONG_CLUSTER');
    const third = new Fixture('n3');
    third.formation.receive(new Fixture('n1').hello());
    third.formation.receive(new Fixture('n1', { self: nodeOf('n1', { grpc: 'n2:9001' }) }).hello());
    expect(third.outcome).toBe('WRONG_CLUSTER');
  });

  test('has nothing to do with other clusters and with nodes that are not in its list', () => {
    const fixture = new Fixture('n1');
    expect(fixture.formation.receive(new Fixture('n2').hello({ clusterName: 'other' }))).toBe(false);
    expect(fixture.formation.receive(new Fixture('n9', { join: [...JOIN, 'n9:9001'] }).hello())).toBe(false);
    expect(fixture.outcome).toBe('waiting');
  });
});

describe('a cluster that has formed already', () => {
  function formed(): Fixture {
    const fixture = new Fixture('n2');
    for (const id of ['n1', 'n3']) fixture.formation.receive(new Fixture(id).hello());
    return fixture;
  }

  test('is joined by a node that it knows, with whatever map it has by now', () => {
    const newer = { ...formed().maps[0]!, epoch: 12 };
    const fixture = new Fixture('n1');
    fixture.formation.receive(formed().hello({ map: encodeMap(newer).toString('utf8') }));
    expect(fixture.maps.map(({ epoch }) => epoch)).toEqual([12]);
  });

  test('is joined by a node that has lost its disk once a map has its new incarnation', () => {
    const self = nodeOf('n1', { incarnation: 'fresh' });
    const fixture = new Fixture('n1', { self });
    fixture.formation.receive(formed().hello());
    expect(fixture.outcome).toBe('waiting');
    expect(fixture.formation.lostDisk).toBe(true);
    expect(fixture.maps).toEqual([]);
    const map = formed().maps[0]!;
    const nodes = map.nodes.map((node) => (node.id === 'n1' ? { ...self, forgot: true } : node));
    const renewed = encodeMap({ ...map, epoch: 2, nodes }).toString('utf8');
    fixture.formation.receive(formed().hello({ map: renewed }));
    expect(fixture.formation.lostDisk).toBe(false);
    expect(fixture.maps.map(({ epoch }) => epoch)).toEqual([2]);
  });

  test('is not joined by a node that it does not have', () => {
    const fixture = new Fixture('n4', { join: [...JOIN, 'n4:9001'] });
    fixture.formation.receive(formed().hello());
    expect(fixture.outcome).toBe('WRONG_CLUSTER');
  });

  test('is not found in a map that cannot be read; one of a newer program is told', () => {
    const fixture = new Fixture('n1');
    expect(fixture.formation.receive(formed().hello({ map: '{"format":1' }))).toBe(false);
    expect(fixture.outcome).toBe('waiting');
    expect(fixture.formation.receive(formed().hello({ map: '{"format":2}' }))).toBe(false);
    expect(fixture.outcome).toBe('LOG_TOO_NEW');
  });
});
