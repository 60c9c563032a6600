/**
 * Reads over many keys of an eventual bucket (SCAN, KEYS, DBSIZE, lists) for a node that holds none of the group's slots:
 * it asks a replica, which answers from what it holds.
 *
 *   query:      id varint | bucketId varint | commandId varint | argc varint | argument bytes*
 *   queryReply: id varint | reply (`reply-codec.ts`)
 *
 * Invariants: every question ends, with an answer or after its deadline; what a restarted peer asked is forgotten with
 * it; questions under way are bounded.
 */
import { ByteReader, DecodeError } from '../../base/bytes.js';
import { LIMITS } from '../../base/limits.js';
import type { Env } from '../../env/env.js';
import type { NodeId } from '../../protocol/raft/types.js';
import type { CommandDefinition } from '../../store/command.js';
import { commandById } from '../../store/registry.js';
import { ErrorReply, type Reply } from '../../store/reply.js';
import { readReply, writeReply } from '../../store/reply-codec.js';
import { MESSAGE } from '../peers/frame.js';
import type { PeerHub } from '../peers/peer-hub.js';

export interface Question {
  readonly bucketId: number;
  readonly definition: CommandDefinition;
  readonly args: readonly Buffer[];
  /** Called once; undefined: this peer did not answer, another may. */
  answered(reply: Reply | undefined): void;
}

interface Asked {
  readonly to: NodeId;
  readonly question: Question;
  readonly deadlineMs: number;
}

export interface QueriesHost {
  readonly env: Env;
  readonly peers: Pick<PeerHub, 'beginMessage' | 'endMessage' | 'queuedBytes'>;
  /** How long an answer is waited for. */
  readonly timeoutMs: number;
  /** Something was written to an outbox. */
  scheduleFlush(): void;
  /** Carries out a peer's question on what is held here. */
  serve(group: number, bucketId: number, definition: CommandDefinition, args: readonly Buffer[]): Reply;
}

export class Queries {
  readonly #host: QueriesHost;
  readonly #asked = new Map<number, Asked>();
  /** Begins at random, so that an answer to an earlier process of this node is not mistaken for one to this. */
  #nextId: number;

  constructor(host: QueriesHost) {
    this.#host = host;
    this.#nextId = host.env.random.integer(2 ** 32);
  }

  ask(to: NodeId, group: number, question: Question): void {
    if (this.#asked.size >= LIMITS.maxInflightRequestsPerGroup) {
      question.answered(ErrorReply.of('OVERLOADED', 'too many requests under way'));
      return;
    }
    const writer = this.#host.peers.beginMessage(to, MESSAGE.query, group);
    if (writer === undefined) {
      question.answered(undefined);
      return;
    }
    const id = this.#nextId++;
    writer.varint(id);
    writer.varint(question.bucketId);
    writer.varint(question.definition.id);
    writer.varint(question.args.length);
    for (const argument of question.args) writer.bytes(argument);
    if (!this.#host.peers.endMessage(to)) {
      question.answered(undefined);
      return;
    }
    const deadlineMs = this.#host.env.clock.monotonicMs() + this.#host.timeoutMs;
    this.#asked.set(id, { to, question, deadlineMs });
    this.#host.scheduleFlush();
  }

  /** A peer asks. */
  receive(from: NodeId, group: number, body: Buffer): void {
    const reader = new ByteReader(body);
    const id = reader.varint();
    const bucketId = reader.varint();
    const definition = commandById(reader.varint());
    const count = reader.varint();
    if (count > reader.remainingBytes) throw new DecodeError('more arguments than bytes');
    const args: Buffer[] = [];
    for (let i = 0; i < count; i++) args.push(reader.bytes());
    reader.end();
    const { peers } = this.#host;
    const reply = this.#replyTo(from, group, bucketId, definition, args);
    const writer = peers.beginMessage(from, MESSAGE.queryReply, group);
    if (writer === undefined) return;
    writer.varint(id);
    writeReply(writer, reply);
    peers.endMessage(from);
    this.#host.scheduleFlush();
  }

  #replyTo(
    from: NodeId,
    group: number,
    bucketId: number,
    definition: CommandDefinition | undefined,
    args: readonly Buffer[],
  ): Reply {
    // A node of a newer version may know more commands. Writes do not come this way.
    if (definition === undefined || definition.isWrite)
      return ErrorReply.of('NOT_SUPPORTED', 'the node asked does not know the command');
    if (this.#host.peers.queuedBytes(from) > LIMITS.maxPeerAnswerBytes)
      return ErrorReply.of('OVERLOADED', 'too many answers wait for this node');
    return this.#host.serve(group, bucketId, definition, args);
  }

  /** A peer answers. */
  receiveReply(from: NodeId, body: Buffer): void {
    const reader = new ByteReader(body);
    const id = reader.varint();
    const asked = this.#asked.get(id);
    if (asked === undefined || asked.to !== from) return;
    const reply = readReply(reader);
    reader.end();
    this.#asked.delete(id);
    asked.question.answered(reply);
  }

  /** What was asked of this peer may be lost. */
  peerReset(peer: NodeId): void {
    for (const [id, { to, question }] of this.#asked) {
      if (to !== peer) continue;
      this.#asked.delete(id);
      question.answered(undefined);
    }
  }

  tick(nowMs: number): void {
    for (const [id, { question, deadlineMs }] of this.#asked) {
      // In the order in which they were asked, and all wait equally long.
      if (deadlineMs > nowMs) break;
      this.#asked.delete(id);
      question.answered(undefined);
    }
  }

  /** Fails everything under way; nothing new is expected. */
  stop(): void {
    const asked = [...this.#asked.values()];
    this.#asked.clear();
    for (const { question } of asked)
      question.answered(ErrorReply.of('SHUTTING_DOWN', 'the node is stopping'));
  }
}
