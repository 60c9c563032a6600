/**
 * `/healthz`: is the process worth keeping? No after a disk failure, since only a restart helps. `/readyz`: may clients be sent
 * here? Yes once every group has a known leader. Eventual buckets need none: they are served before that, too, as far as
 * their r and w can be reached.
 */
import type { FastifyInstance } from 'fastify';
import { codeOfPhase, type Door } from '../door.js';
import { problemOf, sendProblem } from '../problem.js';

export function healthRoutes(server: FastifyInstance, door: Door): void {
  server.get('/healthz', async (_request, reply) => {
    const { phase, reason } = door.node.state();
    if (phase === 'failed') return sendProblem(reply, problemOf(codeOfPhase(phase), reason, 503));
    return reply.send({ status: 'ok', phase });
  });

  server.get('/readyz', async (_request, reply) => {
    const { phase, reason } = door.node.state();
    if (phase === 'serving' && door.node.ready()) return reply.send({ ready: true, node: door.node.id });
    const leaderless = door.node
      .groupStatus()
      .filter((status) => status.leader === undefined)
      .map((status) => status.group);
    // While it serves, leaders are all that can be missing; else the node says what it waits for.
    const detail = phase === 'serving' ? `no leader known of group ${leaderless.join(', ')}` : reason;
    const problem = problemOf(codeOfPhase(phase), detail, 503);
    // A member of this problem's own (RFC 9457, 3.2).
    const detailed = { ...problem, leaderless };
    return sendProblem(reply, detailed);
  });
}
