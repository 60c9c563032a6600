/** Gathers effects between two `takeEffects`. Empty parts are shared constants, so that an idle turn allocates nothing. */
import type {
  HardState,
  LogEntry,
  NodeId,
  OutgoingMessage,
  RaftEffects,
  RaftMessage,
  ReadReady,
} from './types.js';

const NO_MESSAGES: readonly OutgoingMessage[] = [];
const NO_READS: readonly ReadReady[] = [];
const NO_PEERS: readonly NodeId[] = [];
export const NO_ENTRIES: readonly LogEntry[] = [];

const NOTHING: RaftEffects = {
  hardState: undefined,
  entries: NO_ENTRIES,
  messages: NO_MESSAGES,
  messagesAfterPersist: NO_MESSAGES,
  committed: NO_ENTRIES,
  readsReady: NO_READS,
  snapshotsWanted: NO_PEERS,
  leadershipChanged: false,
};

export class Outbox {
  #messages: OutgoingMessage[] = [];
  #afterPersist: OutgoingMessage[] = [];
  #reads: ReadReady[] = [];
  #snapshots: NodeId[] = [];

  get isEmpty(): boolean {
    return (
      this.#messages.length === 0 &&
      this.#afterPersist.length === 0 &&
      this.#reads.length === 0 &&
      this.#snapshots.length === 0
    );
  }

  /** A message that promises nothing which is not durable yet. */
  send(to: NodeId, message: RaftMessage): void {
    this.#messages.push({ to, message });
  }

  /** A promise: it leaves only when all that was handed out with it is durable. */
  sendAfterPersist(to: NodeId, message: RaftMessage): void {
    this.#afterPersist.push({ to, message });
  }

  readReady(id: number, index: number): void {
    this.#reads.push({ id, index });
  }

  wantSnapshot(peer: NodeId): void {
    this.#snapshots.push(peer);
  }

  take(
    hardState: HardState | undefined,
    entries: readonly LogEntry[],
    committed: readonly LogEntry[],
    leadershipChanged: boolean,
  ): RaftEffects {
    if (
      this.isEmpty &&
      hardState === undefined &&
      entries.length === 0 &&
      committed.length === 0 &&
      !leadershipChanged
    )
      return NOTHING;
    let messages = NO_MESSAGES;
    if (this.#messages.length > 0) {
      messages = this.#messages;
      this.#messages = [];
    }
    let messagesAfterPersist = NO_MESSAGES;
    if (this.#afterPersist.length > 0) {
      messagesAfterPersist = this.#afterPersist;
      this.#afterPersist = [];
    }
    let readsReady = NO_READS;
    if (this.#reads.length > 0) {
      readsReady = this.#reads;
      this.#reads = [];
    }
    let snapshotsWanted = NO_PEERS;
    if (this.#snapshots.length > 0) {
      snapshotsWanted = this.#snapshots;
      this.#snapshots = [];
    }
    return {
      hardState,
      entries,
      messages,
      messagesAfterPersist,
      committed,
      readsReady,
      snapshotsWanted,
      leadershipChanged,
    };
  }
}
