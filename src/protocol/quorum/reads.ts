/**
 * Coordinates this node's reads (Dynamo, section 4.5), mends what they find stale (read repair: papers 000 and 004), and asks
 * the replicas that answer fastest (paper 002's wish).
 *
 * The way of a read: the record held here first, then the fastest r - 1 other members. Where a record is in hand they are told its
 * version and send theirs only when it is newer; else the first is asked for the record and the others for the version alone, and
 * the holder of the newest version is asked once more when the first did not hold it.
 *
 * Invariants:
 * - r = 1 where this node is a replica is answered within the call;
 * - with repair, a read answers only once r replicas hold what it answers. So with r + w > n no read goes back behind another,
 *   even when it met a write that is not acknowledged. A replica that refuses the repair (no memory) counts as if it held the
 *   record: the read must not fail because a replica is full, and an acknowledged write has its w replicas without it;
 * - a record that lies too far ahead of this node's clock is as good as no answer, and a replica that refuses a repair for that
 *   reason does not hold it: a clock that runs ahead neither drags reads along nor lets them go back;
 * - a replica that is being filled after the loss of its disk, this node too, counts for nothing (`filling.ts`): with too few others the
 *   read fails as if it were away;
 * - a callback is called once, and after it the read goes on only to repair: with what the late ones answer, and with a small chance
 *   with all members (`readRepairChance`), so many times a second at most that nobody's reads get slow for it.
 *
 * A member that was not needed is asked nonetheless when it has not been asked for a while, for its version alone: a peer that was
 * slow and has recovered is found again that way.
 */
import { invariant } from '../../base/errors.js';
import { LIMITS } from '../../base/limits.js';
import type { QuorumContext } from './context.js';
import { type MendEvents, Mending } from './mending.js';
import type { Peer } from './peers.js';
import { ASKED, FAILED, MENDING, PendingRead, UNASKED } from './pending-read.js';
import { Queries, type QueryEvents } from './queries.js';
import {
  DELETED_MS,
  type MutationNote,
  type QuorumFailure,
  type QuorumRead,
  type QuorumRecord,
  type ReadAnswer,
} from './types.js';

/** A peer that nobody has asked for so long is asked once beside the others. */
const PROBE_AFTER_MS = 100;
/** Looks at further replicas are counted by this interval: short, so that they do not come in bursts. */
const LOOKS_INTERVAL_MS = 100;
/** In place of a version: send the version alone. */
const VERSION_ALONE = -1;

const NO_VALUE = Buffer.alloc(0);

export class Reads implements QueryEvents, MendEvents {
  readonly #context: QuorumContext;
  readonly #queries: Queries;
  readonly #mending: Mending;
  readonly #pending: PendingRead[] = [];
  /** Looks at further replicas in the interval at hand, and when it began. */
  #looks = 0;
  #looksSinceMs = Number.NEGATIVE_INFINITY;

  constructor(context: QuorumContext) {
    this.#context = context;
    this.#queries = new Queries(context);
    this.#mending = new Mending(context);
  }

  get hasOpen(): boolean {
    return this.#queries.hasOpen || this.#mending.hasOpen;
  }

  read(read: QuorumRead): void {
    const context = this.#context;
    const set = read.replicas;
    invariant(read.r >= 1 && read.r <= set.members.length, 'r is between 1 and the number of replicas');
    context.reads++;
    const known = context.peers.set(set);
    const isAnswer = set.includesSelf && !context.isFilling();
    const reachable = set.includesSelf && !isAnswer ? known.reachableMembers - 1 : known.reachableMembers;
    if (context.stopped || reachable < read.r) {
      read.failed('unreachable');
      return;
    }
    let record: QuorumRecord | undefined;
    let localVersion = UNASKED;
    if (isAnswer) {
      record = context.store.read(read.bucketId, read.key);
      localVersion = record === undefined ? 0 : record.version;
      if (read.r === 1) {
        context.localReads++;
        if (this.#looksFurther(read)) this.#lookFurther(this.#begin(read, localVersion, record));
        read.found(record);
        return;
      }
    }
    if (this.#pending.length >= LIMITS.maxPendingQuorumReads) {
      read.failed('overloaded');
      return;
    }
    const pending = this.#begin(read, localVersion, record);
    let needed = isAnswer ? read.r - 1 : read.r;
    let knownVersion = pending.heldVersion;
    for (const member of known.order(context.nowMs)) {
      const peer = known.peers[member]!;
      if (!peer.reachable) continue;
      if (needed > 0) {
        needed--;
        this.#ask(pending, member, knownVersion);
        // One record is enough: the others are asked for theirs when it turns out to be newer.
        if (knownVersion === 0) knownVersion = VERSION_ALONE;
      } else if (peer.isForgotten(context.nowMs, PROBE_AFTER_MS)) this.#ask(pending, member, knownVersion);
    }
  }

  #begin(read: QuorumRead, localVersion: number, record: QuorumRecord | undefined): PendingRead {
    const { peers, nowMs, timing } = this.#context;
    const known = peers.set(read.replicas);
    const pending = new PendingRead(read, known, nowMs + timing.timeoutMs, localVersion, record);
    pending.index = this.#pending.length;
    this.#pending.push(pending);
    return pending;
  }

  #ask(pending: PendingRead, member: number, knownVersion: number): void {
    pending.members[member] = ASKED;
    pending.awaited++;
    this.#queries.ask(pending.known.peers[member]!, pending, member, knownVersion);
  }

  /** Asks one more member; false: there is none. */
  #askFurther(pending: PendingRead): boolean {
    for (const member of pending.known.order(this.#context.nowMs)) {
      if (pending.members[member] !== UNASKED || !pending.known.peers[member]!.reachable) continue;
      this.#ask(pending, member, pending.heldVersion);
      return true;
    }
    return false;
  }

  /** Is the rest of the replicas looked at after this read? */
  #looksFurther(read: QuorumRead): boolean {
    const { timing, nowMs, options } = this.#context;
    const isChosen =
      read.repair &&
      timing.readRepairChance > 0 &&
      read.replicas.others.length > 0 &&
      this.#pending.length < LIMITS.maxPendingQuorumReads / 2 &&
      options.random() < timing.readRepairChance;
    if (!isChosen) return false;
    if (nowMs - this.#looksSinceMs >= LOOKS_INTERVAL_MS) {
      this.#looksSinceMs = nowMs;
      this.#looks = 0;
    }
    return ++this.#looks <= (LIMITS.maxReadRepairLooksPerSecond * LOOKS_INTERVAL_MS) / 1000;
  }

  /** Asks all who were not asked yet, for the sake of repair alone. */
  #lookFurther(pending: PendingRead): void {
    pending.replied = true;
    while (this.#askFurther(pending));
    if (pending.awaited === 0) this.#drop(pending);
  }

  // What comes back

  answered(peer: Peer, id: number, answers: readonly ReadAnswer[]): void {
    const batch = this.#queries.answered(peer, id);
    if (batch === undefined) return;
    for (let i = 0; i < batch.reads.length; i++) {
      const pending = batch.reads[i]!;
      if (pending.index < 0) continue;
      const answer = answers[i];
      const version =
        answer === undefined ? FAILED : this.#take(pending, answer, batch.queries[i]!.knownVersion);
      if (answer !== undefined) peer.isFilling = answer.what === 'filling';
      const member = batch.members[i]!;
      if (pending.fetchingFrom === member) pending.fetchingFrom = -1;
      pending.members[member] = version;
      this.#advance(pending);
    }
  }

  /** The version that the member holds, or `FAILED` when the answer does not tell. */
  #take(pending: PendingRead, answer: ReadAnswer, knownVersion: number): number {
    const { clock, wallMs } = this.#context;
    switch (answer.what) {
      case 'none':
        return 0;
      case 'same':
        return knownVersion > 0 ? knownVersion : FAILED;
      case 'version':
        if (!clock.observe(answer.version, wallMs)) return this.#tooFarAhead(pending);
        // The record of a deletion is known without being sent.
        if (answer.expiresAtMs === DELETED_MS && answer.version > pending.heldVersion)
          pending.record = { value: NO_VALUE, version: answer.version, expiresAtMs: DELETED_MS };
        return answer.version;
      case 'record':
        if (!clock.observe(answer.record.version, wallMs)) return this.#tooFarAhead(pending);
        if (answer.record.version > pending.heldVersion) pending.record = answer.record;
        return answer.record.version;
      case 'unknown-bucket':
      case 'filling':
        return FAILED;
    }
  }

  #tooFarAhead(pending: PendingRead): number {
    pending.ahead = true;
    return FAILED;
  }

  /** Repairs are acknowledged, if these were ours. */
  mended(peer: Peer, id: number, notes: readonly MutationNote[]): void {
    const batch = this.#mending.acknowledged(peer, id);
    if (batch === undefined) return;
    const ahead = notes.filter(({ what }) => what === 'ahead').map(({ position }) => position);
    for (let i = 0; i < batch.reads.length; i++) {
      const pending = batch.reads[i]!;
      const member = batch.members[i]!;
      if (pending.index < 0 || pending.members[member] !== MENDING) continue;
      pending.members[member] = ahead.includes(i) ? this.#tooFarAhead(pending) : batch.versions[i]!;
      this.#advance(pending);
    }
  }

  unmended(pending: PendingRead, member: number): void {
    if (pending.index < 0 || pending.members[member] !== MENDING) return;
    pending.members[member] = FAILED;
    this.#advance(pending);
  }

  unanswered(pending: PendingRead, member: number): void {
    if (pending.index < 0) return;
    if (pending.fetchingFrom === member) pending.fetchingFrom = -1;
    else if (pending.members[member] !== ASKED) return;
    pending.members[member] = FAILED;
    this.#advance(pending);
  }

  late(pending: PendingRead, member: number): void {
    if (pending.index < 0 || pending.replied) return;
    const state = pending.members[member];
    if (pending.fetchingFrom === member) {
      const other = this.#holder(pending, member);
      if (other >= 0) {
        this.#context.speculativeReads++;
        this.#fetchFrom(pending, other);
        return;
      }
    } else if (state !== ASKED && state !== MENDING) return;
    if (this.#askFurther(pending)) this.#context.speculativeReads++;
  }

  // What follows from it

  #advance(pending: PendingRead): void {
    const { read } = pending;
    pending.count();
    if (!pending.replied && pending.answered < read.r) {
      while (pending.answered + pending.awaited < read.r) {
        if (this.#askFurther(pending)) continue;
        this.#fail(pending, pending.ahead ? 'clock' : 'unreachable');
        return;
      }
      return;
    }
    if (pending.heldVersion < pending.newest) {
      this.#fetch(pending);
      return;
    }
    if (read.repair) this.#mend(pending);
    if (!pending.replied) {
      if (!read.repair || pending.current >= read.r) {
        this.#reply(pending);
        return;
      }
      while (pending.current + pending.mending + pending.awaited < read.r) {
        if (this.#askFurther(pending)) continue;
        this.#fail(pending, pending.ahead ? 'clock' : 'unreachable');
        return;
      }
      return;
    }
    if (this.#isQuiet(pending)) this.#drop(pending);
  }

  #isQuiet(pending: PendingRead): boolean {
    return pending.awaited === 0 && pending.mending === 0 && pending.fetchingFrom < 0;
  }

  /** A member that holds the newest version and can be asked for it; -1: none. */
  #holder(pending: PendingRead, exceptFor: number): number {
    const { members, known, newest } = pending;
    for (let member = 0; member < members.length; member++)
      if (member !== exceptFor && members[member] === newest && known.peers[member]!.reachable) return member;
    return -1;
  }

  #fetchFrom(pending: PendingRead, member: number): void {
    pending.fetchingFrom = member;
    this.#queries.ask(pending.known.peers[member]!, pending, member, pending.heldVersion);
  }

  /** Asks for the record whose version is known. */
  #fetch(pending: PendingRead): void {
    if (pending.fetchingFrom >= 0) return;
    const member = this.#holder(pending, -1);
    if (member >= 0) {
      this.#fetchFrom(pending, member);
      return;
    }
    // Whoever held it has gone.
    const { members, newest } = pending;
    for (let other = 0; other < members.length; other++)
      if (members[other] === newest) members[other] = FAILED;
    this.#advance(pending);
  }

  /** Sends the newest record to all who have answered with something older. */
  #mend(pending: PendingRead): void {
    const { members, newest, record } = pending;
    if (record === undefined || pending.current === pending.answered) return;
    if (pending.localVersion >= 0 && pending.localVersion < newest) {
      this.#mending.mendHere(pending, record);
      pending.localVersion = newest;
      this.#context.readRepairs++;
    }
    for (let member = 0; member < members.length; member++) {
      const version = members[member]!;
      if (version < 0 || version >= newest) continue;
      const peer = pending.known.peers[member]!;
      if (peer.reachable) {
        this.#mending.mend(peer, pending, member, record);
        members[member] = MENDING;
        this.#context.readRepairs++;
      } else members[member] = FAILED;
    }
    pending.count();
  }

  #reply(pending: PendingRead): void {
    const { read, record } = pending;
    if (this.#looksFurther(read)) this.#lookFurther(pending);
    else pending.replied = true;
    if (pending.index >= 0 && (!read.repair || this.#isQuiet(pending))) this.#drop(pending);
    read.found(record);
  }

  #fail(pending: PendingRead, reason: QuorumFailure): void {
    const { replied, read } = pending;
    this.#drop(pending);
    if (replied) return;
    if (reason === 'timeout') this.#context.timeouts++;
    read.failed(reason);
  }

  #drop(pending: PendingRead): void {
    if (pending.index < 0) return;
    const last = this.#pending.pop()!;
    if (last !== pending) {
      last.index = pending.index;
      this.#pending[last.index] = last;
    }
    pending.index = -1;
    // Messages that are never answered still name this read for a while.
    pending.record = undefined;
  }

  // Time and links

  /** May a question that has not been sent yet be about this key? */
  mayAskFor(key: Buffer): boolean {
    return this.#queries.mayAskFor(key);
  }

  closeOpen(): void {
    this.#mending.closeOpen();
    this.#queries.closeOpen();
  }

  tick(): void {
    const { nowMs } = this.#context;
    for (let i = this.#pending.length - 1; i >= 0; i--) {
      const pending = this.#pending[i];
      if (pending !== undefined && pending.deadlineMs <= nowMs) this.#fail(pending, 'timeout');
    }
    this.#queries.tick(this);
    this.#mending.tick(this);
  }

  nextDeadlineMs(): number {
    return this.#queries.nextDeadlineMs();
  }

  /** Answers of this peer are not to be relied on. */
  unreachable(peer: Peer): void {
    this.#queries.hurry(peer);
  }

  lost(peer: Peer): void {
    this.#queries.lost(peer, this);
    this.#mending.lost(peer, this);
  }

  stop(): void {
    while (this.#pending.length > 0) this.#fail(this.#pending[this.#pending.length - 1]!, 'timeout');
  }
}
