/** Opens RESP doors before fake nodes for one test, and closes everything after it. */
import { afterEach } from 'vitest';
import {
  type RespServerOptions,
  type RunningRespServer,
  startRespServer,
} from '../../../src/api/resp/server.js';
import { createFakeCluster, FakeNode, setAddresses } from '../../support/fake-node.js';
import { RespSocket } from '../../support/resp-socket.js';

const servers: RunningRespServer[] = [];
const sockets: RespSocket[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.close();
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

export interface Door {
  readonly node: FakeNode;
  readonly address: string;
  readonly server: RunningRespServer;
  readonly connect: () => Promise<RespSocket>;
}

export async function openDoor(
  options: Partial<Omit<RespServerOptions, 'node'>> = {},
  node: FakeNode = new FakeNode(),
): Promise<Door> {
  const server = await startRespServer({ address: '127.0.0.1:0', ...options, node });
  servers.push(server);
  return {
    node,
    server,
    address: server.address,
    connect: async () => {
      const socket = await RespSocket.connect(server.address);
      sockets.push(socket);
      return socket;
    },
  };
}

/** Three nodes, each before its own door, each leading a third of the slots. */
export async function openCluster(): Promise<Door[]> {
  const nodes = createFakeCluster(3);
  const doors: Door[] = [];
  for (const node of nodes) doors.push(await openDoor({}, node));
  setAddresses(
    nodes,
    doors.map((door) => door.address),
  );
  return doors;
}

/** Waits until a condition holds. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
