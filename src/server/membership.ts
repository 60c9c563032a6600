/**
 * Who can be reached, as far as this node can tell: runs the membership core (`src/protocol/swim`) over the peer links, and puts
 * what the links themselves show beside it.
 *
 * - A member is dead when it has been missed and has not contradicted (the core), or at once when there is proof that its
 *   process is gone (the hub's `onPeerDead`). A link that has closed proves nothing about the member.
 * - A member is reachable when there is a link to it and it is not dead. Suspicion alone changes nothing: most suspects live.
 * - A process that has come back is pinged at once, and counts as alive with its first word.
 *
 * The node calls `setMembers` with every map, `tick` every 10 to 25 ms, `receive` for every message of kind `swim`, `peerUp` and
 * `peerDead` for the hub's callbacks of these names, and flushes the hub afterwards.
 */
import { ByteReader } from '../base/bytes.js';
import type { Env } from '../env/env.js';
import type { NodeId } from '../protocol/raft/types.js';
import { decodeSwimMessage, encodeSwimMessage } from '../protocol/swim/codec.js';
import { SwimCore } from '../protocol/swim/core.js';
import { SWIM_TIMING, type SwimTiming } from '../protocol/swim/options.js';
import type { LoadDigest, MemberState, SwimStatistics } from '../protocol/swim/types.js';
import { MESSAGE } from '../replica/peers/frame.js';
import type { PeerHub } from '../replica/peers/peer-hub.js';

/** A member as a person reads it. */
export interface MemberReport {
  readonly id: NodeId;
  readonly state: MemberState;
  readonly reachable: boolean;
  readonly incarnation: number;
  /** For how long it has been in this state. */
  readonly stateAgeMs: number;
  readonly load: LoadDigest | undefined;
}

export interface MemberChange {
  readonly node: NodeId;
  readonly state: MemberState;
  readonly reachable: boolean;
}

export type MemberListener = (change: MemberChange) => void;

export interface MembershipOptions {
  readonly env: Pick<Env, 'clock' | 'random'>;
  readonly self: NodeId;
  readonly peers: Pick<PeerHub, 'beginMessage' | 'endMessage' | 'connected' | 'bootOf'>;
  readonly timing?: Partial<SwimTiming>;
}

export class Membership {
  readonly #env: MembershipOptions['env'];
  readonly #self: NodeId;
  readonly #peers: MembershipOptions['peers'];
  readonly #core: SwimCore;
  readonly #listeners: MemberListener[] = [];
  /** What listeners have been told of the other members. */
  #told = new Map<NodeId, MemberChange>();
  /** The process that each member's messages came from. */
  #boots = new Map<NodeId, string>();

  constructor({ env, self, peers, timing }: MembershipOptions) {
    this.#env = env;
    this.#self = self;
    this.#peers = peers;
    this.#core = new SwimCore({
      self,
      random: () => env.random.float(),
      nowMs: env.clock.monotonicMs(),
      firstIncarnation: env.clock.wallMs(),
      timing: { ...SWIM_TIMING, ...timing },
    });
  }

  /** The nodes of the newest cluster map. */
  setMembers(nodes: readonly { readonly id: NodeId }[]): void {
    this.#core.setMembers(nodes.map(({ id }) => id));
    const told = new Map<NodeId, MemberChange>();
    const boots = new Map<NodeId, string>();
    for (const { id } of nodes) {
      const state = this.#core.stateOf(id);
      if (id === this.#self || state === undefined) continue;
      // Of a newcomer listeners have heard nothing, and so take it for unreachable.
      told.set(id, this.#told.get(id) ?? { node: id, state, reachable: false });
      const boot = this.#boots.get(id);
      if (boot !== undefined) boots.set(id, boot);
    }
    this.#told = told;
    this.#boots = boots;
    this.#tell();
  }

  tick(nowMs: number): void {
    this.#core.tick(nowMs);
    this.#send();
    this.#tell();
  }

  /** Throws `DecodeError` on what is no membership message. */
  receive(from: NodeId, body: Buffer): void {
    const reader = new ByteReader(body);
    const message = decodeSwimMessage(reader);
    reader.end();
    const boot = this.#peers.bootOf(from);
    if (boot !== '' && this.#core.stateOf(from) !== undefined) this.#boots.set(from, boot);
    this.#core.step(from, message, this.#env.clock.monotonicMs());
    if (this.#send()) this.#tell();
  }

  /** A link to this peer has opened: whatever was known of it, it can say now how it is. */
  peerUp(peer: NodeId): void {
    this.#core.probe(peer, this.#env.clock.monotonicMs());
    this.#send();
    this.#tell();
  }

  /** The process of this peer is certainly gone. When another one has taken its place already, that one is asked. */
  peerDead(peer: NodeId): void {
    const nowMs = this.#env.clock.monotonicMs();
    const lastBoot = this.#boots.get(peer);
    const boot = this.#peers.bootOf(peer);
    if (lastBoot !== undefined && boot !== lastBoot) {
      this.#boots.set(peer, boot);
      this.#core.probe(peer, nowMs);
    } else this.#core.confirmDead(peer, nowMs);
    this.#send();
    this.#tell();
  }

  /** May requests be sent to this node with a hope of an answer? (To itself: yes. To a stranger: no.) */
  reachable(node: NodeId): boolean {
    if (node === this.#self) return true;
    const state = this.#core.stateOf(node);
    return state !== undefined && state !== 'dead' && this.#peers.connected(node);
  }

  /** All members, in the order of the map, this node among them. */
  states(): MemberReport[] {
    const nowMs = this.#env.clock.monotonicMs();
    return this.#core.members().map(({ id, state, incarnation, sinceMs, load }) => ({
      id,
      state,
      reachable: this.reachable(id),
      incarnation,
      stateAgeMs: Math.max(0, nowMs - sinceMs),
      load,
    }));
  }

  /** What a member has said of itself last; undefined when it has said nothing since it was last seen dead. */
  loadOf(node: NodeId): LoadDigest | undefined {
    return this.#core.loadOf(node);
  }

  /** How this node fares; spread to all. Once a second is often enough. */
  setLoad(digest: LoadDigest): void {
    this.#core.setLoad(digest);
  }

  /**
   * Hears of every change of another member's state or reachability, possibly from within the call that showed it. What is
   * true when the listener comes is not told: members count as unreachable until they are.
   */
  onChange(listener: MemberListener): void {
    this.#listeners.push(listener);
  }

  statistics(): SwimStatistics {
    return this.#core.statistics();
  }

  /** True when a member's state has changed. */
  #send(): boolean {
    if (!this.#core.hasEffects()) return false;
    const { messages, events } = this.#core.takeEffects();
    for (const { to, message } of messages) {
      // Without a link it is lost, as any message may be.
      const writer = this.#peers.beginMessage(to, MESSAGE.swim, 0);
      if (writer === undefined) continue;
      encodeSwimMessage(writer, message);
      this.#peers.endMessage(to);
    }
    return events.length > 0;
  }

  #tell(): void {
    for (const { node, state, reachable } of this.#told.values()) {
      const stateNow = this.#core.stateOf(node) ?? 'dead';
      const reachableNow = this.reachable(node);
      if (state === stateNow && reachable === reachableNow) continue;
      const change = { node, state: stateNow, reachable: reachableNow };
      this.#told.set(node, change);
      for (const listener of this.#listeners) listener(change);
    }
  }
}
