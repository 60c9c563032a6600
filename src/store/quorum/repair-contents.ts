/** A node's records of all eventual buckets as anti-entropy sees them: see `ReplicaContents`. */
import type {
  RecordVisitor,
  RepairedBucket,
  RepairMergeResult,
  ReplicaContents,
  VersionVisitor,
} from '../../protocol/quorum/anti-entropy-types.js';
import type { StoredBucket } from './stored-bucket.js';

export class RepairContents implements ReplicaContents {
  readonly #stored: ReadonlyMap<number, StoredBucket>;

  constructor(stored: ReadonlyMap<number, StoredBucket>) {
    this.#stored = stored;
  }

  buckets(): readonly RepairedBucket[] {
    const buckets: RepairedBucket[] = [];
    for (const [bucketId, { description, flushedThrough }] of this.#stored) {
      const { quorum } = description;
      if (quorum === undefined) continue;
      buckets.push({ bucketId, n: quorum.n, antiEntropy: quorum.antiEntropy, flushedThrough });
    }
    return buckets.sort((left, right) => left.bucketId - right.bucketId);
  }

  digestOfSlot(bucketId: number, slot: number): number {
    return this.#stored.get(bucketId)?.engine.digestOfSlot(slot) ?? 0;
  }

  keyCountInSlot(bucketId: number, slot: number): number {
    return this.#stored.get(bucketId)?.engine.keyCountInSlot(slot) ?? 0;
  }

  scanVersions(bucketId: number, fromToken: number, toToken: number, visitor: VersionVisitor): void {
    this.#stored.get(bucketId)?.engine.scanVersions(fromToken, toToken, visitor);
  }

  scanRange(bucketId: number, fromToken: number, toToken: number, visitor: RecordVisitor): void {
    this.#stored.get(bucketId)?.engine.scan(fromToken, toToken, visitor);
  }

  mergeRepaired(
    bucketId: number,
    key: Buffer,
    value: Buffer,
    version: number,
    expiresAtMs: number,
    nowMs: number,
  ): RepairMergeResult {
    const bucket = this.#stored.get(bucketId);
    return bucket === undefined ? 'refused' : bucket.mergeRepaired(key, value, version, expiresAtMs, nowMs);
  }

  deadInSlot(bucketId: number, slot: number): boolean {
    return this.#stored.get(bucketId)?.mayHoldDead(slot) ?? false;
  }

  deadBefore(bucketId: number, slot: number, throughMs: number): boolean {
    return this.#stored.get(bucketId)?.holdsDeadThrough(slot, throughMs) ?? false;
  }

  purge(bucketId: number, slot: number, digest: number | undefined, throughMs: number): number {
    return this.#stored.get(bucketId)?.purge(slot, digest, throughMs) ?? 0;
  }

  purgedThroughMs(bucketId: number, slot: number): number {
    return this.#stored.get(bucketId)?.purgedThroughMs(slot) ?? 0;
  }
}
