/**
 * The messages of anti-entropy. One side asks, the other answers from what it holds and remembers nothing; every request gets
 * one answer with its id.
 *
 *   asks             answers           about
 *   roots            roots-answer      whole buckets
 *   compare          compare-answer    digests of the children of differing ranges
 *   list             records           tokens and versions of small ranges: what is newer or missing at the asker comes back
 *   want             records           ranges that the asker has nothing of
 *   push             pushed            records that the asker has newer, or the other has not
 *   purge-query      purge-answer      digests of slots that hold old dead records
 *   purge            nothing           slots whose dead records are dropped for good
 */
import type { MutationBatch } from './types.js';

/** A range of the Merkle tree. */
export interface RangeName {
  readonly bucketId: number;
  readonly level: number;
  readonly index: number;
  /** Tokens at its begin that are not meant (done before); a multiple of 4. */
  readonly skip: number;
}

/** A slot that was purged, told to a node that still holds what was dropped. */
export interface PurgeNote {
  readonly bucketId: number;
  readonly slot: number;
  readonly throughMs: number;
}

export interface RootOfBucket {
  readonly bucketId: number;
  readonly flushedThrough: number;
  readonly low: number;
  readonly high: number;
}

export interface ComparedRange {
  readonly bucketId: number;
  readonly level: number;
  readonly index: number;
  readonly digests: readonly number[];
}

export interface ComparedAnswer {
  /** Bit i: child i differs. */
  readonly differing: number;
  /** The answerer's records in each differing child, in order; empty above the slots. */
  readonly counts: readonly number[];
}

export interface ListedRange {
  readonly range: RangeName;
  readonly tokens: readonly number[];
  readonly versions: readonly number[];
  /** Sum of the digests of the records listed. */
  readonly digest: number;
}

/** `RangeAnswer.resume` when nothing is left. */
export const WHOLE = -1;

export interface RangeAnswer {
  /** Positions in the asker's list of tokens whose records the answerer wants. */
  readonly wanted: readonly number[];
  /** The answer got too large and goes only so far: tokens from the range's begin, to be skipped next time. Else `WHOLE`. */
  readonly resume: number;
}

export type RepairRequest =
  | {
      readonly kind: 'roots';
      readonly id: number;
      readonly group: number;
      /** Hash of the group's members and slots: both sides must mean the same. */
      readonly layout: number;
      readonly salt: number;
      readonly buckets: readonly RootOfBucket[];
    }
  | {
      readonly kind: 'compare';
      readonly id: number;
      readonly group: number;
      readonly layout: number;
      readonly salt: number;
      readonly ranges: readonly ComparedRange[];
    }
  | { readonly kind: 'list'; readonly id: number; readonly ranges: readonly ListedRange[] }
  | { readonly kind: 'want'; readonly id: number; readonly ranges: readonly RangeName[] }
  | {
      readonly kind: 'push';
      readonly id: number;
      readonly batch: MutationBatch;
      readonly notes: readonly PurgeNote[];
    }
  | {
      readonly kind: 'purge-query';
      readonly id: number;
      readonly bucketId: number;
      readonly slots: readonly number[];
      readonly digests: readonly number[];
    };

export type RepairAnswer =
  /**
   * `differing`, `skipped`: positions in the request's buckets; these were not compared, because the answerer does not know them, or
   * not the same flush. Not agreed: the answerer knows another map. `filling`: the answerer has lost its disk and is being filled.
   */
  | {
      readonly kind: 'roots-answer';
      readonly id: number;
      readonly agreed: boolean;
      readonly filling: boolean;
      readonly skipped: readonly number[];
      readonly differing: readonly number[];
    }
  /** As many as were asked, or none: the answerer knows another map. */
  | { readonly kind: 'compare-answer'; readonly id: number; readonly ranges: readonly ComparedAnswer[] }
  | {
      readonly kind: 'records';
      readonly id: number;
      readonly batch: MutationBatch;
      readonly ranges: readonly RangeAnswer[];
    }
  | { readonly kind: 'pushed'; readonly id: number; readonly notes: readonly PurgeNote[] }
  /** `equal`: positions in the query's slots. */
  | { readonly kind: 'purge-answer'; readonly id: number; readonly equal: readonly number[] };

export interface PurgeOrder {
  readonly kind: 'purge';
  readonly bucketId: number;
  readonly throughMs: number;
  readonly slots: readonly number[];
  readonly digests: readonly number[];
}

export type RepairMessage = RepairRequest | RepairAnswer | PurgeOrder;
