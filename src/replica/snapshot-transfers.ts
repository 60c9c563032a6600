/**
 * All snapshots of one replica, outgoing and incoming.
 *
 * Invariant: the log from the base of every outgoing snapshot on is kept until that snapshot has ended.
 */
import { ByteReader } from '../base/bytes.js';
import type { NodeId } from '../protocol/raft/types.js';
import type { ReplicaHost } from './replica.js';
import { SnapshotReceiver, type SnapshotReceiverOptions, type SnapshotTarget } from './snapshot-receiver.js';
import { SnapshotSender, type SnapshotSource } from './snapshot-sender.js';

/** A replica's state as snapshots see it. */
export interface SnapshotState extends SnapshotTarget {
  encodeHead(): Buffer;
  /** Undefined: the head is the whole state. */
  readonly slots: SnapshotSource['machine'];
}

export interface SnapshotTransfersOptions extends Omit<SnapshotReceiverOptions, 'target'> {
  readonly host: ReplicaHost;
  readonly state: SnapshotState;
  readonly stateMissing: () => boolean;
  readonly termOf: (index: number) => number;
  /** An outgoing snapshot has ended: the peer holds state as of `index`, or (undefined) not. */
  readonly finished: (peer: NodeId, index: number | undefined) => void;
}

const ASK_INTERVAL_MS = 1000;

export class SnapshotTransfers {
  readonly #options: SnapshotTransfersOptions;
  readonly #senders = new Map<NodeId, SnapshotSender>();
  readonly #receiver: SnapshotReceiver;
  #nextAskMs = 0;

  constructor(options: SnapshotTransfersOptions) {
    this.#options = options;
    this.#receiver = new SnapshotReceiver({ ...options, target: options.state });
  }

  /** Highest index whose entries outgoing snapshots do not need. */
  get compactableIndex(): number {
    let index = Number.MAX_SAFE_INTEGER;
    for (const sender of this.#senders.values()) index = Math.min(index, sender.baseIndex);
    return index;
  }

  send(peer: NodeId, term: number): void {
    const { group, host, state, appliedIndex, termOf, stateMissing, finished } = this.#options;
    if (this.#senders.has(peer)) return;
    if (stateMissing()) {
      finished(peer, undefined);
      return;
    }
    const baseIndex = appliedIndex();
    const sender = new SnapshotSender({
      group,
      host,
      machine: state.slots,
      head: state.encodeHead(),
      peer,
      term,
      baseIndex,
      baseTerm: termOf(baseIndex),
      appliedIndex,
    });
    this.#senders.set(peer, sender);
    sender.begin(host.env.clock.monotonicMs());
  }

  isSendingTo(peer: NodeId): boolean {
    return this.#senders.has(peer);
  }

  /** A member asks for the whole state. One that has not applied enough yet lets it ask again. */
  requested(from: NodeId, body: Buffer, term: number): void {
    const knownIndex = new ByteReader(body).varint();
    if (this.#options.appliedIndex() > knownIndex) this.send(from, term);
  }

  receiveChunk(from: NodeId, body: Buffer): void {
    this.#receiver.receive(from, body);
  }

  receiveAcknowledgement(from: NodeId, body: Buffer): void {
    const sender = this.#senders.get(from);
    if (sender === undefined) return;
    sender.acknowledged(body, this.#options.host.env.clock.monotonicMs());
    this.#reap(from, sender);
  }

  tick(nowMs: number): void {
    for (const [peer, sender] of this.#senders) {
      sender.tick(nowMs);
      this.#reap(peer, sender);
    }
  }

  /** Asks the leader for the whole state, now and then, unless it is on its way. True when it asked. */
  seek(leader: NodeId, nowMs: number): boolean {
    if (nowMs < this.#nextAskMs || this.#receiver.active(nowMs)) return false;
    this.#nextAskMs = nowMs + ASK_INTERVAL_MS;
    this.#receiver.ask(leader);
    return true;
  }

  /** Leadership is gone: what was being sent is void. */
  abandon(): void {
    for (const sender of this.#senders.values()) sender.abandon();
    this.#senders.clear();
  }

  #reap(peer: NodeId, sender: SnapshotSender): void {
    if (sender.state === 'sending') return;
    this.#senders.delete(peer);
    this.#options.finished(peer, sender.state === 'done' ? sender.baseIndex : undefined);
  }
}
