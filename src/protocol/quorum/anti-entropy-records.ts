/**
 * Records on their way between two replicas: gathered into batches that fit into one frame, and merged on arrival.
 *
 * Invariants:
 * - a batch grows past its bound only by the records of the token that filled it (one large record travels alone; keys of equal
 *   token cannot be told apart by ranges, so they stay together);
 * - whatever is gathered for a range is resumed at a token, so repeating a request always gets further;
 * - a batch is journaled as it came, once anything of it was applied.
 */
import { slotOfToken, tokenOf } from '../../base/slots.js';
import type { ListedRange, PurgeNote, RangeName } from './anti-entropy-messages.js';
import type { ReplicaContents } from './anti-entropy-types.js';
import { highestVersionAt } from './clock.js';
import { forEachMutation, MutationEncoder } from './codec.js';
import { rangeWidth } from './merkle.js';
import type { MutationBatch } from './types.js';

/** First token of a range. */
export function rangeBegin(range: RangeName): number {
  return range.index * rangeWidth(range.level);
}

/** First token of a range that is meant. */
export function rangeStart(range: RangeName): number {
  return rangeBegin(range) + range.skip;
}

/** The token behind a range. */
export function rangeEnd(range: RangeName): number {
  return (range.index + 1) * rangeWidth(range.level);
}

/** Tokens and versions of a range's records, and the sum of their digests. */
export function listRange(contents: ReplicaContents, range: RangeName): Omit<ListedRange, 'range'> {
  const tokens: number[] = [];
  const versions: number[] = [];
  let digest = 0;
  contents.scanVersions(
    range.bucketId,
    rangeStart(range),
    rangeEnd(range),
    (token, _key, version, _expiry, added) => {
      tokens.push(token);
      versions.push(version);
      digest = (digest + added) >>> 0;
      return true;
    },
  );
  return { tokens, versions, digest };
}

/** Gathers records into one batch of bounded size. */
export class RecordPacker {
  readonly #contents: ReplicaContents;
  readonly #encoder = new MutationEncoder();
  readonly #maxBytes: number;

  constructor(contents: ReplicaContents, maxBytes: number) {
    this.#contents = contents;
    this.#maxBytes = maxBytes;
  }

  get isFull(): boolean {
    return this.#encoder.sizeBytes >= this.#maxBytes;
  }

  get count(): number {
    return this.#encoder.count;
  }

  /**
   * Adds the records from `fromToken` to before `toToken`, as far as there is room. Returns the token to go on from; `toToken`
   * when all are in.
   */
  addRange(bucketId: number, fromToken: number, toToken: number): number {
    const encoder = this.#encoder;
    let last = -1;
    let resume = toToken;
    this.#contents.scanRange(bucketId, fromToken, toToken, (token, key, record) => {
      if (token !== last && this.isFull) {
        resume = token;
        return false;
      }
      last = token;
      encoder.add(bucketId, key, record.value, record.version, record.expiresAtMs);
      return true;
    });
    return resume;
  }

  take(): MutationBatch {
    return this.#encoder.take();
  }
}

/** What merging a batch of another replica's records did. */
export interface MergeOutcome {
  readonly applied: number;
  /** Dead records that had been purged here. */
  readonly refusedPurged: number;
  /** The slots of these: their sender shall purge them too. */
  readonly notes: readonly PurgeNote[];
  /** Buckets of records that are missing here all the same: too far ahead of this node's clock, or there was no room. */
  readonly untaken: ReadonlySet<number>;
}

export function mergeRecords(
  contents: ReplicaContents,
  batch: MutationBatch,
  maxClockDriftMs: number,
  wallMs: number,
): MergeOutcome {
  const highestVersion = highestVersionAt(wallMs, maxClockDriftMs);
  const noted = new Set<string>();
  const untaken = new Set<number>();
  const notes: PurgeNote[] = [];
  let applied = 0;
  let refusedPurged = 0;
  forEachMutation(batch.bytes, (bucketId, key, value, version, expiresAtMs) => {
    if (version > highestVersion) {
      untaken.add(bucketId);
      return;
    }
    const result = contents.mergeRepaired(bucketId, key, value, version, expiresAtMs, wallMs);
    if (result === 'applied') applied++;
    if (result === 'refused') untaken.add(bucketId);
    if (result !== 'purged') return;
    refusedPurged++;
    const slot = slotOfToken(tokenOf(key));
    const name = `${bucketId}/${slot}`;
    if (noted.has(name)) return;
    noted.add(name);
    notes.push({ bucketId, slot, throughMs: contents.purgedThroughMs(bucketId, slot) });
  });
  return { applied, refusedPurged, notes, untaken };
}
