/**
 * The node's side of the bucket handles: takes packets of calls, submits them, and sends the answers of a turn back as one
 * packet.
 *
 * Invariants: every call is answered once; nothing here throws into the node that completes a request.
 */
import { errorOfReply } from '../api/http/problem.js';
import { refusalOfReplicas } from '../api/http/quorum-choice.js';
import { invariant } from '../base/errors.js';
import type { NodeConfiguration } from '../server/configuration/types.js';
import type { NodeServer, QuorumChoice } from '../server/types.js';
import { commandByName } from '../store/registry.js';
import { ErrorReply, type Reply } from '../store/reply.js';
import type { BucketDescription } from '../store/types.js';
import { type Answered, AnswerWriter, type Call, type Packet, readCalls } from './packet.js';

type Limits = Pick<NodeConfiguration['limits'], 'maxKeyBytes' | 'maxValueBytes'>;

/** The commands' replies are bytes, numbers, null and lists of these; undefined for anything else. */
function toAnswered(reply: Reply): Answered | undefined {
  if (reply === null || typeof reply === 'number' || Buffer.isBuffer(reply)) return reply;
  if (!Array.isArray(reply)) return undefined;
  const members = (reply as readonly Reply[]).map(toAnswered);
  return members.some((member) => member === undefined) ? undefined : (members as Answered[]);
}

/** By the rules of the HTTP door. */
function refusalOfChoice(
  quorum: QuorumChoice | undefined,
  bucket: BucketDescription,
): ErrorReply | undefined {
  const refusal = refusalOfReplicas('r', quorum?.r, bucket) ?? refusalOfReplicas('w', quorum?.w, bucket);
  return refusal === undefined ? undefined : ErrorReply.of('WRONG_ARGUMENTS', refusal);
}

export class CallHost {
  readonly #node: NodeServer;
  readonly #limits: Limits;
  readonly #send: (packet: Packet) => void;
  readonly #answers = new AnswerWriter();

  constructor(node: NodeServer, limits: Limits, send: (packet: Packet) => void) {
    this.#node = node;
    this.#limits = limits;
    this.#send = send;
  }

  receive(packet: Packet): void {
    readCalls(packet, (call) => this.#carryOut(call));
  }

  /** Sends what is answered now rather than at the end of the turn. */
  flush(): void {
    if (!this.#answers.empty) this.#send(this.#answers.take());
  }

  #carryOut(call: Call): void {
    const bucket = this.#node.bucketByName(call.bucket);
    if (bucket === undefined) {
      this.#complete(call.id, this.#unknownBucket(call.bucket));
      return;
    }
    const definition = commandByName(call.command);
    invariant(definition !== undefined, `command ${call.command} is registered`);
    const refusal =
      this.#tooLarge(call) ?? definition.validate?.(call.args) ?? refusalOfChoice(call.quorum, bucket);
    if (refusal !== undefined) {
      this.#complete(call.id, refusal);
      return;
    }
    this.#node.submit({
      definition,
      bucket,
      args: call.args,
      consistency: 'linearizable',
      ordered: false,
      session: undefined,
      quorum: call.quorum,
      completion: { complete: (reply) => this.#complete(call.id, reply) },
    });
  }

  #unknownBucket(name: string): ErrorReply {
    const { phase, reason } = this.#node.state();
    switch (phase) {
      case 'serving':
        return ErrorReply.of('UNKNOWN_BUCKET', `no bucket '${name}'`);
      case 'starting':
        return ErrorReply.of('STARTING', reason);
      case 'stopping':
        return ErrorReply.of('SHUTTING_DOWN', reason);
      case 'failed':
        return ErrorReply.of('SYNC_FAILED', reason);
    }
  }

  #tooLarge({ command, args }: Call): ErrorReply | undefined {
    const { maxKeyBytes, maxValueBytes } = this.#limits;
    if (command === 'quoin.list') return undefined;
    const [key, value] = args;
    if (key !== undefined && key.length > maxKeyBytes)
      return ErrorReply.of(
        'KEY_TOO_LARGE',
        `the key has ${key.length} bytes, at most ${maxKeyBytes} are allowed`,
      );
    if (command === 'quoin.put' && value !== undefined && value.length > maxValueBytes)
      return ErrorReply.of(
        'VALUE_TOO_LARGE',
        `the value has ${value.length} bytes, at most ${maxValueBytes} are allowed`,
      );
    return undefined;
  }

  #complete(id: number, reply: Reply): void {
    if (this.#answers.empty) setImmediate(() => this.flush());
    if (reply instanceof ErrorReply) {
      const { code, message } = errorOfReply(reply);
      this.#answers.error(id, { code, message });
      return;
    }
    const answered = toAnswered(reply);
    if (answered === undefined)
      this.#answers.error(id, { code: 'INTERNAL', message: 'a reply of an unexpected shape' });
    else this.#answers.value(id, answered);
  }
}
