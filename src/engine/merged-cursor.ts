/**
 * Walks both generations of a ledger as one, in the order of (token, key): an entry of the active generation hides its
 * equal in the frozen one, and what the active one has cleared.
 */
import { slotOfToken } from '../base/slots.js';
import type { LedgerGeneration } from './ledger.js';
import type { IndexCursor } from './memory/index-cursor.js';
import type { EngineRecord } from './types.js';

export class MergedCursor {
  readonly #active: LedgerGeneration;
  readonly #frozen: LedgerGeneration | undefined;
  readonly #activeCursor: IndexCursor;
  readonly #frozenCursor: IndexCursor | undefined;
  /** True when the present entry is the active generation's. */
  #atActive = true;
  /** The present entry's token; infinite past the end. */
  token = 0;

  constructor(active: LedgerGeneration, frozen: LedgerGeneration | undefined, fromToken: number) {
    this.#active = active;
    this.#frozen = frozen;
    this.#activeCursor = active.table.cursor(fromToken);
    this.#frozenCursor = frozen?.table.cursor(fromToken);
    this.#settle();
  }

  /** Chooses the smaller of both entries, after skipping those that are hidden. */
  #settle(): void {
    const active = this.#activeCursor;
    const frozen = this.#frozenCursor;
    while (
      frozen !== undefined &&
      frozen.reference !== 0 &&
      this.#active.hidesSlot(slotOfToken(frozen.token))
    ) {
      frozen.next();
    }
    if (frozen === undefined || frozen.reference === 0) {
      this.#atActive = true;
    } else if (active.reference === 0 || frozen.token !== active.token) {
      this.#atActive = active.token < frozen.token;
    } else {
      const order = this.#active.table.compare(
        active.reference,
        frozen.token,
        this.#frozen!.table.key(frozen.reference),
      );
      this.#atActive = order <= 0;
      if (order === 0) {
        // Hidden by its newer equal. What comes next of the frozen generation sorts behind it, cleared or not.
        frozen.next();
      }
    }
    this.token = this.#atActive ? active.token : frozen!.token;
  }

  next(): void {
    if (this.#atActive) this.#activeCursor.next();
    else this.#frozenCursor!.next();
    this.#settle();
  }

  isTombstone(): boolean {
    return this.#table().isTombstone(this.#reference());
  }

  version(): number {
    return this.#table().version(this.#reference());
  }

  expiresAtMs(): number {
    return this.#table().expiresAtMs(this.#reference());
  }

  digest(): number {
    return this.#table().digest(this.#reference());
  }

  /** The present entry's record; undefined for a tombstone. */
  record(): EngineRecord | undefined {
    const table = this.#table();
    const reference = this.#reference();
    return table.isTombstone(reference) ? undefined : table.record(reference);
  }

  key(): Buffer {
    return this.#table().key(this.#reference());
  }

  /** True when the present entry comes before a token and key. */
  isBefore(token: number, key: Buffer): boolean {
    if (this.token !== token) return this.token < token;
    return this.#table().compare(this.#reference(), token, key) < 0;
  }

  isAt(token: number, key: Buffer): boolean {
    return this.token === token && this.#table().compare(this.#reference(), token, key) === 0;
  }

  #table(): LedgerGeneration['table'] {
    return this.#atActive ? this.#active.table : this.#frozen!.table;
  }

  #reference(): number {
    return this.#atActive ? this.#activeCursor.reference : this.#frozenCursor!.reference;
  }
}
