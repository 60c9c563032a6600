/**
 * What a core knows of other nodes: who can be reached, what they owe answers to, how fast they answer; and for each replica
 * set which of its members to ask first.
 *
 * Order of asking (paper 002's wish for load-aware reads): the peer with the lowest average latency of its recent answers,
 * or the age of the oldest question that it has not answered when that is more, so that a peer that stands still falls behind before
 * its silence has become an average. Peers without answers yet come first; those that said last that they are being filled come last of
 * all that can be reached.
 */

import { Latency } from './latency.js';
import type { MendBatch } from './mending.js';
import type { QueryBatch } from './queries.js';
import type { NodeId, ReplicaSet } from './types.js';
import type { WriteBatch } from './write-batch.js';

export class Peer {
  readonly id: NodeId;
  reachable = false;
  /** It said last that it has lost its disk and is no answer yet. */
  isFilling = false;
  readonly latency = new Latency();
  /** Sent and not answered, by message id, oldest first. */
  readonly writes = new Map<number, WriteBatch>();
  readonly mends = new Map<number, MendBatch>();
  readonly queries = new Map<number, QueryBatch>();
  /** Gathered in this turn. */
  openQueries: QueryBatch | undefined = undefined;
  openMends: MendBatch | undefined = undefined;
  /** When it was last asked, or first thought of; undefined before. */
  lastAskedMs: number | undefined = undefined;

  constructor(id: NodeId) {
    this.id = id;
  }

  /** Nobody has asked it for so long. */
  isForgotten(nowMs: number, afterMs: number): boolean {
    this.lastAskedMs ??= nowMs;
    return nowMs - this.lastAskedMs >= afterMs;
  }

  /** How long an answer is likely to take. */
  expectedMs(nowMs: number): number {
    const meanMs = this.latency.meanMs;
    if (this.queries.size === 0) return meanMs;
    for (const oldest of this.queries.values()) return Math.max(meanMs, nowMs - oldest.sentMs);
    return meanMs;
  }
}

/** A replica set with what the core keeps for it. */
export class KnownSet {
  readonly set: ReplicaSet;
  /** The other members, in the order of `set.others`. */
  readonly peers: readonly Peer[];
  /** Batches that gather writes, one for each combination of `durable` and `hinted`. */
  readonly openWrites: (WriteBatch | undefined)[] = [undefined, undefined, undefined, undefined];
  /** Members that can be reached, this node included. */
  reachableMembers = 0;
  /** As of which change of reachability. */
  epoch = -1;
  /** Positions in `peers` in the order of asking, and as of when. */
  readonly #order: number[];
  readonly #expectedMs: number[];
  #orderedAtMs = Number.NEGATIVE_INFINITY;

  constructor(set: ReplicaSet, peers: readonly Peer[]) {
    this.set = set;
    this.peers = peers;
    this.#order = peers.map((_, position) => position);
    this.#expectedMs = peers.map(() => 0);
  }

  count(epoch: number): void {
    this.epoch = epoch;
    this.reachableMembers = this.set.includesSelf ? 1 : 0;
    for (const peer of this.peers) if (peer.reachable) this.reachableMembers++;
    this.#orderedAtMs = Number.NEGATIVE_INFINITY;
  }

  /** Positions in `peers`, those that can be reached first, the fastest of them first. Renewed each millisecond. */
  order(nowMs: number): readonly number[] {
    if (nowMs - this.#orderedAtMs < 1 || this.#order.length < 2) return this.#order;
    this.#orderedAtMs = nowMs;
    const expectedMs = this.#expectedMs;
    for (let position = 0; position < expectedMs.length; position++) {
      const peer = this.peers[position]!;
      if (!peer.reachable) expectedMs[position] = Number.POSITIVE_INFINITY;
      else expectedMs[position] = peer.isFilling ? Number.MAX_VALUE : peer.expectedMs(nowMs);
    }
    // A handful of members, nearly in order: insertion sort, and of equals the preferred one first.
    const order = this.#order;
    for (let i = 1; i < order.length; i++) {
      const moving = order[i]!;
      let to = i;
      for (; to > 0; to--) {
        const before = order[to - 1]!;
        const difference = expectedMs[before]! - expectedMs[moving]!;
        if (difference < 0 || (!(difference > 0) && before < moving)) break;
        order[to] = before;
      }
      order[to] = moving;
    }
    return order;
  }
}

export class Peers {
  readonly #peers = new Map<NodeId, Peer>();
  readonly #sets = new WeakMap<ReplicaSet, KnownSet>();
  /** Requests of one turn often go to one set. */
  #lastSet: KnownSet | undefined = undefined;
  #epoch = 0;

  of(id: NodeId): Peer {
    let peer = this.#peers.get(id);
    if (peer === undefined) {
      peer = new Peer(id);
      this.#peers.set(id, peer);
    }
    return peer;
  }

  known(id: NodeId): Peer | undefined {
    return this.#peers.get(id);
  }

  all(): IterableIterator<Peer> {
    return this.#peers.values();
  }

  setReachable(peer: Peer, reachable: boolean): void {
    if (peer.reachable === reachable) return;
    peer.reachable = reachable;
    this.#epoch++;
  }

  set(replicas: ReplicaSet): KnownSet {
    let known = this.#lastSet;
    if (known?.set !== replicas) {
      known = this.#sets.get(replicas);
      if (known === undefined) {
        known = new KnownSet(
          replicas,
          replicas.others.map((id) => this.of(id)),
        );
        this.#sets.set(replicas, known);
      }
      this.#lastSet = known;
    }
    if (known.epoch !== this.#epoch) known.count(this.#epoch);
    return known;
  }
}
