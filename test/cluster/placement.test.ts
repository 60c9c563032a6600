import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SLOT_COUNT } from '../../src/base/slots.js';
import type { NodeDescription } from '../../src/cluster/map.js';
import { slotRanges } from '../../src/cluster/map-codec.js';
import { balancedSlots, formGroups } from '../../src/cluster/placement.js';
import { describeNode } from '../support/fake-node.js';

function nodesOf(zones: readonly string[]): NodeDescription[] {
  return zones.map((zone, position) => ({ ...describeNode(`n${position + 1}`), zone }));
}

const anyNodes = fc
  .array(fc.constantFrom('a', 'b', 'c', 'd'), { minLength: 1, maxLength: 12 })
  .map((zones) => nodesOf(zones));

function countsOf(owners: Uint16Array): Map<number, number> {
  const counts = new Map<number, number>();
  for (const owner of owners) counts.set(owner, (counts.get(owner) ?? 0) + 1);
  return counts;
}

describe('groups', () => {
  test('prefer each node once and its successors behind it, where all zones are alike', () => {
    expect(formGroups(nodesOf(['', '', '', '']), 3)).toEqual([
      { id: 1, members: ['n1', 'n2', 'n3'] },
      { id: 2, members: ['n2', 'n3', 'n4'] },
      { id: 3, members: ['n3', 'n4', 'n1'] },
      { id: 4, members: ['n4', 'n1', 'n2'] },
    ]);
  });

  test('pass over a successor of the same zone for one of another', () => {
    const groups = formGroups(nodesOf(['a', 'a', 'b', 'b']), 2);
    expect(groups.map(({ members }) => members)).toEqual([
      ['n1', 'n3'],
      ['n2', 'n3'],
      ['n3', 'n1'],
      ['n4', 'n1'],
    ]);
  });

  test('have as many different members as asked for or as there are, the preferred node first', () => {
    fc.assert(
      fc.property(anyNodes, fc.integer({ min: 1, max: 7 }), (nodes, replicas) => {
        const groups = formGroups(nodes, replicas);
        expect(groups.map(({ id }) => id)).toEqual(nodes.map((_, position) => position + 1));
        for (const [position, { members }] of groups.entries()) {
          expect(members[0]).toBe(nodes[position]!.id);
          expect(new Set(members).size).toBe(members.length);
          expect(members).toHaveLength(Math.min(replicas, nodes.length));
        }
      }),
      { seed: 1 },
    );
  });

  test('spread over as many zones as there are and members to fill them', () => {
    fc.assert(
      fc.property(anyNodes, fc.integer({ min: 1, max: 5 }), (nodes, replicas) => {
        const zoneOf = new Map(nodes.map(({ id, zone }) => [id, zone]));
        const zones = new Set(zoneOf.values()).size;
        for (const { members } of formGroups(nodes, replicas)) {
          const spread = new Set(members.map((member) => zoneOf.get(member))).size;
          expect(spread).toBe(Math.min(zones, members.length));
        }
      }),
      { seed: 2 },
    );
  });
});

describe('balanced slots', () => {
  test('give every slot one owner, in one run for each group, in order', () => {
    fc.assert(
      fc.property(anyNodes, (nodes) => {
        const owners = balancedSlots(formGroups(nodes, 3), () => 1);
        expect(owners).toHaveLength(SLOT_COUNT);
        expect(slotRanges(owners).map(({ group }) => group)).toEqual(
          nodes.map((_, position) => position + 1),
        );
      }),
      { seed: 3, numRuns: 20 },
    );
  });

  test('differ by no more than one slot from the share that the weight asks for', () => {
    fc.assert(
      fc.property(
        fc.array(fc.float({ min: 0.25, max: 8, noNaN: true }), { minLength: 1, maxLength: 10 }),
        (weights) => {
          const nodes = nodesOf(weights.map(() => ''));
          const weightOf = new Map(nodes.map(({ id }, position) => [id, weights[position]!]));
          const counts = countsOf(balancedSlots(formGroups(nodes, 3), (node) => weightOf.get(node) ?? 0));
          const total = weights.reduce((sum, weight) => sum + weight, 0);
          for (const [position, weight] of weights.entries()) {
            const share = (SLOT_COUNT * weight) / total;
            expect(Math.abs((counts.get(position + 1) ?? 0) - share)).toBeLessThanOrEqual(1);
          }
        },
      ),
      { seed: 4 },
    );
  });

  test('need a group to own them', () => {
    expect(() => balancedSlots([], () => 1)).toThrow();
  });
});
