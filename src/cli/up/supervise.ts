/**
 * Runs a local cluster: starts its nodes, waits until all serve, reports deaths, and stops everything when asked.
 *
 * Invariants: nothing is started before ports and directory are known to be good; whatever way this ends, no node is left
 * running. A node that dies stays dead, so that failure can be tried, unless `--restart` brings it back.
 */
import { rmSync } from 'node:fs';
import { relative } from 'node:path';
import { QuoinError } from '../../base/errors.js';
import type { RunningProxy } from '../../proxy/server.js';
import { parseAddress } from '../../server/configuration/index.js';
import { type CliIo, printJson, printLine } from '../io.js';
import { openProxy } from '../open-proxy.js';
import {
  addressesOf,
  type ClusterLayout,
  checkLayout,
  type LayoutOptions,
  type NodeLayout,
  prepareCluster,
} from './layout.js';
import { describeExit, describeNodes, NodeProcess } from './node-process.js';
import { checkPorts } from './ports.js';
import { startProgress } from './progress.js';

export interface UpOptions extends LayoutOptions {
  readonly restart?: boolean;
  readonly json?: boolean;
}

const READY_TIMEOUT_MS = 120_000;
const READY_POLL_MS = 40;
const PROBE_TIMEOUT_MS = 2000;
const PROXY_WHOLE_MS = 5000;
/** How long a node may take to stop cleanly before it is killed. */
const STOP_GRACE_MS = 10_000;
const FIRST_BACKOFF_MS = 500;
const LAST_BACKOFF_MS = 30_000;
/** A node that lived this long starts with the first back-off again. */
const STEADY_MS = 60_000;

const delay = (durationMs: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, durationMs);
  });

async function serves(node: NodeLayout): Promise<boolean> {
  try {
    const response = await fetch(`http://${node.http}/readyz`, {
      signal: AbortSignal.timeout(PROBE_TIMEOUT_MS),
    });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}

class LocalCluster {
  readonly #layout: ClusterLayout;
  readonly #options: UpOptions;
  readonly #io: CliIo;
  readonly #processes = new Map<string, NodeProcess>();
  readonly #restarts = new Set<NodeJS.Timeout>();
  #stopping = false;
  #formed = false;

  constructor(layout: ClusterLayout, options: UpOptions, io: CliIo) {
    this.#layout = layout;
    this.#options = options;
    this.#io = io;
  }

  startAll(): void {
    for (const node of this.#layout.nodes) this.#start(node, FIRST_BACKOFF_MS);
  }

  #start(node: NodeLayout, backoffMs: number): void {
    const started = performance.now();
    const child = new NodeProcess(node, this.#options.set ?? []);
    this.#processes.set(node.id, child);
    void child.exited.then(() => {
      // A death before the cluster has formed ends the command; `waitUntilReady` tells of it.
      if (this.#stopping || !this.#formed) return;
      this.#reportDeath(child, performance.now() - started >= STEADY_MS ? FIRST_BACKOFF_MS : backoffMs);
    });
  }

  #reportDeath(child: NodeProcess, backoffMs: number): void {
    const { layout, pid, exit } = child;
    // Who leaves with 0 was told to (SHUTDOWN, SIGTERM) and has no last words that explain it.
    const stopped = exit?.code === 0;
    const how = `${stopped ? 'stopped' : 'died'}, ${exit === undefined ? 'unknown' : describeExit(exit)}`;
    const lastWords = stopped || exit?.signal !== null ? '' : `: ${child.lastWords().message}`;
    if (this.#options.restart === true) {
      printLine(
        this.#io.stderr,
        `node ${layout.id} (pid ${pid}) ${how}${lastWords}; back in ${backoffMs} ms`,
      );
      const timer = setTimeout(() => {
        this.#restarts.delete(timer);
        this.#start(layout, Math.min(backoffMs * 2, LAST_BACKOFF_MS));
      }, backoffMs);
      this.#restarts.add(timer);
      return;
    }
    printLine(
      this.#io.stderr,
      `node ${layout.id} (pid ${pid}) ${how}${lastWords}; it stays dead. Bring it back with: ${this.#startCommand(layout)}`,
    );
  }

  /** What starts a node as it was, typed into a shell. */
  #startCommand(layout: NodeLayout): string {
    const path = relative(process.cwd(), layout.configurationPath);
    const words = [
      'npx',
      'quoin',
      'start',
      '--config',
      path.startsWith('..') ? layout.configurationPath : path,
    ];
    const { set = [] } = this.#options;
    if (set.length > 0) words.push('--set', ...set);
    return words
      .map((word) => (/^[\w./,:=@-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`))
      .join(' ');
  }

  /** Resolves to true when every node serves, to false when stopped meanwhile; rejects when a node dies first. */
  async waitUntilReady(told: (ready: readonly string[]) => void): Promise<boolean> {
    const ready = new Set<string>();
    const deadline = performance.now() + READY_TIMEOUT_MS;
    for (;;) {
      if (this.#stopping) return false;
      for (const child of this.#processes.values()) {
        if (child.exit === undefined) continue;
        const { code, message } = child.lastWords();
        throw new QuoinError(
          code,
          `node ${child.layout.id} ended before it was ready (${describeExit(child.exit)}): ${message}`,
          // The words of the node have its remedy already.
          { remedy: `Its log is ${child.layout.logPath}.` },
        );
      }
      const waiting = this.#layout.nodes.filter((node) => !ready.has(node.id));
      const outcomes = await Promise.all(waiting.map(serves));
      waiting.forEach((node, index) => {
        if (outcomes[index] === true) ready.add(node.id);
      });
      told([...ready].sort());
      if (ready.size === this.#layout.nodes.length) {
        this.#formed = true;
        return true;
      }
      if (performance.now() > deadline) {
        const late = waiting.map((node) => node.id).join(', ');
        throw new QuoinError(
          'TIMEOUT',
          `${late} did not become ready within ${READY_TIMEOUT_MS / 1000} s (logs in ${this.#layout.dir})`,
        );
      }
      await delay(READY_POLL_MS);
    }
  }

  pidOf(id: string): number {
    return this.#processes.get(id)?.pid ?? 0;
  }

  /** Asks every node to stop, waits, and kills those that do not. */
  async stop(): Promise<void> {
    this.#stopping = true;
    for (const timer of this.#restarts) clearTimeout(timer);
    this.#restarts.clear();
    for (const child of this.#processes.values()) child.kill('SIGTERM');
    const grace = setTimeout(() => this.killAll(), STOP_GRACE_MS);
    await Promise.all([...this.#processes.values()].map((child) => child.exited));
    clearTimeout(grace);
  }

  killAll(): void {
    this.#stopping = true;
    for (const child of this.#processes.values()) child.kill('SIGKILL');
  }
}

function printReady(io: CliIo, options: UpOptions, layout: ClusterLayout, cluster: LocalCluster): void {
  const { nodes } = layout;
  if (options.json === true) {
    printJson(io, {
      ready: true,
      nodes: nodes.map(({ id, roles, resp, http, grpc, dir }) => ({
        id,
        pid: cluster.pidOf(id),
        roles,
        resp,
        http,
        grpc,
        dir,
      })),
      ...(layout.proxy === undefined ? {} : { proxy: layout.proxy }),
    });
    return;
  }
  const first = nodes[0];
  const last = nodes.at(-1);
  const count = nodes.length === 1 ? 'One node is' : `${nodes.length} nodes are`;
  const kept = options.ephemeral === true ? 'the data goes at the end' : `data in ${layout.dir}`;
  const port = (address: string | undefined): string => address?.split(':').at(-1) ?? '';
  const throughProxy =
    layout.proxy === undefined
      ? ''
      : `\n  curl -L http://${layout.proxy}/get?key=greeting    (the proxy sends it to the next coordinator)`;
  const url = options.basePort === 7001 ? '' : ` --url redis://${first?.resp}`;
  printLine(
    io.stdout,
    `${count} ready (${options.preset}; ${kept}).

${describeNodes(nodes)}

Try in another terminal:
  redis-cli -p ${port(first?.resp)} set greeting hello
  redis-cli -p ${port(last?.resp)} get greeting
  curl http://${last?.http}/v1/kv/default/greeting${throughProxy}
  npx quoin cluster status${url}

Ctrl-C stops the cluster.`,
  );
}

/** The preset's proxy, once it knows all coordinators to be well; it lives in this process, which has nothing else to do. */
async function proxyOf(layout: ClusterLayout, stopAsked: Promise<void>): Promise<RunningProxy | undefined> {
  const listen = layout.proxy === undefined ? undefined : parseAddress(layout.proxy);
  if (listen === undefined) return undefined;
  const proxy = await openProxy(
    listen,
    layout.nodes.map(({ http }) => http),
  );
  const coordinators = layout.nodes.filter(({ roles }) => roles.includes('coordinator')).length;
  const whole = proxy.until(
    (rotation) => rotation.entries().filter(({ state }) => state === 'ready').length === coordinators,
  );
  // Who asks to stop, or kills a node by now, is not kept waiting.
  await Promise.race([whole, stopAsked, delay(PROXY_WHOLE_MS)]);
  return proxy;
}

/** `quoin up`. Returns when it was asked to stop and all nodes have. */
export async function runUp(options: UpOptions, io: CliIo): Promise<void> {
  // In this order, so that what is refused leaves nothing behind.
  checkLayout(options);
  await checkPorts(addressesOf(options));
  const layout = prepareCluster(options);
  const cluster = new LocalCluster(layout, options, io);
  let proxy: RunningProxy | undefined;
  let askedToStop = (): void => undefined;
  const stopAsked = new Promise<void>((resolve) => {
    askedToStop = resolve;
  });
  const forgetSignals = io.onStop((again) => {
    askedToStop();
    if (again) cluster.killAll();
  });
  try {
    const progress = startProgress(io, options.json === true);
    try {
      progress.update(`starting ${layout.nodes.length} nodes`);
      cluster.startAll();
      const ready = cluster.waitUntilReady((ids) => {
        if (ids.length > 0) progress.update(`ready: ${ids.join(', ')} of ${layout.nodes.length}`);
      });
      // Asked to stop before all were ready: the wait ends by itself once the cluster stops.
      const outcome = await Promise.race([ready, stopAsked.then(() => false)]);
      progress.end();
      if (!outcome) {
        await cluster.stop();
        await ready;
        return;
      }
      proxy = await proxyOf(layout, stopAsked);
    } finally {
      progress.end();
    }
    printReady(io, options, layout, cluster);
    await stopAsked;
    if (io.interactive) printLine(io.stdout, 'Stopping.');
  } finally {
    await proxy?.close();
    await cluster.stop();
    if (options.ephemeral === true) rmSync(layout.dir, { recursive: true, force: true });
    forgetSignals();
  }
}
