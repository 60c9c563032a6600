/**
 * What an embedded cluster with a directory of its own must be given again when it is started again: its name, and the
 * addresses by which its nodes know each other. It stands in `cluster-layout.json` beside the nodes' directories.
 */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { QuoinError } from '../base/errors.js';
import { RealDisk } from '../env/real/disk.js';
import type { NodeAddresses } from './protocol.js';

export interface ClusterLayout {
  readonly name: string;
  readonly nodes: readonly NodeAddresses[];
}

const FILE = 'cluster-layout.json';
const FORMAT = 1;

/** A name of the cluster's own, so that a stranger on a port that was free a moment ago is not taken for a member. */
export function newClusterName(): string {
  return `embedded-${randomBytes(6).toString('hex')}`;
}

/** True once a node in this directory knows its cluster: from then on the layout may not change. */
export function hasFormed(directory: string, nodes: number): boolean {
  return Array.from({ length: nodes }, (_, index) =>
    join(nodeDirectory(directory, index), 'cluster.json'),
  ).some((path) => existsSync(path));
}

export function nodeDirectory(directory: string, index: number): string {
  return join(directory, `n${index + 1}`);
}

function isAddresses(value: unknown): value is NodeAddresses {
  if (typeof value !== 'object' || value === null) return false;
  const { resp, http, grpc } = value as Partial<Record<keyof NodeAddresses, unknown>>;
  return typeof resp === 'string' && typeof http === 'string' && typeof grpc === 'string';
}

/** The layout of a directory; undefined when it has none. Throws FOREIGN_DIRECTORY for a file that is none. */
export async function readLayout(directory: string): Promise<ClusterLayout | undefined> {
  const path = join(directory, FILE);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    const reason = error instanceof Error ? error.message : String(error);
    throw new QuoinError('DISK_FAILED', reason, { cause: error });
  }
  try {
    const { format, name, nodes } = JSON.parse(text) as Readonly<Record<string, unknown>>;
    if (format === FORMAT && typeof name === 'string' && Array.isArray(nodes) && nodes.every(isAddresses))
      return { name, nodes };
  } catch {
    // Told below.
  }
  throw new QuoinError('FOREIGN_DIRECTORY', `${path} is not the layout of an embedded cluster`);
}

/** Writes the layout so that it is there whole or not at all. */
export async function writeLayout(directory: string, layout: ClusterLayout): Promise<void> {
  const path = join(directory, FILE);
  new RealDisk().makeDirectory(directory);
  try {
    await writeFile(`${path}.new`, `${JSON.stringify({ format: FORMAT, ...layout }, undefined, 2)}\n`);
    await rename(`${path}.new`, path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new QuoinError('DISK_FAILED', `cannot write ${path}: ${reason}`, { cause: error });
  }
}
