/**
 * One turn of a node: gathers what all its replicas have to do and does it in the one safe order.
 *
 * 1. each replica proposes what the turn has gathered, and registers its reads;
 * 2. messages that promise nothing go to the outboxes; entries and hard states to the log;
 * 3. one frame for each peer is sent, then the log is made durable with one write and one sync for all groups;
 * 4. committed entries are applied and requests answered;
 * 5. when the sync is done, and not before, the promises (votes, acknowledgements) go out.
 *
 * Invariant: after the log has failed nothing is promised or acknowledged any more; `onFailure` is told once.
 */
import type { Clock } from '../env/env.js';
import type { WriteAheadLog } from '../log/types.js';
import type { OutgoingMessage } from '../protocol/raft/types.js';
import type { PeerHub } from './peers/peer-hub.js';

/** What the pump needs of a replica. */
export interface Pumped {
  /** Proposes and registers what was gathered. */
  gather(nowMs: number): void;
  /** Takes the core's effects: sends messages, appends to the log; what must wait for the sync is added to `awaiting`. */
  collect(awaiting: AwaitingSync[]): void;
  /** Applies what is committed. */
  applyCommitted(): void;
  /** Sends promises that have become durable. */
  sendAfterPersist(messages: readonly OutgoingMessage[]): void;
  /** Tells the core that its log is durable up to here. */
  persisted(index: number, term: number): void;
}

/** One replica's part in a sync. */
export interface AwaitingSync {
  readonly replica: Pumped;
  readonly lastIndex: number;
  readonly lastTerm: number;
  readonly messages: readonly OutgoingMessage[];
}

export class Pump {
  readonly #clock: Clock;
  readonly #log: WriteAheadLog;
  readonly #peers: PeerHub;
  readonly #onFailure: (error: Error) => void;
  #dirty = new Set<Pumped>();
  #working = new Set<Pumped>();
  #scheduled = false;
  #stopped = false;

  constructor(clock: Clock, log: WriteAheadLog, peers: PeerHub, onFailure: (error: Error) => void) {
    this.#clock = clock;
    this.#log = log;
    this.#peers = peers;
    this.#onFailure = onFailure;
  }

  readonly #turn = (): void => {
    this.#scheduled = false;
    this.#run();
  };

  /** This replica has something to do: it takes part in the turn that ends next. */
  markDirty(replica: Pumped): void {
    this.#dirty.add(replica);
    this.schedule();
  }

  /** Outboxes may have something to send. */
  schedule(): void {
    if (this.#scheduled || this.#stopped) return;
    this.#scheduled = true;
    this.#clock.defer(this.#turn);
  }

  /** Nothing is sent, written or applied any more. */
  stop(): void {
    this.#stopped = true;
  }

  #run(): void {
    if (this.#stopped) return;
    const replicas = this.#dirty;
    this.#dirty = this.#working;
    this.#working = replicas;
    const nowMs = this.#clock.monotonicMs();
    for (const replica of replicas) replica.gather(nowMs);
    const awaiting: AwaitingSync[] = [];
    for (const replica of replicas) replica.collect(awaiting);
    this.#peers.flush();
    if (awaiting.length > 0) this.#log.commit((error) => this.#synced(awaiting, error));
    for (const replica of replicas) replica.applyCommitted();
    replicas.clear();
  }

  #synced(awaiting: readonly AwaitingSync[], error: Error | undefined): void {
    if (this.#stopped) return;
    if (error !== undefined) {
      this.stop();
      this.#onFailure(error);
      return;
    }
    for (const { replica, lastIndex, lastTerm, messages } of awaiting) {
      if (lastIndex > 0) replica.persisted(lastIndex, lastTerm);
      replica.sendAfterPersist(messages);
      this.markDirty(replica);
    }
    this.#peers.flush();
  }
}
