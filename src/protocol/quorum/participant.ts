/**
 * Serves other nodes' coordinators: takes their mutations, answers their reads.
 *
 * Invariants:
 * - what lies further ahead of this node's wall clock than the drift is not taken;
 * - the journal gets exactly what was taken: the batch as it travelled, or, when some of it was not taken for a reason that a
 *   replay would not know again, the rest of it; and nothing when nothing was new;
 * - a durable batch is acknowledged only after the journal is synced, also when nothing in it was new: what made it old may
 *   not be synced itself;
 * - while this node is filled after the loss of its disk it takes mutations and answers no reads.
 */
import { LIMITS } from '../../base/limits.js';
import { highestVersionAt } from './clock.js';
import { forEachMutation, livedNote, MutationEncoder, type MutationVisitor } from './codec.js';
import type { QuorumContext } from './context.js';
import type { MutationNote, NodeId, QuorumMessage, ReadAnswer, ReadQuery } from './types.js';

const NONE: ReadAnswer = { what: 'none' };
const SAME: ReadAnswer = { what: 'same' };
const FILLING: ReadAnswer = { what: 'filling' };
const NO_NOTES: readonly MutationNote[] = [];

export class Participant {
  readonly #context: QuorumContext;
  readonly #encoder = new MutationEncoder();

  // The batch at hand
  #notes: MutationNote[] = [];
  #tellsLived = false;
  #applied = 0;
  #rejected: number[] = [];
  #highestAllowed = 0;
  #highestSeen = 0;

  constructor(context: QuorumContext) {
    this.#context = context;
  }

  mutate(from: NodeId, message: QuorumMessage & { readonly kind: 'mutate' }): void {
    const { outbox, clock, wallMs, timing } = this.#context;
    this.#notes = [];
    this.#tellsLived = message.purpose === 'write';
    this.#applied = 0;
    this.#rejected = [];
    this.#highestAllowed = highestVersionAt(wallMs, timing.maxClockDriftMs);
    this.#highestSeen = 0;
    forEachMutation(message.batch.bytes, this.#merge);
    if (this.#highestSeen > 0) clock.observe(this.#highestSeen, wallMs);
    if (this.#applied > 0) {
      if (this.#rejected.length === 0) outbox.journal(message.batch);
      else {
        forEachMutation(message.batch.bytes, this.#keep);
        outbox.journal(this.#encoder.take());
      }
    }
    const notes = this.#notes.length > 0 ? this.#notes : NO_NOTES;
    const answer = { kind: 'mutated' as const, id: message.id, notes };
    if (message.durable) outbox.sendAfterPersist(from, answer);
    else outbox.send(from, answer);
  }

  readonly #merge: MutationVisitor = (bucketId, key, value, version, expiresAtMs, position) => {
    if (version > this.#highestAllowed) {
      this.#notes.push({ position, what: 'ahead', version: 0 });
      this.#rejected.push(position);
      return;
    }
    const { store, wallMs } = this.#context;
    if (version > this.#highestSeen) this.#highestSeen = version;
    switch (store.merge(bucketId, key, value, version, expiresAtMs, wallMs)) {
      case 'applied':
        this.#applied++;
        if (this.#tellsLived && store.previousLive) this.#notes.push(livedNote(position));
        return;
      case 'equal':
        return;
      case 'older':
        this.#notes.push({ position, what: 'newer', version: store.previousVersion });
        return;
      case 'refused':
        this.#rejected.push(position);
        // Flushed or purged up to a newer version: a newer stamp would be taken.
        if (store.previousVersion >= version)
          this.#notes.push({ position, what: 'newer', version: store.previousVersion });
        else this.#notes.push({ position, what: 'refused', version: 0 });
        return;
    }
  };

  /** Encodes again what was not rejected. */
  readonly #keep: MutationVisitor = (bucketId, key, value, version, expiresAtMs, position) => {
    if (!this.#rejected.includes(position)) this.#encoder.add(bucketId, key, value, version, expiresAtMs);
  };

  read(from: NodeId, message: QuorumMessage & { readonly kind: 'read' }): void {
    const answers: ReadAnswer[] = [];
    let recordBytes = 0;
    const isFilling = this.#context.isFilling();
    for (const query of message.queries) {
      if (isFilling) {
        answers.push(FILLING);
        continue;
      }
      // The first record is always sent, so that whoever asks again gets on.
      const answer = this.#answer(query, recordBytes > LIMITS.maxQuorumAnswerBytes);
      if (answer.what === 'record') recordBytes += answer.record.value.length;
      answers.push(answer);
    }
    this.#context.outbox.send(from, { kind: 'records', id: message.id, answers });
  }

  #answer(query: ReadQuery, versionAlone: boolean): ReadAnswer {
    const { store } = this.#context;
    const { bucketId, key, knownVersion } = query;
    if (knownVersion > 0 && store.versionOf(bucketId, key) === knownVersion) return SAME;
    const record = store.read(bucketId, key);
    if (record === undefined) return NONE;
    if (knownVersion < 0 || record.version < knownVersion || versionAlone)
      return { what: 'version', version: record.version, expiresAtMs: record.expiresAtMs };
    return { what: 'record', record };
  }
}
