/**
 * One quorum core on the bench: a memory store below it, the peers played by the test, and helpers to see what it wants done.
 * `n1` is the core; other members are names.
 */
import { HybridClock, VERSION_EPOCH_MS } from '../../../src/protocol/quorum/clock.js';
import { forEachMutation, MutationEncoder } from '../../../src/protocol/quorum/codec.js';
import { QuorumCore } from '../../../src/protocol/quorum/core.js';
import type {
  Mutation,
  MutationBatch,
  MutationNote,
  NodeId,
  OutgoingQuorumMessage,
  QuorumCoreOptions,
  QuorumEffects,
  QuorumFailure,
  QuorumMessage,
  QuorumRead,
  QuorumRecord,
  QuorumTiming,
  QuorumWrite,
  ReadAnswer,
  ReplicaSet,
  WriteOutcome,
} from '../../../src/protocol/quorum/types.js';
import { MemoryQuorumStore } from './memory-store.js';

const SELF = 'n1';
const WALL_MS = VERSION_EPOCH_MS + 60_000_000_000;

export const TIMING: QuorumTiming = {
  timeoutMs: 2000,
  maxClockDriftMs: 1000,
  speculationQuantile: 0.99,
  minSpeculationMs: 5,
  readRepairChance: 0,
};

export function replicaSet(...members: NodeId[]): ReplicaSet {
  const others = members.filter((member) => member !== SELF);
  return { members, includesSelf: others.length < members.length, others };
}

export function mutationsOf(batch: MutationBatch): Mutation[] {
  const list: Mutation[] = [];
  forEachMutation(batch.bytes, (bucketId, key, value, version, expiresAtMs) => {
    list.push({ bucketId, key, value, version, expiresAtMs });
  });
  return list;
}

export function batchOf(...mutations: Mutation[]): MutationBatch {
  const encoder = new MutationEncoder();
  for (const { bucketId, key, value, version, expiresAtMs } of mutations)
    encoder.add(bucketId, key, value, version, expiresAtMs);
  return encoder.take();
}

export function mutation(key: string, value: string, version: number, expiresAtMs = 0): Mutation {
  return { bucketId: 1, key: Buffer.from(key), value: Buffer.from(value), version, expiresAtMs };
}

export function record(value: string, version: number, expiresAtMs = 0): ReadAnswer {
  return { what: 'record', record: { value: Buffer.from(value), version, expiresAtMs } };
}

type Mutate = QuorumMessage & { kind: 'mutate' };
type Read = QuorumMessage & { kind: 'read' };

/** What a read ended with. */
export interface ReadEnd {
  readonly record?: QuorumRecord | undefined;
  readonly failed?: QuorumFailure;
}

export class BenchCore {
  readonly store = new MemoryQuorumStore();
  readonly core: QuorumCore;
  /** Another node's clock, for versions that come from elsewhere. */
  readonly #foreign = new HybridClock(9, 3_600_000);
  nowMs = 1000;
  wallMs = WALL_MS;
  effects: QuorumEffects = {
    journal: [],
    messages: [],
    messagesAfterPersist: [],
    hints: [],
    persistToken: 0,
  };

  constructor(options: Partial<QuorumCoreOptions> & { readonly timingChanges?: Partial<QuorumTiming> } = {}) {
    const { timingChanges, ...changes } = options;
    this.core = new QuorumCore({
      self: SELF,
      ordinal: 1,
      store: this.store,
      random: () => 0.5,
      timing: { ...TIMING, ...timingChanges },
      lastVersion: 0,
      maxUnackedBytes: 1 << 20,
      ...changes,
    });
    for (const peer of ['n2', 'n3', 'n4', 'n5']) this.core.setReachable(peer, true);
  }

  /** A version given elsewhere, so many milliseconds from this node's wall clock. */
  version(offsetMs = 0): number {
    return this.#foreign.next(this.wallMs + offsetMs);
  }

  /** A record that is in this node's store. */
  holds(key: string, value: string, version: number, expiresAtMs = 0): void {
    this.store.merge(1, Buffer.from(key), Buffer.from(value), version, expiresAtMs, this.wallMs);
  }

  value(key: string): string | undefined {
    return this.store.read(1, Buffer.from(key))?.value.toString();
  }

  /** The outcomes of the write as they come; more than one is a defect. */
  write(
    key: string,
    value: string,
    options: Partial<Omit<QuorumWrite, 'key' | 'value' | 'written'>> & { readonly replicas: ReplicaSet },
  ): WriteOutcome[] {
    const outcomes: WriteOutcome[] = [];
    this.core.write(
      {
        bucketId: 1,
        key: Buffer.from(key),
        value: Buffer.from(value),
        expiresAtMs: 0,
        w: 2,
        durable: false,
        hinted: true,
        ...options,
        written: (outcome) => outcomes.push(outcome),
      },
      this.nowMs,
      this.wallMs,
    );
    return outcomes;
  }

  read(
    key: string,
    options: Partial<Omit<QuorumRead, 'key' | 'found' | 'failed'>> & { readonly replicas: ReplicaSet },
  ): ReadEnd[] {
    const ends: ReadEnd[] = [];
    this.core.read(
      {
        bucketId: 1,
        key: Buffer.from(key),
        r: 2,
        repair: true,
        ...options,
        found: (found) => ends.push({ record: found }),
        failed: (failed) => ends.push({ failed }),
      },
      this.nowMs,
      this.wallMs,
    );
    return ends;
  }

  /** Ends the turn. */
  take(): QuorumEffects {
    this.effects = this.core.takeEffects();
    return this.effects;
  }

  step(from: NodeId, message: QuorumMessage): void {
    this.core.step(from, message, this.nowMs, this.wallMs);
  }

  acknowledge(from: NodeId, message: { readonly id: number }, ...notes: MutationNote[]): void {
    this.step(from, { kind: 'mutated', id: message.id, notes });
  }

  answer(from: NodeId, message: { readonly id: number }, ...answers: ReadAnswer[]): void {
    this.step(from, { kind: 'records', id: message.id, answers });
  }

  /** Lets time pass, without a tick. */
  pass(ms: number): void {
    this.nowMs += ms;
    this.wallMs += ms;
  }

  tickAfter(ms: number): void {
    this.pass(ms);
    this.core.tick(this.nowMs, this.wallMs);
  }

  /** The messages of the last turn to a node; `mutate` and `read` fail when there is not exactly one. */
  messagesTo(peer: NodeId): QuorumMessage[] {
    return this.effects.messages.filter(({ to }) => to === peer).map(({ message }) => message);
  }

  mutateTo(peer: NodeId): Mutate {
    return only(this.effects.messages, peer, 'mutate');
  }

  readTo(peer: NodeId): Read {
    return only(this.effects.messages, peer, 'read');
  }

  /** Who gets messages of a kind in the last turn. */
  receivers(kind: QuorumMessage['kind']): NodeId[] {
    return this.effects.messages.filter(({ message }) => message.kind === kind).map(({ to }) => to);
  }
}

function only<Kind extends QuorumMessage['kind']>(
  messages: readonly OutgoingQuorumMessage[],
  peer: NodeId,
  kind: Kind,
): QuorumMessage & { kind: Kind } {
  const found: (QuorumMessage & { kind: Kind })[] = [];
  for (const { to, message } of messages) if (to === peer && isOfKind(message, kind)) found.push(message);
  if (found.length !== 1) throw new Error(`${found.length} messages of kind ${kind} to ${peer}`);
  return found[0]!;
}

function isOfKind<Kind extends QuorumMessage['kind']>(
  message: QuorumMessage,
  kind: Kind,
): message is QuorumMessage & { kind: Kind } {
  return message.kind === kind;
}

export function found(ends: readonly ReadEnd[]): string | undefined {
  if (ends.length !== 1 || ends[0]!.failed !== undefined) throw new Error(`ended as ${JSON.stringify(ends)}`);
  return ends[0]!.record?.value.toString();
}
