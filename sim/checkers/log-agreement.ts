/**
 * Agreement of logs (state machine safety, section 5.4.3 of the Raft paper): whatever replicas commit at one index of one
 * group is the same entry; and each life of a replica commits in order, without gaps.
 */
import type { LogEntry } from '../../src/protocol/raft/types.js';
import { SimulationViolation } from './violation.js';

interface Committed {
  readonly term: number;
  readonly fingerprint: number;
  readonly by: string;
}

export class LogAgreement {
  readonly #fingerprint: (payload: Uint8Array) => number;
  readonly #groups = new Map<number, Map<number, Committed>>();
  #entries = 0;

  constructor(fingerprint: (payload: Uint8Array) => number) {
    this.#fingerprint = fingerprint;
  }

  /** Different (group, index) pairs seen. */
  get entries(): number {
    return this.#entries;
  }

  /** A replica says that this entry is committed. */
  committed(node: string, group: number, entry: LogEntry): void {
    let entries = this.#groups.get(group);
    if (entries === undefined) {
      entries = new Map();
      this.#groups.set(group, entries);
    }
    const fingerprint = this.#fingerprint(entry.payload);
    const known = entries.get(entry.index);
    if (known === undefined) {
      entries.set(entry.index, { term: entry.term, fingerprint, by: node });
      this.#entries++;
      return;
    }
    if (known.term !== entry.term || known.fingerprint !== fingerprint)
      throw new SimulationViolation(
        'log agreement',
        `group ${group}, index ${entry.index}: ${known.by} committed an entry of term ${known.term}, ${node} another of term ${entry.term}`,
      );
  }
}
