/**
 * A replica's records in their plainest form: a Map for each slot. For tests of anti-entropy. Unlike the store of a real node it
 * refuses nothing on plain merges, so that what keeps old values away is the protocol alone.
 */
import { slotOfToken, tokenOf } from '../../../src/base/slots.js';
import { recordChecksum, recordDigest } from '../../../src/engine/checksum.js';
import { mergeOrder } from '../../../src/engine/merge-order.js';
import type {
  RecordVisitor,
  RepairedBucket,
  RepairMergeResult,
  ReplicaContents,
  VersionVisitor,
} from '../../../src/protocol/quorum/anti-entropy-types.js';
import { versionMs } from '../../../src/protocol/quorum/clock.js';
import type { MergeResult, Mutation } from '../../../src/protocol/quorum/types.js';

export interface ModelRecord extends Mutation {
  readonly token: number;
  readonly checksum: number;
  readonly digest: number;
}

interface ModelSlot {
  readonly records: Map<string, ModelRecord>;
  /** In token order; undefined after a change. */
  sorted: readonly ModelRecord[] | undefined;
  digest: number;
  purgedThroughMs: number;
}

/** When a record may be purged: it is dead and has been for long enough. */
function isOldDead(record: ModelRecord, throughMs: number): boolean {
  return record.expiresAtMs !== 0 && Math.max(versionMs(record.version), record.expiresAtMs) <= throughMs;
}

export class ModelContents implements ReplicaContents {
  described: RepairedBucket[];
  /** By bucket and slot. */
  readonly #slots = new Map<string, ModelSlot>();
  /** Live records are refused: out of memory. */
  full = false;

  constructor(described: readonly RepairedBucket[]) {
    this.described = [...described];
  }

  /** Another one with the same records and purge times. */
  clone(): ModelContents {
    const clone = new ModelContents(this.described);
    for (const [name, slot] of this.#slots)
      clone.#slots.set(name, { ...slot, records: new Map(slot.records), sorted: undefined });
    return clone;
  }

  buckets(): readonly RepairedBucket[] {
    return this.described;
  }

  #slot(bucketId: number, slot: number): ModelSlot {
    const name = `${bucketId}/${slot}`;
    let found = this.#slots.get(name);
    if (found === undefined) {
      found = { records: new Map(), sorted: undefined, digest: 0, purgedThroughMs: 0 };
      this.#slots.set(name, found);
    }
    return found;
  }

  digestOfSlot(bucketId: number, slot: number): number {
    return this.#slots.get(`${bucketId}/${slot}`)?.digest ?? 0;
  }

  keyCountInSlot(bucketId: number, slot: number): number {
    return this.#slots.get(`${bucketId}/${slot}`)?.records.size ?? 0;
  }

  #scan(bucketId: number, from: number, to: number, visit: (record: ModelRecord) => boolean): void {
    for (let number = slotOfToken(from); number <= slotOfToken(to - 1); number++) {
      const slot = this.#slots.get(`${bucketId}/${number}`);
      if (slot === undefined) continue;
      slot.sorted ??= [...slot.records.values()].sort(
        (left, right) => left.token - right.token || Buffer.compare(left.key, right.key),
      );
      for (const record of slot.sorted)
        if (record.token >= from && record.token < to && !visit(record)) return;
    }
  }

  scanVersions(bucketId: number, fromToken: number, toToken: number, visitor: VersionVisitor): void {
    this.#scan(bucketId, fromToken, toToken, ({ token, key, version, expiresAtMs, digest }) =>
      visitor(token, key, version, expiresAtMs, digest),
    );
  }

  scanRange(bucketId: number, fromToken: number, toToken: number, visitor: RecordVisitor): void {
    this.#scan(bucketId, fromToken, toToken, (record) => visitor(record.token, record.key, record));
  }

  read(bucketId: number, key: Buffer): ModelRecord | undefined {
    return this.#slot(bucketId, slotOfToken(tokenOf(key))).records.get(key.toString('latin1'));
  }

  /** Stores without a question. */
  put(bucketId: number, key: Buffer, value: Buffer, version: number, expiresAtMs: number): void {
    const token = tokenOf(key);
    const slot = this.#slot(bucketId, slotOfToken(token));
    const checksum = recordChecksum(key, value);
    const digest = recordDigest(checksum, key.length, version, expiresAtMs);
    const before = slot.records.get(key.toString('latin1'));
    slot.digest = (slot.digest + digest - (before?.digest ?? 0)) >>> 0;
    slot.sorted = undefined;
    slot.records.set(key.toString('latin1'), {
      bucketId,
      key: Buffer.from(key),
      value: Buffer.from(value),
      version,
      expiresAtMs,
      token,
      checksum,
      digest,
    });
  }

  /** Takes a record away without a trace, as eviction does. */
  remove(bucketId: number, key: Buffer): void {
    const slot = this.#slot(bucketId, slotOfToken(tokenOf(key)));
    const before = slot.records.get(key.toString('latin1'));
    if (before === undefined) return;
    slot.records.delete(key.toString('latin1'));
    slot.digest = (slot.digest - before.digest) >>> 0;
    slot.sorted = undefined;
  }

  merge(bucketId: number, key: Buffer, value: Buffer, version: number, expiresAtMs: number): MergeResult {
    const before = this.read(bucketId, key);
    if (before !== undefined) {
      const order =
        version - before.version ||
        mergeOrder(expiresAtMs, recordChecksum(key, value), before.expiresAtMs, before.checksum);
      if (order <= 0) return order === 0 ? 'equal' : 'older';
    }
    if (this.full && expiresAtMs === 0) return 'refused';
    this.put(bucketId, key, value, version, expiresAtMs);
    return 'applied';
  }

  /** How a mutation that was kept as a hint is taken. */
  mergeHint(bucketId: number, key: Buffer, value: Buffer, version: number, expiresAtMs: number): MergeResult {
    return this.merge(bucketId, key, value, version, expiresAtMs);
  }

  mergeRepaired(
    bucketId: number,
    key: Buffer,
    value: Buffer,
    version: number,
    expiresAtMs: number,
  ): RepairMergeResult {
    const slot = this.#slot(bucketId, slotOfToken(tokenOf(key)));
    if (
      expiresAtMs !== 0 &&
      Math.max(versionMs(version), expiresAtMs) <= slot.purgedThroughMs &&
      !slot.records.has(key.toString('latin1'))
    )
      return 'purged';
    return this.merge(bucketId, key, value, version, expiresAtMs);
  }

  deadInSlot(bucketId: number, slot: number): boolean {
    const found = this.#slots.get(`${bucketId}/${slot}`);
    if (found === undefined) return false;
    for (const record of found.records.values()) if (record.expiresAtMs !== 0) return true;
    return false;
  }

  deadBefore(bucketId: number, slot: number, throughMs: number): boolean {
    for (const record of this.#slot(bucketId, slot).records.values())
      if (isOldDead(record, throughMs)) return true;
    return false;
  }

  purge(bucketId: number, slot: number, digest: number | undefined, throughMs: number): number {
    const found = this.#slot(bucketId, slot);
    if (digest !== undefined && found.digest !== digest) return -1;
    found.purgedThroughMs = Math.max(found.purgedThroughMs, throughMs);
    let dropped = 0;
    for (const record of [...found.records.values()]) {
      if (!isOldDead(record, throughMs)) continue;
      this.remove(bucketId, record.key);
      dropped++;
    }
    return dropped;
  }

  purgedThroughMs(bucketId: number, slot: number): number {
    return this.#slots.get(`${bucketId}/${slot}`)?.purgedThroughMs ?? 0;
  }

  /** The digests of all slots that hold something. */
  digests(): Map<string, number> {
    return new Map(
      [...this.#slots]
        .map(([name, { digest }]) => [name, digest] as const)
        .filter(([, digest]) => digest !== 0)
        .sort(),
    );
  }

  /** All records, by bucket and key. */
  all(): ModelRecord[] {
    return [...this.#slots.values()]
      .flatMap((slot) => [...slot.records.values()])
      .sort((left, right) => left.bucketId - right.bucketId || Buffer.compare(left.key, right.key));
  }

  /** Text that is equal exactly when the records of these slots are. */
  fingerprint(slots: ReadonlySet<number>): string {
    return this.all()
      .filter(({ token }) => slots.has(slotOfToken(token)))
      .map(
        ({ bucketId, key, value, version, expiresAtMs }) =>
          `${bucketId}/${key.toString('latin1')}=${value.toString('latin1')}@${version}!${expiresAtMs}`,
      )
      .join('\n');
  }
}
