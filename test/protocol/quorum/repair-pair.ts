/** Two to five cores of anti-entropy over plain contents, with messages delivered at once: for table tests and counted bytes. */
import { slotOfToken, tokenOf } from '../../../src/base/slots.js';
import { AntiEntropy } from '../../../src/protocol/quorum/anti-entropy.js';
import { decodeRepairMessage } from '../../../src/protocol/quorum/anti-entropy-codec.js';
import type { RepairMessage } from '../../../src/protocol/quorum/anti-entropy-messages.js';
import type {
  AntiEntropyOptions,
  OutgoingRepair,
  RepairedBucket,
} from '../../../src/protocol/quorum/anti-entropy-types.js';
import { composeVersion } from '../../../src/protocol/quorum/clock.js';
import type { Filling } from '../../../src/protocol/quorum/filling.js';
import type { MutationBatch, NodeId } from '../../../src/protocol/quorum/types.js';
import { seededRandom } from '../raft/network.js';
import { ModelContents } from './model-contents.js';

/** The wall clock at monotonic time 0: some time in 2026. */
export const WALL_START_MS = 1_780_000_000_000;

export const BUCKET: RepairedBucket = { bucketId: 7, n: 3, antiEntropy: true, flushedThrough: 0 };

/** A version given `ageMs` before the wall clock's start. */
export function versionAt(ageMs: number, counter = 0, ordinal = 0): number {
  return composeVersion(WALL_START_MS - ageMs, counter, ordinal);
}

export interface PairOptions {
  readonly buckets?: readonly RepairedBucket[];
  readonly nodes?: number;
  readonly slots?: readonly number[];
  readonly options?: Partial<AntiEntropyOptions>;
  /** What all begin with. */
  readonly initial?: ModelContents;
  /** These have lost their disks. */
  readonly filling?: ReadonlyMap<NodeId, Filling>;
}

interface PairNode {
  readonly id: NodeId;
  readonly contents: ModelContents;
  readonly core: AntiEntropy;
  readonly journal: MutationBatch[];
}

export class RepairPair {
  readonly nodes: PairNode[] = [];
  readonly #slots: readonly number[];
  nowMs = 1000;
  /** Every message delivered, and whether it was held back until the journal was synced. */
  readonly delivered: { from: NodeId; to: NodeId; message: RepairMessage; afterPersist: boolean }[] = [];
  /** Return true to lose a message. */
  lose: (from: NodeId, to: NodeId, message: RepairMessage) => boolean = () => false;
  /** Called before a message is delivered. */
  before: (to: NodeId, message: RepairMessage) => void = () => undefined;
  largestBytes = 0;

  constructor({ buckets = [BUCKET], nodes = 2, slots, options = {}, initial, filling }: PairOptions = {}) {
    this.#slots = slots ?? Array.from({ length: 16384 }, (_, slot) => slot);
    const members = Array.from({ length: nodes }, (_, i) => `n${i + 1}`);
    members.forEach((id, position) => {
      const contents = initial?.clone() ?? new ModelContents(buckets);
      const core = new AntiEntropy({
        self: id,
        contents,
        random: seededRandom(position + 1),
        intervalMs: 1000,
        maxBytesPerSecond: 1e9,
        answerTimeoutMs: 500,
        graceMs: 60_000,
        maxClockDriftMs: 100,
        ...options,
        filling: filling?.get(id),
      });
      core.setGroups([{ group: 1, members, slots: this.#slots }]);
      for (const peer of members) if (peer !== id) core.setReachable(peer, true);
      this.nodes.push({ id, contents, core, journal: [] });
    });
  }

  node(id: NodeId): PairNode {
    const found = this.nodes.find((node) => node.id === id);
    if (found === undefined) throw new Error(`no node ${id}`);
    return found;
  }

  get wallMs(): number {
    return WALL_START_MS + this.nowMs;
  }

  /** Lets virtual time pass in ticks of 20 ms; messages arrive in the tick in which they were sent. */
  run(forMs: number): void {
    for (const endMs = this.nowMs + forMs; this.nowMs < endMs; ) {
      this.nowMs += 20;
      for (const node of this.nodes) node.core.tick(this.nowMs, this.wallMs);
      this.#deliverAll();
    }
  }

  #deliverAll(): void {
    for (let idle = false; !idle; ) {
      idle = true;
      for (const node of this.nodes) {
        if (!node.core.hasEffects()) continue;
        idle = false;
        const effects = node.core.takeEffects();
        node.journal.push(...effects.journal);
        for (const outgoing of effects.messages) this.#deliver(node.id, outgoing, false);
        for (const outgoing of effects.messagesAfterPersist) this.#deliver(node.id, outgoing, true);
      }
    }
  }

  #deliver(from: NodeId, { to, body }: OutgoingRepair, afterPersist: boolean): void {
    const message = decodeRepairMessage(body);
    this.largestBytes = Math.max(this.largestBytes, body.length);
    if (this.lose(from, to, message)) return;
    this.before(to, message);
    this.delivered.push({ from, to, message, afterPersist });
    this.node(to).core.step(from, body, this.nowMs, this.wallMs);
  }

  /** Every replica's records, as text. */
  fingerprints(): string[] {
    const slots = new Set(this.#slots);
    return this.nodes.map(({ contents }) => contents.fingerprint(slots));
  }
}

/** A key whose slot is this one. */
export function keyInSlot(slot: number, salt = 0): Buffer {
  for (let i = 0; ; i++) {
    const key = Buffer.from(`key:${salt}:${i}`);
    if (slotOfToken(tokenOf(key)) === slot) return key;
  }
}
