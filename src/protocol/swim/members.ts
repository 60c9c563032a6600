/**
 * What is known of each other member: state, incarnation, load. Source: SWIM, section 4.2.
 *
 * News are ordered: higher incarnation first, of equal ones dead over suspect over alive. A member's record only
 * moves up in this order, so that all who have heard the same news agree, in whatever order they heard it.
 *
 * Departure: in the paper a dead member is out for good and must join anew. Here the cluster map says who belongs, and a
 * dead member that shows a higher incarnation is alive again.
 */
import type { LoadDigest, MemberLoad, MemberState, MemberUpdate, NodeId } from './types.js';

const RANK: Readonly<Record<MemberState, number>> = { alive: 0, suspect: 1, dead: 2 };

export interface Member {
  readonly id: NodeId;
  state: MemberState;
  incarnation: number;
  /** Who missed it last, while it is suspect. */
  accuser: NodeId;
  sinceMs: number;
  load: LoadDigest | undefined;
  /** -1: no digest is known. */
  loadVersion: number;
}

/** No incarnation is higher, so that there is always room for one that contradicts. */
export const MAX_INCARNATION = 2 ** 52;

/** Is `update` newer than what is known? */
export function supersedes(
  update: Pick<MemberUpdate, 'state' | 'incarnation'>,
  known: Pick<MemberUpdate, 'state' | 'incarnation'>,
): boolean {
  return (
    update.incarnation > known.incarnation ||
    (update.incarnation === known.incarnation && RANK[update.state] > RANK[known.state])
  );
}

export class MemberTable {
  readonly #members = new Map<NodeId, Member>();
  /** The dead, the one told of last at the end. */
  readonly #dead = new Set<NodeId>();

  /** Other members than this node itself. */
  get size(): number {
    return this.#members.size;
  }

  /** Those that are not dead. */
  get liveCount(): number {
    return this.#members.size - this.#dead.size;
  }

  get(id: NodeId): Member | undefined {
    return this.#members.get(id);
  }

  has(id: NodeId): boolean {
    return this.#members.has(id);
  }

  values(): IterableIterator<Member> {
    return this.#members.values();
  }

  /** A member that nobody has heard of yet counts as alive: the map says that it belongs, and probes will tell. */
  add(id: NodeId, nowMs: number): void {
    this.#members.set(id, {
      id,
      state: 'alive',
      incarnation: 0,
      accuser: '',
      sinceMs: nowMs,
      load: undefined,
      loadVersion: -1,
    });
  }

  remove(id: NodeId): void {
    this.#members.delete(id);
    this.#dead.delete(id);
  }

  /** Takes news that supersede what is known. True when the state is another now. */
  change(member: Member, { state, incarnation, accuser }: MemberUpdate, nowMs: number): boolean {
    member.incarnation = incarnation;
    member.accuser = accuser;
    if (member.state === state) return false;
    member.state = state;
    member.sinceMs = nowMs;
    if (state === 'dead') {
      // Its next life has another load.
      member.load = undefined;
      member.loadVersion = -1;
      this.#dead.add(member.id);
    } else this.#dead.delete(member.id);
    return true;
  }

  /** False: as new a digest is known, or the member is dead. */
  takeLoad(member: Member, load: MemberLoad): boolean {
    if (member.state === 'dead' || load.version <= member.loadVersion) return false;
    member.loadVersion = load.version;
    member.load = load.digest;
    return true;
  }

  /** One of the dead, another one each time. */
  nextDead(): Member | undefined {
    for (const id of this.#dead) {
      this.#dead.delete(id);
      this.#dead.add(id);
      return this.#members.get(id);
    }
    return undefined;
  }
}
