/**
 * The thread that an embedded node runs on, so that an application's busy loop costs no heartbeat. Calls come in
 * batches; the answers of a turn go back as one batch.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { invariant, QuoinError } from '../base/errors.js';
import { commandByName } from '../store/registry.js';
import { ErrorReply, type Reply } from '../store/reply.js';
import type { Answer, Answered, Call, FromWorker, ToWorker, WorkerStart } from './protocol.js';
import { type ServedNode, serveNode } from './serve.js';

const READY_POLL_MS = 20;

invariant(parentPort !== null, 'this file runs as a worker thread');
const port = parentPort;

const post = (message: FromWorker): void => port.postMessage(message);

let answers: Answer[] = [];

function answer(reply: Answer): void {
  if (answers.length === 0) setImmediate(flush);
  answers.push(reply);
}

function flush(): void {
  const batch = answers;
  answers = [];
  post({ kind: 'answers', answers: batch });
}

function toAnswered(reply: Reply): Answered {
  if (reply === null || typeof reply === 'number' || Buffer.isBuffer(reply)) return reply;
  invariant(Array.isArray(reply), 'internal commands answer bytes, numbers, null or lists of these');
  return reply.map(toAnswered);
}

function call(served: ServedNode, { id, bucket: bucketName, command, args }: Call): void {
  const bucket = served.node.bucketByName(bucketName);
  const definition = commandByName(command);
  if (bucket === undefined) {
    const { phase, reason } = served.node.state();
    answer(
      phase === 'serving'
        ? { id, error: { code: 'UNKNOWN_BUCKET', message: `there is no bucket '${bucketName}'` } }
        : { id, error: { code: 'STARTING', message: reason } },
    );
    return;
  }
  invariant(definition !== undefined, `command ${command} is registered`);
  served.node.submit({
    definition,
    bucket,
    args: args.map((bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)),
    consistency: 'linearizable',
    ordered: false,
    session: undefined,
    completion: {
      complete: (reply) => {
        if (reply instanceof ErrorReply) answer({ id, error: { code: reply.code, message: reply.text } });
        else answer({ id, value: toAnswered(reply) });
      },
    },
  });
}

function describe(error: unknown): { code: QuoinError['code']; message: string } {
  if (error instanceof QuoinError) return { code: error.code, message: error.message };
  return { code: 'INTERNAL', message: error instanceof Error ? error.message : String(error) };
}

async function run(): Promise<void> {
  const { configuration } = workerData as WorkerStart;
  const served = await serveNode(configuration);
  post({ kind: 'started', addresses: served.addresses });
  const poll = setInterval(() => {
    if (!served.node.ready()) return;
    clearInterval(poll);
    post({ kind: 'ready' });
  }, READY_POLL_MS);
  port.on('message', (message: ToWorker) => {
    if (message.kind === 'calls') for (const item of message.calls) call(served, item);
    else void stop(served, poll);
  });
  const error = await served.ended;
  if (error !== undefined) post({ kind: 'failed', error: describe(error) });
  await stop(served, poll);
}

async function stop(served: ServedNode, poll: NodeJS.Timeout): Promise<void> {
  clearInterval(poll);
  await served.stop();
  post({ kind: 'stopped' });
  port.close();
}

run().catch((error: unknown) => {
  post({ kind: 'failed', error: describe(error) });
  port.close();
});
