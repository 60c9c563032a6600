/**
 * The answering side of anti-entropy: answers every request from what this node holds at the moment and remembers nothing, so
 * that lost, repeated and late requests are harmless and any number of peers may ask.
 *
 * Invariants:
 * - an answer is bounded: records fill at most one frame (`RecordPacker`), and say where to go on;
 * - ranges are compared only between nodes that mean the same group by the same slots (`layout`).
 */
import {
  type ComparedAnswer,
  type ListedRange,
  type PurgeNote,
  type RangeAnswer,
  type RangeName,
  type RepairRequest,
  type RootOfBucket,
  WHOLE,
} from './anti-entropy-messages.js';
import type { RepairOutbox } from './anti-entropy-outbox.js';
import {
  listRange,
  type MergeOutcome,
  mergeRecords,
  RecordPacker,
  rangeBegin,
  rangeEnd,
  rangeStart,
} from './anti-entropy-records.js';
import type { AntiEntropyOptions, ReplicaContents } from './anti-entropy-types.js';
import { childDigests, rootDigest } from './merkle.js';
import type { MutationBatch, NodeId } from './types.js';

const NOTHING_COMPARED = { differing: [], skipped: [] };

/** Finds the slots of a group when this node means the same by it. */
export type SlotsOf = (group: number, layout: number) => readonly number[] | undefined;

export class RepairResponder {
  readonly #contents: ReplicaContents;
  readonly #maxClockDriftMs: number;
  readonly #outbox: RepairOutbox;
  readonly #slotsOf: SlotsOf;
  readonly #maxRecordBytes: number;
  readonly #isFilling: () => boolean;

  constructor(options: AntiEntropyOptions, outbox: RepairOutbox, slotsOf: SlotsOf, maxRecordBytes: number) {
    this.#contents = options.contents;
    this.#maxClockDriftMs = options.maxClockDriftMs;
    this.#outbox = outbox;
    this.#slotsOf = slotsOf;
    this.#maxRecordBytes = maxRecordBytes;
    this.#isFilling = () => options.filling?.isFilling() ?? false;
  }

  answer(from: NodeId, request: RepairRequest, wallMs: number): void {
    const { id } = request;
    switch (request.kind) {
      case 'roots': {
        const slots = this.#slotsOf(request.group, request.layout);
        const filling = this.#isFilling();
        const agreed = slots !== undefined;
        const compared = agreed ? this.#compareRoots(slots, request) : NOTHING_COMPARED;
        this.#outbox.send(from, { kind: 'roots-answer', id, agreed, filling, ...compared });
        return;
      }
      case 'compare': {
        const slots = this.#slotsOf(request.group, request.layout);
        const ranges = slots === undefined ? [] : this.#compare(slots, request);
        this.#outbox.send(from, { kind: 'compare-answer', id, ranges });
        return;
      }
      case 'list': {
        const packer = new RecordPacker(this.#contents, this.#maxRecordBytes);
        const ranges = request.ranges.map((listed) => this.#answerList(listed, packer));
        this.#outbox.send(from, { kind: 'records', id, batch: packer.take(), ranges });
        return;
      }
      case 'want': {
        const packer = new RecordPacker(this.#contents, this.#maxRecordBytes);
        const ranges = request.ranges.map((range) => answerWant(range, packer));
        this.#outbox.send(from, { kind: 'records', id, batch: packer.take(), ranges });
        return;
      }
      case 'push':
        this.applyNotes(request.notes);
        this.#outbox.send(from, { kind: 'pushed', id, notes: this.merge(request.batch, wallMs).notes });
        return;
      case 'purge-query': {
        const { bucketId, slots, digests } = request;
        const equal: number[] = [];
        for (let i = 0; i < slots.length; i++)
          if (this.#contents.digestOfSlot(bucketId, slots[i]!) === digests[i]) equal.push(i);
        this.#outbox.sendAfterPersist(from, { kind: 'purge-answer', id, equal });
        return;
      }
    }
  }

  /** Merges records of another replica. */
  merge(batch: MutationBatch, wallMs: number): MergeOutcome {
    const outcome = mergeRecords(this.#contents, batch, this.#maxClockDriftMs, wallMs);
    if (outcome.applied > 0) this.#outbox.journal(batch);
    this.#outbox.counters.keysMended += outcome.applied;
    this.#outbox.counters.refusedPurged += outcome.refusedPurged;
    return outcome;
  }

  /**
   * Drops what another replica has purged already. All replicas held these tombstones when it did (see
   * `anti-entropy-purge.ts`); this one did not hear of it, or came back with them from its disk.
   */
  applyNotes(notes: readonly PurgeNote[]): void {
    for (const { bucketId, slot, throughMs } of notes)
      this.#outbox.counters.purged += Math.max(0, this.#contents.purge(bucketId, slot, undefined, throughMs));
  }

  #compareRoots(
    slots: readonly number[],
    request: { readonly salt: number; readonly buckets: readonly RootOfBucket[] },
  ): { differing: number[]; skipped: number[] } {
    const own = new Map(this.#contents.buckets().map((bucket) => [bucket.bucketId, bucket]));
    const differing: number[] = [];
    const skipped: number[] = [];
    request.buckets.forEach((root, position) => {
      const bucket = own.get(root.bucketId);
      if (bucket === undefined || bucket.flushedThrough !== root.flushedThrough) {
        skipped.push(position);
        return;
      }
      const { low, high } = rootDigest(this.#contents, root.bucketId, slots, request.salt);
      if (low !== root.low || high !== root.high) differing.push(position);
    });
    return { differing, skipped };
  }

  #compare(slots: readonly number[], request: Extract<RepairRequest, { kind: 'compare' }>): ComparedAnswer[] {
    return request.ranges.map(({ bucketId, level, index, digests }) => {
      const own = childDigests(this.#contents, bucketId, slots, level, index, request.salt);
      let differing = 0;
      const counts: number[] = [];
      for (let child = 0; child < digests.length; child++) {
        if (own.digests[child] === digests[child]) continue;
        differing |= 1 << child;
        if (own.counts.length > 0) counts.push(own.counts[child]!);
      }
      return { differing, counts };
    });
  }

  /**
   * Compares a list with what is held here. Records that are newer here or missing there go into the packer; what is newer
   * there is wanted. Keys of one token are told apart by their versions only: when these differ, all of them go both ways.
   */
  #answerList(listed: ListedRange, packer: RecordPacker): RangeAnswer {
    const { range, tokens, versions } = listed;
    const { bucketId } = range;
    const toToken = rangeEnd(range);
    const own = listRange(this.#contents, range);
    const wanted: number[] = [];
    let different = false;
    let theirs = 0;
    let ours = 0;
    while (theirs < tokens.length || ours < own.tokens.length) {
      const token = Math.min(tokens[theirs] ?? toToken, own.tokens[ours] ?? toToken);
      let theirEnd = theirs;
      while (tokens[theirEnd] === token) theirEnd++;
      let ourEnd = ours;
      while (own.tokens[ourEnd] === token) ourEnd++;
      const needs = compareToken(versions, theirs, theirEnd, own.versions, ours, ourEnd);
      if (needs !== NEITHER) different = true;
      if (needs === OURS || needs === BOTH) {
        if (packer.isFull) return { wanted, resume: token - rangeBegin(range) };
        packer.addRange(bucketId, token, token + 4);
      }
      if (needs === THEIRS || needs === BOTH)
        for (let position = theirs; position < theirEnd; position++) wanted.push(position);
      theirs = theirEnd;
      ours = ourEnd;
    }
    if (different || own.digest === listed.digest) return { wanted, resume: WHOLE };
    return exchangeAll(listed, packer);
  }
}

const NEITHER = 0;
const OURS = 1;
const THEIRS = 2;
const BOTH = 3;

/** Whose records of one token the other side needs, by their versions (both in the order of their keys). */
function compareToken(
  theirs: readonly number[],
  theirStart: number,
  theirEnd: number,
  ours: readonly number[],
  ourStart: number,
  ourEnd: number,
): number {
  const theirCount = theirEnd - theirStart;
  const ourCount = ourEnd - ourStart;
  if (theirCount === 0) return OURS;
  if (ourCount === 0) return THEIRS;
  if (theirCount === 1 && ourCount === 1) {
    const theirVersion = theirs[theirStart]!;
    const ourVersion = ours[ourStart]!;
    if (theirVersion === ourVersion) return NEITHER;
    return ourVersion > theirVersion ? OURS : THEIRS;
  }
  if (theirCount !== ourCount) return BOTH;
  for (let i = 0; i < ourCount; i++) if (theirs[theirStart + i] !== ours[ourStart + i]) return BOTH;
  return NEITHER;
}

/** All versions are equal and still the records are not: both sides show theirs, and merging decides. */
function exchangeAll(listed: ListedRange, packer: RecordPacker): RangeAnswer {
  const { range, tokens } = listed;
  const toToken = rangeEnd(range);
  const next = packer.addRange(range.bucketId, rangeStart(range), toToken);
  const wanted: number[] = [];
  for (let position = 0; position < tokens.length && tokens[position]! < next; position++)
    wanted.push(position);
  return { wanted, resume: next === toToken ? WHOLE : next - rangeBegin(range) };
}

function answerWant(range: RangeName, packer: RecordPacker): RangeAnswer {
  const toToken = rangeEnd(range);
  const next = packer.addRange(range.bucketId, rangeStart(range), toToken);
  return { wanted: [], resume: next === toToken ? WHOLE : next - rangeBegin(range) };
}
