/** What the parts of one core share: options, clock, peers, outbox, the time of the present call, counters. */
import { HybridClock } from './clock.js';
import { Outbox } from './outbox.js';
import { Peers } from './peers.js';
import type { QuorumCoreOptions, QuorumStore, QuorumTiming } from './types.js';

/** Message ids begin at random, so that an answer to an earlier process is not taken for one to this. */
const FIRST_IDS = 2 ** 32;

export class QuorumContext {
  readonly options: QuorumCoreOptions;
  readonly timing: QuorumTiming;
  readonly store: QuorumStore;
  readonly clock: HybridClock;
  readonly outbox = new Outbox();
  readonly peers = new Peers();
  /** Sends off the writes gathered so far: questions that leave early leave behind them. */
  closeWrites: () => void = () => {};
  nowMs = 0;
  wallMs = 0;
  stopped = false;
  #lastMessageId: number;

  // Counters
  writes = 0;
  reads = 0;
  localReads = 0;
  readRepairs = 0;
  speculativeReads = 0;
  restamped = 0;
  hinted = 0;
  timeouts = 0;
  unackedBytes = 0;

  constructor(options: QuorumCoreOptions) {
    this.options = options;
    this.timing = options.timing;
    this.store = options.store;
    this.clock = new HybridClock(options.ordinal, options.timing.maxClockDriftMs, options.lastVersion);
    this.#lastMessageId = Math.floor(options.random() * FIRST_IDS);
  }

  /** True while the records held here answer no reads. */
  isFilling(): boolean {
    return this.options.filling?.isFilling() ?? false;
  }

  nextMessageId(): number {
    return ++this.#lastMessageId;
  }
}
