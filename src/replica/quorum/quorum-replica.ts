/**
 * A node's part in all eventual buckets: runs the quorum core, anti-entropy, hinted handoff and the buckets' bounds against
 * journal, store and peers, turn by turn under the node's pump (papers 000, 002, 004).
 *
 * What a turn has merged is journaled as it travelled. Batches that someone waits for are synced in the turn; others
 * (w = 1, repairs that promise nothing) with the next sync, at the latest after `LAZY_SYNC_MS` or `LAZY_SYNC_BYTES`. Turns that
 * nobody waits for come `LAZY_TURN_MS` apart, so that under load one frame carries many writes.
 *
 * Invariants:
 * - what promises durability (`messagesAfterPersist`, `persisted`) goes only once the journal is synced;
 * - a mutation leaves before any read of the same turn, so a replica has it before it answers that read;
 * - what waits in memory for the disk is bounded: a node at the bound takes no mutations, neither of its own clients, who are
 *   told, nor of peers, for whom its silence is that of a replica that is away.
 */
import { ByteReader, DecodeError } from '../../base/bytes.js';
import { invariant } from '../../base/errors.js';
import { LIMITS } from '../../base/limits.js';
import type { Env, Timer } from '../../env/env.js';
import type { AntiEntropy } from '../../protocol/quorum/anti-entropy.js';
import type { OutgoingRepair } from '../../protocol/quorum/anti-entropy-types.js';
import { decodeQuorumMessage, encodeQuorumMessage } from '../../protocol/quorum/codec.js';
import {
  type MutationBatch,
  type NodeId,
  needsMemoryAlone,
  type OutgoingQuorumMessage,
  type QuorumCoreContract,
  type QuorumMessage,
  type QuorumRead,
  type QuorumWrite,
} from '../../protocol/quorum/types.js';
import { MESSAGE } from '../peers/frame.js';
import type { PeerHub } from '../peers/peer-hub.js';
import type { AwaitingSync, Pump, Pumped } from '../pump.js';
import type { EventualRetention } from './eventual-retention.js';
import type { HintedHandoff } from './hinted-handoff.js';
import type { Journal } from './journal.js';

/** Journaled without anyone waiting: synced within this time and size. */
const LAZY_SYNC_MS = 100;
const LAZY_SYNC_BYTES = 1024 * 1024;
/** Turns for the sake of what nobody waits for come no more often than this. */
const LAZY_TURN_MS = 2;
/** How often `tick` is called. */
const NODE_TICK_MS = 20;

export interface QuorumReplicaOptions {
  readonly env: Env;
  readonly peers: PeerHub;
  readonly pump: Pump;
  readonly journal: Journal;
  readonly core: QuorumCoreContract;
  readonly antiEntropy: AntiEntropy;
  readonly handoff: HintedHandoff;
  readonly retention: EventualRetention;
  /** False while what the engines have not written back yet is at its bound. */
  readonly mayApply: () => boolean;
}

/** What waits for one sync of the journal. */
interface Unsynced {
  readonly sizeBytes: number;
  readonly persistToken: number;
  readonly messages: readonly OutgoingQuorumMessage[];
  readonly repairs: readonly OutgoingRepair[];
}

const NOTHING_PROMISED: AwaitingSync['messages'] = [];

export class QuorumReplica implements Pumped {
  readonly #env: Env;
  readonly #peers: PeerHub;
  readonly #pump: Pump;
  readonly #journal: Journal;
  readonly #core: QuorumCoreContract;
  readonly #antiEntropy: AntiEntropy;
  readonly #handoff: HintedHandoff;
  readonly #retention: EventualRetention;
  readonly #mayApply: () => boolean;
  /** In the order in which their syncs end. */
  readonly #unsynced: Unsynced[] = [];
  /** Bytes appended since the last sync was asked for, and when the first of them was. */
  #lazyBytes = 0;
  #lazySinceMs = 0;
  /** Bytes appended and not synced. */
  #unsyncedBytes = 0;
  /** Mutations of peers that were not taken because too much waits for the disk. */
  batchesShed = 0;
  #deadlineTimer: Timer | undefined;
  /** When the last turn was, and the timer of the next one that nobody waits for. */
  #collectedAtMs = Number.NEGATIVE_INFINITY;
  #lazyTimer: Timer | undefined;
  #stopped = false;

  constructor(options: QuorumReplicaOptions) {
    this.#env = options.env;
    this.#peers = options.peers;
    this.#pump = options.pump;
    this.#journal = options.journal;
    this.#core = options.core;
    this.#antiEntropy = options.antiEntropy;
    this.#handoff = options.handoff;
    this.#retention = options.retention;
    this.#mayApply = options.mayApply;
  }

  /** False when too much waits for the disk already. */
  get takesMutations(): boolean {
    return this.#unsyncedBytes < LIMITS.maxUnsyncedJournalBytes && this.#mayApply();
  }

  write(write: QuorumWrite): void {
    const nowMs = this.#env.clock.monotonicMs();
    const wallMs = this.#env.clock.wallMs();
    this.#retention.noteTime(nowMs, wallMs);
    this.#core.write(write, nowMs, wallMs);
    // What needs memory alone waits for no turn.
    if (needsMemoryAlone(write)) this.#takeTurnSoon(nowMs);
    else this.#pump.markDirty(this);
  }

  read(read: QuorumRead): void {
    const nowMs = this.#env.clock.monotonicMs();
    const wallMs = this.#env.clock.wallMs();
    this.#retention.noteTime(nowMs, wallMs);
    this.#core.read(read, nowMs, wallMs);
    if (this.#core.hasEffects() || this.#retention.hasNews) this.#pump.markDirty(this);
  }

  receive(from: NodeId, body: Buffer): void {
    if (this.#stopped) return;
    const reader = new ByteReader(body);
    const message = decodeQuorumMessage(reader);
    if (reader.remainingBytes > 0) throw new DecodeError('bytes behind a quorum message');
    if (message.kind === 'mutate' && !this.takesMutations) {
      this.batchesShed++;
      return;
    }
    const nowMs = this.#env.clock.monotonicMs();
    const wallMs = this.#env.clock.wallMs();
    this.#retention.noteTime(nowMs, wallMs);
    if (!this.#handoff.acknowledged(from, message)) this.#core.step(from, message, nowMs, wallMs);
    // Whoever waited for an acknowledgement has been answered within the step.
    if (message.kind === 'mutated' || (message.kind === 'mutate' && !message.durable))
      this.#takeTurnSoon(nowMs);
    else this.#pump.markDirty(this);
  }

  /** A turn costs the same for one write as for fifty: where nobody waits, some gather. */
  #takeTurnSoon(nowMs: number): void {
    if (this.#lazyTimer !== undefined) return;
    const waitMs = this.#collectedAtMs + LAZY_TURN_MS - nowMs;
    if (waitMs <= 0) {
      this.#pump.markDirty(this);
      return;
    }
    this.#lazyTimer = this.#env.clock.setTimer(waitMs, () => {
      this.#lazyTimer = undefined;
      this.#pump.markDirty(this);
    });
  }

  receiveRepair(from: NodeId, body: Buffer): void {
    if (this.#stopped) return;
    const nowMs = this.#env.clock.monotonicMs();
    const wallMs = this.#env.clock.wallMs();
    this.#retention.noteTime(nowMs, wallMs);
    this.#antiEntropy.step(from, body, nowMs, wallMs);
    this.#pump.markDirty(this);
  }

  /** A peer tells of keys that went, or were used, there. */
  receiveRetention(body: Buffer): void {
    this.#retention.noteTime(this.#env.clock.monotonicMs(), this.#env.clock.wallMs());
    this.#retention.receive(body);
  }

  /** Can this peer be reached, as far as links and gossip tell? */
  setReachable(peer: NodeId, reachable: boolean): void {
    this.#core.setReachable(peer, reachable);
    this.#antiEntropy.setReachable(peer, reachable);
    this.#handoff.setReachable(peer, reachable);
    this.#pump.markDirty(this);
  }

  /** What was sent to this peer and not answered may be lost. */
  peerReset(peer: NodeId): void {
    this.#core.peerReset(peer);
    this.#handoff.peerReset(peer);
    this.#antiEntropy.peerReset(peer);
    this.#pump.markDirty(this);
  }

  tick(nowMs: number): void {
    if (this.#stopped) return;
    const wallMs = this.#env.clock.wallMs();
    this.#retention.noteTime(nowMs, wallMs);
    this.#retention.tick();
    this.#core.tick(nowMs, wallMs);
    this.#antiEntropy.tick(nowMs, wallMs);
    this.#handoff.tick(nowMs, wallMs);
    this.#pump.markDirty(this);
  }

  /** Fails everything under way and takes nothing any more. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#deadlineTimer?.cancel();
    this.#lazyTimer?.cancel();
    this.#lazyTimer = undefined;
    this.#core.stop();
  }

  /**
   * After `stop`: sends on what was acknowledged from memory, and appends it to the log with hints for all that peers have not
   * acknowledged. False: nothing waits for a sync.
   */
  finish(): boolean {
    const awaiting: AwaitingSync[] = [];
    this.collect(awaiting);
    return this.#unsyncedBytes > 0;
  }

  gather(): void {
    // Writes and reads are with the core already.
  }

  collect(awaiting: AwaitingSync[]): void {
    const nowMs = this.#env.clock.monotonicMs();
    const wallMs = this.#env.clock.wallMs();
    this.#collectedAtMs = nowMs;
    let persistToken = 0;
    let promises: readonly OutgoingQuorumMessage[] = [];
    if (this.#core.hasEffects()) {
      const effects = this.#core.takeEffects();
      for (const batch of effects.journal) this.#append(batch, nowMs);
      for (const { target, batch } of effects.hints) this.#handoff.keep(target, batch, wallMs);
      for (const { to, message } of effects.messages) this.#send(to, message);
      promises = effects.messagesAfterPersist;
      persistToken = effects.persistToken;
    }
    const repair = this.#antiEntropy.takeEffects();
    for (const batch of repair.journal) this.#append(batch, nowMs);
    for (const message of repair.messages) this.#sendRepair(message);
    const handoff = this.#handoff.takeEffects();
    for (const change of handoff.changes) {
      this.#journal.appendHints(change);
      this.#noteLazy(change.length, nowMs);
    }
    for (const { to, message } of handoff.messages) this.#send(to, message);
    for (const target of handoff.lacking) this.#antiEntropy.requestRound(target);
    if (this.#retention.collect()) this.#pump.markDirty(this);
    const repairs = repair.messagesAfterPersist;
    const isAwaited = persistToken !== 0 || promises.length > 0 || repairs.length > 0;
    const isDue =
      this.#lazyBytes > 0 &&
      (this.#lazyBytes >= LAZY_SYNC_BYTES || nowMs - this.#lazySinceMs >= LAZY_SYNC_MS);
    if (isAwaited || isDue) {
      this.#unsynced.push({ sizeBytes: this.#lazyBytes, persistToken, messages: promises, repairs });
      this.#lazyBytes = 0;
      awaiting.push({ replica: this, lastIndex: 0, lastTerm: 0, messages: NOTHING_PROMISED });
    }
    this.#wakeInTime(nowMs);
  }

  applyCommitted(): void {
    // Mutations are merged before they are journaled.
  }

  persisted(): void {
    // What a sync makes true is known by its place in the row.
  }

  /** The oldest sync that was waited for is done. */
  sendAfterPersist(): void {
    const unsynced = this.#unsynced.shift();
    invariant(unsynced !== undefined, 'a sync of the journal was waited for');
    this.#unsyncedBytes -= unsynced.sizeBytes;
    if (unsynced.persistToken !== 0) this.#core.persisted(unsynced.persistToken);
    for (const { to, message } of unsynced.messages) this.#send(to, message);
    for (const message of unsynced.repairs) this.#sendRepair(message);
  }

  #append(batch: MutationBatch, nowMs: number): void {
    this.#journal.appendMutations(batch.bytes);
    this.#noteLazy(batch.bytes.length, nowMs);
  }

  #noteLazy(sizeBytes: number, nowMs: number): void {
    if (this.#lazyBytes === 0) this.#lazySinceMs = nowMs;
    this.#lazyBytes += sizeBytes;
    this.#unsyncedBytes += sizeBytes;
  }

  #send(to: NodeId, message: QuorumMessage): void {
    const writer = this.#peers.beginMessage(to, MESSAGE.quorum, 0);
    if (writer !== undefined) {
      encodeQuorumMessage(writer, message);
      if (this.#peers.endMessage(to)) return;
    }
    // Nobody will hear it: what it carried is for hints and anti-entropy.
    if (message.kind === 'mutate' || message.kind === 'read') this.peerReset(to);
  }

  #sendRepair({ to, body }: OutgoingRepair): void {
    // A session whose message is lost ends by itself.
    this.#peers.sendMessage(to, MESSAGE.antiEntropy, 0, body);
  }

  /** The node's tick is too coarse for speculative reads. */
  #wakeInTime(nowMs: number): void {
    if (this.#deadlineTimer !== undefined || this.#stopped) return;
    const deadlineMs = this.#core.nextDeadlineMs();
    if (deadlineMs - nowMs >= NODE_TICK_MS) return;
    this.#deadlineTimer = this.#env.clock.setTimer(Math.max(1, deadlineMs - nowMs), () => {
      this.#deadlineTimer = undefined;
      if (this.#stopped) return;
      const { clock } = this.#env;
      this.#core.tick(clock.monotonicMs(), clock.wallMs());
      if (this.#core.hasEffects()) this.#pump.markDirty(this);
      else this.#wakeInTime(clock.monotonicMs());
    });
  }
}
