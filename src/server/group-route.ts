/**
 * The way of this node's requests to one group: to the leader, wherever it is, across elections, within a deadline.
 *
 * Invariants:
 * - requests are sent in the order of their sequences, and sent again in that order when leadership moved or a link
 *   broke, so a client's pipelined writes to one group take effect in order;
 * - every request carries (session, sequence); the group's session table makes a repeat harmless. Sequences below
 *   `acknowledgedBelow` are answered here and will never be sent again;
 * - a request is completed exactly once: with its answer, or after the deadline with an error that says whether it may
 *   have happened.
 */
import { LIMITS } from '../base/limits.js';
import type { NodeId } from '../protocol/raft/types.js';
import type { DataReplica } from '../replica/data-replica.js';
import { MESSAGE } from '../replica/peers/frame.js';
import type { PeerHub } from '../replica/peers/peer-hub.js';
import type { PendingRequest, Refusal } from '../replica/pending.js';
import type { CommandDefinition } from '../store/command.js';
import { ErrorReply, type Reply } from '../store/reply.js';
import type { SessionStamp } from '../store/types.js';
import { encodeForwardedRequest } from './forwarding.js';
import type { Request } from './types.js';

/** A forwarded request from which nothing was heard for so long is sent again, when nothing waits for the link. */
const RESEND_MS = 2000;
/** A large one is given more time: sent twice it would take twice the room, on the link and in the log. */
const RESEND_BYTES_PER_MS = 32 * 1024;

function sizeOf(args: readonly Buffer[]): number {
  let sizeBytes = 0;
  for (const argument of args) sizeBytes += argument.length;
  return sizeBytes;
}

export interface RouteHost {
  readonly self: NodeId;
  readonly peers: PeerHub;
  replica(group: number): DataReplica | undefined;
  monotonicMs(): number;
  /** Something was written to an outbox. */
  scheduleFlush(): void;
  noteForwarded(): void;
  /** Does the present map have this bucket? */
  knowsBucket(id: number): boolean;
}

class RoutedRequest implements PendingRequest, SessionStamp {
  readonly request: Request;
  readonly sequence: number;
  readonly deadlineMs: number;
  readonly session: string;
  acknowledgedBelow = 0;
  readonly #route: GroupRoute;
  /** Where it is; undefined: nowhere, to be sent. */
  sentTo: NodeId | undefined;
  sentAtMs = 0;
  /** An earlier attempt may have happened although no answer came. */
  mayHaveHappened = false;
  triedLocally = false;
  done = false;

  constructor(route: GroupRoute, request: Request, sequence: number, session: string, deadlineMs: number) {
    this.#route = route;
    this.request = request;
    this.sequence = sequence;
    this.session = session;
    this.deadlineMs = deadlineMs;
  }

  get definition(): CommandDefinition {
    return this.request.definition;
  }

  get bucketId(): number {
    return this.request.bucket.id;
  }

  get args(): readonly Buffer[] {
    return this.request.args;
  }

  get stamp(): SessionStamp {
    return this.request.session ?? this;
  }

  get throughLog(): boolean {
    return this.request.definition.isWrite || this.request.ordered;
  }

  get outcomeUnknown(): boolean {
    return this.mayHaveHappened || (this.sentTo !== undefined && this.request.definition.isWrite);
  }

  answer(reply: Reply): void {
    if (this.done) return;
    this.done = true;
    this.#route.completed();
    this.request.completion.complete(reply);
  }

  refuse(refusal: Refusal): void {
    if (!this.done) this.#route.refused(this, refusal);
  }
}

export class GroupRoute {
  readonly group: number;
  readonly #host: RouteHost;
  readonly #session: string;
  #leader: NodeId | undefined;
  #term = 0;
  /** Requests from sequence `#base` on, in order; done ones stay until all before them are done. */
  #window: RoutedRequest[] = [];
  #head = 0;
  #nextSequence = 1;
  /** True when some request in the window is not sent: all later ones wait behind it. */
  #waiting = false;
  #redispatching = false;

  constructor(group: number, host: RouteHost) {
    this.group = group;
    this.#host = host;
    this.#session = host.peers.boot;
  }

  get leader(): NodeId | undefined {
    return this.#leader;
  }

  get inflight(): number {
    return this.#window.length - this.#head;
  }

  submit(request: Request): void {
    if (this.inflight >= LIMITS.maxInflightRequestsPerGroup) {
      request.completion.complete(ErrorReply.of('OVERLOADED', 'too many requests under way to one group'));
      return;
    }
    const nowMs = this.#host.monotonicMs();
    const routed = new RoutedRequest(
      this,
      request,
      this.#nextSequence++,
      this.#session,
      nowMs + LIMITS.requestTimeoutMs,
    );
    this.#window.push(routed);
    if (this.#waiting && !this.#isServedHere(routed)) return;
    this.#dispatch(routed, nowMs);
  }

  /** Someone leads (or nobody does) as of a term. Older news is ignored. */
  noteLeader(leader: NodeId | undefined, term: number): void {
    if (term < this.#term || (term === this.#term && (leader === undefined || leader === this.#leader)))
      return;
    const moved = leader !== this.#leader || term !== this.#term;
    this.#term = term;
    this.#leader = leader;
    if (!moved) return;
    for (let i = this.#head; i < this.#window.length; i++) {
      const routed = this.#window[i]!;
      // Whoever leads now has not seen it, or will recognize it.
      if (routed.sentTo !== undefined && routed.sentTo !== this.#host.self) this.#unsend(routed);
    }
    this.#redispatch();
  }

  /** What was sent to this peer may be lost: its link broke, or is new. */
  peerReset(node: NodeId): void {
    for (let i = this.#head; i < this.#window.length; i++) {
      const routed = this.#window[i]!;
      if (routed.sentTo === node && !routed.done) this.#unsend(routed);
    }
    this.#redispatch();
  }

  /** A peer's word on a request sent to it. */
  replied(sequence: number, refusal: Refusal | undefined, reply: Reply): void {
    const routed = this.#find(sequence);
    if (routed === undefined || routed.done) return;
    if (refusal === undefined) routed.answer(reply);
    else routed.refuse(refusal);
  }

  tick(nowMs: number): void {
    while (this.#head < this.#window.length) {
      const routed = this.#window[this.#head]!;
      if (!routed.done && routed.deadlineMs > nowMs) break;
      if (!routed.done) routed.answer(this.#expired(routed));
      else this.completed();
    }
    for (let i = this.#head; i < this.#window.length; i++) {
      const routed = this.#window[i]!;
      if (routed.done || routed.sentTo === undefined || routed.sentTo === this.#host.self) continue;
      const waitedMs = nowMs - routed.sentAtMs;
      if (waitedMs < RESEND_MS || waitedMs < RESEND_MS + sizeOf(routed.args) / RESEND_BYTES_PER_MS) break;
      if (this.#host.peers.queuedBytes(routed.sentTo) === 0) this.#unsend(routed);
    }
    this.#redispatch();
  }

  /** Fails everything under way; nothing new is expected. */
  stop(): void {
    for (let i = this.#head; i < this.#window.length; i++) {
      const routed = this.#window[i]!;
      if (routed.done) continue;
      const error = routed.outcomeUnknown
        ? ErrorReply.of('OUTCOME_UNKNOWN', 'the node is stopping; the write may have happened')
        : ErrorReply.of('SHUTTING_DOWN', 'the node is stopping');
      routed.done = true;
      routed.request.completion.complete(error);
    }
    this.#window = [];
    this.#head = 0;
  }

  completed(): void {
    // The window must not move under the loop that sends.
    if (this.#redispatching) return;
    const window = this.#window;
    let head = this.#head;
    while (head < window.length && window[head]!.done) head++;
    if (head === window.length) {
      window.length = 0;
      head = 0;
    } else if (head > 4096 && head * 2 > window.length) {
      this.#window = window.slice(head);
      head = 0;
    }
    this.#head = head;
  }

  refused(routed: RoutedRequest, refusal: Refusal): void {
    if (refusal === 'leadership-lost' && routed.definition.isWrite) routed.mayHaveHappened = true;
    if (refusal === 'overloaded') {
      // There was no room for a repeat: the attempt before it may be what takes the room, and still be answered.
      if (routed.mayHaveHappened && routed.sentTo !== undefined && routed.sentTo !== this.#host.self) return;
      routed.answer(
        routed.mayHaveHappened
          ? ErrorReply.of('OUTCOME_UNKNOWN', 'the group is overloaded; an earlier attempt may have happened')
          : ErrorReply.of('OVERLOADED', 'the group has too much under way'),
      );
      return;
    }
    routed.sentTo = undefined;
    this.#waiting = true;
  }

  #expired(routed: RoutedRequest): ErrorReply {
    if (routed.outcomeUnknown)
      return ErrorReply.of('OUTCOME_UNKNOWN', 'no answer in time; the write may have happened');
    if (this.#leader === undefined)
      return ErrorReply.of('NO_LEADER', 'no leader for the slot within the time-out');
    return ErrorReply.of('TIMEOUT', 'no answer in time');
  }

  #dropped(routed: RoutedRequest): ErrorReply {
    const { name } = routed.request.bucket;
    return routed.mayHaveHappened
      ? ErrorReply.of('OUTCOME_UNKNOWN', `bucket '${name}' was dropped; the write may have happened before`)
      : ErrorReply.of('UNKNOWN_BUCKET', `bucket '${name}' was dropped`);
  }

  /** A read that may be older than the leader's state needs no leader, and need not wait for one behind others. */
  #isServedHere(routed: RoutedRequest): boolean {
    return (
      routed.request.consistency !== 'linearizable' &&
      !routed.throughLog &&
      this.#host.replica(this.group) !== undefined
    );
  }

  #find(sequence: number): RoutedRequest | undefined {
    const first = this.#window[this.#head];
    if (first === undefined) return undefined;
    return this.#window[this.#head + sequence - first.sequence];
  }

  #unsend(routed: RoutedRequest): void {
    if (routed.done) return;
    if (routed.definition.isWrite) routed.mayHaveHappened = true;
    routed.sentTo = undefined;
    this.#waiting = true;
  }

  /** Sends all that waits, in order, until one is given back at once. */
  #redispatch(): void {
    if (!this.#waiting || this.#redispatching) return;
    this.#redispatching = true;
    this.#waiting = false;
    const nowMs = this.#host.monotonicMs();
    // A request given back sets `#waiting` again, and the rest stays behind it.
    for (let i = this.#head; i < this.#window.length && !this.#waiting; i++) {
      const routed = this.#window[i]!;
      if (routed.done || routed.sentTo !== undefined) continue;
      if (this.#host.knowsBucket(routed.bucketId)) this.#dispatch(routed, nowMs);
      else routed.answer(this.#dropped(routed));
    }
    this.#redispatching = false;
    this.completed();
  }

  #dispatch(routed: RoutedRequest, nowMs: number): void {
    const { self, peers } = this.#host;
    const { request } = routed;
    routed.sentAtMs = nowMs;
    routed.acknowledgedBelow = this.#window[this.#head]!.sequence;
    if (request.consistency !== 'linearizable' && !routed.triedLocally && !routed.throughLog) {
      const replica = this.#host.replica(this.group);
      routed.triedLocally = true;
      if (replica !== undefined) {
        routed.sentTo = self;
        if (request.consistency === 'stale') replica.readStale(routed);
        else replica.enqueueFollowerRead(routed);
        return;
      }
    }
    const leader = this.#leader;
    if (leader === self) {
      const replica = this.#host.replica(this.group);
      if (replica !== undefined) {
        routed.sentTo = self;
        replica.enqueue(routed);
        return;
      }
    } else if (leader !== undefined) {
      const writer = peers.beginMessage(leader, MESSAGE.forwardRequests, this.group);
      if (writer !== undefined) {
        routed.sentTo = leader;
        encodeForwardedRequest(writer, {
          sequence: routed.sequence,
          acknowledgedBelow: routed.acknowledgedBelow,
          throughLog: routed.throughLog,
          session: request.session,
          bucketId: routed.bucketId,
          definition: request.definition,
          args: request.args,
        });
        if (peers.endMessage(leader)) {
          this.#host.noteForwarded();
          this.#host.scheduleFlush();
          return;
        }
        // Dropped for want of room: what comes later must not overtake it.
        routed.sentTo = undefined;
      }
    }
    this.#waiting = true;
  }
}
