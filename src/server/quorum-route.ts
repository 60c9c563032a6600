/**
 * The way of this node's requests to the eventual buckets of one group: reads and writes of single keys through the
 * quorum core, reads over many keys from one replica (papers 000 and 004: the request coordinator).
 *
 * Invariants:
 * - a request is completed exactly once; every way ends within the core's or the queries' deadline;
 * - a replica that is being filled after the loss of its disk answers no reads over many keys, neither its own nor others';
 * - what reads before it writes is refused: concurrent writers would lose each other's changes without a trace.
 */
import { LIMITS } from '../base/limits.js';
import type {
  QuorumFailure,
  QuorumRead,
  QuorumRecord,
  QuorumWrite,
  ReplicaSet,
  WriteOutcome,
} from '../protocol/quorum/types.js';
import type { NodeId } from '../protocol/raft/types.js';
import type { Queries, Question } from '../replica/quorum/queries.js';
import type { QuorumReplica } from '../replica/quorum/quorum-replica.js';
import type { CommandDefinition } from '../store/command.js';
import {
  answerRead,
  failedRead,
  failedWrite,
  type KeyWrite,
  keyOfRead,
  quorumUseOf,
  refusalOf,
  replyToWrite,
  writeOf,
} from '../store/quorum/commands.js';
import { ErrorReply, type Reply } from '../store/reply.js';
import type { QuorumPolicy } from '../store/types.js';
import type { Route } from './router.js';
import type { QuorumChoice, Request } from './types.js';

export interface QuorumRouteHost {
  readonly replica: Pick<QuorumReplica, 'read' | 'write' | 'takesMutations'>;
  readonly queries: Pick<Queries, 'ask'>;
  wallMs(): number;
  /** The first n members of a group; one object for each distinct set. */
  replicaSet(group: number, n: number): ReplicaSet;
  /** May this peer be asked? */
  reachable(node: NodeId): boolean;
  /** Is this bucket open here? */
  knowsBucket(id: number): boolean;
  /** True while what this node holds is no answer: it has lost its disk and is being filled. */
  isFilling(): boolean;
  /** Carries out a read over many keys on what this node holds of a group. */
  serve(group: number, bucketId: number, definition: CommandDefinition, args: readonly Buffer[]): Reply;
}

class RoutedRead implements QuorumRead {
  readonly bucketId: number;
  readonly key: Buffer;
  readonly replicas: ReplicaSet;
  readonly r: number;
  readonly repair: boolean;
  readonly #request: Request;
  readonly #host: QuorumRouteHost;

  constructor(
    request: Request,
    key: Buffer,
    host: QuorumRouteHost,
    replicas: ReplicaSet,
    r: number,
    repair: boolean,
  ) {
    this.bucketId = request.bucket.id;
    this.key = key;
    this.replicas = replicas;
    this.r = r;
    this.repair = repair;
    this.#request = request;
    this.#host = host;
  }

  found(record: QuorumRecord | undefined): void {
    const { definition, args, completion } = this.#request;
    completion.complete(answerRead(definition, args, record, this.#host.wallMs()));
  }

  failed(reason: QuorumFailure): void {
    this.#request.completion.complete(failedRead(reason));
  }
}

class RoutedWrite implements QuorumWrite {
  readonly bucketId: number;
  readonly key: Buffer;
  readonly value: Buffer;
  readonly expiresAtMs: number;
  readonly replicas: ReplicaSet;
  readonly w: number;
  readonly durable: boolean;
  readonly hinted: boolean;
  readonly #request: Request;
  readonly #host: QuorumRouteHost;

  constructor(
    request: Request,
    write: KeyWrite,
    host: QuorumRouteHost,
    replicas: ReplicaSet,
    w: number,
    hinted: boolean,
  ) {
    this.bucketId = request.bucket.id;
    this.key = write.key;
    this.value = write.value;
    this.expiresAtMs = write.expiresAtMs;
    this.replicas = replicas;
    this.w = w;
    // One replica's word is one replica's memory; more than one promise that a crash loses nothing.
    this.durable = w > 1 || replicas.members.length === 1;
    this.hinted = hinted;
    this.#request = request;
    this.#host = host;
  }

  written(outcome: WriteOutcome): void {
    const { definition, bucket, completion } = this.#request;
    if (outcome.ok || outcome.reason !== 'refused') completion.complete(replyToWrite(definition, outcome));
    // Nobody has taken it. Replicas refuse what they have no memory for, and what is of a bucket that they do not have.
    else if (!this.#host.knowsBucket(bucket.id)) completion.complete(dropped(this.#request));
    else if (bucket.retention?.eviction !== 'noeviction') completion.complete(failedWrite('unreachable'));
    else completion.complete(replyToWrite(definition, outcome));
  }
}

/** A read over many keys: asks one replica after the other until one answers. */
class RoutedQuestion implements Question {
  readonly bucketId: number;
  readonly definition: CommandDefinition;
  readonly args: readonly Buffer[];
  readonly #request: Request;
  readonly #host: QuorumRouteHost;
  readonly #group: number;
  readonly #candidates: NodeId[];

  constructor(request: Request, host: QuorumRouteHost, group: number, candidates: NodeId[]) {
    this.bucketId = request.bucket.id;
    this.definition = request.definition;
    this.args = request.args;
    this.#request = request;
    this.#host = host;
    this.#group = group;
    this.#candidates = candidates;
  }

  ask(): void {
    const next = this.#candidates.shift();
    if (next === undefined) this.#request.completion.complete(failedRead('unreachable'));
    else this.#host.queries.ask(next, this.#group, this);
  }

  answered(reply: Reply | undefined): void {
    if (reply === undefined || isElsewhere(reply)) this.ask();
    else this.#request.completion.complete(reply);
  }
}

export class QuorumRoute implements Route {
  readonly #group: number;
  readonly #host: QuorumRouteHost;

  constructor(group: number, host: QuorumRouteHost) {
    this.#group = group;
    this.#host = host;
  }

  submit(request: Request): void {
    const { bucket, definition } = request;
    const policy = bucket.quorum;
    if (policy === undefined) {
      request.completion.complete(
        ErrorReply.of('INTERNAL', `bucket '${bucket.name}' is not one of quorum replication`),
      );
      return;
    }
    if (!this.#host.knowsBucket(bucket.id)) {
      request.completion.complete(dropped(request));
      return;
    }
    switch (quorumUseOf(definition)) {
      case 'read':
        this.#read(request, policy);
        return;
      case 'write':
        this.#write(request, policy);
        return;
      case 'scan':
        this.#scan(request, policy);
        return;
      default:
        request.completion.complete(refusalOf(definition, bucket));
    }
  }

  #read(request: Request, policy: QuorumPolicy): void {
    const { definition, args, completion } = request;
    const key = keyOfRead(definition, args);
    if (key === undefined) {
      completion.complete(answerRead(definition, args, undefined, this.#host.wallMs()));
      return;
    }
    const replicas = this.#host.replicaSet(this.#group, policy.n);
    const r = chosen(request.quorum, 'r', policy.r);
    if (r > replicas.members.length) refuseCount(request, 'r', replicas);
    else this.#host.replica.read(new RoutedRead(request, key, this.#host, replicas, r, policy.readRepair));
  }

  #write(request: Request, policy: QuorumPolicy): void {
    const { bucket, definition, args, completion } = request;
    const write = writeOf(definition, args, bucket, this.#host.wallMs());
    if (write instanceof ErrorReply) {
      completion.complete(write);
      return;
    }
    if (!this.#host.replica.takesMutations) {
      completion.complete(ErrorReply.of('OVERLOADED', 'too much waits to be written back to disk'));
      return;
    }
    const replicas = this.#host.replicaSet(this.#group, policy.n);
    const w = chosen(request.quorum, 'w', policy.w);
    if (w > replicas.members.length) refuseCount(request, 'w', replicas);
    else
      this.#host.replica.write(
        new RoutedWrite(request, write, this.#host, replicas, w, policy.hintedHandoff),
      );
  }

  #scan(request: Request, policy: QuorumPolicy): void {
    const { bucket, definition, args, completion } = request;
    const replicas = this.#host.replicaSet(this.#group, policy.n);
    if (replicas.includesSelf && !this.#host.isFilling()) {
      completion.complete(this.#host.serve(this.#group, bucket.id, definition, args));
      return;
    }
    const candidates = replicas.others.filter((member) => this.#host.reachable(member));
    new RoutedQuestion(request, this.#host, this.#group, candidates).ask();
  }
}

/** The replica cannot tell, another one may. */
function isElsewhere(reply: Reply): boolean {
  return reply instanceof ErrorReply && reply.code === 'STARTING';
}

function dropped({ bucket }: Request): ErrorReply {
  return ErrorReply.of('UNKNOWN_BUCKET', `bucket '${bucket.name}' was dropped`);
}

function chosen(choice: QuorumChoice | undefined, name: 'r' | 'w', ofBucket: number): number {
  return choice?.[name] ?? ofBucket;
}

function refuseCount(request: Request, name: 'r' | 'w', replicas: ReplicaSet): void {
  const { name: bucket } = request.bucket;
  request.completion.complete(
    ErrorReply.of(
      'WRONG_ARGUMENTS',
      `${name} is at most ${Math.min(replicas.members.length, LIMITS.maxReplicas)} in bucket '${bucket}': so many replicas has a key`,
    ),
  );
}
