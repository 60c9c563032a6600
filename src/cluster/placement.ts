/**
 * `balanced` placement: equal slot counts by weight, in contiguous runs, so that a cluster's slot table is short.
 * Groups: with N nodes there are N groups; group i prefers node i, then its successors in the order of ids, and no
 * two of its members share a zone while there is a choice.
 */
import { invariant } from '../base/errors.js';
import { SLOT_COUNT } from '../base/slots.js';
import type { GroupDescription, NodeDescription } from './map.js';

/** Members of each group, by preference. Group ids start at 1; group 0 decides the map. */
export function formGroups(nodes: readonly NodeDescription[], replicas: number): GroupDescription[] {
  const size = Math.min(replicas, nodes.length);
  return nodes.map((first, position) => {
    const candidates = nodes.map((_, step) => nodes[(position + step) % nodes.length]!);
    const members = [first];
    const zones = new Set([first.zone]);
    // First round: a zone each; second round: whoever comes next.
    for (const fresh of [true, false]) {
      for (const candidate of candidates) {
        if (members.length === size) break;
        if (members.includes(candidate) || (fresh && zones.has(candidate.zone))) continue;
        members.push(candidate);
        zones.add(candidate.zone);
      }
    }
    return { id: position + 1, members: members.map((node) => node.id) };
  });
}

/** Owner of each slot: contiguous runs, sized by the weight of each group's preferred node. */
export function balancedSlots(
  groups: readonly GroupDescription[],
  weightOf: (node: string) => number,
): Uint16Array {
  invariant(groups.length > 0, 'slots need a group to own them');
  const owners = new Uint16Array(SLOT_COUNT);
  const weights = groups.map((group) => weightOf(group.members[0]!));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let start = 0;
  let weightSoFar = 0;
  for (const [position, group] of groups.entries()) {
    weightSoFar += weights[position]!;
    const end = position === groups.length - 1 ? SLOT_COUNT : Math.round((SLOT_COUNT * weightSoFar) / total);
    owners.fill(group.id, start, end);
    start = end;
  }
  return owners;
}
