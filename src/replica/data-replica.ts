/**
 * A replica of a group that holds keys: gathers commands into log entries and reads into barriers, one batch each turn.
 *
 * Source: paper 000 (Raft under a write-ahead log, linearizable reads and writes); Raft thesis 6.4 (read index).
 *
 * Invariants:
 * - a group's log opens a bucket before any command uses it, so that applying never depends on the cluster map;
 * - reads gathered before a write of the same turn are registered before it is proposed;
 * - expiry is decided by the leader's clock as it stands in the log: a read that meets a key which the leader's clock
 *   has outlived, but not yet the log's, goes through the log itself;
 * - who goes from a bucket with bounds is decided by the leader, before the writes that need the room, and stands in the
 *   log (`retention-upkeep.ts`).
 */
import { invariant } from '../base/errors.js';
import { TOKEN_END } from '../base/slots.js';
import type { LogEntry } from '../protocol/raft/types.js';
import { BatchBuilder, expiryArguments } from '../store/batch.js';
import { encodeBucket } from '../store/bucket-codec.js';
import { commandByName } from '../store/registry.js';
import { ErrorReply } from '../store/reply.js';
import { isBounded } from '../store/retention.js';
import { type BucketDescription, CLOCK_BEHIND, type GroupStateMachine } from '../store/types.js';
import type { PendingRequest } from './pending.js';
import { Replica, type ReplicaHost, type ReplicaStart } from './replica.js';
import { type BatchUpkeep, RetentionUpkeep } from './retention-upkeep.js';
import type { SnapshotState } from './snapshot-transfers.js';

export interface DataReplicaHost extends ReplicaHost {
  /** Buckets of the present map that this kind of replica serves, by id. */
  bucketsById(): ReadonlyMap<number, BucketDescription>;
  /** Ids below were given away by the present map or an earlier one; a bucket with a later id is newer than this map. */
  nextBucketId(): number;
}

interface ProposedBatch {
  readonly index: number;
  readonly term: number;
  /** One for each command; undefined for the node's own. */
  readonly requests: readonly (PendingRequest | undefined)[];
  readonly upkeep: BatchUpkeep | undefined;
}

const EXPIRY_INTERVAL_MS = 100;
const EXPIRY_KEYS_PER_ROUND = 512;

function definitionOf(name: string) {
  const definition = commandByName(name);
  invariant(definition !== undefined, `command ${name} is registered`);
  return definition;
}

const OPEN_BUCKET = definitionOf('quoin.open-bucket');
const UPDATE_BUCKET = definitionOf('quoin.update-bucket');
const DROP_BUCKET = definitionOf('quoin.drop-bucket');
const EXPIRE = definitionOf('quoin.expire');
const EVICT = definitionOf('quoin.evict');
const DENY = definitionOf('quoin.deny');

/** Is a bucket's policy in the log what the map says? The rest of a bucket never changes. */
function hasPolicyOf(known: BucketDescription, wanted: BucketDescription): boolean {
  if (known.ttlMs !== wanted.ttlMs) return false;
  const [present, next] = [known.retention, wanted.retention];
  if (!isBounded(present) || !isBounded(next)) return isBounded(present) === isBounded(next);
  return (
    present.maxIdleMs === next.maxIdleMs &&
    present.maxMemoryBytes === next.maxMemoryBytes &&
    present.eviction === next.eviction
  );
}

/** The machine as snapshots see it: its head, its slots, and where records go. */
function snapshotState(machine: GroupStateMachine): SnapshotState {
  return {
    slots: machine,
    encodeHead: () => machine.encodeHead(),
    restoreHead: (head) => machine.restoreHead(head),
    reset: () => machine.reset(),
    installBucket: (bucket) => machine.installBucket(bucket),
    installSlotSessions: (bytes) => machine.installSlotSessions(bytes),
    setSlotReflects: (slot, index) => machine.setSlotReflects(slot, index),
    installRecord: (bucketId, key, value, version, expiresAtMs) =>
      machine.installRecord(bucketId, key, value, version, expiresAtMs),
  };
}

export class DataReplica extends Replica<PendingRequest> {
  readonly machine: GroupStateMachine;
  readonly #host: DataReplicaHost;
  readonly #builder = new BatchBuilder();
  #batchRequests: (PendingRequest | undefined)[] = [];
  #gatheredReads: PendingRequest[] = [];
  /** Proposed and not yet applied, in order. */
  #proposed: ProposedBatch[] = [];
  #nextProposed = 0;
  /** Buckets that this leader has put into the log but not yet applied. */
  readonly #opening = new Set<number>();
  #expiryToken = 0;
  #nextExpiryMs = 0;
  readonly #upkeep: RetentionUpkeep;
  /** The term in which this node was last seen to lead, and since when. */
  #ledTerm = -1;
  #leadsSinceMs = -1;
  entriesApplied = 0;

  constructor(host: DataReplicaHost, start: ReplicaStart, machine: GroupStateMachine) {
    super(host, start, snapshotState(machine));
    this.#host = host;
    this.machine = machine;
    this.#upkeep = new RetentionUpkeep({
      machine,
      remove: (bucketId, keys) => this.#addControl(bucketId, EVICT, expiryArguments(keys)),
    });
  }

  get pendingRequests(): number {
    let pending = this.#batchRequests.length + this.#gatheredReads.length;
    for (let i = this.#nextProposed; i < this.#proposed.length; i++)
      pending += this.#proposed[i]!.requests.length;
    return pending;
  }

  /** Takes a request for the leader: it is answered, or given back. */
  enqueue(request: PendingRequest): void {
    if (!this.leading || this.failed) {
      request.refuse('not-leader');
      return;
    }
    const { bucketId } = request;
    if (!this.machine.buckets.has(bucketId)) {
      if (!this.#openBucket(bucketId)) {
        request.refuse('behind');
        return;
      }
      // Nothing was written to it yet; the log's order decides what a read sees.
      this.#enqueueThroughLog(request);
    } else if (request.throughLog) {
      this.#enqueueThroughLog(request);
    } else {
      this.#gatheredReads.push(request);
    }
    this.host.pump.markDirty(this);
  }

  /** A linearizable read served by this replica whether it leads or not. */
  enqueueFollowerRead(request: PendingRequest): void {
    if (this.failed || this.stateMissing) {
      request.refuse('not-leader');
      return;
    }
    this.#gatheredReads.push(request);
    this.host.pump.markDirty(this);
  }

  /** The state as it is here and now, however old. */
  readStale(request: PendingRequest): void {
    if (this.failed || this.stateMissing || !this.machine.buckets.has(request.bucketId)) {
      request.refuse('not-leader');
      return;
    }
    const reply = this.machine.read(
      request.definition,
      request.bucketId,
      request.args,
      this.machine.logTimeMs,
    );
    if (reply === CLOCK_BEHIND) request.refuse('not-leader');
    else request.answer(reply);
  }

  protected override proposeGathered(nowMs: number): void {
    if (this.#gatheredReads.length > 0) {
      const reads = this.#gatheredReads;
      this.#gatheredReads = [];
      this.registerReads(reads, nowMs);
    }
    if (this.#builder.commandCount === 0) return;
    const requests = this.#batchRequests;
    this.#batchRequests = [];
    const payload = this.#builder.take(this.host.env.clock.wallMs());
    const upkeep = this.#upkeep.take();
    const outcome = this.core.propose(payload, nowMs);
    if (outcome.accepted) {
      this.#proposed.push({ index: outcome.index, term: outcome.term, requests, upkeep });
      return;
    }
    if (upkeep !== undefined) this.#upkeep.settle(upkeep);
    const refusal = outcome.reason === 'overloaded' ? 'overloaded' : 'not-leader';
    for (const request of requests) request?.refuse(refusal);
    this.#opening.clear();
  }

  protected override applyEntry(entry: LogEntry): void {
    const batch = this.#proposed[this.#nextProposed];
    const ours = batch !== undefined && batch.index === entry.index && batch.term === entry.term;
    if (this.#upkeep.isNeeded) this.#noteUseTime();
    const replies = this.machine.apply(entry.index, entry.payload, ours);
    this.entriesApplied++;
    if (this.#upkeep.isNeeded) this.#upkeep.tidy();
    if (!ours) return;
    if (batch.upkeep !== undefined) this.#upkeep.settle(batch.upkeep);
    if (++this.#nextProposed === this.#proposed.length) {
      this.#proposed = [];
      this.#nextProposed = 0;
    }
    const { requests } = batch;
    invariant(replies.length === requests.length, `entry ${entry.index} answers each of its commands`);
    for (let i = 0; i < requests.length; i++) requests[i]?.answer(replies[i]!);
    if (this.#opening.size > 0) this.#forgetOpened();
  }

  /** Opened buckets, and dropped ones: they are in the log's hands no more. */
  #forgetOpened(): void {
    const wanted = this.#host.bucketsById();
    for (const id of this.#opening)
      if (this.machine.buckets.has(id) || !wanted.has(id)) this.#opening.delete(id);
  }

  protected override serveRead(request: PendingRequest): void {
    const { definition, bucketId, args } = request;
    if (!this.machine.buckets.has(bucketId)) {
      // Dropped while the read waited.
      request.answer(ErrorReply.of('UNKNOWN_BUCKET', 'the bucket was dropped'));
      return;
    }
    if (this.#upkeep.isNeeded) this.#noteUseTime();
    const reply = this.machine.read(definition, bucketId, args, this.host.env.clock.wallMs());
    if (reply !== CLOCK_BEHIND) {
      request.answer(reply);
      return;
    }
    if (!this.leading) {
      request.refuse('not-leader');
      return;
    }
    this.#upkeep.removeIdle(bucketId, this.machine.idleMet);
    this.#addToLog(request, definition, args);
    this.host.pump.markDirty(this);
  }

  protected override refuseRead(request: PendingRequest): void {
    request.refuse('not-leader');
  }

  protected override refusePending(): void {
    const batches = this.#proposed.slice(this.#nextProposed);
    const gathered = this.#batchRequests;
    this.#proposed = [];
    this.#nextProposed = 0;
    this.#batchRequests = [];
    this.#opening.clear();
    this.#upkeep.forget();
    if (this.#builder.commandCount > 0) this.#builder.take(0);
    for (const batch of batches) for (const request of batch.requests) request?.refuse('leadership-lost');
    for (const request of gathered) request?.refuse('not-leader');
  }

  protected override encodeHead(): Buffer {
    return this.machine.encodeHead();
  }

  override tick(nowMs: number): void {
    super.tick(nowMs);
    if (this.#upkeep.isNeeded && !this.failed && !this.stateMissing) this.guard(() => this.#upkeep.tidy());
  }

  protected override lead(nowMs: number): void {
    this.#followMap();
    if (this.#upkeep.isNeeded) this.#upkeep.tick(this.#noteUseTime());
    if (nowMs >= this.#nextExpiryMs) {
      this.#nextExpiryMs = nowMs + EXPIRY_INTERVAL_MS;
      this.#removeExpired();
    }
    if (this.#builder.commandCount > 0) this.host.pump.markDirty(this);
  }

  /** Opens, updates and drops buckets in this group's log as the cluster map says. */
  #followMap(): void {
    const wanted = this.#host.bucketsById();
    for (const [id, bucket] of wanted) {
      const known = this.machine.buckets.get(id);
      if (known === undefined) this.#openBucket(id);
      else if (!hasPolicyOf(known, bucket) && !this.#opening.has(id)) {
        this.#opening.add(id);
        this.#addControl(id, UPDATE_BUCKET, [encodeBucket(bucket)]);
      }
    }
    const nextId = this.#host.nextBucketId();
    for (const [id, bucket] of this.machine.buckets) {
      // What this node's map does not know yet has not been dropped: the log may be ahead of the map.
      if (wanted.has(id) || id >= nextId || this.#opening.has(id)) continue;
      this.#opening.add(id);
      this.#addControl(id, DROP_BUCKET, [encodeBucket(bucket)]);
    }
  }

  /** False when the map here does not know the bucket. */
  #openBucket(id: number): boolean {
    if (this.#opening.has(id)) return true;
    const bucket = this.#host.bucketsById().get(id);
    if (bucket === undefined) return false;
    this.#opening.add(id);
    this.#addControl(id, OPEN_BUCKET, [encodeBucket(bucket)]);
    return true;
  }

  #addControl(bucketId: number, definition: typeof OPEN_BUCKET, args: readonly Buffer[]): void {
    this.#builder.addControl(bucketId, definition, args);
    this.#batchRequests.push(undefined);
    if (this.#builder.isFull) this.proposeGathered(this.host.env.clock.monotonicMs());
  }

  #enqueueThroughLog(request: PendingRequest): void {
    if (this.#upkeep.isNeeded) {
      const admission = this.#upkeep.admit(request, this.#noteUseTime());
      if (admission === 'overloaded') {
        request.refuse('overloaded');
        return;
      }
      if (admission === 'denied') {
        const { definition, args } = request;
        this.#addToLog(request, DENY, args.slice(definition.firstKey - 1, definition.firstKey));
        return;
      }
    }
    this.#addToLog(request, request.definition, request.args);
  }

  /** Tells the machine the time of uses; returns for how long this node leads, -1 when it does not. */
  #noteUseTime(): number {
    const nowMs = this.host.env.clock.monotonicMs();
    if (!this.leading) {
      this.#ledTerm = -1;
      this.#leadsSinceMs = -1;
    } else if (this.#ledTerm !== this.term) {
      this.#ledTerm = this.term;
      this.#leadsSinceMs = nowMs;
    }
    this.machine.noteUseTime(nowMs, this.#leadsSinceMs);
    return this.#leadsSinceMs < 0 ? -1 : nowMs - this.#leadsSinceMs;
  }

  #addToLog(request: PendingRequest, definition: typeof DENY, args: readonly Buffer[]): void {
    this.#builder.add(request.stamp, request.bucketId, definition, args);
    this.#batchRequests.push(request);
    if (this.#builder.isFull) this.proposeGathered(this.host.env.clock.monotonicMs());
  }

  #removeExpired(): void {
    const found = new Map<number, { key: Buffer; version: number }[]>();
    this.#expiryToken = this.machine.findExpired(
      this.#expiryToken,
      EXPIRY_KEYS_PER_ROUND,
      this.host.env.clock.wallMs(),
      (bucketId, key, version) => {
        const keys = found.get(bucketId);
        if (keys === undefined) found.set(bucketId, [{ key, version }]);
        else keys.push({ key, version });
      },
    );
    if (this.#expiryToken >= TOKEN_END) this.#expiryToken = 0;
    for (const [bucketId, keys] of found) this.#addControl(bucketId, EXPIRE, expiryArguments(keys));
  }
}
