import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { credentials, loadPackageDefinition, type ServiceClientConstructor } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { describe, expect, it } from 'vitest';
import { realEnv } from '../../src/env/real/index.js';
import { networkConformance, RecordedEvents } from './network-conformance.js';
import { until } from './until.js';

async function unusedAddress(): Promise<string> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  server.close();
  await once(server, 'close');
  return `127.0.0.1:${address.port}`;
}

networkConformance('The gRPC network', () => ({
  listening: realEnv().network,
  dialling: realEnv().network,
  address: () => '127.0.0.1:0',
  unusedAddress,
  until,
  dispose: async () => {},
}));

/** Starts a process that listens and answers each frame with the same frame; tells its address. */
async function startEchoProcess(): Promise<{ address: string; kill: (signal: NodeJS.Signals) => void }> {
  const script = fileURLToPath(new URL('./echo-process.ts', import.meta.url));
  const child = spawn(process.execPath, ['--import', 'tsx', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (text: string) => {
    output += text;
  });
  await until(() => output.includes('\n'));
  return { address: output.trim(), kill: (signal) => child.kill(signal) };
}

describe('The gRPC network between processes', () => {
  it('notices a killed process through its closed sockets, and then finds nobody there', async () => {
    const { network } = realEnv();
    const peer = await startEchoProcess();
    const events = new RecordedEvents();
    const link = network.dial(peer.address, events);
    link.send(Buffer.from('alive?'));
    await until(() => events.frames.length === 1);
    peer.kill('SIGKILL');
    // Far below the keepalive time: only the closed sockets can have told.
    await until(() => events.closes.length === 1, 4_000);
    expect(['reset', 'closed', 'refused']).toContain(events.closes[0]);
    const again = new RecordedEvents();
    network.dial(peer.address, again);
    await until(() => again.closes.length === 1);
    expect(again.closes).toEqual(['refused']);
  });

  it('keeps the link to a stopped process, and delivers when it goes on', async () => {
    const { network } = realEnv();
    const peer = await startEchoProcess();
    const events = new RecordedEvents();
    const link = network.dial(peer.address, events);
    link.send(Buffer.from('one'));
    await until(() => events.frames.length === 1);
    peer.kill('SIGSTOP');
    link.send(Buffer.from('two'));
    await new Promise((resolve) => setImmediate(resolve));
    expect(events.closes).toEqual([]);
    peer.kill('SIGCONT');
    await until(() => events.frames.length === 2);
    expect(events.frames.map(String)).toEqual(['one', 'two']);
    link.close();
    peer.kill('SIGKILL');
  });
});

describe('The gRPC network and strangers', () => {
  it('speaks with a stub built from the .proto file', async () => {
    const { network } = realEnv();
    const listener = await network.listen('127.0.0.1:0', (link) => {
      const events = new RecordedEvents();
      events.onFrame = (frame) => {
        link.send(Buffer.concat([Buffer.from('echo '), frame]));
      };
      return events;
    });
    const file = fileURLToPath(new URL('../../proto/quoin/v1/peer.proto', import.meta.url));
    const loaded = loadPackageDefinition(loadSync(file));
    const quoin = loaded.quoin as { v1: { Peer: ServiceClientConstructor } };
    const client = new quoin.v1.Peer(listener.address, credentials.createInsecure());
    const call = client.makeBidiStreamRequest(
      '/quoin.v1.Peer/Link',
      quoin.v1.Peer.service.Link!.requestSerialize,
      quoin.v1.Peer.service.Link!.responseDeserialize,
    );
    const answers: string[] = [];
    let statusCode = -1;
    call.on('data', (frame: { payload: Buffer }) => answers.push(frame.payload.toString()));
    call.on('status', (status: { code: number }) => {
      statusCode = status.code;
    });
    call.write({ payload: Buffer.from('a') });
    call.write({ payload: Buffer.alloc(0) });
    await until(() => answers.length === 2);
    expect(answers).toEqual(['echo a', 'echo ']);
    call.end();
    await until(() => statusCode === 0);
    client.close();
    await listener.close();
  });

  it('refuses a message beyond the limit without harm to other links', async () => {
    const { network } = realEnv();
    const received: RecordedEvents[] = [];
    const listener = await network.listen('127.0.0.1:0', () => {
      const events = new RecordedEvents();
      received.push(events);
      return events;
    });
    const good = network.dial(listener.address, new RecordedEvents());
    const badEvents = new RecordedEvents();
    const bad = network.dial(listener.address, badEvents);
    await until(() => received.length === 2);
    bad.send(Buffer.alloc(5 * 1024 * 1024));
    await until(() => badEvents.closes.length === 1);
    expect(badEvents.closes).toEqual(['rejected']);
    good.send(Buffer.from('still here'));
    await until(() => received.some((one) => one.frames.length === 1));
    good.close();
    await listener.close();
  });

  it('ends a link to something that is not a peer', async () => {
    const { network } = realEnv();
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => {});
      socket.end('-ERR unknown command\r\n');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const events = new RecordedEvents();
    network.dial(`127.0.0.1:${address.port}`, events);
    await until(() => events.closes.length === 1);
    expect(events.opened).toBe(false);
    expect(events.closes).not.toEqual(['refused']);
    for (const socket of sockets) socket.destroy();
    server.close();
  });

  it('rejects an address that is none', async () => {
    const { network } = realEnv();
    expect(() => network.dial('nowhere', new RecordedEvents())).toThrow(/host:port/);
    await expect(network.listen('127.0.0.1:notaport', () => new RecordedEvents())).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    });
  });
});
