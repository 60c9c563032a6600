/**
 * Hinted handoff at work in a node: the core (`src/protocol/quorum/hints.ts`) over hints at rest in an engine of their
 * own, its changes as entries of the journal, its batches as messages of the quorum core.
 *
 * Batches that are handed over are acknowledged like any other; their ids lie in a range of their own, so that an
 * acknowledgement finds its way back here.
 */
import { ByteWriter } from '../../base/bytes.js';
import type { Engine } from '../../engine/types.js';
import { applyHintChange, decodeHintChange, encodeHintChange } from '../../protocol/quorum/hint-codec.js';
import type { HandoffStatistics } from '../../protocol/quorum/hint-types.js';
import { HintHandoff } from '../../protocol/quorum/hints.js';
import type {
  MutationBatch,
  NodeId,
  OutgoingQuorumMessage,
  QuorumMessage,
} from '../../protocol/quorum/types.js';
import { EngineHintStore } from '../../store/quorum/hint-store.js';

/** Ids of the quorum core begin below 2^32 and never come so far. */
const FIRST_ID = 2 ** 45;

export interface HintedHandoffOptions {
  readonly engine: Engine;
  /** Position of a node in the cluster map; -1: it is not in it. */
  readonly ordinalOf: (node: NodeId) => number;
  readonly nodeOf: (ordinal: number) => NodeId | undefined;
  /** False: the bucket was dropped. */
  readonly knowsBucket: (bucketId: number) => boolean;
  readonly random: () => number;
  readonly maxHintBytes: number;
  readonly maxHintAgeMs: number;
  readonly bytesPerSecond: number;
  readonly answerTimeoutMs: number;
}

/** What a turn wants done. */
export interface HandoffTurn {
  /** Carried out already; entries for the journal. */
  readonly changes: readonly Buffer[];
  readonly messages: readonly OutgoingQuorumMessage[];
  /** Hints for these were dropped: only a comparison of replicas can mend them. */
  readonly lacking: readonly NodeId[];
}

const NOTHING: HandoffTurn = { changes: [], messages: [], lacking: [] };

export class HintedHandoff {
  readonly #store: EngineHintStore;
  readonly #core: HintHandoff;

  constructor(options: HintedHandoffOptions) {
    const { engine, ordinalOf, nodeOf, knowsBucket, random } = options;
    this.#store = new EngineHintStore({ engine, ordinalOf, nodeOf, knowsBucket });
    this.#core = new HintHandoff({
      store: this.#store,
      random,
      maxHintBytesPerTarget: options.maxHintBytes,
      maxHintAgeMs: options.maxHintAgeMs,
      maxBytesPerSecond: options.bytesPerSecond,
      answerTimeoutMs: options.answerTimeoutMs,
    });
  }

  /** An entry of the journal that the last checkpoint may lack. */
  replayChange(bytes: Buffer): void {
    applyHintChange(this.#store, decodeHintChange(bytes));
  }

  keep(target: NodeId, batch: MutationBatch, wallMs: number): void {
    this.#core.add(target, batch, wallMs);
  }

  setReachable(peer: NodeId, reachable: boolean): void {
    this.#core.setReachable(peer, reachable);
  }

  peerReset(peer: NodeId): void {
    this.#core.peerReset(peer);
  }

  tick(nowMs: number, wallMs: number): void {
    this.#core.tick(nowMs, wallMs);
  }

  /** True when the message is an answer to a batch handed over, and so is dealt with. */
  acknowledged(from: NodeId, message: QuorumMessage): boolean {
    if (message.kind !== 'mutated' || message.id < FIRST_ID) return false;
    const notTaken: number[] = [];
    for (const { position, what } of message.notes)
      if (what === 'ahead' || what === 'refused') notTaken.push(position);
    this.#core.replayed(from, message.id - FIRST_ID, notTaken);
    return true;
  }

  hasEffects(): boolean {
    return this.#core.hasEffects();
  }

  takeEffects(): HandoffTurn {
    if (!this.#core.hasEffects()) return NOTHING;
    const { changes, replays, lacking } = this.#core.takeEffects();
    return {
      changes: changes.map((change) => {
        const writer = new ByteWriter();
        encodeHintChange(writer, change);
        return writer.take();
      }),
      messages: replays.map(({ id, target, batch }) => ({
        to: target,
        message: { kind: 'mutate', id: FIRST_ID + id, purpose: 'hint', durable: true, batch },
      })),
      lacking,
    };
  }

  /** Bytes of keys and values kept for other nodes. */
  keptBytes(): number {
    let bytes = 0;
    for (const target of this.#store.targets()) bytes += this.#store.bytes(target);
    return bytes;
  }

  statistics(): HandoffStatistics {
    return this.#core.statistics();
  }
}
