/**
 * Watches what replicas do, from outside: while a run lasts, a few methods of `Replica` and `RaftCore` are wrapped by ones
 * that tell the checkers and then do what they always did.
 */
import { RaftCore } from '../src/protocol/raft/core.js';
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
