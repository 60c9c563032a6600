/** Opens logs on a faulty disk under a manual clock, and reads their whole state for comparing. */

import type { WriteAheadLog } from '../../src/log/types.js';
import { type LogOptions, openLog } from '../../src/log/write-ahead-log.js';
import type { LogEntry } from '../../src/protocol/raft/types.js';
import { FaultyDisk } from './faulty-disk.js';
import { ManualClock } from './manual-clock.js';

export const DIRECTORY = '/data/log';
export const REACH_PATH = '/data/log.json';

export class LogHarness {
  readonly disk = new FaultyDisk();
  readonly clock = new ManualClock();
  readonly options: LogOptions;
  log: WriteAheadLog;

  constructor(options: LogOptions = {}) {
    this.options = { syncStrategy: 'blocking', fillBytes: 0, reachPath: REACH_PATH, ...options };
    this.log = openLog(this.disk, this.clock, DIRECTORY, this.options);
  }

  reopen(options: LogOptions = this.options): WriteAheadLog {
    this.clock.clear();
    this.log = openLog(this.disk, this.clock, DIRECTORY, options);
    return this.log;
  }

  /** The process dies and the log is opened again. */
  restart(): WriteAheadLog {
    this.disk.kill();
    return this.reopen();
  }

  /** Commits and runs until the outcome is told. */
  commit(): Error | undefined {
    const outcomes: (Error | undefined)[] = [];
    this.log.commit((error) => outcomes.push(error));
    this.settle();
    if (outcomes.length !== 1) throw new Error(`the commit has been answered ${outcomes.length} times`);
    return outcomes[0];
  }

  settle(): void {
    do {
      this.clock.run();
      this.disk.completeSync();
    } while (this.clock.deferred > 0 || this.disk.pendingSyncs > 0);
  }
}

export function entry(index: number, term: number, payload: string | Buffer = `entry ${index}`): LogEntry {
  return { index, term, payload: Buffer.from(payload) };
}

export function entries(from: number, to: number, term: number): LogEntry[] {
  return Array.from({ length: to - from }, (_, i) => entry(from + i, term));
}

/** All that a group's log holds, in a form to compare. */
export function contents(log: WriteAheadLog, group: number): object {
  const reader = log.group(group);
  const first = reader.firstIndex();
  const last = reader.lastIndex();
  const read = first <= last ? reader.entries(first, last + 1, Number.POSITIVE_INFINITY) : [];
  return {
    base: first - 1,
    baseTerm: reader.term(first - 1),
    entries: read.map((one) => `${one.index}/${one.term}/${one.payload.toString()}`),
  };
}

export function segmentPath(number: number): string {
  return `${DIRECTORY}/${String(number).padStart(10, '0')}.log`;
}
