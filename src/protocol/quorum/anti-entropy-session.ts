/**
 * One comparison of this node with one other replica of a group, over all buckets of the group: the asking side.
 *
 * It descends the Merkle tree only where the two differ. Where one side has nothing, the other's records move at once; where
 * both have few, a list of tokens and versions tells which move, and in which direction; else the sixteenths are compared. Work
 * found and not yet done lies on stacks, the deepest first, so that they stay short however much differs. Several requests
 * are under way at a time, each about many ranges; every one is answered or the session ends.
 *
 * Invariants:
 * - at most `WINDOW` requests are under way, each bounded in bytes and in records walked over;
 * - bytes sent and received are drawn from the node's allowance; with none left the session waits.
 */
import { LIMITS } from '../../base/limits.js';
import {
  type PurgeNote,
  type RangeName,
  type RepairAnswer,
  type RepairRequest,
  WHOLE,
} from './anti-entropy-messages.js';
import type { RepairOutbox } from './anti-entropy-outbox.js';
import { listRange, RecordPacker, rangeBegin, rangeEnd, rangeStart } from './anti-entropy-records.js';
import type { RepairResponder } from './anti-entropy-responder.js';
import type { RepairedBucket, ReplicaContents } from './anti-entropy-types.js';
import { childDigests, childrenOf, rangeWidth, rootDigest, SLOT_LEVEL, TOKEN_LEVEL } from './merkle.js';
import type { MutationBatch, NodeId } from './types.js';

/** Requests under way: enough to hide a round trip, few enough that the other side's work stays in small portions. */
const WINDOW = 4;
/** Ranges in one request to compare: digests of some kilobytes. */
const MAX_COMPARED_RANGES = 128;
/** Records walked over for one request. A single range may have more. */
const MAX_WALKED_RECORDS = 8192;
/** Lists in one request, in records: some ten kilobytes. */
const MAX_LISTED_RECORDS = 2048;
/** Ranges in one request for records. */
const MAX_WANTED_RANGES = 1024;
/** With at most so many records on both sides a list costs no more than sixteen digests. */
const LIST_RECORDS = 8;
/** More records than these at one token are exchanged without a list. */
const MAX_TOKEN_RECORDS = 1024;

/** Bytes of records in one message: half a frame, so that the message fits into one. A single larger record travels alone. */
export const MAX_RECORD_BYTES = LIMITS.maxFrameBytes / 2;

/** A range with what is known of it. */
interface Differing {
  readonly bucketId: number;
  readonly level: number;
  readonly index: number;
  /** Records here when it was found. */
  readonly ownCount: number;
}

/** What was asked and not yet answered. */
type Asked =
  | { readonly kind: 'roots'; readonly sentAtMs: number; readonly bucketIds: readonly number[] }
  | {
      readonly kind: 'compare';
      readonly sentAtMs: number;
      readonly ranges: readonly Differing[];
      /** Own counts of each range's children; empty above the slots. */
      readonly counts: readonly (readonly number[])[];
    }
  | {
      readonly kind: 'list';
      readonly sentAtMs: number;
      readonly ranges: readonly RangeName[];
      readonly tokens: readonly (readonly number[])[];
    }
  | { readonly kind: 'want'; readonly sentAtMs: number; readonly ranges: readonly RangeName[] }
  | { readonly kind: 'push'; readonly sentAtMs: number };

/** What a node's sessions may still move; refilled by time, by whoever owns the session. */
export interface Allowance {
  bytes: number;
}

export interface SessionOptions {
  readonly peer: NodeId;
  readonly group: number;
  readonly layout: number;
  readonly slots: readonly number[];
  readonly buckets: readonly RepairedBucket[];
  readonly contents: ReplicaContents;
  readonly outbox: RepairOutbox;
  /** Merges what comes back. */
  readonly responder: RepairResponder;
  readonly allowance: Allowance;
  readonly salt: number;
  /** Gives every request its number. */
  readonly nextId: () => number;
}

export class RepairSession {
  readonly peer: NodeId;
  readonly group: number;
  /** The other side has lost its disk and is being filled. */
  peerIsFilling = false;
  startedAtMs = 0;
  readonly #options: SessionOptions;
  readonly #asked = new Map<number, Asked>();
  readonly #compares: Differing[] = [];
  readonly #lists: RangeName[] = [];
  readonly #wants: RangeName[] = [];
  readonly #pushes: RangeName[] = [];
  #notes: PurgeNote[] = [];
  #abandoned = false;
  #foundDifferences = false;
  /** Buckets of which the other side may still have something newer. */
  readonly #incomplete = new Set<number>();
  readonly #untaken = new Set<number>();

  constructor(options: SessionOptions) {
    this.peer = options.peer;
    this.group = options.group;
    this.#options = options;
  }

  /** True once all that was found different has been dealt with. */
  get isDone(): boolean {
    return this.#abandoned || (this.#asked.size === 0 && !this.#hasWork());
  }

  get wasAbandoned(): boolean {
    return this.#abandoned;
  }

  get foundDifferences(): boolean {
    return this.#foundDifferences;
  }

  /** Buckets whose records were compared to the end. */
  get comparedBuckets(): readonly number[] {
    return this.#options.buckets
      .map(({ bucketId }) => bucketId)
      .filter((bucketId) => !this.#incomplete.has(bucketId));
  }

  /** Of these something came that this node could not take. */
  get untakenBuckets(): ReadonlySet<number> {
    return this.#untaken;
  }

  /** When the oldest request under way was sent; Infinity: none is. */
  get waitingSinceMs(): number {
    let since = Number.POSITIVE_INFINITY;
    for (const asked of this.#asked.values()) since = Math.min(since, asked.sentAtMs);
    return since;
  }

  start(nowMs: number): void {
    const { group, layout, salt, buckets, contents, slots } = this.#options;
    this.startedAtMs = nowMs;
    const roots = buckets.map(({ bucketId, flushedThrough }) => ({
      bucketId,
      flushedThrough,
      ...rootDigest(contents, bucketId, slots, salt),
    }));
    const id = this.#options.nextId();
    this.#asked.set(id, { kind: 'roots', sentAtMs: nowMs, bucketIds: roots.map((root) => root.bucketId) });
    this.#sendCompared({ kind: 'roots', id, group, layout, salt, buckets: roots });
  }

  abandon(): void {
    this.#abandoned = true;
    this.#asked.clear();
  }

  /** Takes an answer; false: it is not to a request of this session. */
  answer(message: RepairAnswer, sizeBytes: number, nowMs: number, wallMs: number): boolean {
    const asked = this.#asked.get(message.id);
    if (asked === undefined) return false;
    this.#asked.delete(message.id);
    const { counters } = this.#options.outbox;
    this.#options.allowance.bytes -= sizeBytes;
    counters.bytesMoved += sizeBytes;
    counters.bytesCompared += sizeBytes;
    if (message.kind === 'roots-answer' && asked.kind === 'roots') {
      if (!message.agreed) {
        this.abandon();
        return true;
      }
      this.peerIsFilling = message.filling;
      for (const position of message.skipped) {
        const bucketId = asked.bucketIds[position];
        if (bucketId !== undefined) this.#incomplete.add(bucketId);
      }
      this.#foundDifferences = message.differing.length > 0;
      for (const position of message.differing) {
        const bucketId = asked.bucketIds[position];
        if (bucketId !== undefined) this.#compares.push({ bucketId, level: 0, index: 0, ownCount: 0 });
      }
    } else if (message.kind === 'compare-answer' && asked.kind === 'compare') {
      if (message.ranges.length !== asked.ranges.length) {
        this.abandon();
        return true;
      }
      message.ranges.forEach((answer, position) => {
        this.#descend(asked.ranges[position]!, asked.counts[position]!, answer.differing, answer.counts);
      });
    } else if (message.kind === 'records' && (asked.kind === 'list' || asked.kind === 'want')) {
      counters.bytesCompared -= message.batch.bytes.length;
      this.#merge(message.batch, wallMs);
      this.#resume(asked, message);
    } else if (message.kind === 'pushed' && asked.kind === 'push') {
      this.#options.responder.applyNotes(message.notes);
    }
    this.pump(nowMs);
    return true;
  }

  #merge(batch: MutationBatch, wallMs: number): void {
    this.#options.outbox.counters.keysMoved += batch.count;
    const { notes, untaken } = this.#options.responder.merge(batch, wallMs);
    for (const note of notes) this.#notes.push(note);
    for (const bucketId of untaken) this.#untaken.add(bucketId);
  }

  /** Decides what to do about each child that differs. */
  #descend(
    range: Differing,
    ownCounts: readonly number[],
    differing: number,
    counts: readonly number[],
  ): void {
    const { bucketId } = range;
    const level = range.level + 1;
    const children = childrenOf(range.level);
    let next = 0;
    for (let child = 0; child < children; child++) {
      if ((differing & (1 << child)) === 0) continue;
      const index = range.index * children + child;
      if (level < SLOT_LEVEL) {
        this.#compares.push({ bucketId, level, index, ownCount: 0 });
        continue;
      }
      const ownCount = ownCounts[child] ?? 0;
      const theirCount = counts[next++] ?? 0;
      const name = { bucketId, level, index, skip: 0 };
      if (theirCount === 0) this.#pushes.push(name);
      else if (ownCount === 0) this.#wants.push(name);
      else if (level === TOKEN_LEVEL && Math.max(ownCount, theirCount) > MAX_TOKEN_RECORDS) {
        this.#pushes.push(name);
        this.#wants.push(name);
      } else if (level === TOKEN_LEVEL || Math.max(ownCount, theirCount) <= LIST_RECORDS)
        this.#lists.push(name);
      else this.#compares.push({ bucketId, level, index, ownCount });
    }
  }

  /** What the other side wants is pushed; ranges that were not finished are asked for again from where they ended. */
  #resume(
    asked: Extract<Asked, { kind: 'list' | 'want' }>,
    message: Extract<RepairAnswer, { kind: 'records' }>,
  ): void {
    message.ranges.forEach((answer, position) => {
      const range = asked.ranges[position];
      if (range === undefined) return;
      if (asked.kind === 'list') {
        for (const wanted of answer.wanted) {
          const token = asked.tokens[position]![wanted];
          if (token !== undefined) this.#pushToken(range.bucketId, token);
        }
      }
      if (answer.resume === WHOLE || answer.resume < range.skip || answer.resume >= rangeWidth(range.level))
        return;
      const rest = { ...range, skip: answer.resume };
      if (asked.kind === 'list') this.#lists.push(rest);
      else this.#wants.push(rest);
    });
  }

  #pushToken(bucketId: number, token: number): void {
    const index = token / 4;
    const last = this.#pushes.at(-1);
    // Keys of one token stand in the list one after the other and are pushed together.
    if (last?.level === TOKEN_LEVEL && last.index === index && last.bucketId === bucketId) return;
    this.#pushes.push({ bucketId, level: TOKEN_LEVEL, index, skip: 0 });
  }

  #hasWork(): boolean {
    return (
      this.#pushes.length > 0 ||
      this.#wants.length > 0 ||
      this.#lists.length > 0 ||
      this.#compares.length > 0 ||
      this.#notes.length > 0
    );
  }

  /** Sends as much as window and allowance permit. */
  pump(nowMs: number): void {
    while (
      !this.#abandoned &&
      this.#asked.size < WINDOW &&
      this.#options.allowance.bytes > 0 &&
      this.#hasWork()
    ) {
      if (this.#pushes.length > 0 || this.#notes.length > 0) this.#sendPush(nowMs);
      else if (this.#wants.length > 0) this.#sendWant(nowMs);
      else if (this.#lists.length > 0) this.#sendList(nowMs);
      else this.#sendCompare(nowMs);
    }
  }

  /** Sends a request of digests, names or versions. */
  #sendCompared(request: RepairRequest): void {
    const { outbox, allowance } = this.#options;
    const sizeBytes = outbox.send(this.peer, request);
    outbox.counters.rounds++;
    outbox.counters.bytesMoved += sizeBytes;
    outbox.counters.bytesCompared += sizeBytes;
    allowance.bytes -= sizeBytes;
  }

  #sendCompare(nowMs: number): void {
    const { contents, slots, salt, group, layout } = this.#options;
    const ranges: Differing[] = [];
    const counts: (readonly number[])[] = [];
    const compared = [];
    let walked = 0;
    while (ranges.length < MAX_COMPARED_RANGES) {
      const range = this.#compares.at(-1);
      if (range === undefined) break;
      if (ranges.length > 0 && walked + range.ownCount > MAX_WALKED_RECORDS) break;
      this.#compares.pop();
      walked += range.ownCount;
      const { bucketId, level, index } = range;
      const children = childDigests(contents, bucketId, slots, level, index, salt);
      ranges.push(range);
      counts.push(children.counts);
      compared.push({ bucketId, level, index, digests: children.digests });
    }
    const id = this.#options.nextId();
    this.#asked.set(id, { kind: 'compare', sentAtMs: nowMs, ranges, counts });
    this.#sendCompared({ kind: 'compare', id, group, layout, salt, ranges: compared });
  }

  #sendList(nowMs: number): void {
    const { contents } = this.#options;
    const ranges: RangeName[] = [];
    const tokens: (readonly number[])[] = [];
    const lists = [];
    let listed = 0;
    while (listed < MAX_LISTED_RECORDS) {
      const range = this.#lists.pop();
      if (range === undefined) break;
      const list = listRange(contents, range);
      // A range that has been emptied in the meantime counts too: its name travels.
      listed += list.tokens.length + 1;
      ranges.push(range);
      tokens.push(list.tokens);
      lists.push({ range, ...list });
    }
    const id = this.#options.nextId();
    this.#asked.set(id, { kind: 'list', sentAtMs: nowMs, ranges, tokens });
    this.#sendCompared({ kind: 'list', id, ranges: lists });
  }

  #sendWant(nowMs: number): void {
    const ranges = this.#wants.splice(-MAX_WANTED_RANGES);
    const id = this.#options.nextId();
    this.#asked.set(id, { kind: 'want', sentAtMs: nowMs, ranges });
    this.#sendCompared({ kind: 'want', id, ranges });
  }

  #sendPush(nowMs: number): void {
    const { contents, outbox, allowance } = this.#options;
    const packer = new RecordPacker(contents, MAX_RECORD_BYTES);
    while (!packer.isFull) {
      const range = this.#pushes.pop();
      if (range === undefined) break;
      const toToken = rangeEnd(range);
      const next = packer.addRange(range.bucketId, rangeStart(range), toToken);
      if (next < toToken) this.#pushes.push({ ...range, skip: next - rangeBegin(range) });
    }
    const notes = this.#notes;
    this.#notes = [];
    if (packer.count === 0 && notes.length === 0) return;
    const id = this.#options.nextId();
    this.#asked.set(id, { kind: 'push', sentAtMs: nowMs });
    const batch = packer.take();
    const sizeBytes = outbox.send(this.peer, { kind: 'push', id, batch, notes });
    outbox.counters.rounds++;
    outbox.counters.keysMoved += batch.count;
    outbox.counters.bytesMoved += sizeBytes;
    outbox.counters.bytesCompared += sizeBytes - batch.bytes.length;
    allowance.bytes -= sizeBytes;
  }
}
