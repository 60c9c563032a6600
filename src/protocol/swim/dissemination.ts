/**
 * What is to be spread: one item for each member, the newest, handed out a bounded number of times. Source: SWIM,
 * sections 4.1 and 4.4: news ride on probes and their answers, those sent least often first, each lambda * log(n) times.
 *
 * Invariant: at most one item for each member, so the queue is bounded by the number of members.
 */
import type { NodeId } from './types.js';

interface Queued<Item> {
  readonly member: NodeId;
  readonly item: Item;
  sends: number;
}

export class Dissemination<Item> {
  /** By number of sends; within one number, oldest first. */
  readonly #queues: Set<Queued<Item>>[] = [];
  readonly #byMember = new Map<NodeId, Queued<Item>>();
  readonly #taken: Queued<Item>[] = [];
  #maxSends = 1;

  /** Is something about this member still being spread? */
  has(member: NodeId): boolean {
    return this.#byMember.has(member);
  }

  /** How often each item is handed out. */
  set maxSends(sends: number) {
    this.#maxSends = sends;
  }

  /** Spreads an item, in the place of what was spread about this member before. */
  offer(member: NodeId, item: Item): void {
    this.forget(member);
    const queued: Queued<Item> = { member, item, sends: 0 };
    this.#byMember.set(member, queued);
    this.#queue(0).add(queued);
  }

  forget(member: NodeId): void {
    const queued = this.#byMember.get(member);
    if (queued === undefined) return;
    this.#byMember.delete(member);
    this.#queues[queued.sends]?.delete(queued);
  }

  /** Appends items to `into` until that has `maximum` of them. */
  take(into: Item[], maximum: number): void {
    if (this.#byMember.size === 0) return;
    const taken = this.#taken;
    for (const queue of this.#queues) {
      if (into.length + taken.length >= maximum) break;
      for (const queued of queue) {
        taken.push(queued);
        if (into.length + taken.length >= maximum) break;
      }
    }
    for (const queued of taken) {
      into.push(queued.item);
      this.#queues[queued.sends]?.delete(queued);
      queued.sends++;
      if (queued.sends < this.#maxSends) this.#queue(queued.sends).add(queued);
      else this.#byMember.delete(queued.member);
    }
    taken.length = 0;
  }

  #queue(sends: number): Set<Queued<Item>> {
    let queue = this.#queues[sends];
    while (queue === undefined) {
      this.#queues.push(new Set());
      queue = this.#queues[sends];
    }
    return queue;
  }
}
