/** A read that has not ended: what each replica has answered, and the newest record in hand. */
import type { KnownSet } from './peers.js';
import type { QuorumRead, QuorumRecord } from './types.js';

/** What is known of one other member: the version that it holds (0: none), or one of these. */
export const UNASKED = -1;
/** Asked; no answer yet. */
export const ASKED = -2;
/** Did not answer, or not usefully. */
export const FAILED = -3;
/** Has answered and was stale; has been sent the newest record. */
export const MENDING = -4;

export class PendingRead {
  readonly read: QuorumRead;
  readonly known: KnownSet;
  readonly deadlineMs: number;
  /** By position in the set's other members. */
  readonly members: number[];
  /** The version held here; `UNASKED` when this node is no replica. */
  localVersion: number;
  /** The newest record in hand. */
  record: QuorumRecord | undefined;
  /** The member that is asked once more, for the record whose version it told; -1: none. */
  fetchingFrom = -1;
  /** The caller has its answer; what goes on is repair. */
  replied = false;
  /** A replica turned out stale. */
  repaired = false;
  /** Some version lies too far ahead of this node's clock, or of a replica's. */
  ahead = false;
  /** Position in the list of pending reads; -1: ended. */
  index = -1;

  // Counts as of the last `count`
  /** Members that have answered, this node included. */
  answered = 0;
  /** Asked, and not answered yet. */
  awaited = 0;
  mending = 0;
  /** The newest version that any replica has told of or that is in hand. */
  newest = 0;
  /** Replicas known to hold the newest version. */
  current = 0;

  constructor(
    read: QuorumRead,
    known: KnownSet,
    deadlineMs: number,
    localVersion: number,
    record: QuorumRecord | undefined,
  ) {
    this.read = read;
    this.known = known;
    this.deadlineMs = deadlineMs;
    this.localVersion = localVersion;
    this.record = record;
    this.members = [];
    for (let member = 0; member < known.peers.length; member++) this.members.push(UNASKED);
  }

  get heldVersion(): number {
    return this.record === undefined ? 0 : this.record.version;
  }

  /** Brings the counts up to date. */
  count(): void {
    let newest = Math.max(this.heldVersion, this.localVersion, 0);
    let answered = this.localVersion >= 0 ? 1 : 0;
    let awaited = 0;
    let mending = 0;
    for (const state of this.members) {
      if (state >= 0) {
        answered++;
        if (state > newest) newest = state;
      } else if (state === ASKED) awaited++;
      else if (state === MENDING) {
        answered++;
        mending++;
      }
    }
    let current = this.localVersion >= newest ? 1 : 0;
    for (const state of this.members) if (state >= newest) current++;
    this.newest = newest;
    this.answered = answered;
    this.awaited = awaited;
    this.mending = mending;
    this.current = current;
  }
}
