/**
 * Single ownership: all nodes that hold a cluster map of one epoch hold the same map, each slot belongs to one existing
 * group with members, and a node's epoch never goes back within one life.
 */
import { SLOT_COUNT } from '../../src/base/slots.js';
import type { ClusterMap } from '../../src/cluster/map.js';
import { SimulationViolation } from './violation.js';

export class SlotOwnership {
  readonly #maps = new Map<number, { readonly text: string; readonly by: string }>();
  readonly #epochs = new Map<string, number>();
  readonly #seen = new WeakSet<ClusterMap>();

  /** `life` names a node and which of its lives this is. */
  holds(life: string, map: ClusterMap): void {
    const known = this.#epochs.get(life);
    if (known !== undefined && map.epoch < known)
      throw new SimulationViolation(
        'slot ownership',
        `${life} went from epoch ${known} back to ${map.epoch}`,
      );
    this.#epochs.set(life, map.epoch);
    if (this.#seen.has(map)) return;
    this.#seen.add(map);
    const groups = new Map(map.groups.map((group) => [group.id, group.members]));
    for (let slot = 0; slot < SLOT_COUNT; slot++) {
      const owner = map.slotOwners[slot] ?? 0;
      if (owner === 0 || (groups.get(owner)?.length ?? 0) === 0)
        throw new SimulationViolation('slot ownership', `epoch ${map.epoch}: slot ${slot} has no owner`);
    }
    const text = JSON.stringify([map.clusterId, map.groups, map.buckets, [...map.slotOwners]]);
    const first = this.#maps.get(map.epoch);
    if (first === undefined) this.#maps.set(map.epoch, { text, by: life });
    else if (first.text !== text)
      throw new SimulationViolation(
        'slot ownership',
        `epoch ${map.epoch}: ${first.by} and ${life} hold different maps`,
      );
  }
}
