/** Failover of Quoin: the leader of a slot drawn at random is killed, `quoin up --restart` brings it back. */
import { randomInt } from 'node:crypto';
import { SLOT_COUNT, slotOf } from '../../src/base/slots.js';
import { encodeRequest, LoadConnection } from '../load/connection.js';
import { type ClusterNode, portOf, QuoinCluster } from '../support/quoin-cluster.js';
import type { SlotRange } from '../support/redis-cli.js';
import { waitFor } from '../support/wait.js';
import { type FailoverTarget, PROBE_INTERVAL_MS } from './failover.js';

const RECOVERY_LIMIT_MS = 120_000;
/** Ranges watched at most; a leader of many small ranges leads few groups. */
const MAX_PARTS = 16;

function keyInRange({ first, last }: SlotRange): string {
  for (let number = 0; ; number++) {
    const key = `failover:${number}`;
    const slot = slotOf(Buffer.from(key));
    if (slot >= first && slot <= last) return key;
  }
}

/** Writes to each key at a fixed rate through the survivors in turn. */
class Probe {
  readonly #connections: LoadConnection[] = [];
  readonly #sent = new Map<number, { readonly part: number; readonly sentMs: number }>();
  #timer: NodeJS.Timeout | undefined;
  #number = 0;

  async start(
    survivors: readonly ClusterNode[],
    keys: readonly string[],
    onAcknowledged: (part: number, sentMs: number, acknowledgedMs: number) => void,
  ): Promise<void> {
    const requests = keys.map((key) => encodeRequest(['SET', key, 'x'.repeat(64)]));
    // One connection for each survivor and key: an answer that waits for one group does not hold up another's.
    const lanes: LoadConnection[][] = [];
    for (const node of survivors) {
      const lane: LoadConnection[] = [];
      for (const _ of keys) {
        const connection = await LoadConnection.open('127.0.0.1', portOf(node.resp), {
          onReply: (tag, isError) => {
            const request = this.#sent.get(tag);
            this.#sent.delete(tag);
            if (request !== undefined && !isError)
              onAcknowledged(request.part, request.sentMs, performance.now());
          },
          onClose: () => {},
        });
        lane.push(connection);
        this.#connections.push(connection);
      }
      lanes.push(lane);
    }
    this.#timer = setInterval(() => {
      const lane = lanes[this.#number % lanes.length]!;
      for (const [part, request] of requests.entries()) {
        const tag = this.#number++;
        this.#sent.set(tag, { part, sentMs: performance.now() });
        lane[part]!.send(request, [tag]);
      }
    }, PROBE_INTERVAL_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    for (const connection of this.#connections) connection.close();
  }
}

export async function startQuoinFailover(): Promise<FailoverTarget> {
  const cluster = await QuoinCluster.start({ args: ['--restart'] });
  return {
    prepare: async (onAcknowledged) => {
      await cluster.waitUntilWhole(RECOVERY_LIMIT_MS);
      const victim = await waitFor('a leader to kill', RECOVERY_LIMIT_MS, () =>
        cluster.leaderOfSlot(randomInt(SLOT_COUNT)),
      );
      const survivors = cluster.nodes.filter((node) => node !== victim);
      const led = (await cluster.slots(survivors[0]!.id)).filter(
        (range) => portOf(range.leader) === portOf(victim.resp),
      );
      const keys = led.slice(0, MAX_PARTS).map(keyInRange);
      if (keys.length === 0) throw new Error('leadership moved while it was looked at');
      const pid = await cluster.pidOf(victim);
      const probe = new Probe();
      await probe.start(survivors, keys, (part, sentMs, acknowledgedMs) =>
        onAcknowledged({ part, sentMs, acknowledgedMs }),
      );
      return {
        parts: keys.length,
        nowMs: () => performance.now(),
        kill: () => process.kill(pid, 'SIGKILL'),
        restore: async () => {
          probe.stop();
          // The next round must not take the dead process for the one that replaces it.
          await waitFor('the killed node is back', RECOVERY_LIMIT_MS, async () => {
            const present = await cluster.pidOf(victim);
            return present === pid ? undefined : true;
          });
        },
      };
    },
    stop: () => cluster.stop(),
  };
}
