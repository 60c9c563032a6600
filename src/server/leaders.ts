/**
 * Who leads which group, as far as this node knows. Members learn it from the protocol itself; other nodes from the
 * leaders, who say so when they are elected, when a link opens, and once a second. A leader that is gone is forgotten: by
 * members when their protocol misses it, by other nodes when it cannot be reached or no longer names the group.
 *
 * Invariants:
 * - news of an older term never replaces newer news;
 * - that a leader is missed within its term is not told to listeners: what was sent to it may still be answered, and requests
 *   move when somebody leads in a later term.
 */
import { ByteReader } from '../base/bytes.js';
import type { NodeId } from '../protocol/raft/types.js';
import { MESSAGE } from '../replica/peers/frame.js';
import type { PeerHub } from '../replica/peers/peer-hub.js';

/** A group that this node leads. */
export interface LedGroup {
  readonly group: number;
  readonly term: number;
}

const ANNOUNCE_INTERVAL_MS = 1000;

export class Leaders {
  readonly #known = new Map<number, { readonly leader: NodeId | undefined; readonly term: number }>();
  readonly #onChange: (group: number, leader: NodeId | undefined, term: number) => void;
  #nextAnnouncementMs = 0;

  constructor(onChange: (group: number, leader: NodeId | undefined, term: number) => void) {
    this.#onChange = onChange;
  }

  of(group: number): NodeId | undefined {
    return this.#known.get(group)?.leader;
  }

  note(group: number, leader: NodeId | undefined, term: number): void {
    const known = this.#known.get(group);
    if (known !== undefined && term < known.term) return;
    this.#known.set(group, { leader, term });
    if (leader === undefined && term === known?.term) return;
    this.#onChange(group, leader, term);
  }

  /** A node cannot be reached. Members of a group (`isMember`) know by themselves what that means for it. */
  forget(node: NodeId, isMember: (group: number) => boolean): void {
    for (const [group, { leader, term }] of this.#known)
      if (leader === node && !isMember(group)) this.note(group, undefined, term);
  }

  /** The next tick tells all peers. */
  announceSoon(): void {
    this.#nextAnnouncementMs = 0;
  }

  tick(nowMs: number, peers: PeerHub, led: () => readonly LedGroup[]): void {
    if (nowMs < this.#nextAnnouncementMs) return;
    this.#nextAnnouncementMs = nowMs + ANNOUNCE_INTERVAL_MS;
    sendLeaders(peers, peers.peerIds(), led());
  }

  /** A peer says what it leads, all of it. `isMember`: groups of which this node knows better. */
  receive(from: NodeId, body: Buffer, isMember: (group: number) => boolean): void {
    const reader = new ByteReader(body);
    const led = new Set<number>();
    for (let left = reader.varint(); left > 0; left--) {
      const group = reader.varint();
      const term = reader.varint();
      if (isMember(group)) continue;
      led.add(group);
      this.note(group, from, term);
    }
    this.forget(from, (group) => led.has(group) || isMember(group));
  }
}

export function sendLeaders(peers: PeerHub, to: readonly NodeId[], led: readonly LedGroup[]): void {
  for (const peer of to) {
    const writer = peers.beginMessage(peer, MESSAGE.leaders, 0);
    if (writer === undefined) continue;
    writer.varint(led.length);
    for (const { group, term } of led) {
      writer.varint(group);
      writer.varint(term);
    }
    peers.endMessage(peer);
  }
}
