/** What a membership core is made with. */
import type { NodeId } from '../raft/types.js';

export interface SwimTiming {
  /** One member is probed in each period. */
  readonly periodMs: number;
  /** How long a member may take to answer before others are asked to try. At most a third of the period, or they cannot. */
  readonly pingTimeoutMs: number;
  /** Members asked to probe one that does not answer (the paper's k). */
  readonly indirectProbes: number;
  /**
   * A suspect that many members have missed is dead after this many periods, times the decimal logarithm of the number of
   * members (at least 1). Enough for the news to reach the suspect and its answer to come back.
   */
  readonly suspicionMultiplier: number;
  /** A suspect that nobody else has missed is dead after so many times longer (Lifeguard's beta). */
  readonly suspicionMaxMultiplier: number;
  /** Accusers besides the first that make a suspicion as short as it gets. */
  readonly suspicionConfirmations: number;
  /** A piece of news is sent so many times the natural logarithm of the number of members (the paper's lambda). */
  readonly disseminationMultiplier: number;
  /** No more time than this passes between two calls: what is beyond it the process was not there to see. */
  readonly maxTickGapMs: number;
}

export const SWIM_TIMING: SwimTiming = {
  periodMs: 200,
  pingTimeoutMs: 65,
  indirectProbes: 3,
  suspicionMultiplier: 4,
  suspicionMaxMultiplier: 4,
  suspicionConfirmations: 3,
  disseminationMultiplier: 3,
  maxTickGapMs: 100,
};

export interface SwimOptions {
  readonly self: NodeId;
  /** A float in [0, 1). */
  readonly random: () => number;
  /** Monotonic time of the start. */
  readonly nowMs: number;
  /**
   * Where the incarnation starts. Wall-clock milliseconds make a restarted process newer than its former life at once; when
   * it starts lower all the same, the others tell it.
   */
  readonly firstIncarnation: number;
  readonly timing: SwimTiming;
}
