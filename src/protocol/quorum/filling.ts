/**
 * A replica that has lost its disk: it takes writes at once, but answers no reads before it is filled from the others (Dynamo,
 * SOSP 2007, section 4.5: R + W > N is worth something only while the W replicas that acknowledged still have the write).
 *
 * What is kept true: *a replica that acknowledged a write and is not being filled holds the write, or something newer.* So with
 * r + w > n no read misses an acknowledged write: among any r replicas that answer is one of the w that acknowledged.
 *
 * The rule. For every group and every eventual bucket that there was when the node came back, of n replicas, this node is filled when
 * 1. it has compared all its records with `need = n - max(w, 2) + 1` others that are not being filled themselves, and taken all that
 *    was newer there; and
 * 2. it has done so with every other one that can be reached and is not being filled.
 *
 * Why that is enough. Let a write be acknowledged by w >= 2 replicas, this one among them before it lost its disk. At most n - w of the
 * others have not acknowledged it. By what is kept true, all others hold it from their acknowledgement on, unless they are being
 * filled. Of n - w + 1 that were compared one at least acknowledged it, so it came from there. What this node has
 * acknowledged since it came back it holds anyway. It remains a write that this node acknowledged before and another one did after it
 * had been compared. Such a write is not acknowledged to anybody: it has timed out before. Hence comparisons count that begin
 * `settledMs` after the start.
 *
 * w is the bucket's. Single writes with a smaller w of 2 or more are covered as well when all others could be reached (2). For
 * w = 1 nothing is promised once a disk is lost; the rule takes it for 2, so that writes of w >= 2 in such a bucket are safe.
 *
 * When w or more replicas have lost their disks at the same time, acknowledged writes may be gone, and nobody can be waited
 * for who is waiting himself. Replicas that say that they are being filled too are left out: `need` is at most the number of the
 * others. With all of them being filled it is 0, and all begin again with what they have. Two that say so at different times may
 * never have been in that state together; so each must have said it before and after the other (`claims`).
 *
 * The state needs no progress on disk: a node whose map entry says that it has forgotten is being filled until a checkpoint says that it
 * has been (`QuorumStore.filled`). After a crash in the middle it compares from the beginning, which costs little where nothing is missing.
 */
import type { RepairGroup } from './anti-entropy-types.js';
import type { NodeId } from './types.js';

/** What the other cores must know of it. */
export interface FillingState {
  /** True while this node's records are incomplete: they are no answer to any read. */
  isFilling(): boolean;
}

export interface BucketToFill {
  readonly bucketId: number;
  readonly n: number;
  readonly w: number;
  /** It gives up records by itself: what finds no room here is no loss. */
  readonly evicts: boolean;
}

export interface FillingOptions {
  readonly self: NodeId;
  /** The eventual buckets that there were when the node came back. */
  readonly buckets: readonly BucketToFill[];
  /** A write that was under way when the disk was lost has been acknowledged or has failed after so long. */
  readonly settledMs: number;
  /** Is the bucket still there? */
  readonly knowsBucket: (bucketId: number) => boolean;
  /** Called once. */
  readonly filled: () => void;
}

/** A comparison with another replica that went through to its end. */
export interface FinishedComparison {
  readonly group: number;
  readonly peer: NodeId;
  readonly beganAtMs: number;
  readonly endedAtMs: number;
  /** Those whose records were all compared. */
  readonly bucketIds: readonly number[];
  /** Of these the peer had something newer that was not taken: no room, or too far ahead of this node's clock. */
  readonly untakenIds: ReadonlySet<number>;
  /** The peer said that it is being filled too. */
  readonly peerIsFilling: boolean;
}

/** The peer was being filled through all of this time. */
interface Claim {
  readonly fromMs: number;
  readonly untilMs: number;
}

/** One bucket in one group. */
interface Task {
  readonly group: number;
  readonly bucketId: number;
  readonly others: readonly NodeId[];
  readonly evicts: boolean;
  readonly need: number;
  readonly compared: Set<NodeId>;
}

export class Filling implements FillingState {
  readonly #options: FillingOptions;
  #isFilling = true;
  #tasks: Task[] = [];
  #hasGroups = false;
  readonly #claims = new Map<NodeId, Claim>();
  #settledAtMs: number | undefined;

  constructor(options: FillingOptions) {
    this.#options = options;
  }

  isFilling(): boolean {
    return this.#isFilling;
  }

  /** The groups of the cluster map. What was compared in a group that has changed counts no more. */
  setGroups(groups: readonly RepairGroup[]): void {
    const before = new Map(this.#tasks.map((task) => [nameOf(task), task]));
    const { self, buckets } = this.#options;
    this.#tasks = [];
    this.#hasGroups = true;
    for (const { group, members } of groups) {
      for (const { bucketId, n, w, evicts } of buckets) {
        const replicas = members.slice(0, n);
        if (!replicas.includes(self)) continue;
        const others = replicas.filter((member) => member !== self);
        const need = replicas.length - Math.max(w, 2) + 1;
        const task = { group, bucketId, others, evicts, need, compared: new Set<NodeId>() };
        this.#tasks.push(before.get(nameOf(task)) ?? task);
      }
    }
  }

  /** Is there anything to be compared with this peer? */
  wants(group: number, peer: NodeId): boolean {
    return (
      this.#isFilling &&
      this.#tasks.some(
        (task) =>
          task.group === group &&
          task.others.includes(peer) &&
          !task.compared.has(peer) &&
          this.#options.knowsBucket(task.bucketId),
      )
    );
  }

  compared(comparison: FinishedComparison): void {
    const { group, peer, beganAtMs, endedAtMs, bucketIds, untakenIds, peerIsFilling } = comparison;
    if (peerIsFilling) {
      const fromMs = this.#claims.get(peer)?.fromMs ?? endedAtMs;
      this.#claims.set(peer, { fromMs, untilMs: beganAtMs });
      return;
    }
    this.#claims.delete(peer);
    if (this.#settledAtMs === undefined || beganAtMs < this.#settledAtMs) return;
    for (const task of this.#tasks) {
      if (task.group !== group || !task.others.includes(peer) || !bucketIds.includes(task.bucketId)) continue;
      if (task.evicts || !untakenIds.has(task.bucketId)) task.compared.add(peer);
    }
  }

  /** The link to this peer broke: it may come back in another state. */
  peerReset(peer: NodeId): void {
    this.#claims.delete(peer);
  }

  /** Looks whether the end is reached. */
  tick(nowMs: number, isReachable: (peer: NodeId) => boolean): void {
    if (!this.#isFilling) return;
    this.#settledAtMs ??= nowMs + this.#options.settledMs;
    if (!this.#hasGroups || nowMs < this.#settledAtMs) return;
    for (const task of this.#tasks) {
      if (!this.#options.knowsBucket(task.bucketId)) continue;
      if (!this.isEnough(task, isReachable)) return;
    }
    this.#isFilling = false;
    this.#options.filled();
  }

  /** The rule, for one bucket in one group. */
  isEnough(
    { others, need, compared }: Pick<Task, 'others' | 'need' | 'compared'>,
    isReachable: (peer: NodeId) => boolean,
  ): boolean {
    const missing = others.filter((peer) => !compared.has(peer));
    const claims: Claim[] = [];
    for (const peer of missing) {
      const claim = this.#claims.get(peer);
      if (claim !== undefined) claims.push(claim);
      else if (isReachable(peer)) return false;
    }
    if (compared.size >= need) return true;
    return compared.size >= others.length - claims.length && areSimultaneous(claims);
  }
}

function nameOf({ group, bucketId, others, need }: Task): string {
  return `${group}/${bucketId}/${need}/${others.join(',')}`;
}

/** Was there a moment at which all of them held? One alone holds at some moment in any case. */
function areSimultaneous(claims: readonly Claim[]): boolean {
  if (claims.length < 2) return true;
  const fromMs = Math.max(...claims.map((claim) => claim.fromMs));
  return claims.every((claim) => claim.untilMs >= fromMs);
}
