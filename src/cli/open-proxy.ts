/**
 * A proxy in this process, with the requests that it makes to nodes itself. None of these rejects: a node that cannot be
 * asked is an answer too.
 */
import type { ClusterView, ProxyNetwork } from '../proxy/heartbeats.js';
import type { Coordinator, HeartbeatOutcome } from '../proxy/rotation.js';
import type { RunningProxy } from '../proxy/server.js';
import { asList, asObject, httpRequest, type JsonObject } from './http-client.js';

/** What `/readyz` says of a node that serves, and only misses leaders. */
const WAITS_FOR_LEADERS = 'NO_LEADER';

async function beat(address: string, timeoutMs: number): Promise<HeartbeatOutcome> {
  try {
    const response = await fetch(`http://${address}/readyz`, { signal: AbortSignal.timeout(timeoutMs) });
    const body: unknown = await response.json();
    if (response.ok) return 'ready';
    return asObject(body).code === WAITS_FOR_LEADERS ? 'waiting' : 'unfit';
  } catch (error) {
    return error instanceof Error && error.name === 'TimeoutError' ? 'silent' : 'refused';
  }
}

function coordinatorFrom(node: JsonObject): Coordinator | undefined {
  const { id, resp, http, grpc } = node;
  if (typeof id !== 'string' || typeof http !== 'string') return undefined;
  if (typeof resp !== 'string' || typeof grpc !== 'string') return undefined;
  return asList(node.roles).includes('coordinator') ? { id, resp, http, grpc } : undefined;
}

async function look(address: string, timeoutMs: number): Promise<ClusterView | undefined> {
  const told = await httpRequest(address, 'GET', '/v1/cluster', { timeoutMs }).catch(() => undefined);
  const { id: clusterId, epoch, nodes } = asObject(told);
  if (typeof clusterId !== 'string' || typeof epoch !== 'number') return undefined;
  const coordinators = asList(nodes).map((node) => coordinatorFrom(asObject(node)));
  return { clusterId, epoch, coordinators: coordinators.filter((one) => one !== undefined) };
}

const NETWORK: ProxyNetwork = { beat, look };

/** Starts a proxy; `seeds` are HTTP addresses of nodes. Only who runs one pays for loading it. */
export async function openProxy(
  listen: { readonly host: string; readonly port: number },
  seeds: readonly string[],
): Promise<RunningProxy> {
  const [{ startProxy }, { realEnv }] = await Promise.all([
    import('../proxy/server.js'),
    import('../env/real/index.js'),
  ]);
  return await startProxy({ listen, seeds, network: NETWORK, clock: realEnv().clock });
}
