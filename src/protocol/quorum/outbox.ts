/** Gathers effects between two `takeEffects`. Empty parts are shared constants, so that an idle turn allocates nothing. */
import type { MutationBatch, NodeId, OutgoingQuorumMessage, QuorumEffects, QuorumMessage } from './types.js';

interface Hint {
  readonly target: NodeId;
  readonly batch: MutationBatch;
}

const NO_BATCHES: readonly MutationBatch[] = [];
const NO_MESSAGES: readonly OutgoingQuorumMessage[] = [];
const NO_HINTS: readonly Hint[] = [];

const NOTHING: QuorumEffects = {
  journal: NO_BATCHES,
  messages: NO_MESSAGES,
  messagesAfterPersist: NO_MESSAGES,
  hints: NO_HINTS,
  persistToken: 0,
};

export class Outbox {
  #journal: MutationBatch[] = [];
  #messages: OutgoingQuorumMessage[] = [];
  #afterPersist: OutgoingQuorumMessage[] = [];
  #hints: Hint[] = [];
  #token = 0;
  #awaited = false;

  get isEmpty(): boolean {
    return (
      this.#journal.length === 0 &&
      this.#messages.length === 0 &&
      this.#afterPersist.length === 0 &&
      this.#hints.length === 0
    );
  }

  send(to: NodeId, message: QuorumMessage): void {
    this.#messages.push({ to, message });
  }

  /** A promise: it leaves only when all that was handed out with it is synced. */
  sendAfterPersist(to: NodeId, message: QuorumMessage): void {
    this.#afterPersist.push({ to, message });
  }

  /** What the store has merged already. */
  journal(batch: MutationBatch): void {
    this.#journal.push(batch);
  }

  /** The same, and the core waits for the sync. Returns the token that will tell of it. */
  journalAwaited(batch: MutationBatch): number {
    this.#journal.push(batch);
    this.#awaited = true;
    return this.#token + 1;
  }

  hint(target: NodeId, batch: MutationBatch): void {
    this.#hints.push({ target, batch });
  }

  take(): QuorumEffects {
    if (this.isEmpty) return NOTHING;
    let persistToken = 0;
    if (this.#awaited) {
      persistToken = ++this.#token;
      this.#awaited = false;
    }
    const effects = {
      journal: this.#journal.length > 0 ? this.#journal : NO_BATCHES,
      messages: this.#messages.length > 0 ? this.#messages : NO_MESSAGES,
      messagesAfterPersist: this.#afterPersist.length > 0 ? this.#afterPersist : NO_MESSAGES,
      hints: this.#hints.length > 0 ? this.#hints : NO_HINTS,
      persistToken,
    };
    if (this.#journal.length > 0) this.#journal = [];
    if (this.#messages.length > 0) this.#messages = [];
    if (this.#afterPersist.length > 0) this.#afterPersist = [];
    if (this.#hints.length > 0) this.#hints = [];
    return effects;
  }
}
