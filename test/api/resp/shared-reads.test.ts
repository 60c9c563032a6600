import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { SharedReads } from '../../../src/api/resp/shared-reads.js';

const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

interface Accepted {
  readonly socket: Socket;
  readonly chunks: Buffer[];
  readonly received: () => string;
}

/** A server whose connections are read through one buffer, as the RESP door's are. */
async function listening(): Promise<{ server: Server; port: number; accepted: Accepted[] }> {
  const reads = new SharedReads();
  const accepted: Accepted[] = [];
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    const chunks: Buffer[] = [];
    const adopted = reads.adopt(socket, (chunk) => chunks.push(chunk));
    accepted.push({ socket: adopted, chunks, received: () => Buffer.concat(chunks).toString() });
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, port: (server.address() as AddressInfo).port, accepted };
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error('it never came to that');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

describe('connections that are read through one buffer', () => {
  it('keeps what one connection was given while others are read', async () => {
    const { port, accepted } = await listening();
    const clients = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')];
    for (const [at, client] of clients.entries()) {
      client.write(`first of ${at};`);
      await until(() => accepted[at]?.received() === `first of ${at};`);
    }
    clients[0]!.write('second of 0');
    clients[1]!.write('second of 1');
    await until(() => accepted.every(({ chunks }) => chunks.length >= 2));
    expect(accepted.map(({ received }) => received())).toEqual([
      'first of 0;second of 0',
      'first of 1;second of 1',
    ]);
    for (const client of clients) client.destroy();
  });

  it('hands over more than the buffer holds, in order', async () => {
    const { port, accepted } = await listening();
    const sent = Buffer.alloc(1_000_000);
    for (let i = 0; i < sent.length; i++) sent[i] = (i * 31 + (i >>> 8)) & 0xff;
    const client = connect(port, '127.0.0.1');
    client.end(sent);
    await until(() => accepted[0] !== undefined);
    await until(() => accepted[0]!.chunks.reduce((sum, chunk) => sum + chunk.length, 0) === sent.length);
    expect(Buffer.concat(accepted[0]!.chunks).equals(sent)).toBe(true);
    client.destroy();
  });

  it('reads nothing while it is paused', async () => {
    const { port, accepted } = await listening();
    const client = connect(port, '127.0.0.1');
    client.write('before');
    await until(() => accepted[0]?.received() === 'before');
    accepted[0]!.socket.pause();
    client.write(' after');
    // The answer to what was written afterwards comes back, so the bytes had time to arrive.
    accepted[0]!.socket.write('ping');
    await once(client, 'data');
    expect(accepted[0]!.received()).toBe('before');
    accepted[0]!.socket.resume();
    await until(() => accepted[0]!.received() === 'before after');
    client.destroy();
  });

  it('answers a client that has ended its side, and lets the server close', async () => {
    const { server, port, accepted } = await listening();
    const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    client.end('last words');
    await until(() => accepted[0]?.received() === 'last words');
    const { socket } = accepted[0]!;
    if (!socket.readableEnded) await once(socket, 'end');
    socket.end('answer');
    const [answer] = (await once(client, 'data')) as [Buffer];
    expect(answer.toString()).toBe('answer');
    const closed = once(server, 'close');
    server.close();
    socket.destroy();
    await closed;
  });

  it('reads as any server does where the connection cannot be moved', () => {
    const plain = new Socket();
    const chunks: Buffer[] = [];
    expect(new SharedReads().adopt(plain, (chunk) => chunks.push(chunk))).toBe(plain);
    plain.push(Buffer.from('as usual'));
    plain.read();
    expect(Buffer.concat(chunks).toString()).toBe('as usual');
    plain.destroy();
  });
});
