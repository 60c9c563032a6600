/**
 * A look at all addresses that a node will listen on, before it writes anything: a start that is refused because a port is
 * taken leaves no new cluster behind, and the doors themselves are opened only when the node can answer.
 *
 * Another program may take a port between the look and the opening. Then the start fails later, with the same error.
 */
import { createServer, type Server } from 'node:net';
import { QuoinError } from '../base/errors.js';
import { parseAddress } from '../server/configuration/index.js';
import type { NodeConfiguration } from '../server/configuration/types.js';

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    // Who connects in this moment is not answered, and tries again.
    server.on('connection', (socket) => socket.destroy());
    server.listen({ host, port, exclusive: true }, () => resolve());
  });
}

function refusal(key: string, address: string, cause: unknown): QuoinError {
  const { code, message } = cause as NodeJS.ErrnoException;
  return code === 'EADDRINUSE'
    ? new QuoinError('ADDRESS_IN_USE', `${key}: ${address} is in use`, { cause })
    : new QuoinError('CONFIG_INVALID', `${key}: cannot listen on ${address}: ${message}`, { cause });
}

/** Rejects with ADDRESS_IN_USE, or CONFIG_INVALID, for the first address that cannot be had. */
export async function checkDoorAddresses({ listen: doors, slack }: NodeConfiguration): Promise<void> {
  const addresses: [key: string, address: string][] = [
    ['listen.resp', doors.resp],
    ['listen.http', doors.http],
    ['listen.grpc', doors.grpc],
  ];
  if (slack !== undefined) addresses.push(['slack.listen', slack.listen]);
  const held: Server[] = [];
  try {
    // All at once: two doors cannot have one address either.
    for (const [key, address] of addresses) {
      const parsed = parseAddress(address);
      if (parsed === undefined)
        throw new QuoinError('CONFIG_INVALID', `${key}: ${address} is no address host:port`);
      const server = createServer();
      try {
        await listen(server, parsed.host, parsed.port);
      } catch (error) {
        throw refusal(key, address, error);
      }
      held.push(server);
    }
  } finally {
    await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))));
  }
}
