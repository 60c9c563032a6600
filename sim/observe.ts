/**
 * Watches what replicas do, from outside: while a run lasts, a few methods of theirs are wrapped by ones that tell the
 * checkers and then do what they always did.
 */
import type { QuorumWrite, WriteOutcome } from '../src/protocol/quorum/types.js';
import { RaftCore } from '../src/protocol/raft/core.js';
import { QuorumReplica } from '../src/replica/quorum/quorum-replica.js';
import { Replica } from '../src/replica/replica.js';
import type { Checkers } from './checkers/checkers.js';
import { patchHidden, patchMethod, undoAll } from './patch.js';

/** A replica of any kind, as far as it is looked at here. */
export type AnyReplica = Replica<unknown>;

/** The node that a replica runs on. */
function nodeOf(replica: object): string {
  const host: unknown = Reflect.get(replica, 'host');
  if (typeof host === 'object' && host !== null && 'self' in host && typeof host.self === 'string')
    return host.self;
  throw new TypeError('a replica knows its node');
}

/** Starts to watch; returns how to stop. `onFatal` hears why a replica gave up. */
export function observeReplicas(
  checkers: Checkers,
  onFatal: (node: string, group: number, error: unknown) => void,
): () => void {
  /** The replica whose effects are being taken. */
  let collecting: AnyReplica | undefined;
  let node = '';
  const replicas: AnyReplica = Replica.prototype;
  return undoAll([
    patchHidden(replicas, 'collect', (receiver, args, next) => {
      collecting = receiver instanceof Replica ? receiver : undefined;
      node = nodeOf(receiver);
      try {
        return next(args);
      } finally {
        collecting = undefined;
      }
    }),
    patchMethod(
      RaftCore.prototype,
      'takeEffects',
      (original) =>
        function (this: RaftCore) {
          const effects = original.call(this);
          if (collecting === undefined) return effects;
          const { group } = collecting;
          for (const entry of effects.committed) checkers.logs.committed(node, group, entry);
          if (effects.leadershipChanged) {
            const { role, term } = this.status();
            if (role === 'leader') checkers.leaders.leads(node, group, term);
          }
          return effects;
        },
    ),
    // `guard` is where a replica stops itself.
    patchHidden(replicas, 'guard', (receiver, args, next) => {
      const [work] = args;
      if (typeof work !== 'function' || !(receiver instanceof Replica)) return next(args);
      const watched = (): void => {
        try {
          Reflect.apply(work, undefined, []);
        } catch (error) {
          onFatal(nodeOf(receiver), receiver.group, error);
          throw error;
        }
      };
      return next([watched]);
    }),
  ]);
}

/** A write that tells which version it got, also where the client is told something else. */
class ObservedWrite implements QuorumWrite {
  readonly bucketId: number;
  readonly key: Buffer;
  readonly value: Buffer;
  readonly expiresAtMs: number;
  readonly replicas: QuorumWrite['replicas'];
  readonly w: number;
  readonly durable: boolean;
  readonly hinted: boolean;
  readonly #write: QuorumWrite;
  readonly #observer: { version: number | undefined };

  constructor(write: QuorumWrite, observer: { version: number | undefined }) {
    this.bucketId = write.bucketId;
    this.key = write.key;
    this.value = write.value;
    this.expiresAtMs = write.expiresAtMs;
    this.replicas = write.replicas;
    this.w = write.w;
    this.durable = write.durable;
    this.hinted = write.hinted;
    this.#write = write;
    this.#observer = observer;
  }

  written(outcome: WriteOutcome): void {
    if (outcome.ok) this.#observer.version = outcome.version;
    this.#write.written(outcome);
  }
}

/** Tells the attempt that a node is being handed which version its write to an eventual bucket gets. */
export function observeWrites(submitting: () => { version: number | undefined } | undefined): () => void {
  return patchMethod(
    QuorumReplica.prototype,
    'write',
    (original) =>
      function (this: QuorumReplica, write) {
        const observer = submitting();
        original.call(this, observer === undefined ? write : new ObservedWrite(write, observer));
      },
  );
}
