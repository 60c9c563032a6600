/** Turns the verdict on a history into a violation of the simulation. */
import type { Operation } from '../history.js';
import { checkHistory } from './linearizability.js';
import { SimulationViolation } from './violation.js';

/** Throws when a history is not linearizable, and when the search was too long to say. */
export function requireLinearizable(workload: string, history: readonly Operation[]): void {
  const result = checkHistory(history);
  if (!result.ok)
    throw new SimulationViolation('linearizability', `${workload}: ${result.kind}: ${result.explanation}`);
}
