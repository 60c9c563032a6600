/**
 * The answer to a method that a path does not have: 405, and an `Allow` header with those that it has (RFC 9110, 15.5.6). The
 * router knows paths only together with their methods, so each path gets a route for every method that it lacks.
 */
import type { FastifyInstance } from 'fastify';
import { problemOf, sendProblem } from './problem.js';

/** Collects the paths that are added from now on; the function that it returns adds the routes that refuse. */
export function refusesOtherMethods(server: FastifyInstance): () => void {
  const methodsOf = new Map<string, Set<string>>();
  server.addHook('onRoute', ({ url, method }) => {
    const methods = methodsOf.get(url) ?? new Set();
    methodsOf.set(url, methods);
    for (const one of [method].flat()) methods.add(one.toUpperCase());
  });
  return () => {
    // As the hook sees the routes that are added here as well.
    for (const [url, present] of [...methodsOf]) {
      const allow = [...present].sort().join(', ');
      const missing = server.supportedMethods.filter((method) => !present.has(method));
      server.route({
        method: missing,
        url,
        exposeHeadRoute: false,
        handler: (request, reply) => {
          reply.header('allow', allow);
          return sendProblem(
            reply,
            problemOf('METHOD_NOT_ALLOWED', `${request.method} is not for this path; there is ${allow}`),
          );
        },
      });
    }
  };
}
