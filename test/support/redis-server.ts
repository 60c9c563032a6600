/** A real redis-server for comparison, on loopback, ended by its own process id. */
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { RespClient } from './resp-client.js';

export interface RedisServer {
  readonly port: number;
  readonly client: RespClient;
  stop(): Promise<void>;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

const START_DEADLINE_MS = 20_000;

export async function startRedisServer(): Promise<RedisServer> {
  const port = await freePort();
  const child = spawn(
    'redis-server',
    ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--daemonize', 'no'],
    { stdio: 'ignore' },
  );
  const start: { failure?: Error } = {};
  child.once('error', (error: NodeJS.ErrnoException) => {
    start.failure =
      error.code === 'ENOENT'
        ? new Error(
            'redis-server is missing: install the Debian package redis-server (apt-get install redis-server)',
          )
        : error;
  });
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => {
      start.failure ??= new Error('redis-server ended before it was ready');
      resolve();
    });
    child.once('error', () => resolve());
  });
  const throwFailure = (): void => {
    if (start.failure !== undefined) throw start.failure;
  };
  const deadline = Date.now() + START_DEADLINE_MS;
  for (;;) {
    throwFailure();
    try {
      const client = await RespClient.open(port);
      return {
        port,
        client,
        async stop() {
          client.close();
          child.kill('SIGKILL');
          await exited;
        },
      };
    } catch (error) {
      throwFailure();
      if (Date.now() > deadline) {
        child.kill('SIGKILL');
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
