/**
 * Coordinates this node's writes (Dynamo, section 4.5; paper 004, "Replication"): each goes to all replicas and is acknowledged
 * when w of them have it.
 *
 * The way of a write: it gets a version, is merged into the local store when this node is a replica, and joins the open batch of
 * its replica set. At the end of the turn the batch goes, the same bytes, to the journal and to every other member.
 *
 * Invariants:
 * - a write is acknowledged for one stamp only, and only when w replicas have taken that stamp. A replica that holds a newer version
 *   has not taken it: the write is stamped again above that version and sent to all again, so what is acknowledged is not hidden
 *   by what it was meant to replace, however wrong clocks are. After the acknowledgement nothing is stamped again: what is newer
 *   then may have been written later. Where the newer version lies too far ahead of this node's clock, that replica is one that has
 *   not taken the write, and the others may be enough;
 * - a durable write counts this node's copy only once the journal is synced;
 * - `unreachable`, `overloaded`, and `refused` and `clock` too, mean that no replica has the write. As soon as one may have it, a
 *   write that fails is a `timeout`;
 * - what a hinted batch leaves unacknowledged becomes a hint for that member, once. Hints do not count towards w.
 *
 * Departure from Dynamo: strict quorums. A copy kept for an absent replica is no replica.
 */
import { invariant } from '../../base/errors.js';
import { LIMITS } from '../../base/limits.js';
import { MutationEncoder } from './codec.js';
import type { QuorumContext } from './context.js';
import { LagBrake } from './lag-brake.js';
import type { KnownSet, Peer } from './peers.js';
import type { MutationNote, QuorumFailure, QuorumWrite, WriteOutcome } from './types.js';
import { isDead, needsMemoryAlone } from './types.js';
import { type PendingWrite, WriteBatch } from './write-batch.js';

/** What a mutation takes beside key and value, about. */
const MUTATION_HEAD_BYTES = 24;
/** A store refuses a version once for each barrier that it has; a writer that cannot get above three gives up. */
const MAX_PLACINGS = 4;

const FAILURES: Readonly<Record<QuorumFailure, WriteOutcome>> = {
  unreachable: { ok: false, reason: 'unreachable' },
  timeout: { ok: false, reason: 'timeout' },
  refused: { ok: false, reason: 'refused' },
  overloaded: { ok: false, reason: 'overloaded' },
  clock: { ok: false, reason: 'clock' },
};

export class Writes {
  readonly #context: QuorumContext;
  readonly #open: WriteBatch[] = [];
  /** Closed, and waiting for peers, the journal or a time-out. */
  readonly #closed: WriteBatch[] = [];
  /** Batches whose local copy waits for the journal, with the token that tells of it; oldest first. */
  #unsynced: { readonly batch: WriteBatch; readonly token: number }[] = [];
  readonly #spareEncoders: MutationEncoder[] = [];
  readonly #brake = new LagBrake();
  /** Why the last `#place` gave no version. */
  #failure: QuorumFailure = 'refused';

  constructor(context: QuorumContext) {
    this.#context = context;
  }

  get hasOpen(): boolean {
    return this.#open.length > 0;
  }

  write(write: QuorumWrite): void {
    const context = this.#context;
    const set = write.replicas;
    invariant(write.w >= 1 && write.w <= set.members.length, 'w is between 1 and the number of replicas');
    context.writes++;
    const known = context.peers.set(set);
    if (context.stopped || known.reachableMembers < write.w) {
      write.written(FAILURES.unreachable);
      return;
    }
    const sizeBytes = write.key.length + write.value.length + MUTATION_HEAD_BYTES;
    // One write is let through when nothing is under way, however large.
    if (context.unackedBytes > 0 && context.unackedBytes + sizeBytes > context.options.maxUnackedBytes) {
      write.written(FAILURES.overloaded);
      return;
    }
    const version = this.#place(write, 0);
    if (version === 0) {
      write.written(FAILURES[this.#failure]);
      return;
    }
    const existed = set.includesSelf && context.store.previousLive;
    if (needsMemoryAlone(write)) {
      const isHeld = this.#brake.isOn(context.unackedBytes);
      this.#append(write, version, known, undefined);
      if (isHeld) this.#brake.hold(write, version, existed, context.nowMs);
      else write.written({ ok: true, version, existed });
      return;
    }
    this.#append(write, version, known, {
      write,
      version,
      deadlineMs: context.nowMs + context.timing.timeoutMs,
      existed,
      misses: 0,
      ahead: false,
      mayStand: set.includesSelf,
      restamped: false,
    });
  }

  /** Stamps a write above `above` and merges it here when this node is a replica. 0: impossible, for `#failure`. */
  #place(write: QuorumWrite, above: number): number {
    const { clock, store, wallMs } = this.#context;
    const { includesSelf } = write.replicas;
    let floor = above;
    for (let placing = 0; placing < MAX_PLACINGS; placing++) {
      // A key that has the latest version already is found by the merge, and then gets one above.
      const version = includesSelf && floor === 0 ? clock.nextOrLatest(wallMs) : clock.next(wallMs, floor);
      if (version === 0) {
        this.#failure = 'clock';
        return 0;
      }
      if (!includesSelf) return version;
      const { bucketId, key, value, expiresAtMs } = write;
      const result = store.merge(bucketId, key, value, version, expiresAtMs, wallMs);
      // A key never gets one version for two values, though the greater of them would win.
      if (result === 'equal' || (result === 'applied' && store.previousVersion !== version)) return version;
      // What is newer came past this clock, or all versions so far were flushed or purged.
      if (store.previousVersion < version) break;
      floor = store.previousVersion;
    }
    this.#failure = 'refused';
    return 0;
  }

  #append(write: QuorumWrite, version: number, known: KnownSet, pending: PendingWrite | undefined): void {
    const variant = (write.durable ? 1 : 0) + (write.hinted ? 2 : 0);
    let batch = known.openWrites[variant];
    if (batch === undefined) {
      const encoder = this.#spareEncoders.pop() ?? new MutationEncoder();
      batch = new WriteBatch(known, write.durable, write.hinted, encoder);
      known.openWrites[variant] = batch;
      this.#open.push(batch);
    }
    const context = this.#context;
    const encoder = batch.encoder!;
    encoder.add(write.bucketId, write.key, write.value, version, write.expiresAtMs);
    context.unackedBytes += encoder.sizeBytes - batch.sizeBytes;
    batch.sizeBytes = encoder.sizeBytes;
    batch.deadlineMs = context.nowMs + context.timing.timeoutMs;
    batch.pending.push(pending);
    if (pending !== undefined) {
      batch.unended++;
      if (pending.deadlineMs < batch.nextCheckMs) batch.nextCheckMs = pending.deadlineMs;
    }
    if (encoder.count >= LIMITS.maxCommandsPerEntry || encoder.sizeBytes >= LIMITS.maxEntryBytes) {
      this.#open.splice(this.#open.indexOf(batch), 1);
      this.#close(batch);
    }
  }

  /** Sends off what this turn has gathered. */
  closeOpen(): void {
    for (const batch of this.#open) this.#close(batch);
    this.#open.length = 0;
  }

  #close(batch: WriteBatch): void {
    const context = this.#context;
    const { known, durable } = batch;
    const mutations = batch.encoder!.take();
    this.#spareEncoders.push(batch.encoder!);
    batch.encoder = undefined;
    batch.mutations = mutations;
    known.openWrites[(durable ? 1 : 0) + (batch.hinted ? 2 : 0)] = undefined;
    if (known.set.includesSelf) {
      if (durable) {
        batch.awaitsSync = true;
        this.#unsynced.push({ batch, token: context.outbox.journalAwaited(mutations) });
      } else {
        context.outbox.journal(mutations);
        batch.acknowledged = 1;
      }
    }
    for (const peer of known.peers) {
      let id = 0;
      if (peer.reachable) {
        id = context.nextMessageId();
        peer.writes.set(id, batch);
        batch.awaitedPeers++;
        context.outbox.send(peer.id, { kind: 'mutate', id, purpose: 'write', durable, batch: mutations });
      } else this.#hint(batch, peer);
      batch.messageIds.push(id);
    }
    batch.index = this.#closed.length;
    this.#closed.push(batch);
    // Members may have gone since the writes came. Their callers are told at the next tick, not from within `takeEffects`.
    if (batch.awaitedPeers < known.peers.length) batch.nextCheckMs = Number.NEGATIVE_INFINITY;
    else batch.nextCheckMs = Math.min(batch.nextCheckMs, batch.deadlineMs);
    this.#dropWhenDone(batch);
  }

  #hint(batch: WriteBatch, peer: Peer): void {
    if (!batch.hinted) return;
    batch.leavesHints = true;
    this.#context.hinted += batch.mutations!.count;
    this.#context.outbox.hint(peer.id, batch.mutations!);
  }

  /** A peer has acknowledged a batch; false: there is no such batch, or no longer. */
  acknowledged(peer: Peer, id: number, notes: readonly MutationNote[]): boolean {
    const batch = peer.writes.get(id);
    if (batch === undefined) return false;
    peer.writes.delete(id);
    batch.awaitedPeers--;
    batch.acknowledged++;
    for (const note of notes) {
      if (note.what === 'newer') this.#context.clock.observe(note.version, this.#context.wallMs);
      const pending = batch.pending[note.position];
      if (pending === undefined) continue;
      switch (note.what) {
        case 'lived':
          // After a new stamp what lived may have been this write's own first record, unless that was a deletion.
          if (!pending.restamped || isDead(pending.write, this.#context.wallMs)) pending.existed = true;
          break;
        case 'newer':
          pending.misses++;
          this.#restamp(batch, note.position, pending, note.version);
          break;
        case 'ahead':
          pending.ahead = true;
          pending.misses++;
          break;
        case 'refused':
          pending.misses++;
          break;
      }
    }
    this.#settle(batch);
    this.#dropWhenDone(batch);
    return true;
  }

  #restamp(batch: WriteBatch, position: number, pending: PendingWrite, above: number): void {
    const context = this.#context;
    const version = this.#place(pending.write, above);
    if (version === 0 && this.#failure === 'clock') {
      // Its record lies too far ahead to be replaced. That is no reason for the other replicas not to take this stamp.
      pending.ahead = true;
      return;
    }
    batch.pending[position] = undefined;
    batch.unended--;
    if (this.#stands(batch, pending)) pending.mayStand = true;
    if (version === 0) {
      this.#fail(pending, this.#failure);
      return;
    }
    context.restamped++;
    pending.version = version;
    pending.misses = 0;
    pending.ahead = false;
    pending.restamped = true;
    this.#append(pending.write, version, batch.known, pending);
  }

  /** Has a replica taken this stamp, or may one have without our knowing, or will one be handed it? */
  #stands(batch: WriteBatch, pending: PendingWrite): boolean {
    if (batch.acknowledged - pending.misses > 0) return true;
    return batch.awaitedPeers > 0 || batch.lostPeers > 0 || batch.leavesHints;
  }

  /** Ends the writes that have their quorum, and those that can no longer get it. */
  #settle(batch: WriteBatch): void {
    if (batch.unended === 0) return;
    const { acknowledged, awaited, pending } = batch;
    for (let position = 0; position < pending.length; position++) {
      const one = pending[position];
      if (one === undefined) continue;
      const taken = acknowledged - one.misses;
      if (taken >= one.write.w) {
        pending[position] = undefined;
        batch.unended--;
        one.write.written({ ok: true, version: one.version, existed: one.existed });
      } else if (taken + awaited < one.write.w && (awaited === 0 || one.mayStand || batch.lostPeers > 0)) {
        // While nobody has taken it, the last answers tell whether it surely did not happen: they are waited for.
        pending[position] = undefined;
        batch.unended--;
        this.#end(batch, one);
      }
      if (batch.unended === 0) return;
    }
  }

  /** Too few replicas have taken it and no more can. */
  #end(batch: WriteBatch, pending: PendingWrite): void {
    if (this.#stands(batch, pending)) pending.mayStand = true;
    this.#fail(pending, pending.ahead ? 'clock' : 'refused');
  }

  #fail(pending: PendingWrite, reason: QuorumFailure): void {
    const told = pending.mayStand ? 'timeout' : reason;
    if (told === 'timeout') this.#context.timeouts++;
    pending.write.written(FAILURES[told]);
  }

  #dropWhenDone(batch: WriteBatch): void {
    if (batch.index < 0 || batch.unended > 0 || batch.awaited > 0) return;
    const last = this.#closed.pop()!;
    if (last !== batch) {
      last.index = batch.index;
      this.#closed[last.index] = last;
    }
    batch.index = -1;
    this.#context.unackedBytes -= batch.sizeBytes;
    this.#brake.eased(this.#context.unackedBytes);
  }

  /** What this peer has not acknowledged may be lost. */
  lost(peer: Peer): void {
    // Callbacks may add batches to the map: those are not lost.
    const lost = [...peer.writes.values()];
    peer.writes.clear();
    for (const batch of lost) this.#lose(batch, peer);
  }

  #lose(batch: WriteBatch, peer: Peer): void {
    batch.awaitedPeers--;
    batch.lostPeers++;
    this.#hint(batch, peer);
    this.#settle(batch);
    this.#dropWhenDone(batch);
  }

  persisted(token: number): void {
    let synced = 0;
    const unsynced = this.#unsynced;
    while (synced < unsynced.length && unsynced[synced]!.token <= token) synced++;
    if (synced === 0) return;
    this.#unsynced = unsynced.slice(synced);
    for (let i = 0; i < synced; i++) {
      const { batch } = unsynced[i]!;
      batch.awaitsSync = false;
      batch.acknowledged++;
      this.#settle(batch);
      this.#dropWhenDone(batch);
    }
  }

  /** Ends what has had its time. */
  tick(): void {
    const { nowMs } = this.#context;
    // Backwards: what is dropped takes the last one's place.
    for (let i = this.#closed.length - 1; i >= 0; i--) {
      const batch = this.#closed[i];
      if (batch !== undefined && batch.nextCheckMs <= nowMs) this.#expire(batch);
    }
    this.#brake.tick(nowMs);
  }

  #expire(batch: WriteBatch): void {
    const { nowMs } = this.#context;
    if (nowMs >= batch.deadlineMs) {
      batch.nextCheckMs = Number.POSITIVE_INFINITY;
      for (let member = 0; member < batch.messageIds.length; member++) {
        const peer = batch.known.peers[member]!;
        if (!peer.writes.delete(batch.messageIds[member]!)) continue;
        batch.awaitedPeers--;
        batch.lostPeers++;
        this.#hint(batch, peer);
      }
    } else batch.nextCheckMs = batch.deadlineMs;
    this.#settle(batch);
    for (let position = 0; position < batch.pending.length && batch.unended > 0; position++) {
      const pending = batch.pending[position];
      if (pending === undefined) continue;
      if (pending.deadlineMs > nowMs) {
        batch.nextCheckMs = Math.min(batch.nextCheckMs, pending.deadlineMs);
        continue;
      }
      batch.pending[position] = undefined;
      batch.unended--;
      pending.mayStand = true;
      this.#fail(pending, 'timeout');
    }
    this.#dropWhenDone(batch);
  }

  /** Ends everything; what peers have not acknowledged becomes hints. */
  stop(): void {
    this.#brake.release();
    this.closeOpen();
    for (const peer of this.#context.peers.all()) this.lost(peer);
    this.#unsynced = [];
    for (const batch of [...this.#closed]) {
      batch.awaitsSync = false;
      batch.lostPeers++;
      this.#settle(batch);
      this.#dropWhenDone(batch);
    }
  }
}
