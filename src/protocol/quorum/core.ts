/**
 * The quorum core of one node: no I/O, no clock, no timers. See `types.ts` for what it is told and what it wants done.
 *
 * Source: DeCandia et al., "Dynamo" (SOSP 2007); papers 000 (read repair), 002 (load-aware reads) and 004. The parts:
 * `writes` and `reads` coordinate, `participant` serves other coordinators; `queries` and `mending` gather what goes to
 * one peer, `peers` and `latency` know whom to ask first, `clock` gives versions.
 *
 * Invariants:
 * - any message may be lost, repeated, late or out of order: answers are taken once, and those to nobody are ignored;
 * - no answer of a replica acknowledges what has timed out, also when this process stood still and it waits before the next tick;
 * - what leaves in one turn leaves in this order: mutations, then questions, so that a replica has the writes of a turn before
 *   it answers the reads of that turn. Of one key it leaves in the order in which it came: a pipeline's read does not see what
 *   the same pipeline writes behind it.
 */
import { COUNTERS_PER_MS, composeVersion, MAX_ORDINALS, VERSION_EPOCH_MS, versionOrdinal } from './clock.js';
import { QuorumContext } from './context.js';
import { Participant } from './participant.js';
import { Reads } from './reads.js';
import type {
  NodeId,
  QuorumCoreContract,
  QuorumCoreOptions,
  QuorumEffects,
  QuorumMessage,
  QuorumRead,
  QuorumStatistics,
  QuorumWrite,
} from './types.js';
import { Writes } from './writes.js';

/** Ticks come more often. Later than this, time-outs are looked at before an answer is taken. */
const LATE_TICK_MS = 100;

const LAST_COUNTER = COUNTERS_PER_MS - 1;

export class QuorumCore implements QuorumCoreContract {
  readonly #context: QuorumContext;
  readonly #writes: Writes;
  readonly #reads: Reads;
  readonly #participant: Participant;
  #tickedMs = 0;

  constructor(options: QuorumCoreOptions) {
    this.#context = new QuorumContext(options);
    this.#writes = new Writes(this.#context);
    this.#context.closeWrites = () => this.#writes.closeOpen();
    this.#reads = new Reads(this.#context);
    this.#participant = new Participant(this.#context);
  }

  #setTime(nowMs: number, wallMs: number): void {
    this.#context.nowMs = nowMs;
    this.#context.wallMs = wallMs;
  }

  write(write: QuorumWrite, nowMs: number, wallMs: number): void {
    this.#setTime(nowMs, wallMs);
    if (this.#reads.mayAskFor(write.key)) {
      this.#writes.closeOpen();
      this.#reads.closeOpen();
    }
    this.#writes.write(write);
  }

  read(read: QuorumRead, nowMs: number, wallMs: number): void {
    this.#setTime(nowMs, wallMs);
    this.#reads.read(read);
  }

  step(from: NodeId, message: QuorumMessage, nowMs: number, wallMs: number): void {
    this.#setTime(nowMs, wallMs);
    switch (message.kind) {
      case 'mutate':
        this.#participant.mutate(from, message);
        return;
      case 'read':
        this.#participant.read(from, message);
        return;
      case 'mutated': {
        const peer = this.#context.peers.known(from);
        if (peer === undefined) return;
        if (nowMs - this.#tickedMs > LATE_TICK_MS) this.tick(nowMs, wallMs);
        if (!this.#writes.acknowledged(peer, message.id, message.notes))
          this.#reads.mended(peer, message.id, message.notes);
        return;
      }
      case 'records': {
        const peer = this.#context.peers.known(from);
        if (peer !== undefined) this.#reads.answered(peer, message.id, message.answers);
        return;
      }
    }
  }

  tick(nowMs: number, wallMs: number): void {
    this.#tickedMs = nowMs;
    this.#setTime(nowMs, wallMs);
    this.#writes.tick();
    this.#reads.tick();
  }

  nextDeadlineMs(): number {
    return this.#reads.nextDeadlineMs();
  }

  setReachable(id: NodeId, reachable: boolean): void {
    const peer = this.#context.peers.of(id);
    this.#context.peers.setReachable(peer, reachable);
    if (!reachable) this.#reads.unreachable(peer);
  }

  peerReset(id: NodeId): void {
    const peer = this.#context.peers.known(id);
    if (peer === undefined) return;
    this.#writes.lost(peer);
    this.#reads.lost(peer);
  }

  persisted(token: number): void {
    this.#writes.persisted(token);
  }

  /**
   * Versions that came another way (repair between replicas, a flush): the clock goes on behind them. False: it lies too far ahead.
   */
  observe(version: number, wallMs: number): boolean {
    return this.#context.clock.observe(version, wallMs);
  }

  /**
   * A version at or above all that this node has given, `atLeast`, and all that other nodes have given by this time; what this node
   * gives from now on lies above it. 0: the clock would have to run too far ahead.
   */
  fence(wallMs: number, atLeast: number): number {
    const { clock } = this.#context;
    const endOfNow = composeVersion(Math.max(VERSION_EPOCH_MS, Math.floor(wallMs)), LAST_COUNTER, 0) - 1;
    const given = clock.next(wallMs, Math.max(endOfNow, atLeast));
    if (given === 0) return 0;
    const fence = given - versionOrdinal(given) + MAX_ORDINALS - 1;
    clock.observe(fence, wallMs);
    return fence;
  }

  hasEffects(): boolean {
    return this.#writes.hasOpen || this.#reads.hasOpen || !this.#context.outbox.isEmpty;
  }

  takeEffects(): QuorumEffects {
    this.#writes.closeOpen();
    this.#reads.closeOpen();
    return this.#context.outbox.take();
  }

  stop(): void {
    if (this.#context.stopped) return;
    this.#context.stopped = true;
    this.#writes.stop();
    this.#reads.stop();
  }

  statistics(): QuorumStatistics {
    const context = this.#context;
    const latencies: Record<NodeId, { meanMs: number; p99Ms: number }> = {};
    for (const peer of context.peers.all())
      latencies[peer.id] = { meanMs: peer.latency.meanMs, p99Ms: peer.latency.quantileMs(0.99) };
    return {
      writes: context.writes,
      reads: context.reads,
      localReads: context.localReads,
      readRepairs: context.readRepairs,
      speculativeReads: context.speculativeReads,
      restamped: context.restamped,
      hinted: context.hinted,
      timeouts: context.timeouts,
      unackedBytes: context.unackedBytes,
      latencies,
    };
  }
}
