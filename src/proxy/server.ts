/**
 * The load-balancing proxy of 'In-Memory Distributed Key Value Store' (section Overview): clients ask it for the address of
 * a coordinator, or send it their HTTP requests and are redirected (307, which keeps method and body) to the next one. It
 * carries no data, so it is no bottleneck, and as many may run as one likes.
 *
 * Own: `/v1/coordinator`, `/v1/proxy`, `/healthz`, `/readyz`, `/metrics`. All else is redirected, with path and query as sent.
 *
 * Invariant: what a client sends is never interpreted beyond method and path: a body is not read, a path not decoded.
 */
import fastify, { type FastifyInstance, type FastifyReply } from 'fastify';
import { Counter, Gauge, Registry } from 'prom-client';
import { refuseGarbage } from '../api/http/garbage.js';
import { problemOf, problemOfError, sendProblem } from '../api/http/problem.js';
import { QuoinError } from '../base/errors.js';
import { LIMITS } from '../base/limits.js';
import type { Clock } from '../env/env.js';
import { Heartbeats, type ProxyNetwork } from './heartbeats.js';
import { Rotation } from './rotation.js';

export interface ProxyOptions {
  readonly listen: { readonly host: string; readonly port: number };
  /** HTTP addresses of nodes, at least one; any of them tells of all coordinators. */
  readonly seeds: readonly string[];
  readonly network: ProxyNetwork;
  readonly clock: Clock;
}

export interface RunningProxy {
  readonly rotation: Rotation;
  /** As bound. */
  readonly port: number;
  /** Resolves once `satisfied` holds of the rotation. */
  until(satisfied: (rotation: Rotation) => boolean): Promise<void>;
  close(): Promise<void>;
}

const OWN_PATHS: ReadonlySet<string> = new Set([
  '/v1/coordinator',
  '/v1/proxy',
  '/healthz',
  '/readyz',
  '/metrics',
]);
/** Where everything else goes inside; no client can ask for it, because all that is not own is rewritten. */
const REDIRECT_PATH = '/redirect';
const MAX_HEADER_BYTES = 4 * LIMITS.maxKeyBytes;
/** How long requests under way may take to finish. */
const CLOSE_GRACE_MS = 1000;

/** Rejects with ADDRESS_IN_USE or CONFIG_INVALID when it cannot listen. */
export async function startProxy(options: ProxyOptions): Promise<RunningProxy> {
  const { listen, clock } = options;
  const rotation = new Rotation();
  const waiting = new Set<() => void>();
  const heartbeats = new Heartbeats({
    ...options,
    rotation,
    onChange: () => {
      for (const look of [...waiting]) look();
    },
  });
  const server = build(rotation);
  try {
    await server.listen(listen);
  } catch (error) {
    await server.close();
    throw listenError(error, `${listen.host}:${listen.port}`);
  }
  heartbeats.start();
  const bound = server.server.address();
  return {
    rotation,
    port: bound === null || typeof bound === 'string' ? listen.port : bound.port,
    until: (satisfied) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (!satisfied(rotation)) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    close: async () => {
      heartbeats.stop();
      const deadline = clock.setTimer(CLOSE_GRACE_MS, () => server.server.closeAllConnections());
      try {
        await server.close();
      } finally {
        deadline.cancel();
      }
    },
  };
}

function build(rotation: Rotation): FastifyInstance {
  const server = fastify({
    logger: false,
    forceCloseConnections: 'idle',
    return503OnClosing: true,
    http: { maxHeaderSize: MAX_HEADER_BYTES, headersTimeout: 60_000, keepAliveTimeout: 72_000 },
    rewriteUrl: ({ method = '', url = '/' }) => (isOwn(method, url) ? url : REDIRECT_PATH),
    frameworkErrors: (error, _request, reply) => {
      void sendProblem(reply, problemOfError(error));
    },
    clientErrorHandler: refuseGarbage,
  });
  server.server.maxConnections = LIMITS.maxConnections;
  const { registry, handedOut, redirected, refused } = createMetrics(rotation);

  const noneHealthy = (reply: FastifyReply): FastifyReply => {
    refused.inc();
    return sendProblem(reply, problemOf('UNREACHABLE', 'no coordinator is healthy', 503));
  };

  // Before any body is looked at, and for methods that no route knows too.
  server.addHook('onRequest', async (request, reply) => {
    reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff');
    if (request.url !== REDIRECT_PATH) return undefined;
    const coordinator = rotation.next();
    if (coordinator === undefined) return noneHealthy(reply);
    redirected.inc({ coordinator: coordinator.id });
    return reply
      .code(307)
      .header('location', `http://${coordinator.http}${targetOf(request.originalUrl)}`)
      .send();
  });
  server.setErrorHandler((error, _request, reply) => sendProblem(reply, problemOfError(error)));

  server.get('/v1/coordinator', async (_request, reply) => {
    const coordinator = rotation.next();
    if (coordinator === undefined) return noneHealthy(reply);
    handedOut.inc({ coordinator: coordinator.id });
    const { id, resp, http, grpc } = coordinator;
    return reply.send({ id, resp, http, grpc });
  });
  server.get('/v1/proxy', async () => ({ healthy: rotation.healthy, coordinators: rotation.entries() }));
  server.get('/healthz', async () => ({ status: 'ok' }));
  server.get('/readyz', async (_request, reply) =>
    rotation.healthy ? reply.send({ ready: true }) : noneHealthy(reply),
  );
  server.get('/metrics', async (_request, reply) =>
    reply.type(registry.contentType).send(await registry.metrics()),
  );
  return server;
}

function isOwn(method: string, url: string): boolean {
  const [path = ''] = url.split('?', 1);
  return (method === 'GET' || method === 'HEAD') && OWN_PATHS.has(path);
}

/** Path and query as sent, also of a request in absolute form. */
function targetOf(url: string): string {
  const relative = url.replace(/^[a-z]+:\/\/[^/?]*/i, '');
  return relative.startsWith('/') ? relative : `/${relative.startsWith('?') ? relative : ''}`;
}

function createMetrics(rotation: Rotation) {
  const registry = new Registry();
  const counter = (name: string, help: string): Counter<'coordinator'> =>
    new Counter({ name, help, labelNames: ['coordinator'], registers: [registry] });
  new Gauge({
    name: 'quoin_proxy_coordinators',
    help: 'Coordinators by state',
    labelNames: ['state'],
    registers: [registry],
    collect() {
      const counts = { ready: 0, waiting: 0, down: 0, unknown: 0 };
      for (const { state } of rotation.entries()) counts[state]++;
      for (const [state, count] of Object.entries(counts)) this.set({ state }, count);
    },
  });
  return {
    registry,
    handedOut: counter('quoin_proxy_handed_out_total', 'Addresses handed out'),
    redirected: counter('quoin_proxy_redirects_total', 'Requests redirected'),
    refused: new Counter({
      name: 'quoin_proxy_refused_total',
      help: 'Requests that found no healthy coordinator',
      registers: [registry],
    }),
  };
}

function listenError(error: unknown, address: string): QuoinError {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'EADDRINUSE')
    return new QuoinError('ADDRESS_IN_USE', `--listen: ${address} is in use`, { cause: error });
  const reason = error instanceof Error ? error.message : String(error);
  return new QuoinError('CONFIG_INVALID', `--listen: cannot listen on ${address}: ${reason}`, {
    cause: error,
  });
}
