/**
 * Hints at rest (`src/protocol/quorum/hint-types.ts`), in an engine of their own: the newest mutation for each node, bucket and
 * key. Each node has one slot of the engine, by its ordinal in the cluster map; within it hints go by the hash of bucket and
 * key.
 *
 *   token   ordinal (14 bits), hash (32 bits), 00
 *   key     bucketId varint, key bytes
 *   value, version, expiry: the mutation's
 *
 * Durability is the wiring's: changes are journaled, and the engine is checkpointed with all others.
 *
 * Invariant: the bytes counted for a node are those that the engine holds in its slot; counted anew at open, kept up to date by
 * every change.
 */
import { ByteReader, ByteWriter } from '../../base/bytes.js';
import { invariant } from '../../base/errors.js';
import { firstTokenOfSlot, hash32 } from '../../base/slots.js';
import type { Engine } from '../../engine/types.js';
import { MAX_ORDINALS } from '../../protocol/quorum/clock.js';
import { forEachMutation, MutationEncoder } from '../../protocol/quorum/codec.js';
import type { HintName, HintPage, HintStore } from '../../protocol/quorum/hint-types.js';
import type { MutationBatch, NodeId } from '../../protocol/quorum/types.js';

export interface EngineHintStoreOptions {
  readonly engine: Engine;
  /** Position of a node in the cluster map; -1: it is not in it. */
  readonly ordinalOf: (node: NodeId) => number;
  readonly nodeOf: (ordinal: number) => NodeId | undefined;
  /** False: the bucket was dropped, and nobody takes its hints any more. */
  readonly knowsBucket: (bucketId: number) => boolean;
}

export class EngineHintStore implements HintStore {
  readonly #engine: Engine;
  readonly #ordinalOf: (node: NodeId) => number;
  readonly #nodeOf: (ordinal: number) => NodeId | undefined;
  readonly #knowsBucket: (bucketId: number) => boolean;
  /** Bytes of keys and values, by ordinal. */
  readonly #bytes = new Float64Array(MAX_ORDINALS);
  readonly #keyWriter = new ByteWriter();
  readonly #encoder = new MutationEncoder();

  constructor(options: EngineHintStoreOptions) {
    this.#engine = options.engine;
    this.#ordinalOf = options.ordinalOf;
    this.#nodeOf = options.nodeOf;
    this.#knowsBucket = options.knowsBucket;
    for (let ordinal = 0; ordinal < MAX_ORDINALS; ordinal++) {
      if (this.#engine.keyCountInSlot(ordinal) === 0) continue;
      this.#engine.scan(
        firstTokenOfSlot(ordinal),
        firstTokenOfSlot(ordinal + 1),
        (_token, key, { value }) => {
          this.#bytes[ordinal]! += key.length + value.length;
          return true;
        },
      );
    }
  }

  #slotOf(target: NodeId): number {
    const ordinal = this.#ordinalOf(target);
    invariant(ordinal < MAX_ORDINALS, 'a node ordinal fits into seven bits');
    return ordinal;
  }

  /** The key of a hint in the engine; valid until the next call. */
  #keyOf(bucketId: number, key: Buffer): Buffer {
    this.#keyWriter.reset();
    this.#keyWriter.varint(bucketId);
    this.#keyWriter.raw(key);
    return this.#keyWriter.view();
  }

  add(target: NodeId, batch: MutationBatch): boolean {
    const slot = this.#slotOf(target);
    if (slot < 0) return false;
    const before = this.#engine.dataBytes();
    forEachMutation(batch.bytes, (bucketId, key, value, version, expiresAtMs) => {
      const hintKey = this.#keyOf(bucketId, key);
      this.#engine.merge(tokenIn(slot, hintKey), hintKey, value, version, expiresAtMs);
    });
    this.#bytes[slot]! += this.#engine.dataBytes() - before;
    return true;
  }

  page(
    target: NodeId,
    from: number,
    maxBytes: number,
    minVersion: number,
  ): (HintPage & { readonly expired: readonly HintName[] }) | undefined {
    const slot = this.#slotOf(target);
    if (slot < 0 || this.#engine.keyCountInSlot(slot) === 0) return undefined;
    const names: HintName[] = [];
    const expired: HintName[] = [];
    let sizeBytes = 0;
    let last = -1;
    let next = 0;
    this.#encoder.begin();
    const begin = Math.max(from, firstTokenOfSlot(slot));
    this.#engine.scan(begin, firstTokenOfSlot(slot + 1), (token, hintKey, record) => {
      // Keys of equal token stay together: a page ends between two tokens.
      if (sizeBytes >= maxBytes && token !== last) {
        next = token;
        return false;
      }
      last = token;
      sizeBytes += hintKey.length + record.value.length;
      const reader = new ByteReader(hintKey);
      const bucketId = reader.varint();
      const key = hintKey.subarray(reader.position);
      const name = { bucketId, key, version: record.version };
      if (record.version < minVersion || !this.#knowsBucket(bucketId)) expired.push(name);
      else {
        names.push(name);
        this.#encoder.add(bucketId, key, record.value, record.version, record.expiresAtMs);
      }
      return true;
    });
    if (names.length === 0 && expired.length === 0) return undefined;
    return { batch: this.#encoder.take(), names, expired, next };
  }

  remove(target: NodeId, names: readonly HintName[]): void {
    const slot = this.#slotOf(target);
    if (slot < 0) return;
    const before = this.#engine.dataBytes();
    for (const { bucketId, key, version } of names) {
      const hintKey = this.#keyOf(bucketId, key);
      const token = tokenIn(slot, hintKey);
      const kept = this.#engine.versionOf(token, hintKey);
      if (kept !== 0 && kept <= version) this.#engine.remove(token, hintKey);
    }
    this.#bytes[slot]! += this.#engine.dataBytes() - before;
  }

  bytes(target: NodeId): number {
    const slot = this.#slotOf(target);
    return slot < 0 ? 0 : this.#bytes[slot]!;
  }

  targets(): readonly NodeId[] {
    const targets: NodeId[] = [];
    for (let ordinal = 0; ordinal < MAX_ORDINALS; ordinal++) {
      if (this.#engine.keyCountInSlot(ordinal) === 0) continue;
      const node = this.#nodeOf(ordinal);
      if (node !== undefined) targets.push(node);
    }
    return targets;
  }

  dropTarget(target: NodeId): void {
    const slot = this.#slotOf(target);
    if (slot < 0) return;
    this.#engine.clearSlot(slot);
    this.#bytes[slot] = 0;
  }
}

function tokenIn(slot: number, hintKey: Buffer): number {
  return firstTokenOfSlot(slot) + hash32(hintKey) * 4;
}
