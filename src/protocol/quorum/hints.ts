/**
 * Hinted handoff (paper 000; Dynamo, SOSP 2007, section 4.6): keeps what unreachable replicas missed, and hands it over when they
 * are back.
 *
 * The batches go in the order of the keys' hashes; order does not matter, since replicas merge by version and a hint never
 * overwrites anything newer.
 *
 * Invariants:
 * - kept hints are bounded in bytes for each node and in age; whoever loses hints by that is reported as lacking, so that the
 *   replicas are compared soon;
 * - no hint older than `maxHintAgeMs` is handed over (the argument for purging tombstones stands on it);
 * - at most one batch is under way to each node, and all together stay below `maxBytesPerSecond`;
 * - a hint is removed only when its target has acknowledged it, or by the bounds.
 *
 * Departure from Dynamo: hints rest with the coordinator and not with a further node of the ring, and never count as copies
 * (strict quorums, as in Cassandra).
 */
import { composeVersion, VERSION_EPOCH_MS } from './clock.js';
import { forEachMutation, MutationEncoder } from './codec.js';
import type {
  HandoffEffects,
  HandoffOptions,
  HandoffStatistics,
  HintChange,
  HintName,
  HintReplay,
} from './hint-types.js';
import type { MutationBatch, NodeId } from './types.js';

/** Bytes of one batch: large enough to be cheap, small enough to let other messages pass. */
const MAX_REPLAY_BYTES = 128 * 1024;
/** After a failure, and after a round that left hints behind, a node is left alone for so long. */
const RETRY_MS = 1000;
/** How often the hints of nodes out of reach are looked through for old ones. */
const SWEEP_INTERVAL_MS = 60_000;
/** Unused allowance is kept for so long: enough for a coarse tick. */
const ALLOWANCE_MS = 250;

const NOTHING: HandoffEffects = { changes: [], replays: [], lacking: [] };

interface UnderWay {
  readonly id: number;
  readonly names: readonly HintName[];
  readonly next: number;
  readonly deadlineMs: number;
}

/** Where the handing over to one node stands. */
interface Target {
  underWay: UnderWay | undefined;
  /** Where the next page begins; 0: at the first hint. */
  from: number;
  /** Nothing is handed over before. */
  notBeforeMs: number;
  /** Where the next look for old hints begins. */
  sweepFrom: number;
}

export class HintHandoff {
  readonly #options: HandoffOptions;
  readonly #reachable = new Set<NodeId>();
  readonly #targets = new Map<NodeId, Target>();
  #changes: HintChange[] = [];
  #replays: HintReplay[] = [];
  #lacking = new Set<NodeId>();
  #nextId: number;
  #nowMs = 0;
  #wallMs = 0;
  #allowanceBytes = 0;
  #nextSweepMs = 0;
  readonly #counters: { -readonly [name in keyof HandoffStatistics]: number } = {
    kept: 0,
    replayed: 0,
    overflowed: 0,
    expired: 0,
    failedReplays: 0,
  };

  constructor(options: HandoffOptions) {
    this.#options = options;
    // Begins at random, so that an acknowledgement to an earlier process of this node is not mistaken for one to this.
    this.#nextId = Math.floor(options.random() * 2 ** 32);
  }

  /** Keeps what a node has missed. */
  add(target: NodeId, batch: MutationBatch, wallMs: number): void {
    const fresh = this.#withoutOld(target, batch, wallMs);
    if (fresh.count === 0) return;
    const { store, maxHintBytesPerTarget } = this.#options;
    if (store.bytes(target) + fresh.bytes.length > maxHintBytesPerTarget || !store.add(target, fresh)) {
      this.#counters.overflowed += fresh.count;
      this.#lacking.add(target);
      return;
    }
    this.#counters.kept += fresh.count;
    this.#changes.push({ kind: 'add', target, batch: fresh });
  }

  #withoutOld(target: NodeId, batch: MutationBatch, wallMs: number): MutationBatch {
    const minVersion = this.#minVersion(wallMs);
    let old = 0;
    forEachMutation(batch.bytes, (_bucketId, _key, _value, version) => {
      if (version < minVersion) old++;
    });
    if (old === 0) return batch;
    this.#expired(target, old);
    const encoder = new MutationEncoder();
    forEachMutation(batch.bytes, (bucketId, key, value, version, expiresAtMs) => {
      if (version >= minVersion) encoder.add(bucketId, key, value, version, expiresAtMs);
    });
    return encoder.take();
  }

  #expired(target: NodeId, count: number): void {
    this.#counters.expired += count;
    this.#lacking.add(target);
  }

  /** Versions below this one are too old to be handed over. */
  #minVersion(wallMs: number): number {
    return composeVersion(Math.max(VERSION_EPOCH_MS, Math.floor(wallMs - this.#options.maxHintAgeMs)), 0, 0);
  }

  setReachable(peer: NodeId, reachable: boolean): void {
    if (reachable) this.#reachable.add(peer);
    else {
      this.#reachable.delete(peer);
      this.peerReset(peer);
    }
  }

  /** The link to this peer broke or it restarted: what is under way may be lost. */
  peerReset(peer: NodeId): void {
    const target = this.#targets.get(peer);
    if (target?.underWay === undefined) return;
    target.underWay = undefined;
    this.#counters.failedReplays++;
  }

  /** This node is gone for good. */
  dropTarget(target: NodeId): void {
    this.#targets.delete(target);
    if (this.#options.store.bytes(target) === 0) return;
    this.#options.store.dropTarget(target);
    this.#changes.push({ kind: 'drop', target });
  }

  /**
   * The target has acknowledged a batch, durably. `notTaken`: positions that it could not take yet (their versions run ahead of
   * its clock): they are kept.
   */
  replayed(target: NodeId, id: number, notTaken: readonly number[]): void {
    const state = this.#targets.get(target);
    const underWay = state?.underWay;
    if (state === undefined || underWay?.id !== id) return;
    const kept = new Set(notTaken);
    const names = underWay.names.filter((_name, position) => !kept.has(position));
    this.#remove(target, names);
    this.#counters.replayed += names.length;
    state.underWay = undefined;
    state.from = underWay.next;
    // After a whole round what is left was not taken: do not offer it again at once.
    if (underWay.next === 0) state.notBeforeMs = this.#nowMs + RETRY_MS;
    else this.#send(target, state);
  }

  /** The target will not acknowledge this batch. */
  failed(target: NodeId, id: number): void {
    const state = this.#targets.get(target);
    if (state?.underWay?.id !== id) return;
    state.underWay = undefined;
    state.notBeforeMs = this.#nowMs + RETRY_MS;
    this.#counters.failedReplays++;
  }

  #remove(target: NodeId, names: readonly HintName[]): void {
    if (names.length === 0) return;
    this.#options.store.remove(target, names);
    this.#changes.push({ kind: 'remove', target, names });
  }

  tick(nowMs: number, wallMs: number): void {
    const { maxBytesPerSecond, store } = this.#options;
    const elapsedMs = this.#nowMs === 0 ? 0 : Math.max(0, nowMs - this.#nowMs);
    this.#nowMs = nowMs;
    this.#wallMs = wallMs;
    this.#allowanceBytes = Math.min(
      this.#allowanceBytes + (maxBytesPerSecond * elapsedMs) / 1000,
      (maxBytesPerSecond * ALLOWANCE_MS) / 1000,
    );
    const sweeps = nowMs >= this.#nextSweepMs;
    if (sweeps) this.#nextSweepMs = nowMs + SWEEP_INTERVAL_MS;
    for (const target of store.targets()) {
      const state = this.#stateOf(target);
      if (state.underWay !== undefined && nowMs >= state.underWay.deadlineMs)
        this.failed(target, state.underWay.id);
      if (this.#reachable.has(target)) this.#send(target, state);
      else if (sweeps || state.sweepFrom > 0) this.#sweep(target, state);
    }
  }

  #stateOf(target: NodeId): Target {
    let state = this.#targets.get(target);
    if (state === undefined) {
      state = { underWay: undefined, from: 0, notBeforeMs: 0, sweepFrom: 0 };
      this.#targets.set(target, state);
    }
    return state;
  }

  /** Hands over the next page, unless one is under way. */
  #send(target: NodeId, state: Target): void {
    if (state.underWay !== undefined || this.#nowMs < state.notBeforeMs || this.#allowanceBytes <= 0) return;
    const { store, answerTimeoutMs } = this.#options;
    const page = store.page(target, state.from, MAX_REPLAY_BYTES, this.#minVersion(this.#wallMs));
    if (page === undefined) {
      state.from = 0;
      return;
    }
    this.#dropExpired(target, page.expired);
    if (page.batch.count === 0) {
      state.from = page.next;
      return;
    }
    this.#allowanceBytes -= page.batch.bytes.length;
    const id = this.#nextId++;
    state.underWay = { id, names: page.names, next: page.next, deadlineMs: this.#nowMs + answerTimeoutMs };
    this.#replays.push({ id, target, batch: page.batch });
  }

  /** Drops old hints for a node that is out of reach, a page at a time. */
  #sweep(target: NodeId, state: Target): void {
    const minVersion = this.#minVersion(this.#wallMs);
    const page = this.#options.store.page(target, state.sweepFrom, MAX_REPLAY_BYTES, minVersion);
    state.sweepFrom = page?.next ?? 0;
    if (page !== undefined) this.#dropExpired(target, page.expired);
  }

  #dropExpired(target: NodeId, expired: readonly HintName[]): void {
    if (expired.length === 0) return;
    this.#remove(target, expired);
    this.#expired(target, expired.length);
  }

  hasEffects(): boolean {
    return this.#changes.length > 0 || this.#replays.length > 0 || this.#lacking.size > 0;
  }

  takeEffects(): HandoffEffects {
    if (!this.hasEffects()) return NOTHING;
    const effects = { changes: this.#changes, replays: this.#replays, lacking: [...this.#lacking] };
    this.#changes = [];
    this.#replays = [];
    this.#lacking = new Set();
    return effects;
  }

  statistics(): HandoffStatistics {
    return { ...this.#counters };
  }
}
