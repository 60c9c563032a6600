/**
 * Who listens where and keeps what, before anything is started: ports and files of a local cluster.
 *
 *   DIR/cluster.json   what the directory was made for
 *   DIR/n1.yaml        the node's configuration, written anew by each `up`
 *   DIR/n1.log         what the node says
 *   DIR/n1/            its data
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { stringify } from 'yaml';
import { QuoinError } from '../../base/errors.js';
import { nearest, parseConfiguration } from '../../server/configuration/index.js';

export interface LayoutOptions {
  readonly nodes: number;
  readonly dir: string;
  readonly preset: string;
  readonly basePort: number;
  readonly ephemeral?: boolean;
  readonly set?: readonly string[];
}

export interface NodeLayout {
  readonly id: string;
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
}

const HOST = '127.0.0.1';
const HTTP_OFFSET = 1000;
const GRPC_OFFSET = 2000;
const MAX_PORT = 65535;

/** Buckets of each preset. Those of other versions are known by name, so that asking for one gets a true answer. */
const PRESETS: Readonly<Record<string, readonly object[] | undefined>> = {
  practical: [
    { name: 'default', replication: 'raft', engine: 'lmdb' },
    { name: 'raft', replication: 'raft', engine: 'lmdb' },
  ],
  simple: undefined,
  chord: undefined,
  mencius: undefined,
  memory: undefined,
};

function bucketsOf(preset: string): readonly object[] {
  if (!Object.hasOwn(PRESETS, preset)) {
    const guess = nearest(preset, Object.keys(PRESETS));
    const hint = guess === undefined ? 'this version has practical' : `did you mean ${guess}?`;
    throw new QuoinError('USAGE', `--preset ${preset}: unknown preset; ${hint}`);
  }
  const buckets = PRESETS[preset];
  if (buckets === undefined)
    throw new QuoinError('NOT_SUPPORTED', `--preset ${preset}: this version has the preset practical only`);
  return buckets;
}

/** What `DIR/cluster.json` remembers: a cluster's members and their addresses cannot be changed by starting it differently. */
interface Identity {
  readonly nodes: number;
  readonly basePort: number;
  readonly preset: string;
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
    found = JSON.parse(readFileSync(path, 'utf8')) as Partial<Identity>;
  } catch (cause) {
    throw new QuoinError('FOREIGN_DIRECTORY', `${path} is damaged`, { cause });
  }
  for (const [key, flag] of [
    ['nodes', '--nodes'],
    ['basePort', '--base-port'],
    ['preset', '--preset'],
  ] as const)
    if (found[key] !== wanted[key])
      throw new QuoinError(
        'WRONG_CLUSTER',
        `--dir ${dir} was made with ${flag} ${found[key]}, not ${wanted[key]}; use that, or another --dir`,
      );
}

function nodesIn(dir: string, options: LayoutOptions): NodeLayout[] {
  const { nodes: count, basePort } = options;
  return Array.from({ length: count }, (_, index): NodeLayout => {
    const id = `n${index + 1}`;
    return {
      id,
      resp: `${HOST}:${basePort + index}`,
      http: `${HOST}:${basePort + HTTP_OFFSET + index}`,
      grpc: `${HOST}:${basePort + GRPC_OFFSET + index}`,
      dir: join(dir, id),
      configurationPath: join(dir, `${id}.yaml`),
      logPath: join(dir, `${id}.log`),
    };
  });
}

function configurationText(
  node: NodeLayout,
  nodes: readonly NodeLayout[],
  buckets: readonly object[],
): string {
  return stringify({
    node: { id: node.id, dataDir: node.dir },
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
  return nodesIn('.', options).flatMap(({ resp, http, grpc }) => [resp, http, grpc]);
}

/** Refuses what cannot be laid out. Touches nothing. */
export function checkLayout(options: LayoutOptions): void {
  const { nodes: count, basePort } = options;
  if (basePort + GRPC_OFFSET + count - 1 > MAX_PORT)
    throw new QuoinError(
      'USAGE',
      `--base-port ${basePort}: the ports of ${count} nodes go beyond ${MAX_PORT}`,
    );
  checkOverrides(options, bucketsOf(options.preset));
}

/** Lays a cluster out and writes its files, after `checkLayout`. */
export function prepareCluster(options: LayoutOptions): ClusterLayout {
  const { nodes: count, basePort, preset } = options;
  const buckets = bucketsOf(preset);
  try {
    const dir = options.ephemeral === true ? mkdtempSync(join(tmpdir(), 'quoin-')) : resolve(options.dir);
    mkdirSync(dir, { recursive: true });
    checkIdentity(dir, { nodes: count, basePort, preset });
    const nodes = nodesIn(dir, options);
    for (const node of nodes) {
      const text = configurationText(node, nodes, buckets);
      writeFileSync(node.configurationPath, `# Written by quoin up.\n${text}`);
    }
    return { dir, nodes };
  } catch (error) {
    if (error instanceof QuoinError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new QuoinError('DISK_FAILED', `--dir ${options.dir}: ${reason}`, { cause: error });
  }
}
