/**
 * A local Quoin cluster in processes of its own, run by `quoin up`: started on free ports with a directory that goes at the
 * end, its nodes killed, paused and found by process id.
 */

import { QUOIN } from './checkout.js';
import { freeBasePort, quoinPortOffsets } from './ports.js';
import { type RunningProcess, startProcess } from './processes.js';
import type { SlotRange } from './redis-cli.js';
import { answersPing, clusterSlots, infoField } from './redis-cli.js';
import { waitFor } from './wait.js';

const GONE_TIMEOUT_MS = 10_000;
const CHANGE_TIMEOUT_MS = 30_000;

/** A node as `quoin up --json` tells of it. */
export interface ClusterNode {
  readonly id: string;
  readonly pid: number;
  /** `host:port` of each door. */
  readonly resp: string;
  readonly http: string;
  readonly grpc: string;
  readonly dir: string;
}

export interface ClusterOptions {
  readonly nodes?: number;
  /** Keep data here, instead of in a directory that goes at the end. */
  readonly directory?: string;
  /** More arguments for `quoin up`, such as `--restart`. */
  readonly args?: readonly string[];
  /** Bind here instead of on ports that are free. */
  readonly basePort?: number;
  readonly readyTimeoutMs?: number;
}

export const portOf = (hostAndPort: string): number =>
  Number(hostAndPort.slice(hostAndPort.lastIndexOf(':') + 1));

function parseReadyLine(line: string): ClusterNode[] {
  const { nodes } = JSON.parse(line) as { readonly nodes: readonly ClusterNode[] };
  return [...nodes];
}

export class QuoinCluster {
  readonly nodes: readonly ClusterNode[];
  readonly basePort: number;
  readonly #supervisor: RunningProcess;
  /** Nodes that were started again by this process. */
  readonly #revived = new Map<string, RunningProcess>();

  private constructor(supervisor: RunningProcess, basePort: number, nodes: readonly ClusterNode[]) {
    this.#supervisor = supervisor;
    this.basePort = basePort;
    this.nodes = nodes;
  }

  /** Resolves when every node serves. */
  static async start(options: ClusterOptions = {}): Promise<QuoinCluster> {
    const count = options.nodes ?? 3;
    const basePort = options.basePort ?? (await freeBasePort(quoinPortOffsets(count)));
    const supervisor = await startProcess(process.execPath, [
      QUOIN,
      'up',
      '--json',
      ...['--nodes', String(count), '--base-port', String(basePort)],
      ...(options.directory === undefined ? ['--ephemeral'] : ['--dir', options.directory]),
      ...(options.args ?? []),
    ]);
    try {
      const line = await supervisor.line(
        (text) => text.startsWith('{"ready":true'),
        options.readyTimeoutMs ?? 60_000,
      );
      return new QuoinCluster(supervisor, basePort, parseReadyLine(line));
    } catch (error) {
      await supervisor.stop();
      throw error;
    }
  }

  /** The supervising process's output, for error messages. */
  output(): string {
    return this.#supervisor.output();
  }

  node(id: string): ClusterNode {
    const found = this.nodes.find((node) => node.id === id);
    if (found === undefined) throw new Error(`no node ${id} in this cluster`);
    return found;
  }

  respPorts(): number[] {
    return this.nodes.map((node) => portOf(node.resp));
  }

  /** Sends a signal to a node's process as it was started (SIGKILL, SIGSTOP, SIGCONT, ...). */
  signal(id: string, signal: NodeJS.Signals): void {
    process.kill(this.node(id).pid, signal);
  }

  /** Kills a node with SIGKILL; resolves when it is gone. Without `--restart` it stays so until it is revived. */
  async kill(node: ClusterNode): Promise<void> {
    const revived = this.#revived.get(node.id);
    if (revived !== undefined) {
      this.#revived.delete(node.id);
      await revived.stop('SIGKILL');
      return;
    }
    process.kill(node.pid, 'SIGKILL');
    await waitFor(`node ${node.id} is gone`, GONE_TIMEOUT_MS, () => {
      try {
        process.kill(node.pid, 0);
        return undefined;
      } catch {
        return true;
      }
    });
  }

  /** Starts a node that was killed again, with what it had. Resolves when its process runs, not when it serves. */
  async revive(node: ClusterNode): Promise<void> {
    // `quoin up` keeps a node's configuration beside its directory.
    const revived = await startProcess(process.execPath, [QUOIN, 'start', '--config', `${node.dir}.yaml`]);
    this.#revived.set(node.id, revived);
  }

  /** Changes options of a bucket; resolves when every node goes by them. */
  async changeBucket(name: string, changes: Readonly<Record<string, unknown>>): Promise<void> {
    const answer = await fetch(`http://${this.nodes[0]!.http}/v1/buckets/${name}`, {
      method: 'PATCH',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(changes),
    });
    if (!answer.ok) throw new Error(`bucket ${name} could not be changed: ${await answer.text()}`);
    await waitFor(`every node knows the changed bucket ${name}`, CHANGE_TIMEOUT_MS, async () => {
      for (const { http } of this.nodes) {
        const shown = (await (await fetch(`http://${http}/v1/buckets/${name}`)).json()) as Readonly<
          Record<string, unknown>
        >;
        if (Object.entries(changes).some(([option, value]) => shown[option] !== value)) return undefined;
      }
      return true;
    });
  }

  /** The slot ranges and their leaders as one node sees them; the first that answers when none is named. */
  async slots(viaId?: string): Promise<SlotRange[]> {
    let lastError: unknown;
    for (const node of viaId === undefined ? this.nodes : [this.node(viaId)]) {
      try {
        return await clusterSlots(portOf(node.resp));
      } catch (error) {
        lastError = error;
      }
    }
    throw new Error('no node answers CLUSTER SLOTS', { cause: lastError });
  }

  /** The node that leads a slot, as another node sees it; undefined while nobody does. */
  async leaderOfSlot(slot: number, viaId?: string): Promise<ClusterNode | undefined> {
    const range = (await this.slots(viaId)).find(({ first, last }) => first <= slot && slot <= last);
    return range && this.nodes.find((node) => portOf(node.resp) === portOf(range.leader));
  }

  /** The process that serves a node's port now; another than at the start when the node was restarted. */
  async pidOf(node: ClusterNode): Promise<number> {
    const pid = Number(await infoField(portOf(node.resp), 'server', 'process_id'));
    if (!Number.isSafeInteger(pid) || pid <= 1)
      throw new Error(`node ${node.id} does not tell its process_id`);
    return pid;
  }

  /** Resolves when every node answers and all slots have leaders in every node's eyes. */
  async waitUntilWhole(timeoutMs = 60_000): Promise<void> {
    await waitFor('every node answers and knows a leader for each slot', timeoutMs, async () => {
      for (const node of this.nodes) {
        if (!(await answersPing(portOf(node.resp)))) return undefined;
        const covered = (await this.slots(node.id)).reduce(
          (sum, { first, last }) => sum + last - first + 1,
          0,
        );
        if (covered !== 16384) return undefined;
        // Served is more than known: a write must pass through each node.
        const answer = await fetch(`http://${node.http}/readyz`, { signal: AbortSignal.timeout(5000) });
        if (answer.status !== 200) return undefined;
      }
      return true;
    });
  }

  /** Stops all nodes and removes ephemeral data. Paused nodes are continued first: they could not hear otherwise. */
  async stop(): Promise<void> {
    for (const node of this.nodes) {
      try {
        process.kill(node.pid, 'SIGCONT');
      } catch {
        // It has died before, as some are meant to.
      }
    }
    await Promise.all([...this.#revived.values()].map((revived) => revived.stop()));
    await this.#supervisor.stop();
  }
}
