/**
 * Paper 004's system in real processes: `quoin up --preset memory`, three nodes that store, two that only coordinate, and the
 * proxy before them. Nodes are killed by their process id and stay dead until a test starts them again.
 */
import { freeBasePort, quoinPortOffsets } from '../../bench/support/ports.js';
import { waitFor } from '../../bench/support/wait.js';
import { PATIENCE_MS, QuoinProcess } from './fleet.js';

export interface SystemNode {
  readonly id: string;
  readonly pid: number;
  readonly resp: string;
  readonly http: string;
  readonly dir: string;
}

interface ReadyLine {
  readonly ready: boolean;
  readonly nodes: readonly SystemNode[];
  readonly proxy: string;
}

interface ProxyView {
  readonly coordinators: readonly { readonly id: string; readonly state: string }[];
}

/** Offset of the proxy's port from the base port. */
const PROXY_OFFSET = 999;
const NODES = 5;

export class MemorySystem {
  readonly nodes: readonly SystemNode[];
  /** `host:port`. */
  readonly proxy: string;
  readonly #up: QuoinProcess;
  readonly #started = new Map<string, QuoinProcess>();

  private constructor(up: QuoinProcess, line: ReadyLine) {
    this.#up = up;
    this.nodes = line.nodes;
    this.proxy = line.proxy;
  }

  /** Resolves when all nodes and the proxy serve. `settings`: for `--set`. */
  static async start(settings: readonly string[] = []): Promise<MemorySystem> {
    const basePort = await freeBasePort([PROXY_OFFSET, ...quoinPortOffsets(NODES)]);
    const words = ['up', '--preset', 'memory', '--ephemeral', '--json', '--base-port', String(basePort)];
    const up = new QuoinProcess(settings.length === 0 ? words : [...words, '--set', ...settings]);
    try {
      const line = await waitFor('the system to be ready', PATIENCE_MS, () => {
        if (!up.alive) throw new Error(`it ended before it was ready: ${up.stderr}`);
        return up.stdout.includes('\n') ? (JSON.parse(up.stdout) as ReadyLine) : undefined;
      });
      const system = new MemorySystem(up, line);
      await system.untilRotation(line.nodes.map(({ id }) => id));
      return system;
    } catch (error) {
      up.signal('SIGTERM');
      await up.exited;
      throw error;
    }
  }

  node(id: string): SystemNode {
    const found = this.nodes.find((node) => node.id === id);
    if (found === undefined) throw new Error(`no node ${id} in this system`);
    return found;
  }

  /** Kills a node with SIGKILL; resolves when it is gone. */
  async kill(id: string): Promise<void> {
    const again = this.#started.get(id);
    if (again !== undefined) {
      again.signal('SIGKILL');
      await again.exited;
      return;
    }
    const { pid } = this.node(id);
    process.kill(pid, 'SIGKILL');
    await waitFor(`node ${id} to be gone`, PATIENCE_MS, () => {
      // Its parent says so once it has buried it.
      return this.#up.stderr.includes(`node ${id} (pid ${pid}) died`) ? true : undefined;
    });
  }

  /** Starts a node that was killed with the command that `up` has told a person to use; resolves when it serves. */
  async startAgain(id: string): Promise<void> {
    const { http } = this.node(id);
    const told = new RegExp(`node ${id} .* Bring it back with: npx quoin (.+)`).exec(this.#up.stderr)?.[1];
    if (told === undefined) throw new Error(`how to start ${id} was not told: ${this.#up.stderr}`);
    const again = new QuoinProcess(told.split(' '));
    this.#started.set(id, again);
    await waitFor(`node ${id} to serve`, PATIENCE_MS, async () => {
      if (!again.alive) throw new Error(`it ended: ${again.stderr}`);
      return (await fetch(`http://${http}/readyz`)).ok ? true : undefined;
    });
  }

  /** Who is healthy in the eyes of the proxy. */
  async rotation(): Promise<string[]> {
    const answer = await fetch(`http://${this.proxy}/v1/proxy`);
    const { coordinators } = (await answer.json()) as ProxyView;
    return coordinators.filter(({ state }) => state === 'ready').map(({ id }) => id);
  }

  async untilRotation(ids: readonly string[]): Promise<void> {
    const wanted = [...ids].sort().join();
    await waitFor(`the proxy's rotation to be ${wanted}`, PATIENCE_MS, async () =>
      (await this.rotation()).sort().join() === wanted ? true : undefined,
    );
  }

  /** For error messages. */
  output(): string {
    return `${this.#up.stdout}${this.#up.stderr}`;
  }

  async stop(): Promise<void> {
    for (const again of this.#started.values()) again.signal('SIGKILL');
    await Promise.all([...this.#started.values()].map((again) => again.exited));
    this.#up.signal('SIGTERM');
    await this.#up.exited;
  }
}
