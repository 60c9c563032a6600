/** A fleet of real processes with one eventual bucket, and what its nodes tell of their copies. */
import { rmSync } from 'node:fs';
import { waitFor } from '../../bench/support/wait.js';
import { type Fleet, type FleetOptions, PATIENCE_MS, withFleet } from './fleet.js';

/** The bucket under test. */
export const EVENTUAL = 'eventual';

export interface EventualFleetOptions {
  /** Keys of the bucket beside name and replication. */
  readonly bucket?: Readonly<Record<string, unknown>>;
  /** Keys of the section `quorum`. */
  readonly quorum?: Readonly<Record<string, unknown>>;
}

/** Runs `work` with three nodes and a bucket `eventual`, n = 3, r = w = 2, in memory unless said otherwise. */
export function withEventualFleet<T>(
  { bucket, quorum }: EventualFleetOptions,
  work: (fleet: Fleet) => Promise<T>,
): Promise<T> {
  const options: FleetOptions = {
    sections: {
      buckets: [
        { name: 'default', replication: 'raft', engine: 'memory' },
        { name: EVENTUAL, replication: 'quorum', engine: 'memory', n: 3, r: 2, w: 2, ...bucket },
      ],
      quorum: { ...quorum },
    },
  };
  return withFleet(options, work);
}

/** One counter of a node since its process began. */
export async function metricOf(http: string, name: string): Promise<number> {
  const answer = await fetch(`http://${http}/metrics`, { signal: AbortSignal.timeout(10_000) });
  const line = (await answer.text()).split('\n').find((candidate) => candidate.startsWith(`${name}{`));
  if (line === undefined) throw new Error(`${http} has no metric ${name}`);
  return Number(line.slice(line.lastIndexOf(' ') + 1));
}

/** A counter of these nodes (all, unless named) together. */
export async function metricSum(fleet: Fleet, name: string, ids?: readonly string[]): Promise<number> {
  const nodes = fleet.nodes.filter(({ id }) => ids?.includes(id) ?? true);
  const values = await Promise.all(nodes.map(({ http }) => metricOf(http, name)));
  return values.reduce((sum, value) => sum + value, 0);
}

/** A node's digests over the slots of each group, of all eventual buckets. */
async function digestsOf(fleet: Fleet, id: string): Promise<string> {
  const answer = await fetch(`http://${fleet.node(id).http}/v1/cluster?digests=yes`, {
    signal: AbortSignal.timeout(10_000),
  });
  const { groups } = (await answer.json()) as {
    readonly groups: readonly { readonly id: number; readonly eventualDigest?: string }[];
  };
  const digests = groups.filter((group) => group.id !== 0).map((group) => group.eventualDigest);
  if (digests.length === 0 || digests.includes(undefined)) throw new Error(`${id} lacks digests`);
  return digests.join();
}

/** Resolves once these nodes (all, unless named) hold the same in all slots. Each of them is a replica of every slot. */
export async function untilConverged(
  fleet: Fleet,
  ids: readonly string[] = fleet.nodes.map(({ id }) => id),
): Promise<void> {
  await waitFor(`${ids.join(', ')} to be equal`, PATIENCE_MS, async () => {
    const digests = await Promise.all(ids.map((id) => digestsOf(fleet, id)));
    return new Set(digests).size === 1 ? true : undefined;
  });
}

/** Resolves once this node, which has lost its disk, answers reads again. */
export async function untilFilled(fleet: Fleet, id: string): Promise<void> {
  await waitFor(`${id} to be filled`, PATIENCE_MS, async () =>
    (await metricSum(fleet, 'quoin_eventual_filling', [id])) === 0 ? true : undefined,
  );
}

/** Resolves once this has been so for `durationMs`, by this process's clock. */
export async function untilElapsed(what: string, sinceMs: number, durationMs: number): Promise<void> {
  await waitFor(what, durationMs + PATIENCE_MS, () =>
    performance.now() - sinceMs >= durationMs ? true : undefined,
  );
}

/** Takes a dead node's disk. */
export function wipe(fleet: Fleet, id: string): void {
  rmSync(fleet.node(id).dataDirectory, { recursive: true });
}
