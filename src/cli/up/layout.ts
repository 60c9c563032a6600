/**
 * Who listens where and keeps what, before anything is started: ports and files of a local cluster.
 *
 *   DIR/cluster.json   what the directory was made for
 *   DIR/n1.yaml        the node's configuration, written anew by each `up`
 *   DIR/n1.log         what the node says
 *   DIR/n1/            its data
 *
 * Nodes `n1`... store and coordinate; nodes `c1`..., after them, only coordinate. The proxy keeps nothing.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { stringify } from 'yaml';
import { QuoinError } from '../../base/errors.js';
import type { NodeRole } from '../../cluster/map.js';
import { RealDisk } from '../../env/real/disk.js';
import { nearest, parseConfiguration } from '../../server/configuration/index.js';

export interface LayoutOptions {
  readonly nodes: number;
  readonly dir: string;
  readonly preset: string;
  readonly basePort: number;
  /** Nodes that only coordinate; without a number as many as the preset has. */
  readonly coordinators?: number;
  readonly ephemeral?: boolean;
  readonly set?: readonly string[];
}

export interface NodeLayout {
  readonly id: string;
  readonly roles: readonly NodeRole[];
  readonly resp: string;
  readonly http: string;
  readonly grpc: string;
  /** The data directory. */
  readonly dir: string;
  readonly configurationPath: string;
  readonly logPath: string;
}

export interface ClusterLayout {
  readonly dir: string;
  readonly nodes: readonly NodeLayout[];
  /** Where the proxy listens, for presets that have one. */
  readonly proxy: string | undefined;
}

const HOST = '127.0.0.1';
const HTTP_OFFSET = 1000;
const GRPC_OFFSET = 2000;
/** Just below the nodes' HTTP ports: 8000 by default. */
const PROXY_OFFSET = 999;
const MAX_PORT = 65535;

interface Preset {
  readonly summary: string;
  /** One of each replication stands by even where it is not listed. */
  readonly buckets: readonly object[];
  readonly coordinators: number;
  readonly proxy: boolean;
}

/** Those of other versions are known by name, so that asking for one gets a true answer. */
const PRESETS: Readonly<Record<string, Preset | undefined>> = {
  practical: {
    summary: 'Raft, B+tree on disk',
    buckets: [
      { name: 'default', replication: 'raft', engine: 'lmdb' },
      { name: 'raft', replication: 'raft', engine: 'lmdb' },
      { name: 'quorum', replication: 'quorum', engine: 'lmdb' },
    ],
    coordinators: 0,
    proxy: false,
  },
  memory: {
    summary: 'quorums N=3 R=2 W=2 in memory, two coordinators, a proxy',
    // N, R and W are what a quorum bucket has by itself, also where fewer than three nodes are wanted.
    buckets: [
      { name: 'default', replication: 'quorum', engine: 'memory' },
      { name: 'raft', replication: 'raft', engine: 'memory' },
      { name: 'quorum', replication: 'quorum', engine: 'memory' },
    ],
    coordinators: 2,
    proxy: true,
  },
  simple: undefined,
  chord: undefined,
  mencius: undefined,
};

const PRESENT = Object.entries(PRESETS).filter(([, preset]) => preset !== undefined);

/** The presets of this version, for `--help`. */
export const PRESET_HELP = PRESENT.map(([name, preset]) => `${name} (${preset?.summary})`).join('; ');

function presetNamed(name: string): Preset {
  const names = PRESENT.map(([present]) => present).join(' and ');
  if (!Object.hasOwn(PRESETS, name)) {
    const guess = nearest(name, Object.keys(PRESETS));
    const hint = guess === undefined ? `this version has ${names}` : `did you mean ${guess}?`;
    throw new QuoinError('USAGE', `--preset ${name}: unknown preset; ${hint}`);
  }
  const preset = PRESETS[name];
  if (preset === undefined)
    throw new QuoinError('NOT_SUPPORTED', `--preset ${name} is not in this version`, {
      remedy: `Choose one of the presets ${names}.`,
    });
  return preset;
}

function coordinatorCount(options: LayoutOptions): number {
  return options.coordinators ?? presetNamed(options.preset).coordinators;
}

/** What `DIR/cluster.json` remembers: a cluster's members and their addresses cannot be changed by starting it differently. */
interface Identity {
  readonly nodes: number;
  readonly basePort: number;
  readonly preset: string;
  readonly coordinators: number;
}

function checkIdentity(dir: string, wanted: Identity): void {
  const path = join(dir, 'cluster.json');
  if (!existsSync(path)) {
    const strangers = readdirSync(dir).filter((name) => !name.startsWith('.'));
    if (strangers.length > 0)
      throw new QuoinError(
        'FOREIGN_DIRECTORY',
        `--dir ${dir} holds other files (${strangers.slice(0, 3).join(', ')}) and was not made by quoin up`,
      );
    writeFileSync(path, `${JSON.stringify(wanted)}\n`);
    return;
  }
  let found: Partial<Identity>;
  try {
    // Directories of earlier versions have no coordinators and do not say so.
    found = { coordinators: 0, ...(JSON.parse(readFileSync(path, 'utf8')) as Partial<Identity>) };
  } catch (cause) {
    throw new QuoinError('FOREIGN_DIRECTORY', `${path} is damaged`, { cause });
  }
  for (const [key, flag] of [
    ['nodes', '--nodes'],
    ['basePort', '--base-port'],
    ['preset', '--preset'],
    ['coordinators', '--coordinators'],
  ] as const)
    if (found[key] !== wanted[key])
      throw new QuoinError(
        'WRONG_CLUSTER',
        `--dir ${dir} was made with ${flag} ${found[key]}, not ${wanted[key]}; use that, or another --dir`,
      );
}

function nodesIn(dir: string, options: LayoutOptions): NodeLayout[] {
  const { nodes: count, basePort } = options;
  const layoutOf = (id: string, index: number, roles: readonly NodeRole[]): NodeLayout => ({
    id,
    roles,
    resp: `${HOST}:${basePort + index}`,
    http: `${HOST}:${basePort + HTTP_OFFSET + index}`,
    grpc: `${HOST}:${basePort + GRPC_OFFSET + index}`,
    dir: join(dir, id),
    configurationPath: join(dir, `${id}.yaml`),
    logPath: join(dir, `${id}.log`),
  });
  return [
    ...Array.from({ length: count }, (_, index) =>
      layoutOf(`n${index + 1}`, index, ['storage', 'coordinator']),
    ),
    ...Array.from({ length: coordinatorCount(options) }, (_, index) =>
      layoutOf(`c${index + 1}`, count + index, ['coordinator']),
    ),
  ];
}

function proxyAddress({ preset, basePort }: LayoutOptions): string | undefined {
  return presetNamed(preset).proxy ? `${HOST}:${basePort + PROXY_OFFSET}` : undefined;
}

function configurationText(
  node: NodeLayout,
  nodes: readonly NodeLayout[],
  buckets: readonly object[],
): string {
  return stringify({
    node: { id: node.id, dataDir: node.dir, roles: node.roles },
    listen: { resp: node.resp, http: node.http, grpc: node.grpc },
    advertise: HOST,
    cluster: { join: nodes.length === 1 ? [] : nodes.map((member) => member.grpc) },
    buckets,
    log: { format: 'json' },
  });
}

/** What `--set` breaks is better said once, here, than by every node, and before anything is made. */
function checkOverrides(options: LayoutOptions, buckets: readonly object[]): void {
  const nodes = nodesIn('.', options);
  for (const node of nodes)
    parseConfiguration(configurationText(node, nodes, buckets), `${node.id}.yaml`, options.set ?? []);
}

/** Every address of a cluster that is to be laid out. */
export function addressesOf(options: LayoutOptions): string[] {
  const proxy = proxyAddress(options);
  const nodes = nodesIn('.', options).flatMap(({ resp, http, grpc }) => [resp, http, grpc]);
  return proxy === undefined ? nodes : [...nodes, proxy];
}

/** Refuses what cannot be laid out. Touches nothing. */
export function checkLayout(options: LayoutOptions): void {
  const { basePort } = options;
  const count = options.nodes + coordinatorCount(options);
  if (basePort + GRPC_OFFSET + count - 1 > MAX_PORT)
    throw new QuoinError(
      'USAGE',
      `--base-port ${basePort}: the ports of ${count} nodes go beyond ${MAX_PORT}`,
    );
  checkOverrides(options, presetNamed(options.preset).buckets);
}

/** Lays a cluster out and writes its files, after `checkLayout`. */
export function prepareCluster(options: LayoutOptions): ClusterLayout {
  const { nodes: count, basePort, preset } = options;
  const { buckets } = presetNamed(preset);
  try {
    const dir = options.ephemeral === true ? mkdtempSync(join(tmpdir(), 'quoin-')) : resolve(options.dir);
    new RealDisk().makeDirectory(dir);
    checkIdentity(dir, { nodes: count, basePort, preset, coordinators: coordinatorCount(options) });
    const nodes = nodesIn(dir, options);
    for (const node of nodes) {
      const text = configurationText(node, nodes, buckets);
      writeFileSync(node.configurationPath, `# Written by quoin up.\n${text}`);
    }
    return { dir, nodes, proxy: proxyAddress(options) };
  } catch (error) {
    if (error instanceof QuoinError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new QuoinError('DISK_FAILED', `--dir ${options.dir}: ${reason}`, { cause: error });
  }
}
