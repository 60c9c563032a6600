/**
 * What a workload is: operations that clients carry out while everything fails, reads once all is healed, and a
 * check of what was seen. In the manner of FoundationDB's workloads, several run together against one cluster.
 */
import type { SimulatedClient } from '../client.js';

export interface Workload {
  readonly name: string;
  /** Operations begun so far. */
  readonly operations: number;
  /** One operation of one client; `done` is called once. */
  operate(client: SimulatedClient, done: () => void): void;
  /** What must be read once the cluster is healed and quiet; each read ends with `done(true)` when it got its answer. */
  finalReads(): readonly FinalRead[];
  /** Throws `SimulationViolation` when what was seen cannot be. */
  check(): void;
}

export type FinalRead = (client: SimulatedClient, done: (answered: boolean) => void) => void;
