/**
 * `GET /v1/coordinator` of 'In-Memory Distributed Key Value Store' (sections Client and Request Proxy Server, where the proxy
 * hands out coordinators): the addresses of a healthy coordinator, the next one each time.
 *
 * Departure: any node answers, a storage node too, so that a client which knows one address finds all. `quoin proxy` answers
 * the same from what it has seen itself.
 */
import type { FastifyInstance } from 'fastify';
import { QuoinError } from '../../../base/errors.js';
import type { NodeDescription } from '../../../cluster/map.js';
import { codeOfPhase, type Door } from '../door.js';

export function coordinatorRoutes(server: FastifyInstance, door: Door): void {
  let handedOut = 0;

  server.get('/v1/coordinator', async (_request, reply) => {
    const coordinators = healthyCoordinators(door);
    const next = coordinators[handedOut++ % coordinators.length];
    if (next === undefined)
      throw new QuoinError('UNREACHABLE', `node ${door.node.id} reaches no coordinator of its cluster`);
    const { id, resp, http, grpc } = next;
    return reply.header('cache-control', 'no-store').send({ id, resp, http, grpc });
  });
}

/** In the order of the map. This node counts while it serves, another while it is connected. */
function healthyCoordinators({ node }: Door): NodeDescription[] {
  const map = node.map();
  const { phase, reason } = node.state();
  if (map === undefined) throw new QuoinError(codeOfPhase(phase), reason);
  return map.nodes.filter(
    ({ id, roles }) =>
      roles.includes('coordinator') && (id === node.id ? phase === 'serving' : node.peerConnected(id)),
  );
}
