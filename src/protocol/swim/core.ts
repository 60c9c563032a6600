/**
 * The membership core of one node: no I/O, no clock, no timers. See `types.ts` for what the caller owes.
 *
 * Source: SWIM (DSN 2002) and Lifeguard (2018). This file takes calls in, applies news, and gives effects out. The
 * parts: `members` (what is known, and which news is newer), `prober` (pings, directly and through others), `suspicions` (how
 * long a suspect has), `dissemination` (what rides on messages), `local-health` (is it me?).
 *
 * Invariants:
 * - a member's record only moves up in the order of news (`members.ts`); its own incarnation only grows;
 * - every message is bounded in updates and digests, whatever the size of the cluster;
 * - the messages that a node sends of its own accord do not grow with the cluster.
 *
 * Departures from the papers:
 * - membership is the map's; joining and leaving need no gossip, and who is dead may live again;
 * - any message to a member that is held for suspect or dead, or that has shown an incarnation older than the known one,
 *   tells it so first: it contradicts in its very answer;
 * - free room in a message goes to one of the dead, in turn, so that a node that has just started learns of them, and to the
 *   sender's own digest, so that everybody has a fresh one once a round.
 */
import { LIMITS } from '../../base/limits.js';
import { Dissemination } from './dissemination.js';
import { wholeDigest } from './load-digest.js';
import { AwakeClock, LocalHealth } from './local-health.js';
import { MAX_INCARNATION, type Member, MemberTable, supersedes } from './members.js';
import type { SwimOptions, SwimTiming } from './options.js';
import { ProbeOrder } from './probe-order.js';
import { Prober } from './prober.js';
import { Suspicions } from './suspicions.js';
import type {
  LoadDigest,
  MemberEvent,
  MemberLoad,
  MemberState,
  MemberStatus,
  MemberUpdate,
  NodeId,
  OutgoingSwimMessage,
  SwimEffects,
  SwimMessage,
  SwimStatistics,
} from './types.js';

export class SwimCore {
  readonly #self: NodeId;
  readonly #timing: SwimTiming;
  readonly #startedMs: number;
  readonly #clock: AwakeClock;
  readonly #health = new LocalHealth();
  readonly #table = new MemberTable();
  readonly #order: ProbeOrder;
  readonly #prober: Prober;
  readonly #suspicions = new Suspicions();
  readonly #news = new Dissemination<MemberUpdate>();
  readonly #loads = new Dissemination<MemberLoad>();
  #incarnation: number;
  #load: MemberLoad | undefined;
  /** All members of the map, in its order. */
  #ids: readonly NodeId[] = [];
  #messages: OutgoingSwimMessage[] = [];
  #events: MemberEvent[] = [];
  #messagesSent = 0;
  #suspected = 0;
  #deaths = 0;
  #refutations = 0;

  constructor(options: SwimOptions) {
    const { self, random, nowMs, firstIncarnation, timing } = options;
    this.#self = self;
    this.#timing = timing;
    this.#startedMs = nowMs;
    this.#incarnation = Math.min(firstIncarnation, MAX_INCARNATION);
    this.#clock = new AwakeClock(nowMs, timing.maxTickGapMs);
    this.#order = new ProbeOrder(random);
    const host = {
      ping: (to: NodeId, sequence: number) => this.#send(to, 'ping', sequence),
      requestPing: (proxy: NodeId, sequence: number, target: NodeId) =>
        this.#requestPing(proxy, sequence, target),
      answer: (asker: NodeId, kind: 'ack' | 'nack', sequence: number, about: NodeId | undefined) =>
        this.#send(asker, kind, sequence, about === undefined ? undefined : this.#table.get(about)),
      stateOf: (member: NodeId) => this.#table.get(member)?.state,
      accused: (maximum: number) => this.#suspicions.accusedBy(self, maximum),
      missed: (member: NodeId) => this.#missed(member),
    };
    // Another life's late answers must not be taken for this one's.
    const firstSequence = Math.floor(random() * 2 ** 31);
    this.#prober = new Prober(host, this.#order, timing, this.#health, firstSequence);
  }

  /** The members of the newest cluster map, this node among them or not. */
  setMembers(ids: readonly NodeId[]): void {
    this.#ids = ids;
    const others = new Set(ids);
    others.delete(this.#self);
    for (const { id } of [...this.#table.values()]) if (!others.has(id)) this.#forget(id);
    for (const id of others) {
      if (this.#table.has(id)) continue;
      this.#table.add(id, this.#clock.nowMs);
      this.#order.add(id);
    }
    const sends = Math.ceil(this.#timing.disseminationMultiplier * Math.log(this.#table.size + 2));
    this.#news.maxSends = sends;
    this.#loads.maxSends = sends;
  }

  /** Takes one message. Strangers are not listened to. */
  step(from: NodeId, message: SwimMessage, nowMs: number): void {
    const sender = this.#table.get(from);
    if (sender === undefined) return;
    this.#advance(nowMs);
    const { incarnation, sequence } = message;
    if (incarnation > sender.incarnation) this.#hearFrom(sender, incarnation);
    const isBehind = incarnation < sender.incarnation;
    for (const update of message.updates) this.#hear(update);
    for (const load of message.loads) this.#hearLoad(load);
    switch (message.kind) {
      case 'ping':
        this.#send(from, 'ack', sequence, undefined, isBehind);
        return;
      case 'ping-request':
        // A map that is older than the sender's may lack the target.
        if (message.target !== this.#self) this.#relay(from, message);
        return;
      case 'ack':
        this.#prober.acknowledged(from, sequence);
        return;
      case 'nack':
        this.#prober.refused(from, sequence);
        return;
    }
  }

  /** Lets time pass. */
  tick(nowMs: number): void {
    this.#advance(nowMs);
    const { awakeMs } = this.#clock;
    if (awakeMs >= this.#suspicions.nextDeadlineMs) {
      for (const suspect of this.#suspicions.expired(awakeMs)) this.#declareDead(suspect);
    }
    this.#prober.tick(awakeMs);
  }

  /** When `tick` has something to do, if the process does not sleep until then. */
  nextDeadlineMs(): number {
    const deadlineMs = Math.min(this.#prober.nextDeadlineMs, this.#suspicions.nextDeadlineMs);
    return this.#clock.nowMs + Math.max(0, deadlineMs - this.#clock.awakeMs);
  }

  /** There is proof that this member's process is gone: no suspicion is needed. */
  confirmDead(member: NodeId, nowMs: number): void {
    this.#advance(nowMs);
    this.#declareDead(member);
  }

  /** Something hints that this member is back: pings it at once. */
  probe(member: NodeId, nowMs: number): void {
    this.#advance(nowMs);
    if (this.#table.has(member)) this.#prober.ping(member);
  }

  /** How this node fares; spread to all. */
  setLoad(digest: LoadDigest): void {
    const version = Math.max((this.#load?.version ?? -1) + 1, this.#incarnation);
    this.#load = {
      member: this.#self,
      version: Math.min(version, MAX_INCARNATION),
      digest: wholeDigest(digest),
    };
    this.#loads.offer(this.#self, this.#load);
  }

  stateOf(member: NodeId): MemberState | undefined {
    return member === this.#self ? 'alive' : this.#table.get(member)?.state;
  }

  loadOf(member: NodeId): LoadDigest | undefined {
    return member === this.#self ? this.#load?.digest : this.#table.get(member)?.load;
  }

  /** All members of the map, in its order. */
  members(): MemberStatus[] {
    const statuses: MemberStatus[] = [];
    for (const id of this.#ids) {
      const member = this.#table.get(id);
      if (member === undefined) statuses.push(this.#ownStatus());
      else {
        const { state, incarnation, sinceMs, load } = member;
        statuses.push({ id, state, incarnation, sinceMs, load });
      }
    }
    return statuses;
  }

  hasEffects(): boolean {
    return this.#messages.length > 0 || this.#events.length > 0;
  }

  takeEffects(): SwimEffects {
    const effects = { messages: this.#messages, events: this.#events };
    if (this.#messages.length > 0) this.#messages = [];
    if (this.#events.length > 0) this.#events = [];
    return effects;
  }

  statistics(): SwimStatistics {
    return {
      messagesSent: this.#messagesSent,
      suspicions: this.#suspected,
      deaths: this.#deaths,
      refutations: this.#refutations,
      localHealth: this.#health.score,
    };
  }

  #advance(nowMs: number): void {
    if (this.#clock.advance(nowMs)) this.#health.worse(1);
  }

  #ownStatus(): MemberStatus {
    return {
      id: this.#self,
      state: 'alive',
      incarnation: this.#incarnation,
      sinceMs: this.#startedMs,
      load: this.#load?.digest,
    };
  }

  #forget(id: NodeId): void {
    this.#table.remove(id);
    this.#order.remove(id);
    this.#suspicions.end(id);
    this.#news.forget(id);
    this.#loads.forget(id);
  }

  /** A member speaks for itself, and has gone on since it was last heard of. */
  #hearFrom(sender: Member, incarnation: number): void {
    const update: MemberUpdate = { member: sender.id, state: 'alive', incarnation, accuser: '' };
    // That one who was alive still is, is no news: else a cluster that starts would have as many news as members.
    if (sender.state === 'alive') this.#table.change(sender, update, this.#clock.nowMs);
    else this.#take(sender, update);
  }

  #hear(update: MemberUpdate): void {
    if (update.member === this.#self) {
      this.#hearOfSelf(update);
      return;
    }
    const member = this.#table.get(update.member);
    if (member === undefined) return;
    if (supersedes(update, member)) this.#take(member, update);
    else if (update.incarnation < member.incarnation) this.#correct(member, update);
    else if (update.state === 'suspect') this.#confirm(member, update);
  }

  /** News that supersede what is known. */
  #take(member: Member, update: MemberUpdate): void {
    const changed = this.#table.change(member, update, this.#clock.nowMs);
    if (update.state === 'suspect') this.#beginSuspicion(member.id, update.accuser);
    else this.#suspicions.end(member.id);
    this.#news.offer(member.id, update);
    if (!changed) return;
    if (update.state === 'dead') this.#deaths++;
    this.#events.push({ kind: update.state, node: member.id });
  }

  #beginSuspicion(suspect: NodeId, accuser: NodeId): void {
    const { periodMs, suspicionMultiplier, suspicionMaxMultiplier, suspicionConfirmations } = this.#timing;
    const { liveCount } = this.#table;
    const minMs = suspicionMultiplier * Math.max(1, Math.log10(liveCount + 1)) * periodMs;
    this.#suspicions.start(
      suspect,
      accuser,
      {
        minMs,
        maxMs: minMs * suspicionMaxMultiplier,
        // All who live, but the suspect itself; this node and the accuser may be one, or this node may yet accuse.
        wanted: Math.min(suspicionConfirmations, liveCount - 1),
      },
      this.#clock.awakeMs,
    );
  }

  /** Bad news of an incarnation that is past: whoever still believes them is told of the present one. */
  #correct(member: Member, { state }: MemberUpdate): void {
    if (state !== 'alive' && !this.#news.has(member.id)) this.#news.offer(member.id, newsOf(member));
  }

  /** A suspicion that is known already, of another accuser perhaps. In any other state it is old. */
  #confirm(member: Member, update: MemberUpdate): void {
    if (!this.#suspicions.confirm(member.id, update.accuser)) return;
    member.accuser = update.accuser;
    this.#news.offer(member.id, update);
  }

  #missed(id: NodeId): void {
    const member = this.#table.get(id);
    if (member === undefined) return;
    this.#suspected++;
    this.#hear({ member: id, state: 'suspect', incarnation: member.incarnation, accuser: this.#self });
  }

  #declareDead(id: NodeId): void {
    const member = this.#table.get(id);
    if (member === undefined || member.state === 'dead') return;
    this.#take(member, { member: id, state: 'dead', incarnation: member.incarnation, accuser: '' });
  }

  /** Bad news of this node, or of a former life that had come further: contradicts with a higher incarnation. */
  #hearOfSelf({ state, incarnation }: MemberUpdate): void {
    if (state === 'alive' && incarnation <= this.#incarnation) return;
    if (incarnation >= this.#incarnation) {
      if (incarnation >= MAX_INCARNATION) return;
      this.#incarnation = incarnation + 1;
      if (state !== 'alive') {
        this.#refutations++;
        this.#health.worse(1);
      }
    } else if (this.#news.has(this.#self)) return;
    this.#news.offer(this.#self, {
      member: this.#self,
      state: 'alive',
      incarnation: this.#incarnation,
      accuser: '',
    });
  }

  #hearLoad(load: MemberLoad): void {
    if (load.member === this.#self) {
      // A former life's.
      if (this.#load !== undefined && load.version > this.#load.version) {
        this.#load = { ...this.#load, version: load.version };
        this.setLoad(this.#load.digest);
      }
      return;
    }
    const member = this.#table.get(load.member);
    if (member !== undefined && this.#table.takeLoad(member, load)) this.#loads.offer(load.member, load);
  }

  #relay(
    asker: NodeId,
    { sequence, target, updates }: SwimMessage & { readonly kind: 'ping-request' },
  ): void {
    const isSuspected = updates.some(({ member, state }) => member === target && state !== 'alive');
    this.#prober.relay(asker, sequence, target, isSuspected, this.#clock.awakeMs);
  }

  #requestPing(proxy: NodeId, sequence: number, target: NodeId): void {
    const member = this.#table.get(target);
    const { incarnation, updates, loads } = this.#compose(
      proxy,
      member?.state === 'alive' ? undefined : member,
      false,
    );
    this.#post(proxy, { kind: 'ping-request', sequence, incarnation, target, updates, loads });
  }

  /** `about`: whom the message is about. `tellKnown`: `to` has shown that others know more of it than itself. */
  #send(
    to: NodeId,
    kind: 'ping' | 'ack' | 'nack',
    sequence: number,
    about?: Member,
    tellKnown = false,
  ): void {
    const { incarnation, updates, loads } = this.#compose(to, about, tellKnown);
    this.#post(to, { kind, sequence, incarnation, updates, loads });
  }

  #post(to: NodeId, message: SwimMessage): void {
    this.#messagesSent++;
    this.#messages.push({ to, message });
  }

  #compose(
    to: NodeId,
    about: Member | undefined,
    tellKnown: boolean,
  ): Pick<SwimMessage, 'incarnation' | 'updates' | 'loads'> {
    const updates: MemberUpdate[] = [];
    const loads: MemberLoad[] = [];
    const receiver = this.#table.get(to);
    if (receiver !== undefined && (receiver.state !== 'alive' || tellKnown)) {
      updates.push(newsOf(receiver));
      if (tellKnown && receiver.load !== undefined)
        loads.push({ member: to, version: receiver.loadVersion, digest: receiver.load });
    }
    if (about !== undefined) updates.push(newsOf(about));
    this.#news.take(updates, LIMITS.maxSwimUpdates);
    if (updates.length < LIMITS.maxSwimUpdates) {
      const dead = this.#table.nextDead();
      if (dead !== undefined && dead !== receiver && dead !== about) updates.push(newsOf(dead));
    }
    this.#loads.take(loads, LIMITS.maxSwimLoads);
    const own = this.#load;
    if (own !== undefined && loads.length < LIMITS.maxSwimLoads && !loads.includes(own)) loads.push(own);
    return { incarnation: this.#incarnation, updates, loads };
  }
}

function newsOf({ id, state, incarnation, accuser }: Member): MemberUpdate {
  return { member: id, state, incarnation, accuser };
}
