/**
 * Keeps the order of the requests that peers forward. When this node gives one back (it does not lead any more, or does not
 * know the bucket yet), the ones sent behind it may already be on their way, and by the time they arrive it may lead
 * again: accepted then, they would overtake. So what comes behind a request that was given back is given back too,
 * until that one has come again, or is known to be answered.
 *
 * Invariant: of one process's requests to one group none is admitted while one with a lower sequence is to come again.
 */
import type { NodeId } from '../protocol/raft/types.js';

/** Sequences given back and not seen again, ascending, from `head` on. */
interface GivenBack {
  sequences: number[];
  head: number;
}

export class ForwardGate {
  readonly #peers = new Map<NodeId, { readonly boot: string; readonly groups: Map<number, GivenBack> }>();

  /** May this request go on? All sequences below `acknowledgedBelow` are answered. */
  admits(from: NodeId, boot: string, group: number, sequence: number, acknowledgedBelow: number): boolean {
    const peer = this.#peers.get(from);
    const given = peer?.boot === boot ? peer.groups.get(group) : undefined;
    if (peer === undefined || given === undefined) return true;
    const { sequences } = given;
    while (given.head < sequences.length && sequences[given.head]! < acknowledgedBelow) given.head++;
    const lowest = sequences[given.head];
    if (lowest !== undefined && lowest < sequence) return false;
    if (lowest === sequence) given.head++;
    if (given.head === sequences.length) peer.groups.delete(group);
    return true;
  }

  /** A request of a peer was given back. */
  gaveBack(from: NodeId, boot: string, group: number, sequence: number): void {
    let peer = this.#peers.get(from);
    if (peer?.boot !== boot) {
      peer = { boot, groups: new Map() };
      this.#peers.set(from, peer);
    }
    const given = peer.groups.get(group);
    if (given === undefined) {
      peer.groups.set(group, { sequences: [sequence], head: 0 });
      return;
    }
    const { sequences } = given;
    // Nearly always at the end: requests are given back in the order in which they came.
    let at = sequences.length;
    while (at > given.head && sequences[at - 1]! > sequence) at--;
    if (at === given.head || sequences[at - 1] !== sequence) sequences.splice(at, 0, sequence);
    if (given.head > 1024) {
      given.sequences = sequences.slice(given.head);
      given.head = 0;
    }
  }
}
