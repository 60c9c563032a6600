/**
 * The records of quorum buckets in their plainest form: a Map. For tests of what works on a `QuorumStore`. It can be told to
 * refuse, as a store does that is full, was flushed, or has purged.
 */
import { recordChecksum } from '../../../src/engine/checksum.js';
import {
  DELETED_MS,
  isDead,
  type MergeResult,
  type Mutation,
  type QuorumRecord,
  type QuorumStore,
} from '../../../src/protocol/quorum/types.js';

/** Of two records with the same version, the one that all replicas keep: deleted ones first, then the greater checksum. */
function wins(key: Buffer, one: QuorumRecord, other: QuorumRecord): boolean {
  if (one.version !== other.version) return one.version > other.version;
  const oneDeleted = one.expiresAtMs === DELETED_MS;
  if (oneDeleted !== (other.expiresAtMs === DELETED_MS)) return oneDeleted;
  const difference = recordChecksum(key, one.value) - recordChecksum(key, other.value);
  return difference !== 0 ? difference > 0 : one.expiresAtMs > other.expiresAtMs;
}

export class MemoryQuorumStore implements QuorumStore {
  readonly #records = new Map<string, Mutation>();
  previousVersion = 0;
  previousLive = false;
  /** Refuses all that is live: out of memory. */
  full = false;
  /** Refuses versions up to this one for keys that are absent, as after a purge. */
  purgedThrough = 0;
  /** Refuses versions up to this one, as after a flush. */
  flushedThrough = 0;
  /** Merges asked for. */
  merges = 0;

  #id(bucketId: number, key: Buffer): string {
    return `${bucketId}/${key.toString('latin1')}`;
  }

  read(bucketId: number, key: Buffer): QuorumRecord | undefined {
    const found = this.#records.get(this.#id(bucketId, key));
    if (found === undefined) return undefined;
    return { value: Buffer.from(found.value), version: found.version, expiresAtMs: found.expiresAtMs };
  }

  versionOf(bucketId: number, key: Buffer): number {
    return this.#records.get(this.#id(bucketId, key))?.version ?? 0;
  }

  merge(
    bucketId: number,
    key: Buffer,
    value: Buffer,
    version: number,
    expiresAtMs: number,
    nowMs: number,
  ): MergeResult {
    this.merges++;
    const id = this.#id(bucketId, key);
    const before = this.#records.get(id);
    this.previousVersion = before?.version ?? 0;
    this.previousLive = before !== undefined && !isDead(before, nowMs);
    const barrier =
      before === undefined ? Math.max(this.purgedThrough, this.flushedThrough) : this.flushedThrough;
    if (version <= barrier) {
      this.previousVersion = barrier;
      return 'refused';
    }
    const record = { bucketId, key: Buffer.from(key), value: Buffer.from(value), version, expiresAtMs };
    if (before !== undefined && !wins(key, record, before))
      return wins(key, before, record) ? 'older' : 'equal';
    if (this.full && !isDead(record, nowMs)) return 'refused';
    this.#records.set(id, record);
    return 'applied';
  }

  /** Takes a record away without a trace, as eviction does. */
  remove(bucketId: number, key: Buffer): void {
    this.#records.delete(this.#id(bucketId, key));
  }

  /** Everything stored, by bucket and key. */
  contents(): Mutation[] {
    return [...this.#records.keys()].sort().map((id) => this.#records.get(id)!);
  }

  /** Text that is equal exactly when the contents are. */
  fingerprint(): string {
    return this.contents()
      .map(
        ({ bucketId, key, value, version, expiresAtMs }) =>
          `${bucketId}/${key.toString('latin1')}=${value.toString('latin1')}@${version}!${expiresAtMs}`,
      )
      .join('\n');
  }
}
