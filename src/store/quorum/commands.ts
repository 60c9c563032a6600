/**
 * What commands may do in an eventual bucket, and how they are carried out there.
 *
 * Reads of one key run on the record that a quorum has found. Writes must be blind: what they store depends on their
 * arguments and the clock alone, so that any coordinator can stamp them and the newest wins. Commands that look at what
 * is there and write what follows from it (INCR, SET NX, GETDEL, ...) are refused: two coordinators would overwrite each
 * other's result without a trace. Whether a write is blind is found by running it on a key space that notes every look.
 *
 * Invariant: every command of the registry has its line in the table; a test walks them all.
 */
import { invariant } from '../../base/errors.js';
import {
  DELETED_MS,
  type QuorumFailure,
  type QuorumRecord,
  type WriteOutcome,
} from '../../protocol/quorum/types.js';
import type { CommandDefinition, ExecutionContext, KeySpace } from '../command.js';
import { ErrorReply, OK, type Reply } from '../reply.js';
import type { BucketDescription } from '../types.js';
import { SingleRecordKeySpace } from './single-record-key-space.js';

/**
 * `read`: of one key (parts of MGET and its kin go one by one). `write`: blind, unless its options make it look. `scan`: over
 * many keys, answered by one replica. `flush`: through the cluster map. `read-modify-write`: refused. `control`: for the
 * logs of raft groups alone.
 */
export type QuorumUse = 'read' | 'write' | 'scan' | 'flush' | 'read-modify-write' | 'control';

const USES: Readonly<Record<QuorumUse, readonly string[]>> = {
  read: [
    'get',
    'mget',
    'strlen',
    'getrange',
    'substr',
    'exists',
    'ttl',
    'pttl',
    'expiretime',
    'pexpiretime',
    'type',
    'touch',
    'object',
    'quoin.get',
    'quoin.version',
  ],
  write: ['set', 'setex', 'psetex', 'mset', 'del', 'unlink', 'quoin.put', 'quoin.delete'],
  scan: ['scan', 'keys', 'randomkey', 'dbsize', 'quoin.list', 'quoin.slot-count', 'quoin.slot-keys'],
  flush: ['flushdb', 'flushall'],
  'read-modify-write': [
    'incr',
    'decr',
    'incrby',
    'decrby',
    'incrbyfloat',
    'append',
    'setrange',
    'setnx',
    'msetnx',
    'getset',
    'getdel',
    'getex',
    'expire',
    'pexpire',
    'expireat',
    'pexpireat',
    'persist',
    'rename',
    'renamenx',
    'copy',
    'quoin.exec',
  ],
  control: [
    'quoin.deny',
    'quoin.expire',
    'quoin.evict',
    'quoin.open-bucket',
    'quoin.update-bucket',
    'quoin.drop-bucket',
  ],
};

const USE_OF_NAME = new Map<string, QuorumUse>();
for (const use of Object.keys(USES) as QuorumUse[]) {
  for (const name of USES[use]) {
    invariant(!USE_OF_NAME.has(name), `command ${name} has one use in eventual buckets`);
    USE_OF_NAME.set(name, use);
  }
}

/** What the command is in an eventual bucket; undefined: the table does not know it, and it is refused. */
export function quorumUseOf(definition: CommandDefinition): QuorumUse | undefined {
  return USE_OF_NAME.get(definition.name);
}

/** The answer to a command that an eventual bucket does not have. */
export function refusalOf(
  definition: CommandDefinition,
  bucket: Pick<BucketDescription, 'name'>,
): ErrorReply {
  // What doors call put and delete are commands of their own inside.
  const command = definition.name.replace('quoin.', '');
  const use = quorumUseOf(definition);
  if (use === 'control' || use === 'flush' || use === undefined) {
    return ErrorReply.of(
      'NOT_SUPPORTED',
      `'${command}' is not carried out by the replicas of bucket '${bucket.name}', whose replication is quorum`,
    );
  }
  const options = use === 'write' ? ' with these options' : '';
  return ErrorReply.of(
    'READ_MODIFY_WRITE',
    `'${command}'${options} reads before it writes, which bucket '${bucket.name}' of quorum replication cannot do safely; buckets of raft replication can`,
  );
}

/** One key's part of a blind write. */
export interface KeyWrite {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly expiresAtMs: number;
}

const NO_VALUE = Buffer.alloc(0);

/** Notes what a command writes, and whether it looks at anything. One is used over and over: commands run at once. */
class WriteRecorder implements KeySpace, ExecutionContext {
  readonly version = 0;
  readonly keyspace = this;
  nowMs = 0;
  #ttlMs = 0;
  #write: KeyWrite | undefined;
  looked = false;

  begin(ttlMs: number, nowMs: number): void {
    this.nowMs = nowMs;
    this.#ttlMs = ttlMs;
    this.#write = undefined;
    this.looked = false;
  }

  take(): KeyWrite | undefined {
    const write = this.#write;
    this.#write = undefined;
    return write;
  }

  put(key: Buffer, value: Buffer, expiresAtMs: number): void {
    invariant(this.#write === undefined, 'a blind write is of one key');
    this.#write = { key, value, expiresAtMs };
  }

  remove(key: Buffer): boolean {
    invariant(this.#write === undefined, 'a blind write is of one key');
    this.#write = { key, value: NO_VALUE, expiresAtMs: DELETED_MS };
    return false;
  }

  defaultExpiryMs(): number {
    return this.#ttlMs === 0 ? 0 : this.nowMs + this.#ttlMs;
  }

  get(): undefined {
    this.looked = true;
  }

  setExpiry(): boolean {
    this.looked = true;
    return false;
  }

  scan(): void {
    this.looked = true;
  }

  keyCount(): number {
    this.looked = true;
    return 0;
  }

  keyCountInSlot(): number {
    this.looked = true;
    return 0;
  }

  clear(): void {
    this.looked = true;
  }
}

const recorder = new WriteRecorder();

/**
 * What a command of the use `write` stores, given the words of one key (`wordsPerPart` of them, when it can be split).
 * Refuses options that make it look at what is there, and bad arguments.
 */
export function writeOf(
  definition: CommandDefinition,
  args: readonly Buffer[],
  bucket: Pick<BucketDescription, 'name' | 'ttlMs'>,
  nowMs: number,
): KeyWrite | ErrorReply {
  if (quorumUseOf(definition) !== 'write') return refusalOf(definition, bucket);
  recorder.begin(bucket.ttlMs, nowMs);
  const reply = definition.execute(recorder, args);
  const write = recorder.take();
  if (recorder.looked) return refusalOf(definition, bucket);
  if (reply instanceof ErrorReply) return reply;
  invariant(write !== undefined, 'a blind write writes');
  return write;
}

/** Commands that answer how many of their keys there were. */
const COUNTS_EXISTING = new Set(['del', 'unlink', 'quoin.delete']);

/** The answer to one key's part of a command of the use `write`. */
export function replyToWrite(definition: CommandDefinition, outcome: WriteOutcome): Reply {
  if (!outcome.ok) return failedWrite(outcome.reason);
  if (definition.name === 'quoin.put') return outcome.version;
  if (COUNTS_EXISTING.has(definition.name)) return outcome.existed ? 1 : 0;
  return OK;
}

/** The only key of a command of the use `read`, given the words of one key; undefined: it needs none (OBJECT HELP). */
export function keyOfRead(definition: CommandDefinition, args: readonly Buffer[]): Buffer | undefined {
  return args[definition.firstKey - 1];
}

const found = new SingleRecordKeySpace();

/** The answer to a command of the use `read`, given the words of one key, from the newest record that was found. */
export function answerRead(
  definition: CommandDefinition,
  args: readonly Buffer[],
  record: QuorumRecord | undefined,
  nowMs: number,
): Reply {
  found.hold(keyOfRead(definition, args) ?? NO_VALUE, record, nowMs);
  const reply = definition.execute(found, args);
  found.release();
  return reply;
}

const UNREACHABLE = ErrorReply.of(
  'QUORUM_UNREACHABLE',
  'too few replicas of the key can be reached; nothing was done',
);
const OVERLOADED = ErrorReply.of('OVERLOADED', 'too many writes wait for slow replicas');
// As Redis says it.
const OUT_OF_MEMORY = ErrorReply.of('OUT_OF_MEMORY', "command not allowed when used memory > 'maxmemory'.");
const CLOCK_DRIFT = ErrorReply.of(
  'CLOCK_DRIFT',
  'the key was written by a node whose clock is too far ahead of the clock of this one; nothing was done',
);
const WRITE_TIMED_OUT = ErrorReply.of(
  'OUTCOME_UNKNOWN',
  'too few replicas acknowledged in time; the write may or may not have happened',
);
const READ_TIMED_OUT = ErrorReply.of('TIMEOUT', 'too few replicas answered in time');

export function failedWrite(reason: QuorumFailure): ErrorReply {
  return reason === 'timeout' ? WRITE_TIMED_OUT : failure(reason);
}

export function failedRead(reason: QuorumFailure): ErrorReply {
  return reason === 'timeout' ? READ_TIMED_OUT : failure(reason);
}

function failure(reason: Exclude<QuorumFailure, 'timeout'>): ErrorReply {
  switch (reason) {
    case 'unreachable':
      return UNREACHABLE;
    case 'overloaded':
      return OVERLOADED;
    case 'refused':
      return OUT_OF_MEMORY;
    case 'clock':
      return CLOCK_DRIFT;
  }
}
