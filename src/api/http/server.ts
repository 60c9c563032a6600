/**
 * The HTTP door: routes, errors, bodies, metrics and the listener. Each route is a file in `routes/`.
 *
 * Invariants: every failure is answered as a problem (`problem.ts`), input that is no HTTP at all included; no request, body
 * or connection is without a bound; the process outlives whatever arrives.
 */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import { type ErrorCode, QuoinError } from '../../base/errors.js';
import { LIMITS } from '../../base/limits.js';
import { formatAddress, parseAddress } from '../../server/configuration/index.js';
import type { NodeServer } from '../../server/types.js';
import { BodyReader } from './body.js';
import type { Door } from './door.js';
import { refuseGarbage } from './garbage.js';
import { refusesOtherMethods } from './methods.js';
import { createMetrics, type HttpMetrics } from './metrics.js';
import { HTTP_REMEDY, problemOf, problemOfError, sendProblem } from './problem.js';
import { bucketRoutes } from './routes/buckets.js';
import { clusterRoutes } from './routes/cluster.js';
import { coordinatorRoutes } from './routes/coordinator.js';
import { healthRoutes } from './routes/health.js';
import { keyRoutes } from './routes/kv.js';
import { listingRoutes } from './routes/listing.js';
import { operationRoutes } from './routes/operations.js';
import { simpleRoutes } from './routes/simple.js';
import { rewriteKeyPath } from './url.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Largest body of the route. */
    maxBodyBytes?: number;
    /** What a larger one is refused with. */
    tooLarge?: ErrorCode;
  }
}

export interface HttpServerOptions {
  readonly node: NodeServer;
  /** `host:port`; port 0 takes a free one. */
  readonly address: string;
  readonly limits?: {
    readonly maxKeyBytes?: number;
    readonly maxValueBytes?: number;
    readonly maxConnections?: number;
  };
}

export interface HttpServer {
  /** `host:port` in fact bound. */
  readonly address: string;
  close(): Promise<void>;
}

/** Bodies that are not values: descriptions of buckets. */
const MAX_ADMIN_BODY_BYTES = 64 * 1024;
/** A key of the greatest length, percent-encoded, twice over for its hex, and room for other headers. */
const MAX_HEADER_BYTES = 4 * LIMITS.maxKeyBytes;
/** A request must have arrived whole within this time. */
const RECEIVE_TIMEOUT_MS = 300_000;
const HEADERS_TIMEOUT_MS = 60_000;
/** How long requests under way may take to finish when the door closes. */
const CLOSE_GRACE_MS = 2000;

function build(door: Door, metrics: HttpMetrics): FastifyInstance {
  const server = fastify({
    logger: false,
    bodyLimit: LIMITS.maxRequestBytes,
    forceCloseConnections: 'idle',
    rewriteUrl: (request) => rewriteKeyPath(request.url ?? '/'),
    routerOptions: { maxParamLength: 2 * MAX_HEADER_BYTES },
    frameworkErrors: (error, _request, reply) => {
      void sendProblem(reply, problemOfError(error));
    },
    clientErrorHandler: refuseGarbage,
    return503OnClosing: true,
    serverFactory: (handler) =>
      createServer(
        {
          maxHeaderSize: MAX_HEADER_BYTES,
          // Refused below, as a problem.
          requireHostHeader: false,
          requestTimeout: RECEIVE_TIMEOUT_MS,
          headersTimeout: HEADERS_TIMEOUT_MS,
          keepAliveTimeout: 72_000,
        },
        handler,
      ),
  });
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('*', async (request: FastifyRequest, payload: IncomingMessage) => {
    const { maxBodyBytes = MAX_ADMIN_BODY_BYTES, tooLarge = 'REQUEST_TOO_LARGE' } =
      request.routeOptions.config;
    return door.bodies.read(payload, maxBodyBytes, tooLarge);
  });
  server.setErrorHandler((error, _request, reply) => {
    // The framework closes the connection when a body is refused; ours are read to their end, so it may stay.
    if (error instanceof QuoinError) reply.removeHeader('connection');
    return sendProblem(reply, problemOfError(error));
  });
  server.setNotFoundHandler((request, reply) =>
    sendProblem(
      reply,
      problemOf(
        'NOT_FOUND',
        `no ${request.method} ${(request.originalUrl.split('?')[0] ?? '').slice(0, 200)}`,
      ),
    ),
  );
  server.addHook('onRequest', async ({ raw }) => {
    if (raw.httpVersion === '1.1' && raw.headers.host === undefined)
      throw new QuoinError(
        'PROTOCOL_ERROR',
        'a request of HTTP/1.1 has a Host header, and this one has none',
        {
          remedy: HTTP_REMEDY,
        },
      );
  });
  server.addHook('onSend', async (_request, reply, payload) => {
    reply.header('x-content-type-options', 'nosniff');
    return payload;
  });
  server.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'none';
    metrics.observe(request.method, route, reply.statusCode, reply.elapsedTime);
  });

  const refuseOtherMethods = refusesOtherMethods(server);
  keyRoutes(server, door);
  listingRoutes(server, door);
  operationRoutes(server, door);
  simpleRoutes(server, door);
  bucketRoutes(server, door);
  clusterRoutes(server, door);
  coordinatorRoutes(server, door);
  healthRoutes(server, door);
  server.get('/metrics', async (_request, reply) =>
    reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  );
  refuseOtherMethods();
  return server;
}

function listenError(error: unknown, address: string): QuoinError {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  if (code === 'EADDRINUSE')
    return new QuoinError('ADDRESS_IN_USE', `listen.http: ${address} is in use`, { cause: error });
  const reason = error instanceof Error ? error.message : String(error);
  return new QuoinError('CONFIG_INVALID', `listen.http: cannot listen on ${address}: ${reason}`, {
    cause: error,
  });
}

function boundAddress(server: Server): string {
  const bound = server.address();
  if (bound === null || typeof bound === 'string')
    throw new QuoinError('INTERNAL', 'the HTTP door is not bound');
  return formatAddress(bound.address, bound.port);
}

/** Opens the HTTP door of a node. Rejects with ADDRESS_IN_USE or CONFIG_INVALID when it cannot listen. */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const listenAt = parseAddress(options.address);
  if (listenAt === undefined)
    throw new QuoinError('CONFIG_INVALID', `listen.http: ${options.address} is no address host:port`);
  const door: Door = {
    node: options.node,
    maxKeyBytes: options.limits?.maxKeyBytes ?? LIMITS.maxKeyBytes,
    maxValueBytes: options.limits?.maxValueBytes ?? LIMITS.maxValueBytes,
    bodies: new BodyReader(),
  };
  const server = build(door, createMetrics(options.node));
  server.server.maxConnections = options.limits?.maxConnections ?? LIMITS.maxConnections;
  try {
    await server.listen({ host: listenAt.host, port: listenAt.port });
  } catch (error) {
    await server.close();
    throw listenError(error, options.address);
  }
  return {
    address: boundAddress(server.server),
    close: async () => {
      const deadline = setTimeout(() => server.server.closeAllConnections(), CLOSE_GRACE_MS);
      try {
        await server.close();
      } finally {
        clearTimeout(deadline);
      }
    },
  };
}
