/**
 * Addresses on loopback for nodes that were given none. Another program may take a port between the look and the start;
 * then the start fails with ADDRESS_IN_USE, and whoever chose the port tries others.
 */
import { createServer } from 'node:net';
import { QuoinError } from '../base/errors.js';
import type { NodeAddresses } from './protocol.js';

/** Below the range from which systems pick ports for outgoing connections, so that a restart finds its ports free. */
const LOWEST_PORT = 10_000;
const HIGHEST_PORT = 29_999;
const ATTEMPTS = 1000;

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** Different ports that nobody listens on at this moment. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  for (let attempt = 0; attempt < ATTEMPTS && ports.size < count; attempt++) {
    const port = LOWEST_PORT + Math.floor(Math.random() * (HIGHEST_PORT - LOWEST_PORT + 1));
    if (!ports.has(port) && (await isFree(port))) ports.add(port);
  }
  if (ports.size < count)
    throw new QuoinError('ADDRESS_IN_USE', `no ${count} free ports were found on 127.0.0.1`);
  return [...ports];
}

const local = (port: number): string => `127.0.0.1:${port}`;

/** Addresses for so many nodes, on ports that are free now. */
export async function freeAddresses(nodes: number): Promise<NodeAddresses[]> {
  const ports = await freePorts(3 * nodes);
  return Array.from({ length: nodes }, (_, index) => ({
    resp: local(ports[3 * index]!),
    http: local(ports[3 * index + 1]!),
    grpc: local(ports[3 * index + 2]!),
  }));
}

/** The same addresses as `quoin up --base-port` gives its nodes. */
export function addressesFrom(basePort: number, nodes: number): NodeAddresses[] {
  if (!Number.isInteger(basePort) || basePort < 1 || basePort + 2000 + nodes > 65_536)
    throw new QuoinError(
      'CONFIG_INVALID',
      `basePort must be a whole number from 1 to ${65_536 - 2000 - nodes}`,
    );
  return Array.from({ length: nodes }, (_, index) => ({
    resp: local(basePort + index),
    http: local(basePort + 1000 + index),
    grpc: local(basePort + 2000 + index),
  }));
}
