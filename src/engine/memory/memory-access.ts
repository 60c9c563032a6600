/**
 * The access tracker of a memory engine: the order of use of its table (`access-order.ts`), made when it is first asked for.
 * The contract is `AccessTracker`.
 */
import { invariant } from '../../base/errors.js';
import { firstTokenOfSlot, slotOfToken } from '../../base/slots.js';
import type { AccessPolicy, AccessTracker, AccessVisitor } from '../types.js';
import type { AccessOrder } from './access-order.js';
import type { RecordTable } from './record-table.js';

/** What the tracker needs of its engine. */
export interface TrackedEngine {
  /** The present table: another one once the order is kept. */
  table(): RecordTable;
  /** Reference of the record that the last `get` found, 0 when none. */
  found(): number;
  memoryBytes(): number;
  /** Moves the records into a table that keeps the order. */
  keepOrder(): void;
}

export class MemoryAccess implements AccessTracker {
  readonly #engine: TrackedEngine;
  #table: RecordTable;
  #order: AccessOrder | undefined;

  constructor(engine: TrackedEngine) {
    this.#engine = engine;
    this.#table = engine.table();
  }

  get tracking(): boolean {
    return this.#order !== undefined;
  }

  track(): void {
    if (this.#order !== undefined) return;
    this.#engine.keepOrder();
    this.#table = this.#engine.table();
    this.#order = this.#table.order;
    invariant(this.#order !== undefined, 'the table keeps the order');
  }

  get timeMs(): number {
    return this.#order?.timeMs ?? 0;
  }

  set timeMs(readingMs: number) {
    if (this.#order !== undefined) this.#order.timeMs = readingMs;
  }

  #kept(): AccessOrder {
    invariant(this.#order !== undefined, 'the order of use is kept');
    return this.#order;
  }

  separate(order: number, slots: Iterable<number>): void {
    const table = this.#table;
    this.#kept().separate(order, slots, (slot, visit) => {
      const end = firstTokenOfSlot(slot + 1);
      const cursor = table.cursor(firstTokenOfSlot(slot));
      for (; cursor.reference !== 0 && cursor.token < end; cursor.next()) visit(cursor.reference);
    });
  }

  countOf(order: number): number {
    return this.#order?.countOf(order) ?? 0;
  }

  get count(): number {
    return this.#order?.count ?? 0;
  }

  touch(token: number, key: Buffer, leastFrequency = 0): boolean {
    const reference = this.#table.find(token, key);
    if (reference === 0) return false;
    this.#kept().touch(slotOfToken(token), reference, leastFrequency);
    return true;
  }

  idleMsOf(token: number, key: Buffer): number | undefined {
    const reference = this.#table.find(token, key);
    return reference === 0 ? undefined : this.#kept().idleMs(reference);
  }

  frequencyOf(token: number, key: Buffer): number | undefined {
    const reference = this.#table.find(token, key);
    return reference === 0 ? undefined : this.#kept().frequency(reference);
  }

  touchFound(token: number): void {
    const reference = this.#engine.found();
    invariant(reference !== 0, 'a record was found');
    this.#kept().touch(slotOfToken(token), reference);
  }

  idleMsOfFound(): number {
    const reference = this.#engine.found();
    invariant(reference !== 0, 'a record was found');
    return this.#kept().idleMs(reference);
  }

  findIdle(order: number, maxIdleMs: number, maxKeys: number, visitor: AccessVisitor): void {
    const kept = this.#kept();
    let left = maxKeys;
    kept.walkFromTail(order, (reference) => {
      const idleMs = kept.idleMs(reference);
      if (idleMs < maxIdleMs || left <= 0) return false;
      left--;
      return this.#visit(reference, idleMs, visitor);
    });
  }

  coldest(
    order: number,
    policy: AccessPolicy,
    maxKeys: number,
    restart: boolean,
    visitor: AccessVisitor,
  ): void {
    const kept = this.#kept();
    const visit = (reference: number): boolean => this.#visit(reference, kept.idleMs(reference), visitor);
    if (policy === 'lru') kept.longestUnused(order, maxKeys, restart, visit);
    else kept.leastUsed(order, maxKeys, visit);
  }

  #visit(reference: number, idleMs: number, visitor: AccessVisitor): boolean {
    const table = this.#table;
    return visitor(
      table.key(reference),
      table.version(reference),
      table.expiresAtMs(reference),
      idleMs,
      table.dataBytes(reference),
    );
  }

  memoryBytes(): number {
    return this.#engine.memoryBytes();
  }

  freeBytes(): number {
    return this.#table.freeBytes;
  }

  recordBytes(dataBytes: number): number {
    return this.#table.recordBytes(dataBytes);
  }

  compact(maxRecords: number): number {
    return this.#table.compact(maxRecords);
  }
}
