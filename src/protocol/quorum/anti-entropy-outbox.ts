/**
 * What anti-entropy wants done, gathered between two `takeEffects`, and what it has counted. Messages are encoded here, once, so
 * that bytes are counted as they travel.
 */
import { ByteWriter } from '../../base/bytes.js';
import { encodeRepairMessage } from './anti-entropy-codec.js';
import type { RepairMessage } from './anti-entropy-messages.js';
import type { AntiEntropyEffects, AntiEntropyStatistics, OutgoingRepair } from './anti-entropy-types.js';
import type { MutationBatch, NodeId } from './types.js';

const NO_BATCHES: readonly MutationBatch[] = [];
const NO_MESSAGES: readonly OutgoingRepair[] = [];
const NOTHING: AntiEntropyEffects = {
  journal: NO_BATCHES,
  messages: NO_MESSAGES,
  messagesAfterPersist: NO_MESSAGES,
};

/** The counters of `AntiEntropyStatistics`, counting. */
export type RepairCounters = { -readonly [name in keyof AntiEntropyStatistics]: number };

export class RepairOutbox {
  readonly #writer = new ByteWriter();
  #journal: MutationBatch[] = [];
  #messages: OutgoingRepair[] = [];
  #afterPersist: OutgoingRepair[] = [];
  readonly counters: RepairCounters = {
    sessions: 0,
    abandoned: 0,
    equal: 0,
    rounds: 0,
    bytesCompared: 0,
    bytesMoved: 0,
    keysMoved: 0,
    keysMended: 0,
    purged: 0,
    refusedPurged: 0,
  };

  get isEmpty(): boolean {
    return this.#journal.length === 0 && this.#messages.length === 0 && this.#afterPersist.length === 0;
  }

  #encode(message: RepairMessage): Buffer {
    encodeRepairMessage(this.#writer, message);
    return this.#writer.take();
  }

  /** Returns the encoded bytes of the message. */
  send(to: NodeId, message: RepairMessage): number {
    const body = this.#encode(message);
    this.#messages.push({ to, body });
    return body.length;
  }

  /** A message that promises what this node holds: it leaves only when all that was merged is durable. */
  sendAfterPersist(to: NodeId, message: RepairMessage): void {
    this.#afterPersist.push({ to, body: this.#encode(message) });
  }

  journal(batch: MutationBatch): void {
    this.#journal.push(batch);
  }

  take(): AntiEntropyEffects {
    if (this.isEmpty) return NOTHING;
    const effects = {
      journal: this.#journal,
      messages: this.#messages,
      messagesAfterPersist: this.#afterPersist,
    };
    this.#journal = [];
    this.#messages = [];
    this.#afterPersist = [];
    return effects;
  }
}
