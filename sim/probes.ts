/**
 * Writes that a healed cluster must take soon: of a key of each group, at every node, in a linearizable and in an eventual
 * bucket.
 */
import { SLOT_COUNT, slotOf } from '../src/base/slots.js';
import type { ClusterNode, SimulatedCluster } from './cluster.js';
import { EVENTUAL_BUCKET, eventualReplicas } from './node.js';
import { clockDifferenceMs, type Swarm } from './swarm.js';

const RETRY_MS = 100;
/** Between two looks at clocks. */
const CLOCK_MARGIN_MS = 50;
/** For so long clocks may drift on while it is tried. */
const TRIED_FOR_MS = 20_000;

/** Keys that are written by probes alone: one for each group that owns slots. */
export function probeKeys(cluster: SimulatedCluster): readonly string[] {
  const { groups, slotOwners } = cluster.layout;
  const keys = new Map<number, string>();
  for (let i = 0; i < SLOT_COUNT && keys.size < groups.length - 1; i++) {
    const key = `probe-${i}`;
    const owner = slotOwners[slotOf(Buffer.from(key))] ?? 0;
    if (!keys.has(owner)) keys.set(owner, key);
  }
  return [...keys.values()];
}

export class Probes {
  /** Not yet acknowledged. */
  readonly waiting = new Set<string>();
  readonly #cluster: SimulatedCluster;
  readonly #swarm: Swarm;

  constructor(cluster: SimulatedCluster, swarm: Swarm) {
    this.#cluster = cluster;
    this.#swarm = swarm;
  }

  start(nodes: readonly ClusterNode[]): void {
    for (const node of nodes)
      for (const key of probeKeys(this.#cluster)) {
        this.#probe(node, 'default', key);
        if (this.#mayCoordinate(node, key)) this.#probe(node, EVENTUAL_BUCKET, key);
      }
  }

  /** Time until no version lies too far ahead of any clock. */
  get clocksWithinMs(): number {
    const differenceMs = clockDifferenceMs(this.#swarm, this.#cluster.nowMs);
    return Math.max(0, differenceMs - this.#swarm.quorum.maxClockDriftMs);
  }

  /**
   * Are the clocks near enough for this node to write the key? What it stamps may lie as far ahead as the latest clock, and
   * replicas whose clocks are too far behind that do not take it.
   */
  #mayCoordinate(node: ClusterNode, key: string): boolean {
    const { nowMs, nodes } = this.#cluster;
    const { quorum, clockDriftMax } = this.#swarm;
    const n = eventualReplicas(nodes.length);
    const nearMs = quorum.maxClockDriftMs - 4 * clockDriftMax * TRIED_FOR_MS - CLOCK_MARGIN_MS;
    const latestMs = Math.max(...nodes.map(({ machine }) => machine.clock.wallMs(nowMs)));
    const isNear = ({ machine }: ClusterNode): boolean => machine.clock.wallMs(nowMs) >= latestMs - nearMs;
    const members = this.#cluster.replicasOf(key, n);
    const takers = nodes.filter((other) => members.includes(other.id) && !other.retired && isNear(other));
    return isNear(node) && takers.length >= Math.min(2, n);
  }

  #probe(node: ClusterNode, bucket: string, key: string): void {
    const name = `${bucket}/${key} at ${node.id}`;
    this.waiting.add(name);
    const attempt = (): void =>
      this.#cluster.attemptAt(
        node,
        {
          command: 'set',
          bucket,
          args: [Buffer.from(key), Buffer.from(node.id)],
          consistency: 'linearizable',
          session: undefined,
          home: undefined,
        },
        (answer) => {
          if (answer.kind === 'reply') this.waiting.delete(name);
          else this.#cluster.later(RETRY_MS, attempt);
        },
      );
    attempt();
  }
}
