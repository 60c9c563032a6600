/**
 * Where requests enter the node: counts them, turns away those that this node cannot carry out now or at all, and sends the
 * others on their way, which is the router's, or the map's for a flush of eventual buckets.
 *
 * Invariant: a request that is turned away is completed at once, and nothing of it was done.
 */
import type { ClusterMap } from '../cluster/map.js';
import type { NodeId } from '../protocol/raft/types.js';
import { ErrorReply } from '../store/reply.js';
import { type FlushHost, flushEventual } from './flush.js';
import type { Router } from './router.js';
import type { NodeServer, Request } from './types.js';

export interface RequestDoorHost {
  readonly self: NodeId;
  /** False: this node stores and does not coordinate. */
  readonly coordinates: boolean;
  readonly router: Router;
  readonly flush: FlushHost;
  state(): ReturnType<NodeServer['state']>;
  /** Why the node has failed; undefined while it has not. */
  failure(): Error | undefined;
  map(): ClusterMap | undefined;
  connected(peer: NodeId): boolean;
}

export class RequestDoor {
  readonly #host: RequestDoorHost;
  #reads = 0;
  #writes = 0;

  constructor(host: RequestDoorHost) {
    this.#host = host;
  }

  /** Requests that have come, those that were turned away among them. */
  get reads(): number {
    return this.#reads;
  }

  get writes(): number {
    return this.#writes;
  }

  get requests(): number {
    return this.#reads + this.#writes;
  }

  /** `serving`: the node is; handed in since it is looked at for each request. */
  submit(request: Request, serving: boolean): void {
    const { isWrite } = request.definition;
    const host = this.#host;
    if (isWrite) this.#writes++;
    else this.#reads++;
    if (!serving) request.completion.complete(this.#unavailable());
    else if (!host.coordinates) request.completion.complete(this.#notCoordinator());
    else if (!isWrite || !flushEventual(request, host.flush)) host.router.submit(request);
  }

  /** Names nodes to ask instead. */
  #notCoordinator(): ErrorReply {
    const host = this.#host;
    const others = host
      .map()
      ?.nodes.filter(({ id, roles }) => roles.includes('coordinator') && host.connected(id));
    const addresses = others?.slice(0, 3).map(({ id, resp, http }) => `${id} (${resp}, http ${http})`) ?? [];
    return ErrorReply.of(
      'NOT_COORDINATOR',
      `node '${host.self}' stores and does not coordinate; ask ${addresses.length > 0 ? addresses.join(' or ') : 'a coordinator, none of which is connected now'}`,
    );
  }

  #unavailable(): ErrorReply {
    const { phase, reason } = this.#host.state();
    if (phase === 'failed') return ErrorReply.from(this.#host.failure());
    if (phase === 'stopping') return ErrorReply.of('SHUTTING_DOWN', 'the node is stopping');
    return ErrorReply.of('STARTING', reason);
  }
}
