/**
 * The replica of group 0, which decides the cluster map (paper 003's shard master). Changes are rare: each is an entry.
 *
 * Invariant: `onMap` is called with every new map, in order of epochs.
 */
import type { ClusterMap } from '../cluster/map.js';
import { encodeChange, type MapAnswer, type MapChange, type MapState } from '../cluster/map-state.js';
import type { LogEntry } from '../protocol/raft/types.js';
import type { Refusal } from './pending.js';
import { Replica, type ReplicaHost, type ReplicaStart } from './replica.js';

export interface PendingChange {
  readonly requestId: string;
  readonly change: MapChange;
  answer(answer: MapAnswer): void;
  refuse(refusal: Refusal): void;
}

export class MapReplica extends Replica<never> {
  readonly #state: MapState;
  readonly #onMap: (map: ClusterMap) => void;
  #gathered: PendingChange[] = [];
  readonly #proposed = new Map<string, PendingChange>();

  constructor(host: ReplicaHost, start: ReplicaStart, state: MapState, onMap: (map: ClusterMap) => void) {
    super(host, start, {
      slots: undefined,
      encodeHead: () => state.encode(),
      restoreHead: (head) => {
        state.restore(head);
        onMap(state.map);
      },
      // The head replaces everything; there is nothing else.
      reset: () => {},
      installBucket: () => {},
      installSlotSessions: () => {},
      setSlotReflects: () => {},
      installRecord: () => {},
    });
    this.#state = state;
    this.#onMap = onMap;
  }

  propose(pending: PendingChange): void {
    if (!this.leading || this.failed) {
      pending.refuse('not-leader');
      return;
    }
    this.#gathered.push(pending);
    this.host.pump.markDirty(this);
  }

  protected override proposeGathered(nowMs: number): void {
    const gathered = this.#gathered;
    this.#gathered = [];
    for (const pending of gathered) {
      const outcome = this.core.propose(encodeChange(pending.requestId, pending.change), nowMs);
      if (outcome.accepted) this.#proposed.set(pending.requestId, pending);
      else pending.refuse(outcome.reason === 'overloaded' ? 'overloaded' : 'not-leader');
    }
  }

  protected override applyEntry(entry: LogEntry): void {
    if (entry.payload.length === 0) return;
    const epochBefore = this.#state.map.epoch;
    const { requestId, answer } = this.#state.apply(entry.payload);
    if (this.#state.map.epoch !== epochBefore) this.#onMap(this.#state.map);
    this.#proposed.get(requestId)?.answer(answer);
    this.#proposed.delete(requestId);
  }

  protected override refusePending(): void {
    const pending = [...this.#gathered, ...this.#proposed.values()];
    this.#gathered = [];
    this.#proposed.clear();
    for (const change of pending) change.refuse('not-leader');
  }

  protected override encodeHead(): Buffer {
    return this.#state.encode();
  }

  protected override lead(): void {}
  protected override serveRead(): void {}
  protected override refuseRead(): void {}
}
