/**
 * Counting majorities, and nothing else in this folder counts (Raft section 5.2, 5.3).
 *
 * Invariant: any two sets that `hasMajority` accepts share a member. Joint consensus (section 6) will put a second
 * list of members behind this same class, so nobody else may look at the number of voters.
 */
import { invariant } from '../../base/errors.js';
import type { NodeId } from './types.js';

export class VoterSet {
  readonly members: readonly NodeId[];
  readonly #values: number[];

  constructor(members: readonly NodeId[]) {
    invariant(members.length > 0, 'a group has at least one voter');
    invariant(new Set(members).size === members.length, 'a voter is listed once');
    this.members = [...members];
    this.#values = members.map(() => 0);
  }

  has(id: NodeId): boolean {
    return this.members.includes(id);
  }

  /** True when the members that satisfy the predicate are more than half. */
  hasMajority(predicate: (id: NodeId) => boolean): boolean {
    let count = 0;
    for (const id of this.members) if (predicate(id)) count++;
    return count * 2 > this.members.length;
  }

  /** The greatest number that a majority has reached, given what each member has reached. */
  committedIndex(reached: (id: NodeId) => number): number {
    const values = this.#values;
    const size = this.members.length;
    // Insertion sort, descending: groups are small, and this runs for every acknowledgement.
    for (let i = 0; i < size; i++) {
      const value = reached(this.members[i]!);
      let at = i;
      while (at > 0 && values[at - 1]! < value) {
        values[at] = values[at - 1]!;
        at--;
      }
      values[at] = value;
    }
    return values[size >>> 1]!;
  }
}
