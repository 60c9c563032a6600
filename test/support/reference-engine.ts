/** The engine contract in its plainest form: a Map, sorted anew whenever it is walked. For tests of what lies above engines. */
import { crc32 } from 'node:zlib';
import { firstTokenOfSlot, SLOT_COUNT, slotOfToken } from '../../src/base/slots.js';
import {
  DELETED_EXPIRY_MS,
  type Engine,
  type EngineKind,
  type EngineMergeResult,
  type EngineRecord,
  type RangeDigest,
  type ScanVisitor,
  type VersionVisitor,
} from '../../src/engine/types.js';
import type { BucketDescription, EngineProvider } from '../../src/store/types.js';

interface Entry {
  readonly token: number;
  readonly key: Buffer;
  readonly record: EngineRecord;
}

function digestOf(entry: Entry): number {
  const { value, version, expiresAtMs } = entry.record;
  return crc32(`${entry.key.toString('hex')}/${value.toString('hex')}/${version}/${expiresAtMs}`);
}

export class ReferenceEngine implements Engine {
  readonly kind: EngineKind = 'memory';
  readonly #entries = new Map<string, Entry>();

  get(_token: number, key: Buffer): EngineRecord | undefined {
    const record = this.#entries.get(key.toString('latin1'))?.record;
    return record === undefined ? undefined : { ...record, value: Buffer.from(record.value) };
  }

  put(token: number, key: Buffer, value: Buffer, version: number, expiresAtMs: number): void {
    const record = { value: Buffer.from(value), version, expiresAtMs };
    this.#entries.set(key.toString('latin1'), { token, key: Buffer.from(key), record });
  }

  previousVersion = 0;
  previousExpiresAtMs = 0;

  merge(token: number, key: Buffer, value: Buffer, version: number, expiresAtMs: number): EngineMergeResult {
    const stored = this.get(token, key);
    this.previousVersion = stored?.version ?? 0;
    this.previousExpiresAtMs = stored?.expiresAtMs ?? 0;
    if (stored !== undefined) {
      // Compared from left to right; the first difference decides.
      const rank = (record: EngineRecord): number[] => [
        record.version,
        record.expiresAtMs === DELETED_EXPIRY_MS ? 1 : 0,
        crc32(record.value, crc32(key)),
        record.expiresAtMs,
      ];
      const [given, present] = [rank({ value, version, expiresAtMs }), rank(stored)];
      const decides = given.findIndex((part, i) => part !== present[i]);
      if (decides < 0) return 'equal';
      if (given[decides]! < present[decides]!) return 'older';
    }
    this.put(token, key, value, version, expiresAtMs);
    return 'applied';
  }

  versionOf(token: number, key: Buffer): number {
    return this.get(token, key)?.version ?? 0;
  }

  remove(_token: number, key: Buffer): boolean {
    return this.#entries.delete(key.toString('latin1'));
  }

  scan(fromToken: number, toToken: number, visitor: ScanVisitor): void {
    const within = [...this.#entries.values()].filter(({ token }) => token >= fromToken && token < toToken);
    within.sort((left, right) => left.token - right.token || left.key.compare(right.key));
    for (const { token, key, record } of within) if (!visitor(token, Buffer.from(key), record)) return;
  }

  scanVersions(fromToken: number, toToken: number, visitor: VersionVisitor): void {
    this.scan(fromToken, toToken, (token, key, record) =>
      visitor(token, key, record.version, record.expiresAtMs, digestOf({ token, key, record })),
    );
  }

  digestOfRange(fromToken: number, toToken: number): RangeDigest {
    let digest = 0;
    let count = 0;
    this.scan(fromToken, toToken, (token, key, record) => {
      digest = (digest + digestOf({ token, key, record })) >>> 0;
      count++;
      return true;
    });
    return { digest, count };
  }

  #ofSlot(slot: number): Entry[] {
    return [...this.#entries.values()].filter(({ token }) => slotOfToken(token) === slot);
  }

  keyCount(): number {
    return this.#entries.size;
  }

  keyCountInSlot(slot: number): number {
    return this.#entries.size === 0 ? 0 : this.#ofSlot(slot).length;
  }

  digestOfSlot(slot: number): number {
    let digest = 0;
    for (const entry of this.#ofSlot(slot)) digest = (digest + digestOf(entry)) >>> 0;
    return digest;
  }

  clearSlot(slot: number): void {
    for (const { key } of this.#ofSlot(slot)) this.#entries.delete(key.toString('latin1'));
  }

  clear(): void {
    this.#entries.clear();
  }

  memoryBytes(): number {
    return this.dataBytes();
  }

  dataBytes(): number {
    let sum = 0;
    for (const { key, record } of this.#entries.values()) sum += key.length + record.value.length;
    return sum;
  }
}

/** Opens engines of one kind, one for each bucket. */
export class TestEngines implements EngineProvider {
  readonly engines = new Map<number, Engine>();
  readonly #create: () => Engine;

  constructor(create: () => Engine = () => new ReferenceEngine()) {
    this.#create = create;
  }

  open(bucket: BucketDescription): Engine {
    const present = this.engines.get(bucket.id);
    if (present !== undefined) return present;
    const engine = this.#create();
    this.engines.set(bucket.id, engine);
    return engine;
  }

  drop(bucket: BucketDescription): void {
    this.engines.delete(bucket.id);
  }
}

/** Slots in which any engine has keys. */
export function occupiedSlots(engines: TestEngines): number[] {
  const slots = new Set<number>();
  for (const engine of engines.engines.values())
    engine.scan(0, firstTokenOfSlot(SLOT_COUNT), (token) => {
      slots.add(slotOfToken(token));
      return true;
    });
  return [...slots].sort((left, right) => left - right);
}
