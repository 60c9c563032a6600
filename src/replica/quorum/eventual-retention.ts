/**
 * Bounds of eventual buckets in a node (paper 004, "Auto Clean-Up"): gives the keepers of bounds
 * (`src/store/quorum/bucket-bounds.ts`) their time and turns, and carries what they tell to the other replicas of each key.
 *
 * Nothing of it is journaled: after a crash what was evicted since the last checkpoint is there again, counts as used at the
 * start, and goes again, or sooner when another replica says so.
 *
 * Invariants:
 * - the work of a turn is bounded; what a turn has to tell one peer goes in one message, or in several where it would not
 *   fit into one frame;
 * - news that cannot be sent are dropped.
 */
import { ByteWriter } from '../../base/bytes.js';
import { LIMITS } from '../../base/limits.js';
import { slotOf } from '../../base/slots.js';
import type { NodeId, ReplicaSet } from '../../protocol/quorum/types.js';
import type { BoundsStatistics, BucketBounds, NewsVisitor } from '../../store/quorum/bucket-bounds.js';
import { MESSAGE } from '../peers/frame.js';
import type { PeerHub } from '../peers/peer-hub.js';
import {
  decodeRetentionNews,
  encodeRemoval,
  encodeUse,
  type RetentionNewsHandler,
} from './retention-codec.js';

/** A message of news is closed past this, so that with the largest key it fits into one frame. */
const MAX_MESSAGE_BYTES = LIMITS.maxFrameBytes / 2;

const NOBODY: readonly NodeId[] = [];

export interface EventualRetentionOptions {
  /** What keeps the buckets that have bounds; it changes with the cluster map. */
  readonly bounded: ReadonlyMap<number, BucketBounds>;
  readonly peers: Pick<PeerHub, 'sendMessage'>;
  /** Who holds a slot of a bucket; undefined: that is not known. */
  readonly replicasOf: (bucketId: number, slot: number) => ReplicaSet | undefined;
}

export class EventualRetention {
  readonly #options: EventualRetentionOptions;
  readonly #writers = new Map<NodeId, ByteWriter>();
  /** Whose news are being taken. */
  #bucketId = 0;

  constructor(options: EventualRetentionOptions) {
    this.#options = options;
  }

  /** What is read and merged from here on happens at this time. */
  noteTime(nowMs: number, wallMs: number): void {
    if (this.#options.bounded.size === 0) return;
    for (const bounds of this.#options.bounded.values()) bounds.noteTime(nowMs, wallMs);
  }

  /** Is there something to tell? */
  get hasNews(): boolean {
    if (this.#options.bounded.size === 0) return false;
    for (const bounds of this.#options.bounded.values()) if (bounds.hasNews) return true;
    return false;
  }

  tick(): void {
    for (const bounds of this.#options.bounded.values()) bounds.tick();
  }

  /** At the end of a turn, before frames are sent. True when there is more to do. */
  collect(): boolean {
    const { bounded } = this.#options;
    if (bounded.size === 0) return false;
    let goesOn = false;
    for (const [bucketId, bounds] of bounded) {
      if (bounds.settle()) goesOn = true;
      if (!bounds.hasNews) continue;
      this.#bucketId = bucketId;
      bounds.takeNews(this.#told);
    }
    for (const [peer, writer] of this.#writers) if (writer.lengthBytes > 0) this.#send(peer, writer);
    return goesOn;
  }

  /** Over all buckets that have bounds now. */
  statistics(): BoundsStatistics {
    const sum = { memoryBytes: 0, removed: 0, obeyed: 0 };
    for (const bounds of this.#options.bounded.values()) {
      const { memoryBytes, removed, obeyed } = bounds.statistics();
      sum.memoryBytes += memoryBytes;
      sum.removed += removed;
      sum.obeyed += obeyed;
    }
    return sum;
  }

  /** News of a peer. */
  receive(body: Buffer): void {
    decodeRetentionNews(body, this.#heard);
  }

  /** Writes to all other replicas of a key. */
  readonly #told: NewsVisitor = {
    removed: (reason, key, version) => {
      for (const peer of this.#othersOf(key)) {
        const writer = this.#writerOf(peer);
        encodeRemoval(writer, this.#bucketId, reason, key, version);
        if (writer.lengthBytes >= MAX_MESSAGE_BYTES) this.#send(peer, writer);
      }
    },
    used: (key, frequency) => {
      for (const peer of this.#othersOf(key)) {
        const writer = this.#writerOf(peer);
        encodeUse(writer, this.#bucketId, key, frequency);
        if (writer.lengthBytes >= MAX_MESSAGE_BYTES) this.#send(peer, writer);
      }
    },
  };

  readonly #heard: RetentionNewsHandler = {
    removed: (bucketId, reason, key, version) =>
      this.#options.bounded.get(bucketId)?.removedElsewhere(reason, key, version),
    used: (bucketId, key, frequency) => this.#options.bounded.get(bucketId)?.usedElsewhere(key, frequency),
  };

  #othersOf(key: Buffer): readonly NodeId[] {
    return this.#options.replicasOf(this.#bucketId, slotOf(key))?.others ?? NOBODY;
  }

  #writerOf(peer: NodeId): ByteWriter {
    let writer = this.#writers.get(peer);
    if (writer === undefined) {
      writer = new ByteWriter();
      this.#writers.set(peer, writer);
    }
    return writer;
  }

  #send(peer: NodeId, writer: ByteWriter): void {
    this.#options.peers.sendMessage(peer, MESSAGE.retention, 0, writer.view());
    writer.reset();
  }
}
