/** Addresses of simulated nodes. */
import { QuoinError } from '../src/base/errors.js';

/** `node-<number>:<port>`. */
export function addressOfNode(node: number): string {
  return `node-${node}:9001`;
}

export function nodeOfAddress(address: string): number {
  const match = /^node-(\d+):/.exec(address);
  if (match === null)
    throw new QuoinError('CONFIG_INVALID', `not an address of a simulated node: ${address}`);
  return Number(match[1]);
}
