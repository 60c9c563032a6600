/**
 * Nodes for process tests, each run as in production: `quoin start --config FILE`, in a process and a directory of its own.
 * Unlike a cluster of `quoin up` each can be killed, paused, started again, and started wrongly, and tells how it ended.
 *
 * Invariant: a node has a channel to this process and stops when that closes, so that no node outlives its test.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { QUOIN } from '../../bench/support/checkout.js';
import { freeBasePort, quoinPortOffsets } from '../../bench/support/ports.js';
import { waitFor } from '../../bench/support/wait.js';

/** Longer than anything may take on a machine that has other things to do. */
export const PATIENCE_MS = 90_000;
const OUTPUT_KEPT_BYTES = 256 * 1024;

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** One life of the command `quoin`. */
export class QuoinProcess {
  readonly pid: number;
  readonly exited: Promise<Exit>;
  exit: Exit | undefined;
  stdout = '';
  stderr = '';
  readonly #child: ChildProcess;

  /** `wrapper`: a command that runs the rest of its arguments, such as `prlimit`. */
  constructor(words: readonly string[], wrapper: readonly string[] = []) {
    const [command = '', ...args] = [...wrapper, process.execPath, QUOIN, ...words];
    this.#child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
    this.pid = this.#child.pid ?? 0;
    this.#child.stdout?.on('data', (chunk: Buffer) => {
      this.stdout = (this.stdout + chunk.toString()).slice(-OUTPUT_KEPT_BYTES);
    });
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.stderr = (this.stderr + chunk.toString()).slice(-OUTPUT_KEPT_BYTES);
    });
    this.exited = new Promise((resolve, reject) => {
      this.#child.once('error', reject);
      // Not 'exit': by 'close' all it has said is here.
      this.#child.once('close', (code, signal) => {
        this.exit = { code, signal };
        resolve(this.exit);
      });
    });
  }

  get alive(): boolean {
    return this.exit === undefined;
  }

  signal(signal: NodeJS.Signals): void {
    if (this.alive) process.kill(this.pid, signal);
  }

  /** How it ended; rejects when it has not within the time. */
  async end(timeoutMs = PATIENCE_MS): Promise<Exit> {
    return await waitFor(`process ${this.pid} to end`, timeoutMs, () => this.exit);
  }
}

export interface FleetNode {
  readonly id: string;
  /** `host:port` of each door. */
  readonly resp: string;
  readonly http: string;
  readonly grpc: string;
  readonly dataDirectory: string;
  readonly configurationPath: string;
  readonly configuration: Readonly<Record<string, unknown>>;
}

export interface FleetOptions {
  readonly nodes?: number;
  /** Keys of the `cluster` section. */
  readonly cluster?: Readonly<Record<string, unknown>>;
  /** Other sections of the configuration. */
  readonly sections?: Readonly<Record<string, object>>;
  /** Data directories other than the fleet's own, by node. */
  readonly dataDirectories?: Readonly<Record<string, string>>;
}

/** A node's part in a group, as `GET /v1/cluster?digests=yes` tells of it. */
export interface GroupView {
  readonly id: number;
  readonly members: readonly string[];
  readonly leader: string | null;
  readonly slots: readonly { readonly from: number; readonly to: number }[];
  readonly local: {
    readonly role: string;
    readonly term: number;
    readonly commitIndex: number;
    readonly appliedIndex: number;
    readonly digest: string;
  } | null;
}

export const portOf = (hostAndPort: string): number =>
  Number(hostAndPort.slice(hostAndPort.lastIndexOf(':') + 1));

export class Fleet {
  readonly directory: string;
  readonly nodes: readonly FleetNode[];
  readonly #processes = new Map<string, QuoinProcess>();
  readonly #everStarted: { readonly id: string; readonly process: QuoinProcess }[] = [];

  private constructor(directory: string, nodes: readonly FleetNode[]) {
    this.directory = directory;
    this.nodes = nodes;
  }

  /** Lays out ports, directories and configurations. Nothing runs yet. */
  static async prepare(options: FleetOptions = {}): Promise<Fleet> {
    const count = options.nodes ?? 3;
    const base = await freeBasePort(quoinPortOffsets(count));
    const directory = mkdtempSync(join(tmpdir(), 'quoin-fleet-'));
    const ids = Array.from({ length: count }, (_, index) => `n${index + 1}`);
    const at = (offset: number): string => `127.0.0.1:${base + offset}`;
    const nodes = ids.map((id, index): FleetNode => {
      const dataDirectory = options.dataDirectories?.[id] ?? join(directory, id);
      const listen = { resp: at(index), http: at(1000 + index), grpc: at(2000 + index) };
      const configuration = {
        node: { id, dataDir: dataDirectory },
        listen,
        advertise: '127.0.0.1',
        cluster: { join: count === 1 ? [] : ids.map((_, peer) => at(2000 + peer)), ...options.cluster },
        buckets: [{ name: 'default', replication: 'raft', engine: 'lmdb' }],
        log: { format: 'json' },
        ...options.sections,
      };
      const configurationPath = join(directory, `${id}.yaml`);
      writeFileSync(configurationPath, stringify(configuration));
      return { id, ...listen, dataDirectory, configurationPath, configuration };
    });
    return new Fleet(directory, nodes);
  }

  /** Prepares, starts all nodes and resolves when all serve. */
  static async start(options: FleetOptions = {}): Promise<Fleet> {
    const fleet = await Fleet.prepare(options);
    try {
      for (const { id } of fleet.nodes) fleet.startNode(id);
      await fleet.untilReady();
      return fleet;
    } catch (error) {
      await fleet.stop();
      throw error;
    }
  }

  node(id: string): FleetNode {
    const found = this.nodes.find((node) => node.id === id);
    if (found === undefined) throw new Error(`no node ${id} in this fleet`);
    return found;
  }

  startNode(id: string, options: { readonly wrapper?: readonly string[] } = {}): QuoinProcess {
    if (this.#processes.get(id)?.alive === true) throw new Error(`node ${id} runs already`);
    const process = new QuoinProcess(['start', '--config', this.node(id).configurationPath], options.wrapper);
    this.#processes.set(id, process);
    this.#everStarted.push({ id, process });
    return process;
  }

  /** The node's present or last process. */
  process(id: string): QuoinProcess {
    const found = this.#processes.get(id);
    if (found === undefined) throw new Error(`node ${id} was never started`);
    return found;
  }

  running(): FleetNode[] {
    return this.nodes.filter(({ id }) => this.#processes.get(id)?.alive === true);
  }

  /** Kills with SIGKILL, all at the same moment; resolves when they are gone. */
  async kill(...ids: readonly string[]): Promise<void> {
    for (const id of ids) this.process(id).signal('SIGKILL');
    await Promise.all(ids.map((id) => this.process(id).exited));
  }

  /** Resolves when these nodes (all, unless named) serve. Rejects at once when one of them has ended. */
  async untilReady(ids: readonly string[] = this.nodes.map(({ id }) => id)): Promise<void> {
    await Promise.all(
      ids.map((id) =>
        Promise.race([
          waitFor(`node ${id} to serve`, PATIENCE_MS, async () => {
            const answer = await fetch(`http://${this.node(id).http}/readyz`, {
              signal: AbortSignal.timeout(5000),
            });
            await answer.arrayBuffer();
            return answer.status === 200 ? true : undefined;
          }),
          this.process(id).exited.then(({ code, signal }) => {
            throw new Error(`node ${id} ended (${code ?? signal}): ${this.process(id).stderr}`);
          }),
        ]),
      ),
    );
  }

  /** The groups as a node sees them now. */
  async groups(id: string): Promise<GroupView[]> {
    const answer = await fetch(`http://${this.node(id).http}/v1/cluster?digests=yes`, {
      signal: AbortSignal.timeout(5000),
    });
    return ((await answer.json()) as { readonly groups: GroupView[] }).groups;
  }

  /** Resolves with the group's leader as node `via` sees it, once that satisfies `accept`. */
  async leaderOf(
    group: number,
    via: string,
    accept: (leader: string) => boolean = () => true,
  ): Promise<string> {
    return await waitFor(`a leader of group ${group} in the eyes of ${via}`, PATIENCE_MS, async () => {
      const leader = (await this.groups(via)).find(({ id }) => id === group)?.leader;
      return typeof leader === 'string' && accept(leader) ? leader : undefined;
    });
  }

  /** What every process of the fleet has said, for error messages. */
  output(): string {
    return this.#everStarted
      .map(({ id, process }) => `--- ${id}, pid ${process.pid}\n${process.stdout}${process.stderr}`)
      .join('\n');
  }

  /** Stops all nodes, paused ones too, and removes the directory. */
  async stop(): Promise<void> {
    const processes = [...this.#processes.values()];
    for (const process of processes) {
      process.signal('SIGCONT');
      process.signal('SIGTERM');
    }
    const kill = setTimeout(() => {
      for (const process of processes) process.signal('SIGKILL');
    }, 20_000);
    await Promise.all(processes.map((process) => process.exited));
    clearTimeout(kill);
    if (existsSync(this.directory)) rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Runs `work` with a fleet and stops it whatever happens; a failure shows what the nodes said. */
export async function withFleet<T>(options: FleetOptions, work: (fleet: Fleet) => Promise<T>): Promise<T> {
  const fleet = await Fleet.start(options);
  try {
    return await work(fleet);
  } catch (error) {
    process.stderr.write(`the nodes' output:\n${fleet.output()}\n`);
    throw error;
  } finally {
    await fleet.stop();
  }
}
