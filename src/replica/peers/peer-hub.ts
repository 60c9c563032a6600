/**
 * Links to all peers: dials each one, introduces itself, sends what the outboxes hold once a turn, hands received
 * messages to their handler. A node sends on the links it dialled and listens on those it accepted, so there is one
 * stream each way between two nodes.
 *
 * Invariants:
 * - a frame is handed on only when it is of this cluster and from a node that the map knows under this incarnation;
 *   hellos alone come through before that;
 * - a peer is declared dead (`onPeerDead`) only on evidence that its process is gone: an open link broke and a new
 *   dial was refused, or it came back with a new boot number. A slow peer breaks no link and is left to time-outs.
 */
import { ByteReader, type ByteWriter, DecodeError } from '../../base/bytes.js';
import { hash32 } from '../../base/slots.js';
import type { Env, Link, LinkCloseReason, LinkEvents, Listener, Timer } from '../../env/env.js';
import type { NodeId } from '../../protocol/raft/types.js';
import { decodeFrameHeader, decodeMessages, type FrameHeader, MESSAGE, type MessageKind } from './frame.js';
import { decodeHello, encodeHello, type Hello } from './hello.js';
import { Outbox, PieceAssembler } from './outbox.js';

const FIRST_REDIAL_MS = 20;
const LONGEST_REDIAL_MS = 1000;
const BOOT = /^[0-9a-f]{16}$/;

export interface PeerHandlers {
  /** What to say on opening a link to `peer` (undefined: a node not known yet). */
  hello(peer: NodeId | undefined, wantsAnswer: boolean): Hello;
  /** Someone introduced himself. False: he does not belong here, his link is closed. */
  onHello(hello: Hello): boolean;
  /** Is this node, under this incarnation, in the map? */
  knows(node: NodeId, incarnation: string): boolean;
  onMessage(from: NodeId, kind: MessageKind, group: number, body: Buffer): void;
  /** A frame showed that its sender has a newer map. */
  onNewerEpoch(from: NodeId, epoch: number): void;
  onPeerUp(node: NodeId): void;
  /** The link to this peer has ended: what was sent on it may be lost. */
  onPeerDown?(node: NodeId): void;
  /** The process of this peer is certainly gone. */
  onPeerDead(node: NodeId): void;
}

interface Peer {
  readonly id: NodeId;
  readonly address: string;
  readonly outbox: Outbox;
  readonly assembler: PieceAssembler;
  dialling: Link | undefined;
  /** True while the dialled link is open. */
  open: boolean;
  /** When it was opened. */
  openedAtMs: number;
  /** An open link broke and none has been opened since. */
  suspected: boolean;
  redialMs: number;
  redialTimer: Timer | undefined;
  boot: string;
  /** When a frame of it was last taken. */
  heardAtMs: number;
  /** The newest map that the peer's frames have shown. */
  epoch: number;
}

export class PeerHub {
  readonly #env: Env;
  readonly #handlers: PeerHandlers;
  readonly #self: NodeId;
  readonly #peers = new Map<NodeId, Peer>();
  /** Outgoing links to addresses whose node is not known yet (while a cluster forms). */
  readonly #introductions = new Map<string, { link: Link | undefined; timer: Timer | undefined }>();
  readonly #accepted = new Set<Link>();
  #header: FrameHeader;
  #listener: Listener | undefined;
  #closed = false;
  framesReceived = 0;
  bytesReceived = 0;
  /** Frames refused because they could not be read or were of strangers. */
  framesRefused = 0;

  constructor(env: Env, self: NodeId, incarnation: string, handlers: PeerHandlers) {
    this.#env = env;
    this.#self = self;
    this.#handlers = handlers;
    this.#header = { clusterTag: 0, from: self, boot: env.random.hex(8), incarnation, epoch: 0 };
  }

  async listen(address: string): Promise<void> {
    this.#listener = await this.#env.network.listen(address, (link) => this.#accept(link));
  }

  /** What the frames from now on say about the sender's map. */
  setCluster(clusterId: string, epoch: number): void {
    this.#header = {
      ...this.#header,
      clusterTag: clusterId === '' ? 0 : hash32(Buffer.from(clusterId)),
      epoch,
    };
  }

  /** Dials addresses whose nodes are unknown, until `setPeers` has them. */
  introduce(addresses: readonly string[]): void {
    for (const address of addresses) {
      if (this.#introductions.has(address)) continue;
      this.#introductions.set(address, { link: undefined, timer: undefined });
      this.#dialIntroduction(address);
    }
  }

  /** Keeps links to exactly these peers from now on. */
  setPeers(nodes: readonly { readonly id: NodeId; readonly grpc: string }[]): void {
    for (const introduction of this.#introductions.values()) {
      introduction.timer?.cancel();
      introduction.link?.close();
    }
    this.#introductions.clear();
    const wanted = new Map(
      nodes.filter((node) => node.id !== this.#self).map((node) => [node.id, node.grpc]),
    );
    for (const peer of [...this.#peers.values()]) {
      if (wanted.get(peer.id) !== peer.address) this.#forget(peer);
    }
    for (const [id, address] of wanted) {
      if (this.#peers.has(id)) continue;
      const peer: Peer = {
        id,
        address,
        outbox: new Outbox(() => this.#header),
        assembler: new PieceAssembler(),
        dialling: undefined,
        open: false,
        openedAtMs: 0,
        suspected: false,
        redialMs: FIRST_REDIAL_MS,
        redialTimer: undefined,
        boot: '',
        heardAtMs: this.#env.clock.monotonicMs(),
        epoch: 0,
      };
      this.#peers.set(id, peer);
      this.#dial(peer);
    }
  }

  /** Random id of this process. */
  get boot(): string {
    return this.#header.boot;
  }

  /** Random id of a peer's process; '' before anything was heard from it. */
  bootOf(node: NodeId): string {
    return this.#peers.get(node)?.boot ?? '';
  }

  /** The newest map that a peer has shown to know. */
  epochOf(node: NodeId): number {
    return this.#peers.get(node)?.epoch ?? 0;
  }

  /** How long nothing has been heard of a peer under the incarnation that the map knows; 0 for one that is no peer. */
  silentMs(node: NodeId): number {
    const peer = this.#peers.get(node);
    return peer === undefined ? 0 : this.#env.clock.monotonicMs() - peer.heardAtMs;
  }

  peerIds(): NodeId[] {
    return [...this.#peers.keys()];
  }

  connected(node: NodeId): boolean {
    return this.#peers.get(node)?.open ?? false;
  }

  /** Starts a message to a peer: write its body, then call `endMessage`. Undefined: there is no way to that peer now. */
  beginMessage(to: NodeId, kind: MessageKind, group: number): ByteWriter | undefined {
    const outbox = this.#peers.get(to)?.outbox;
    return outbox?.connected ? outbox.begin(kind, group) : undefined;
  }

  /** False: there was no room, the message is dropped. */
  endMessage(to: NodeId): boolean {
    return this.#peers.get(to)?.outbox.end() ?? false;
  }

  /** A message whose body is at hand. False when there is no way to that peer now, or no room. */
  sendMessage(to: NodeId, kind: MessageKind, group: number, body: Uint8Array): boolean {
    const writer = this.beginMessage(to, kind, group);
    if (writer === undefined) return false;
    writer.raw(body);
    return this.endMessage(to);
  }

  /** A large message in two parts that are not copied (`Outbox.sendLarge`). False when it cannot be sent. */
  sendLarge(to: NodeId, kind: MessageKind, group: number, head: Buffer, tail: Buffer): boolean {
    const outbox = this.#peers.get(to)?.outbox;
    return outbox?.connected ? outbox.sendLarge(kind, group, head, tail) : false;
  }

  /** Bytes waiting for a peer. */
  queuedBytes(node: NodeId): number {
    return this.#peers.get(node)?.outbox.queuedBytes ?? 0;
  }

  /** Sends what this turn has gathered. */
  flush(): void {
    for (const peer of this.#peers.values()) peer.outbox.flush();
  }

  statistics(): { framesSent: number; bytesSent: number; messagesDropped: number } {
    let framesSent = 0;
    let bytesSent = 0;
    let messagesDropped = 0;
    for (const { outbox } of this.#peers.values()) {
      framesSent += outbox.framesSent;
      bytesSent += outbox.bytesSent;
      messagesDropped += outbox.messagesDropped;
    }
    return { framesSent, bytesSent, messagesDropped };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.setPeers([]);
    for (const link of this.#accepted) link.close();
    await this.#listener?.close();
  }

  #forget(peer: Peer): void {
    this.#peers.delete(peer.id);
    peer.redialTimer?.cancel();
    peer.outbox.detach();
    peer.dialling?.close();
  }

  #dial(peer: Peer): void {
    if (this.#closed || this.#peers.get(peer.id) !== peer) return;
    peer.redialTimer = undefined;
    const link = this.#env.network.dial(peer.address, {
      onOpen: () => {
        peer.open = true;
        peer.openedAtMs = this.#env.clock.monotonicMs();
        peer.suspected = false;
        peer.outbox.attach(link);
        this.#sayHello(peer.outbox, peer.id, false);
        peer.outbox.flush();
        this.#handlers.onPeerUp(peer.id);
        peer.outbox.flush();
      },
      onFrame: (frame) => this.#receive(link, frame, peer.id),
      onDrain: () => peer.outbox.onDrain(),
      onClose: (reason) => this.#linkClosed(peer, link, reason),
    });
    peer.dialling = link;
  }

  #linkClosed(peer: Peer, link: Link, reason: LinkCloseReason): void {
    if (peer.dialling !== link) return;
    const wasOpen = peer.open;
    peer.dialling = undefined;
    peer.open = false;
    peer.outbox.detach();
    if (this.#closed || this.#peers.get(peer.id) !== peer) return;
    if (wasOpen) {
      peer.suspected = true;
      this.#handlers.onPeerDown?.(peer.id);
      if (this.#env.clock.monotonicMs() - peer.openedAtMs >= LONGEST_REDIAL_MS) {
        // The link broke: dial at once, for a refused dial is the proof that the process is gone.
        peer.redialMs = FIRST_REDIAL_MS;
        this.#dial(peer);
        return;
      }
      // One that takes each link and ends it at once, because it will not talk to this node, is not dialled without end.
    } else if (peer.suspected && reason === 'refused') {
      peer.suspected = false;
      this.#handlers.onPeerDead(peer.id);
    }
    const delayMs = peer.redialMs * (0.5 + this.#env.random.float());
    peer.redialMs = Math.min(peer.redialMs * 2, LONGEST_REDIAL_MS);
    peer.redialTimer = this.#env.clock.setTimer(delayMs, () => this.#dial(peer));
  }

  #dialIntroduction(address: string): void {
    const introduction = this.#introductions.get(address);
    if (this.#closed || introduction === undefined) return;
    const outbox = new Outbox(() => this.#header);
    const link = this.#env.network.dial(address, {
      onOpen: () => {
        outbox.attach(link);
        this.#sayHello(outbox, undefined, true);
        outbox.flush();
      },
      onFrame: (frame) => this.#receive(link, frame, undefined),
      onDrain: () => outbox.onDrain(),
      onClose: () => {
        if (this.#introductions.get(address) !== introduction || introduction.link !== link) return;
        introduction.link = undefined;
        const delayMs = LONGEST_REDIAL_MS * (0.1 + 0.2 * this.#env.random.float());
        introduction.timer = this.#env.clock.setTimer(delayMs, () => this.#dialIntroduction(address));
      },
    });
    introduction.link = link;
    // A hello may be lost, or the other side may not have been ready for it: say it again on a new link in a while.
    introduction.timer?.cancel();
    introduction.timer = this.#env.clock.setTimer(LONGEST_REDIAL_MS, () => {
      if (this.#introductions.get(address) !== introduction || introduction.link !== link) return;
      introduction.link = undefined;
      link.close();
      this.#dialIntroduction(address);
    });
  }

  #sayHello(outbox: Outbox, peer: NodeId | undefined, wantsAnswer: boolean): void {
    const writer = outbox.begin(MESSAGE.hello, 0);
    writer.raw(encodeHello(this.#handlers.hello(peer, wantsAnswer)));
    outbox.end();
  }

  #accept(link: Link): LinkEvents {
    this.#accepted.add(link);
    let assembler: PieceAssembler | undefined;
    return {
      onFrame: (frame) => {
        assembler ??= new PieceAssembler();
        this.#receive(link, frame, undefined, assembler);
      },
      onDrain: () => {},
      onClose: () => {
        this.#accepted.delete(link);
      },
    };
  }

  #receive(link: Link, frame: Buffer, expected: NodeId | undefined, assembler?: PieceAssembler): void {
    if (this.#closed) return;
    this.framesReceived++;
    this.bytesReceived += frame.length;
    try {
      const reader = new ByteReader(frame);
      const header = decodeFrameHeader(reader);
      if (expected !== undefined && header.from !== expected) {
        link.close();
        return;
      }
      const belongs =
        header.clusterTag === this.#header.clusterTag &&
        header.clusterTag !== 0 &&
        this.#handlers.knows(header.from, header.incarnation);
      if (belongs) this.#noteSender(header);
      decodeMessages(reader, (kind, group, body) => {
        if (kind === MESSAGE.hello) this.#receiveHello(link, body);
        else if (!belongs) this.framesRefused++;
        else if (kind !== MESSAGE.piece) this.#handlers.onMessage(header.from, kind, group, body);
        else {
          const whole = assembler?.add(body);
          if (whole !== undefined) this.#handlers.onMessage(header.from, whole.kind, group, whole.body);
        }
      });
      if (belongs && header.epoch > this.#header.epoch)
        this.#handlers.onNewerEpoch(header.from, header.epoch);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      // Not a frame of ours: whoever sends it cannot be talked to on this link.
      this.framesRefused++;
      link.close();
    }
  }

  #noteSender(header: FrameHeader): void {
    const peer = this.#peers.get(header.from);
    if (peer === undefined) return;
    peer.heardAtMs = this.#env.clock.monotonicMs();
    // A suspicion stays: what is read now may have been sent before the process died.
    if (header.epoch > peer.epoch) peer.epoch = header.epoch;
    if (peer.boot !== header.boot) {
      // It is the session of what the peer forwards, and so goes into logs.
      if (!BOOT.test(header.boot)) throw new DecodeError('a boot number is 16 lower-case hex digits');
      const restarted = peer.boot !== '';
      peer.boot = header.boot;
      if (restarted) this.#handlers.onPeerDead(peer.id);
    }
    // It lives: do not wait for the back-off to reach it.
    if (!peer.open && peer.redialTimer !== undefined && peer.redialMs > FIRST_REDIAL_MS) {
      peer.redialMs = FIRST_REDIAL_MS;
      peer.redialTimer.cancel();
      this.#dial(peer);
    }
  }

  #receiveHello(link: Link, body: Buffer): void {
    const hello = decodeHello(body);
    if (hello === undefined || !this.#handlers.onHello(hello)) {
      link.close();
      return;
    }
    if (!hello.wantsAnswer) return;
    const answer = new Outbox(() => this.#header);
    answer.attach(link);
    this.#sayHello(answer, hello.node.id, false);
    answer.flush();
  }
}
