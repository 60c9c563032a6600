/**
 * The two Redis clients that most people use, behind one face: one connection, one command at a time, and no help that would
 * hide what the server does. Neither may reconnect, queue while offline or send again by itself, since then a recorded
 * operation could happen twice without anybody knowing.
 */
import { Redis } from 'ioredis';
import { createClient } from 'redis';

export interface RealClient {
  /** Rejects when the server refuses (an error whose message starts with its error word) or the connection ends. */
  call(...words: readonly string[]): Promise<unknown>;
  close(): void;
}

export type ClientKind = 'ioredis' | 'node-redis';

const CONNECT_TIMEOUT_MS = 5000;

async function connectIoredis(port: number): Promise<RealClient> {
  const client = new Redis({
    host: '127.0.0.1',
    port,
    lazyConnect: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
  });
  // Told to whoever waits for an answer.
  client.on('error', () => {});
  try {
    await client.connect();
  } catch (error) {
    client.disconnect();
    throw error;
  }
  return {
    call: (command = '', ...args) => client.call(command, ...args),
    close: () => client.disconnect(),
  };
}

async function connectNodeRedis(port: number): Promise<RealClient> {
  const client = createClient({
    socket: { host: '127.0.0.1', port, connectTimeout: CONNECT_TIMEOUT_MS, reconnectStrategy: false },
    disableOfflineQueue: true,
  });
  client.on('error', () => {});
  try {
    await client.connect();
  } catch (error) {
    if (client.isOpen) client.destroy();
    throw error;
  }
  return {
    call: (...words) => client.sendCommand([...words]),
    close: () => {
      if (client.isOpen) client.destroy();
    },
  };
}

/** A reply that is text or absent. */
export function textOf(reply: unknown): string | null {
  if (reply === null || typeof reply === 'string') return reply;
  throw new TypeError(`not text: ${JSON.stringify(reply)}`);
}

export function connectRealClient(kind: ClientKind, port: number): Promise<RealClient> {
  return kind === 'ioredis' ? connectIoredis(port) : connectNodeRedis(port);
}

/** Rejects when `work` has not settled in time. */
export async function within<T>(timeoutMs: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
