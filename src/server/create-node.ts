/** Opens a data directory and starts the node that it belongs to. */
import type { NodeDescription } from '../cluster/map.js';
import { EngineHost } from '../engine/engine-host.js';
import type { WriteAheadLog } from '../log/types.js';
import { openLog } from '../log/write-ahead-log.js';
import type { NodeConfiguration } from './configuration/types.js';
import { type Identity, openIdentity } from './identity.js';
import { Node, type NodeDependencies } from './node.js';

/** Rejects with `QuoinError` when the configuration or the data directory does not allow it. */
export async function createNode(
  configuration: NodeConfiguration,
  dependencies: NodeDependencies,
): Promise<Node> {
  const { env } = dependencies;
  const directory = configuration.node.dataDir;
  env.disk.makeDirectory(directory);
  const lock = env.disk.lock(directory);
  let log: WriteAheadLog | undefined;
  let engines: EngineHost | undefined;
  let node: Node | undefined;
  try {
    await dependencies.beforeWriting?.();
    const identity = openIdentity(env, directory, configuration.node.id, configuration.cluster.name);
    log = openLog(env.disk, env.clock, `${directory}/log`, {
      syncStrategy: configuration.storage.syncStrategy,
      reachPath: `${directory}/log.json`,
    });
    const storeDirectory = `${directory}/store`;
    env.disk.makeDirectory(storeDirectory);
    engines = new EngineHost({
      openDiskStore: () => dependencies.openDiskStore(storeDirectory),
      clock: env.clock,
    });
    node = new Node(configuration, dependencies, {
      self: describe(configuration, identity),
      log,
      engines,
      releaseDirectory: () => lock.release(),
    });
    await node.open();
    return node;
  } catch (error) {
    if (node === undefined) {
      log?.close();
      await engines?.close();
      lock.release();
    } else await node.stop();
    throw error;
  }
}

function describe(configuration: NodeConfiguration, identity: Identity): NodeDescription {
  const { node, listen, advertise } = configuration;
  const reachable = (address: string): string =>
    `${advertise}:${address.slice(address.lastIndexOf(':') + 1)}`;
  return {
    id: node.id,
    resp: reachable(listen.resp),
    http: reachable(listen.http),
    grpc: reachable(listen.grpc),
    roles: node.roles,
    zone: node.zone,
    weight: node.weight,
    incarnation: identity.incarnation,
  };
}
