/**
 * Requests on their way between nodes: a node that does not lead a group sends them to the one that does.
 *
 *   request = routeSequence | acknowledgedBelow | flags u8 | [session text | sequence | acknowledgedBelow]
 *             | bucketId | commandId | argc | args
 *   reply   = bootTag u32 | routeSequence | status u8 | [reply]
 *
 * Integers are varints. Without a session of the client's, the request belongs to the session of the sending process,
 * whose id its frames carry; the route sequence is then the sequence in that session.
 *
 * Invariant: an answer is taken only by the process that asked. A process that starts anew counts its requests from 1
 * again, and whoever answers may not have heard of the new one yet, so every answer says whom it is for (`bootTag`).
 */
import { ByteReader, type ByteWriter, DecodeError } from '../base/bytes.js';
import { LIMITS } from '../base/limits.js';
import type { NodeId } from '../protocol/raft/types.js';
import { MESSAGE } from '../replica/peers/frame.js';
import type { PeerHub } from '../replica/peers/peer-hub.js';
import type { PendingRequest, Refusal } from '../replica/pending.js';
import type { CommandDefinition } from '../store/command.js';
import { commandById } from '../store/registry.js';
import type { Reply } from '../store/reply.js';
import { readReply, writeReply } from '../store/reply-codec.js';
import type { SessionStamp } from '../store/types.js';
import type { ForwardGate } from './forward-gate.js';

const FLAG_THROUGH_LOG = 1;
const FLAG_OWN_SESSION = 2;

/** Numbers are append-only; 0 is an answer. */
const STATUS_OF: Readonly<Record<Refusal, number>> = {
  'not-leader': 1,
  'leadership-lost': 2,
  behind: 3,
  overloaded: 4,
};
const REFUSAL_OF: readonly (Refusal | undefined)[] = [
  undefined,
  'not-leader',
  'leadership-lost',
  'behind',
  'overloaded',
];

export interface ForwardedRequest {
  readonly sequence: number;
  readonly acknowledgedBelow: number;
  readonly throughLog: boolean;
  readonly session: SessionStamp | undefined;
  readonly bucketId: number;
  readonly definition: CommandDefinition;
  readonly args: readonly Buffer[];
}

export function encodeForwardedRequest(writer: ByteWriter, request: ForwardedRequest): void {
  const { session, args } = request;
  writer.varint(request.sequence);
  writer.varint(request.acknowledgedBelow);
  writer.u8((request.throughLog ? FLAG_THROUGH_LOG : 0) | (session === undefined ? 0 : FLAG_OWN_SESSION));
  if (session !== undefined) {
    writer.string(session.session);
    writer.varint(session.sequence);
    writer.varint(session.acknowledgedBelow);
  }
  writer.varint(request.bucketId);
  writer.varint(request.definition.id);
  writer.varint(args.length);
  for (let i = 0; i < args.length; i++) writer.bytes(args[i]!);
}

/** Tells the lives of one node apart: the first four bytes of the random id of its process. */
function bootTagOf(boot: string): number {
  return Number.parseInt(boot.slice(0, 8), 16) || 0;
}

/** What the log cannot carry must not come near it. */
function readSession(reader: ByteReader): string {
  const session = reader.string();
  if (!/^[0-9a-f]{16}$/.test(session)) throw new DecodeError('a session is 16 lower-case hex digits');
  return session;
}

/** A request of a peer, held until it is answered or given back; the answer goes home with the next frame. */
export class RemoteRequest implements PendingRequest {
  readonly definition: CommandDefinition;
  readonly bucketId: number;
  readonly args: readonly Buffer[];
  readonly stamp: SessionStamp;
  readonly throughLog: boolean;
  readonly #peers: PeerHub;
  readonly #from: NodeId;
  readonly #boot: string;
  readonly #group: number;
  readonly #sequence: number;
  readonly #gate: ForwardGate;
  /** False: it comes behind one that was given back, and must be given back too. */
  readonly isAdmitted: boolean;

  constructor(peers: PeerHub, gate: ForwardGate, from: NodeId, group: number, body: Buffer) {
    const reader = new ByteReader(body);
    this.#peers = peers;
    this.#gate = gate;
    this.#from = from;
    this.#boot = peers.bootOf(from);
    this.#group = group;
    this.#sequence = reader.varint();
    const acknowledgedBelow = reader.varint();
    const flags = reader.u8();
    this.stamp =
      (flags & FLAG_OWN_SESSION) === 0
        ? { session: this.#boot, sequence: this.#sequence, acknowledgedBelow }
        : { session: readSession(reader), sequence: reader.varint(), acknowledgedBelow: reader.varint() };
    this.bucketId = reader.varint();
    const definition = commandById(reader.varint());
    if (definition === undefined) throw new DecodeError('a forwarded command is unknown here');
    this.definition = definition;
    this.throughLog = (flags & FLAG_THROUGH_LOG) !== 0 || definition.isWrite;
    const count = reader.varint();
    if (count > reader.remainingBytes) throw new DecodeError('more arguments than bytes');
    const args: Buffer[] = [];
    for (let i = 0; i < count; i++) args.push(reader.bytes());
    this.args = args;
    this.isAdmitted = gate.admits(from, this.#boot, group, this.#sequence, acknowledgedBelow);
  }

  answer(reply: Reply): void {
    // Dropped on the way it would be asked for again, and again make the queue longer.
    if (!this.definition.isWrite && this.#peers.queuedBytes(this.#from) > LIMITS.maxPeerAnswerBytes) {
      this.refuse('overloaded');
      return;
    }
    const writer = this.#begin(0);
    if (writer === undefined) return;
    writeReply(writer, reply);
    this.#peers.endMessage(this.#from);
  }

  refuse(refusal: Refusal): void {
    if (refusal !== 'overloaded') this.#gate.gaveBack(this.#from, this.#boot, this.#group, this.#sequence);
    if (this.#begin(STATUS_OF[refusal]) !== undefined) this.#peers.endMessage(this.#from);
  }

  #begin(status: number): ByteWriter | undefined {
    // A restarted peer has forgotten what it asked.
    if (this.#peers.bootOf(this.#from) !== this.#boot) return undefined;
    const writer = this.#peers.beginMessage(this.#from, MESSAGE.forwardReplies, this.#group);
    writer?.u32(bootTagOf(this.#boot));
    writer?.varint(this.#sequence);
    writer?.u8(status);
    return writer;
  }
}

export interface ForwardedReply {
  readonly sequence: number;
  readonly refusal: Refusal | undefined;
  /** Present unless refused. */
  readonly reply: Reply;
}

/** Undefined: an answer to what an earlier process of this node has asked. `boot`: the id of the present one. */
export function decodeForwardedReply(body: Buffer, boot: string): ForwardedReply | undefined {
  const reader = new ByteReader(body);
  if (reader.u32() !== bootTagOf(boot)) return undefined;
  const sequence = reader.varint();
  const status = reader.u8();
  if (status === 0) return { sequence, refusal: undefined, reply: readReply(reader) };
  const refusal = REFUSAL_OF[status];
  if (refusal === undefined) throw new DecodeError(`reply status ${status} is unknown`);
  return { sequence, refusal, reply: null };
}
