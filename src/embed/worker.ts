/**
 * The thread that an embedded node runs on, so that an application's busy loop costs no heartbeat. It serves until it is
 * told to stop, or fails; its last message says which.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { invariant, QuoinError } from '../base/errors.js';
import { CallHost } from './call-host.js';
import { buffersOf } from './packet.js';
import type { Failure, FromWorker, ToWorker, WorkerStart } from './protocol.js';
import { serveNode } from './serve.js';
import { workerLogger } from './worker-logger.js';

const READY_POLL_MS = 20;

invariant(parentPort !== null, 'this file runs as a worker thread');
const port = parentPort;

const post = (message: FromWorker): void => port.postMessage(message);

function failureOf(error: unknown): Failure {
  if (error instanceof QuoinError) return { code: error.code, message: error.message, remedy: error.remedy };
  return { code: 'INTERNAL', message: error instanceof Error ? error.message : String(error) };
}

/** Serves until told to stop. */
async function run({ configuration, logLevel }: WorkerStart): Promise<void> {
  const logger = workerLogger(logLevel, (level, fields, message) =>
    post({ kind: 'log', level, fields, message }),
  );
  const served = await serveNode(configuration, logger);
  const host = new CallHost(served.node, configuration.limits, (packet) =>
    port.postMessage({ kind: 'answers', packet } satisfies FromWorker, buffersOf(packet)),
  );
  post({ kind: 'started', addresses: served.addresses });
  const poll = setInterval(() => {
    if (!served.node.ready()) return;
    clearInterval(poll);
    post({ kind: 'ready' });
  }, READY_POLL_MS);
  const told = new Promise<undefined>((resolve) => {
    port.on('message', (message: ToWorker) => {
      if (message.kind === 'calls') host.receive(message.packet);
      else resolve(undefined);
    });
  });
  const failure = await Promise.race([told, served.ended]);
  clearInterval(poll);
  await served.stop();
  // The answers to what the stop has ended go before the last word.
  host.flush();
  if (failure !== undefined) throw failure;
}

run(workerData as WorkerStart)
  .then(
    () => post({ kind: 'stopped' }),
    (error: unknown) => post({ kind: 'failed', error: failureOf(error) }),
  )
  .finally(() => port.close());
