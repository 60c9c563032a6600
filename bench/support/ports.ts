/** Free ports on loopback. */
import { createServer } from 'node:net';

/** Below the range from which the system picks ports for outgoing connections, so that none of those gets in the way. */
const LOWEST_PORT = 10_000;
const HIGHEST_PORT = 29_000;
const ATTEMPTS = 200;

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/**
 * A base port such that base + each offset is free just now. Bases are drawn at random, so that runs at the same time
 * rarely want the same.
 */
export async function freeBasePort(offsets: readonly number[]): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const base = LOWEST_PORT + Math.floor(Math.random() * (HIGHEST_PORT - LOWEST_PORT));
    let free = true;
    for (const offset of offsets) free = free && (await isFree(base + offset));
    if (free) return base;
  }
  throw new Error(`no free ports found in ${ATTEMPTS} attempts`);
}

/** Offsets of the ports of a local Quoin cluster from its base port: RESP, HTTP and gRPC of each node. */
export function quoinPortOffsets(nodes: number): number[] {
  const offsets: number[] = [];
  for (let node = 0; node < nodes; node++) offsets.push(node, 1000 + node, 2000 + node);
  return offsets;
}
