/**
 * Puts a node together: the real outside world, the node, its front doors. Everything that runs a node in earnest starts
 * here: `quoin start` and the embedding API's worker thread.
 */

import { startHttpServer } from '../api/http/index.js';
import { startRespServer } from '../api/resp/server.js';
import { checkSlackDoor, startSlackDoor } from '../api/slack/index.js';
import { type Logger, SILENT_LOGGER } from '../base/logger.js';
import { LmdbDiskStore } from '../engine/lmdb/lmdb-disk-store.js';
import { realEnv } from '../env/real/index.js';
import type { NodeConfiguration } from '../server/configuration/types.js';
import { createNode } from '../server/create-node.js';
import type { Node } from '../server/node.js';
import { checkDoorAddresses } from './door-addresses.js';
import type { NodeAddresses } from './protocol.js';

export interface ServedNode {
  readonly node: Node;
  /** As bound (a configured port 0 is resolved here). */
  readonly addresses: NodeAddresses;
  /** Resolves with the reason when the node has failed, or with undefined when a client sent SHUTDOWN. */
  readonly ended: Promise<Error | undefined>;
  stop(): Promise<void>;
}

export async function serveNode(
  configuration: NodeConfiguration,
  logger: Logger = SILENT_LOGGER,
): Promise<ServedNode> {
  let end: (error: Error | undefined) => void = () => {};
  const ended = new Promise<Error | undefined>((resolve) => {
    end = resolve;
  });
  const env = realEnv();
  const node = await createNode(configuration, {
    env,
    logger,
    openDiskStore: (directory) => new LmdbDiskStore({ directory, clock: env.clock, disk: env.disk }),
    onFailed: end,
    beforeWriting: async () => {
      await checkDoorAddresses(configuration);
      if (configuration.slack !== undefined) await checkSlackDoor(configuration.slack);
    },
  });
  const doors: { close(): Promise<void> }[] = [];
  const close = async (): Promise<void> => {
    try {
      await Promise.all(doors.map((door) => door.close()));
    } finally {
      await node.stop();
    }
  };
  try {
    const { listen, limits } = configuration;
    const resp = await startRespServer({
      node,
      address: listen.resp,
      limits,
      onShutdown: () => end(undefined),
    });
    doors.push(resp);
    const http = await startHttpServer({ node, address: listen.http, limits });
    doors.push(http);
    const { slack } = configuration;
    if (slack !== undefined) doors.push(await startSlackDoor({ node, configuration: slack, limits, logger }));
    return {
      node,
      addresses: { resp: resp.address, http: http.address, grpc: listen.grpc },
      ended,
      stop: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
