/** Three etcd servers on loopback, and the Go program that loads them. */
import { existsSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../support/checkout.js';
import { freeBasePort } from '../support/ports.js';
import { type RunningProcess, runProcess, startProcess } from '../support/processes.js';
import { waitFor } from '../support/wait.js';

const NODES = 3;
const START_TIMEOUT_MS = 30_000;
/** Peers listen beside the clients' ports. */
const PEER_OFFSET = 100;

export class EtcdCluster {
  readonly endpoints: readonly string[];
  readonly #directory: string;
  readonly #basePort: number;
  readonly #processes: (RunningProcess | undefined)[] = [];

  private constructor(directory: string, basePort: number) {
    this.#directory = directory;
    this.#basePort = basePort;
    this.endpoints = Array.from({ length: NODES }, (_, index) => `127.0.0.1:${basePort + index}`);
  }

  static async start(): Promise<EtcdCluster> {
    const offsets = Array.from({ length: NODES }, (_, index) => [index, PEER_OFFSET + index]).flat();
    const basePort = await freeBasePort(offsets);
    const cluster = new EtcdCluster(await mkdtemp(join(tmpdir(), 'quoin-bench-etcd-')), basePort);
    try {
      for (let index = 0; index < NODES; index++) await cluster.startNode(index);
      await cluster.waitUntilWhole();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  async startNode(index: number): Promise<void> {
    const peer = (each: number): string => `http://127.0.0.1:${this.#basePort + PEER_OFFSET + each}`;
    const members = Array.from({ length: NODES }, (_, each) => `n${each}=${peer(each)}`).join(',');
    this.#processes[index] = await startProcess(
      'etcd',
      [
        ...['--name', `n${index}`, '--data-dir', join(this.#directory, `n${index}`)],
        ...['--listen-peer-urls', peer(index), '--initial-advertise-peer-urls', peer(index)],
        ...['--listen-client-urls', `http://${this.endpoints[index]}`],
        ...['--advertise-client-urls', `http://${this.endpoints[index]}`],
        ...['--initial-cluster', members, '--initial-cluster-token', `bench-${this.#basePort}`],
        ...['--logger', 'zap', '--log-level', 'error'],
      ],
      // etcd on arm64 asks for this admission; elsewhere it is ignored.
      { environment: process.arch === 'arm64' ? { ETCD_UNSUPPORTED_ARCH: 'arm64' } : {} },
    );
  }

  /** Resolves when every member says that it is healthy: it knows a leader and a read passes through it. */
  async waitUntilWhole(): Promise<void> {
    for (const endpoint of this.endpoints)
      await waitFor(`etcd on ${endpoint} is healthy`, START_TIMEOUT_MS, async () => {
        const answer = await fetch(`http://${endpoint}/health`, { signal: AbortSignal.timeout(2000) });
        return answer.ok && (await answer.text()).includes('true') ? true : undefined;
      });
  }

  /** The index of the member that leads. */
  async leader(): Promise<number> {
    return await waitFor('an etcd leader', START_TIMEOUT_MS, async () => {
      for (let index = 0; index < NODES; index++) {
        const answer = await fetch(`http://${this.endpoints[index]}/v3/maintenance/status`, {
          method: 'POST',
          body: '{}',
          signal: AbortSignal.timeout(2000),
        });
        const status = (await answer.json()) as { header?: { member_id?: string }; leader?: string };
        if (status.leader !== undefined && status.leader === status.header?.member_id) return index;
      }
      return undefined;
    });
  }

  async kill(index: number): Promise<void> {
    const victim = this.#processes[index];
    if (victim === undefined) return;
    this.#processes[index] = undefined;
    victim.kill('SIGKILL');
    await victim.exited;
  }

  async stop(): Promise<void> {
    for (const each of this.#processes) await each?.stop();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** Builds the load program when it is missing or older than its source; returns its path. */
export async function buildEtcdLoad(): Promise<string> {
  const source = join(ROOT, 'bench', 'etcd-load', 'main.go');
  const directory = join(ROOT, 'dist', 'bench', 'etcd-load');
  const program = join(directory, 'etcd-load');
  if (existsSync(program) && statSync(program).mtimeMs > statSync(source).mtimeMs) return program;
  await mkdir(directory, { recursive: true });
  await runProcess('go', ['build', '-o', program, source], {
    environment: { GO111MODULE: 'off', GOPATH: '/usr/share/gocode', GOFLAGS: '' },
  });
  return program;
}
