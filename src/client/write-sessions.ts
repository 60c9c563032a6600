/**
 * The client's side of exactly-once writes (Ongaro's thesis, 6.3): every write carries a session and a sequence, the same
 * in each of its attempts, and each group's state machine carries a pair out once. With every attempt goes the lowest
 * sequence that is still open: the answers below it have arrived, so the groups may forget them.
 *
 * Invariants: a pair names one write for good; `acknowledgedBelow` is never above the sequence it travels with; a session has
 * at most `LIMITS.maxSessionWindow` sequences between its lowest open one and its next.
 *
 * Departure: one write that is stuck would hold the window up for all. Then the client goes on under a new session; the
 * old one ends when its last write does.
 */
import { randomBytes } from 'node:crypto';
import { LIMITS } from '../base/limits.js';

const SESSION_BYTES = 8;
const NOBODY = '0'.repeat(2 * SESSION_BYTES);

function randomSession(): string {
  const id = randomBytes(SESSION_BYTES).toString('hex');
  return id === NOBODY ? randomSession() : id;
}

class WriteSession {
  readonly id = randomSession();
  #next = 1;
  /** In ascending order, since sequences are opened in it. */
  readonly #open = new Set<number>();

  get lowestOpen(): number {
    for (const sequence of this.#open) return sequence;
    return this.#next;
  }

  get full(): boolean {
    return this.#next - this.lowestOpen >= LIMITS.maxSessionWindow;
  }

  begin(): number {
    const sequence = this.#next++;
    this.#open.add(sequence);
    return sequence;
  }

  end(sequence: number): void {
    this.#open.delete(sequence);
  }
}

/** One write's place in its session. */
export class WriteStamp {
  readonly #session: WriteSession;
  readonly #sequence: number;

  constructor(session: WriteSession) {
    this.#session = session;
    this.#sequence = session.begin();
  }

  /** For an attempt that is made now. */
  headers(): Readonly<Record<string, string>> {
    return {
      'quoin-session': this.#session.id,
      'quoin-sequence': String(this.#sequence),
      'quoin-acknowledged-below': String(this.#session.lowestOpen),
    };
  }

  /** The write has its answer, or is given up: it will not be sent again. */
  end(): void {
    this.#session.end(this.#sequence);
  }
}

export class WriteSessions {
  #current = new WriteSession();

  begin(): WriteStamp {
    if (this.#current.full) this.#current = new WriteSession();
    return new WriteStamp(this.#current);
  }
}
