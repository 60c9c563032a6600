/**
 * A small Express application whose sessions live in a Quoin cluster. Nothing in it knows Quoin: express-session and
 * connect-redis speak to it as they would to Redis, through node-redis in cluster mode.
 */
import { RedisStore } from 'connect-redis';
import express, { type ErrorRequestHandler, type Express } from 'express';
import session from 'express-session';
import { createCluster } from 'redis';

declare module 'express-session' {
  interface SessionData {
    user: string;
    visits: number;
  }
}

/** How soon the client looks for another way to a node that has gone. */
const RECONNECT_MS = 50;
const TOPOLOGY_REFRESH_MS = 200;
const SESSION_SECONDS = 30 * 60;

export interface SessionApp {
  readonly app: Express;
  readonly close: () => Promise<void>;
}

export interface SessionAppOptions {
  /** Number of the bucket that keeps the sessions, as `quoin bucket describe NAME` tells it; 0 is `default`. */
  readonly bucket?: number;
  /**
   * The bucket is an eventual one (of quorum replication). There a time to live is part of a write, so a session cannot be touched
   * without being written: it lives on from its last change.
   */
  readonly eventual?: boolean;
}

/**
 * `nodes`: URLs of some or all nodes, `redis://host:port`. More than one, so that the application also starts when one of
 * them is down; the client finds the others by itself.
 */
export async function createSessionApp(
  nodes: readonly string[],
  secret: string,
  { bucket = 0, eventual = false }: SessionAppOptions = {},
): Promise<SessionApp> {
  const client = createCluster({
    rootNodes: nodes.map((url) => ({ url })),
    defaults: { database: bucket, socket: { reconnectStrategy: RECONNECT_MS, connectTimeout: 2000 } },
    // A node that has died is asked for no longer than this; then its slots are asked of the new leaders.
    topologyRefreshOnReconnectionAttemptStrategy: TOPOLOGY_REFRESH_MS,
  });
  // While a node is down the client says so again and again; requests that suffer from it get a 503 below.
  client.on('error', () => {});
  await client.connect();

  const app = express();
  app.use(
    session({
      store: new RedisStore({ client, prefix: 'session:', ttl: SESSION_SECONDS, disableTouch: eventual }),
      secret,
      resave: false,
      saveUninitialized: false,
      cookie: { httpOnly: true, sameSite: 'lax', maxAge: SESSION_SECONDS * 1000 },
    }),
  );
  app.use(express.json());

  app.post('/login', (request, response, next) => {
    const { user } = request.body as { readonly user?: unknown };
    if (typeof user !== 'string' || user === '') {
      response.status(400).json({ error: 'send {"user": "name"}' });
      return;
    }
    // A new id at login, so that nobody can plant one beforehand.
    request.session.regenerate((error: unknown) => {
      if (error) {
        next(error);
        return;
      }
      request.session.user = user;
      request.session.visits = 0;
      response.status(201).json({ user });
    });
  });

  app.get('/me', (request, response) => {
    const { user, visits = 0 } = request.session;
    if (user === undefined) {
      response.status(401).json({ error: 'not logged in' });
      return;
    }
    request.session.visits = visits + 1;
    response.json({ user, visits: visits + 1 });
  });

  app.post('/logout', (request, response, next) => {
    request.session.destroy((error: unknown) => {
      if (error) next(error);
      else response.status(204).end();
    });
  });

  // A store that cannot be reached is no reason to log anyone out: the browser is told to come again.
  const unavailable: ErrorRequestHandler = (error, _request, response, next) => {
    if (response.headersSent) {
      next(error);
      return;
    }
    const status = (error as { readonly status?: unknown }).status;
    if (typeof status === 'number' && status < 500) response.status(status).json({ error: 'bad request' });
    else response.status(503).set('Retry-After', '1').json({ error: 'the session store does not answer' });
  };
  app.use(unavailable);

  return {
    app,
    close: async () => {
      client.destroy();
    },
  };
}
