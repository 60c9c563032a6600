/**
 * How long writes stop when the leader dies. Writes go out at a fixed rate whatever becomes of the earlier ones (open loop), to
 * nodes that survive. The leader is killed with SIGKILL; the outage lasts from that moment until the first write that was
 * sent after it is acknowledged. A system with several leaders is back when what the dead one led is back: all of it.
 */
import { randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { waitFor } from '../support/wait.js';

/** Between writes to one key. */
export const PROBE_INTERVAL_MS = 5;
/** Writes must flow for so long before a kill. */
const STEADY_MS = 500;
const OUTAGE_LIMIT_MS = 60_000;

/** An acknowledged write; times on one clock. */
export interface Acknowledgement {
  /** What the write stands for: one key of each part that the victim leads. */
  readonly part: number;
  readonly sentMs: number;
  readonly acknowledgedMs: number;
}

export interface FailoverTarget {
  /** Resolves when all nodes are back; then picks the node to kill and starts writing to what it leads. */
  prepare(onAcknowledged: (acknowledgement: Acknowledgement) => void): Promise<{
    /** Parts that must come back. */
    readonly parts: number;
    /** The clock of the acknowledgements. */
    nowMs(): number;
    kill(): void;
    /** Ends the writing and starts the victim again. */
    restore(): Promise<void>;
  }>;
  stop(): Promise<void>;
}

/** Kills the leader once; returns the outage in milliseconds. */
async function measureOnce(target: FailoverTarget): Promise<number> {
  let killedMs = Number.POSITIVE_INFINITY;
  const steady = new Set<number>();
  const back = new Map<number, number>();
  const round = await target.prepare(({ part, sentMs, acknowledgedMs }) => {
    if (killedMs === Number.POSITIVE_INFINITY) steady.add(part);
    else if (sentMs > killedMs && !back.has(part)) back.set(part, acknowledgedMs - killedMs);
  });
  try {
    await waitFor('writes flow before the kill', OUTAGE_LIMIT_MS, () =>
      steady.size === round.parts ? true : undefined,
    );
    // Off the beat of heartbeats and probes, so that kills fall anywhere between two of them.
    await delay(STEADY_MS + randomInt(250));
    killedMs = round.nowMs();
    round.kill();
    await waitFor('writes flow after the kill', OUTAGE_LIMIT_MS, () =>
      back.size === round.parts ? true : undefined,
    );
  } finally {
    await round.restore();
  }
  return Math.max(...back.values());
}

/** Outages of a number of kills, in milliseconds. */
export async function measureFailover(
  target: FailoverTarget,
  kills: number,
  onOutage: (outageMs: number) => void,
): Promise<number[]> {
  const outages: number[] = [];
  try {
    for (let kill = 0; kill < kills; kill++) {
      const outageMs = await measureOnce(target);
      outages.push(outageMs);
      onOutage(outageMs);
    }
  } finally {
    await target.stop();
  }
  return outages;
}
