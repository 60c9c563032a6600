/** A planted bug: see `mutations.ts`. */
import type { Focus } from './swarm.js';

export interface Mutation {
  readonly name: string;
  /** What is wrong, as one sentence. */
  readonly sentence: string;
  /** Where it hurts: the faults that runs with this bug are made of. */
  readonly focus: Focus;
  /** Plants the bug; returns how to take it out again. */
  apply(): () => void;
}
