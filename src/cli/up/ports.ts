/** Are the ports free? Asked before anything is started, so that the answer names the port and nothing has to be undone. */
import { createServer } from 'node:net';
import { QuoinError } from '../../base/errors.js';
import { parseAddress } from '../../server/configuration/index.js';

function tryToListen(address: string): Promise<string | undefined> {
  const { host, port } = parseAddress(address) ?? { host: '127.0.0.1', port: 0 };
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

/** Throws ADDRESS_IN_USE naming every address that is taken. */
export async function checkPorts(addresses: readonly string[]): Promise<void> {
  const outcomes = await Promise.all(addresses.map(tryToListen));
  const taken = addresses.filter((_, index) => outcomes[index] === 'EADDRINUSE');
  if (taken.length > 0)
    throw new QuoinError(
      'ADDRESS_IN_USE',
      `${taken.join(', ')} ${taken.length === 1 ? 'is' : 'are'} in use; choose others with --base-port`,
    );
  const failed = outcomes.findIndex((outcome) => outcome !== undefined);
  if (failed >= 0)
    throw new QuoinError('CONFIG_INVALID', `cannot listen on ${addresses[failed]}: ${outcomes[failed]}`);
}
