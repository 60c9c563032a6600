/**
 * The key-value state machine of one replica group on one node: entries of the group's log in, state and replies out.
 *
 * State: log time, the buckets opened in this log with their keys (`open-buckets.ts`), the sessions (`sessions.ts`), and for each
 * slot that came with a snapshot the index it already reflects (`reflected-slots.ts`).
 *
 * Invariants:
 * - `apply` depends on state and entry alone: no clock, no chance, no cluster map;
 * - a write of a session happens once, however often it stands in the log;
 * - versions grow: index * 4096 + position in the entry;
 * - reads change nothing, those that stand in an entry included, and so need not run where nobody waits for the reply.
 */
import { ByteReader, ByteWriter, DecodeError } from '../base/bytes.js';
import { invariant } from '../base/errors.js';
import { LIMITS } from '../base/limits.js';
import { mix32, slotOf, TOKEN_END } from '../base/slots.js';
import { checkArity } from './arguments.js';
import { BatchCursor } from './batch.js';
import { readBucket, writeBucket } from './bucket-codec.js';
import type { CommandDefinition, GroupControl } from './command.js';
import { quoinEvict } from './commands/quoin-evict.js';
import { quoinExpire } from './commands/quoin-expire.js';
import { type BucketKeySpace, CLOSED_KEY_SPACE, type UseOptions } from './key-space.js';
import { type CommandContext, type OpenBucket, OpenBuckets } from './open-buckets.js';
import { ReflectedSlots } from './reflected-slots.js';
import { commandById } from './registry.js';
import { ErrorReply, type Reply } from './reply.js';
import type { RetentionKeeper } from './retention.js';
import { APPLIED, NO_SLOT, type Session, SessionTable } from './sessions.js';
import { type SlotRange, SlotSet } from './slot-ranges.js';
import {
  type BucketDescription,
  CLOCK_BEHIND,
  type EngineProvider,
  type GroupStateMachine,
} from './types.js';

export interface StateMachineOptions {
  readonly group: number;
  /** The group's slots. */
  readonly slots: readonly SlotRange[];
  readonly engines: EngineProvider;
}

export function createStateMachine(options: StateMachineOptions): GroupStateMachine {
  return new StateMachine(options);
}

const HEAD_FORMAT = 1;
const VERSIONS_PER_ENTRY = LIMITS.maxCommandsPerEntry;

const REPLY_FORGOTTEN = ErrorReply.of(
  'OUTCOME_UNKNOWN',
  'this command was carried out before, and its reply is no longer kept',
);
const TOO_MANY_UNDER_WAY = ErrorReply.of('OVERLOADED', 'the session has too many unacknowledged commands');
const NOT_IN_TRANSACTION = ErrorReply.of('NOT_SUPPORTED', 'this command cannot run inside a transaction');
const NOT_IN_ONE_SLOT = ErrorReply.of('CROSS_SLOT', "Keys in request don't hash to the same slot");

/** Commands by which a leader removes keys of any of the group's slots. */
function isUpkeep(definition: CommandDefinition): boolean {
  return definition === quoinExpire || definition === quoinEvict;
}

function unknownBucket(bucketId: number): ErrorReply {
  return ErrorReply.of('UNKNOWN_BUCKET', `bucket ${bucketId} is not open in this group`);
}

/** What a look at a key means to a bucket with bounds: it counts in the log and in the leader's reads, unless it only peeks. */
const COUNTED: UseOptions = { counts: true, hidesIdle: false };
const PEEKED: UseOptions = { counts: false, hidesIdle: false };
const COUNTED_UNLESS_IDLE: UseOptions = { counts: true, hidesIdle: true };
const PEEKED_UNLESS_IDLE: UseOptions = { counts: false, hidesIdle: true };

class StateMachine implements GroupStateMachine {
  readonly group: number;
  readonly #slots: SlotSet;
  readonly #sessions = new SessionTable();
  readonly #buckets: OpenBuckets;
  #leadsSinceMs = -1;
  idleMet: BucketKeySpace['idleMet'] = [];
  /** Of the slots that came with a snapshot. */
  readonly #reflected = new ReflectedSlots();
  readonly #closedContext: CommandContext;
  #logTimeMs = 0;
  /** Index and version of the command being applied. */
  #index = 0;
  /** True after a reset: an engine may still hold keys that an earlier, broken off snapshot left there. */
  #isEmptied = false;
  #version = 0;
  #executingSlot = NO_SLOT;
  #readSeed = 0;

  constructor(options: StateMachineOptions) {
    this.group = options.group;
    this.#slots = new SlotSet(options.slots);
    this.#buckets = new OpenBuckets({
      group: options.group,
      slots: this.#slots,
      engines: options.engines,
      control: this.#control(),
      isReflected: (slot) => this.#reflected.reflects(slot, this.#index),
    });
    this.#closedContext = this.#buckets.contextOf(CLOSED_KEY_SPACE, 0);
  }

  /** What control commands may do. */
  #control(): GroupControl {
    return {
      openBucket: (bucket) => this.#buckets.openFromLog(bucket),
      dropBucket: (bucketId) => this.#buckets.drop(bucketId),
      isBucketOpen: (bucketId) => this.#buckets.has(bucketId),
      clearAllBuckets: () => this.#buckets.clearKeys(),
      removeExpired: (bucketId, key, version) =>
        this.#prepared(bucketId)?.keyspace.removeExpired(key, version) ?? false,
      evict: (bucketId, key, version) => this.#prepared(bucketId)?.keyspace.evict(key, version) ?? false,
      versionOf: (bucketId, key) => {
        const open = this.#prepared(bucketId);
        return open === undefined ? undefined : (open.keyspace.get(key)?.version ?? 0);
      },
      execute: (bucketId, commandId, args) => this.#executeNested(bucketId, commandId, args),
    };
  }

  get slots(): ReadonlySet<number> {
    return this.#slots.members;
  }

  get logTimeMs(): number {
    return this.#logTimeMs;
  }

  get buckets(): ReadonlyMap<number, BucketDescription> {
    return this.#buckets.descriptions;
  }

  get retention(): ReadonlyMap<number, RetentionKeeper> {
    return this.#buckets.keepers;
  }

  // Applying

  apply(index: number, payload: Buffer, collectReplies: boolean): Reply[] {
    const replies: Reply[] = [];
    if (payload.length === 0) return replies;
    invariant(index > this.#index, 'entries are applied in order');
    const cursor = new BatchCursor(payload);
    this.#index = index;
    if (!this.#reflected.isEmpty && this.#reflected.areAllBefore(index)) {
      this.#reflected.clear();
      this.#sessions.forgetForetold();
    }
    this.#version = index * VERSIONS_PER_ENTRY;
    const limit = this.#version + VERSIONS_PER_ENTRY;
    if (cursor.timeMs > this.#logTimeMs) {
      this.#sessions.advance(this.#logTimeMs, cursor.timeMs);
      this.#logTimeMs = cursor.timeMs;
    }
    let session: Session | undefined;
    while (cursor.next()) {
      if (this.#version >= limit) throw new DecodeError('an entry holds more commands than it has versions');
      if (cursor.startsSubBatch) {
        // What the client acknowledged while this very batch was gathered counts from its end on.
        const floor = Math.min(cursor.acknowledgedBelow, cursor.firstSequence);
        session = undefined;
        if (cursor.hasSession) {
          session = this.#sessions.use(cursor.sessionKey, floor, this.#logTimeMs);
          session.acknowledge(floor);
        }
      }
      const definition = commandById(cursor.commandId);
      if (definition === undefined) throw new DecodeError(`command ${cursor.commandId} is not known`);
      if (definition.isWrite) {
        const reply = this.#applyWrite(cursor, definition, session);
        if (collectReplies) replies.push(reply);
      } else if (collectReplies) {
        replies.push(this.#execute(cursor.bucketId, definition, cursor.args, true));
      }
      if (cursor.endsSubBatch) session?.acknowledge(cursor.acknowledgedBelow);
      this.#version++;
    }
    return replies;
  }

  #applyWrite(cursor: BatchCursor, definition: CommandDefinition, session: Session | undefined): Reply {
    const { sequence } = cursor;
    if (session !== undefined) {
      const outcome = session.recall(sequence);
      if (outcome === APPLIED) return REPLY_FORGOTTEN;
      if (outcome !== undefined) return outcome;
      if (!session.admits(sequence)) return TOO_MANY_UNDER_WAY;
    }
    // Keys of one command share a slot, but for expiry and eviction, which look at each key's slot by themselves.
    const key = definition.firstKey === 0 ? undefined : cursor.args[definition.firstKey - 1];
    const slot = key === undefined ? NO_SLOT : slotOf(key);
    if (this.#reflected.reflects(slot, this.#index) && !isUpkeep(definition)) {
      const known = session === undefined ? undefined : this.#sessions.foretold(session.key, sequence);
      session?.remember(sequence, slot, known ?? APPLIED);
      return known === undefined || known === APPLIED ? REPLY_FORGOTTEN : known;
    }
    this.#executingSlot = slot;
    const reply = this.#execute(cursor.bucketId, definition, cursor.args, false);
    session?.remember(sequence, slot, reply);
    return reply;
  }

  #execute(
    bucketId: number,
    definition: CommandDefinition,
    args: readonly Buffer[],
    reading: boolean,
  ): Reply {
    const wrongArity = checkArity(definition, args.length);
    if (wrongArity !== undefined) return wrongArity;
    const open = this.#buckets.get(bucketId);
    if (open === undefined) {
      // Control commands run before their bucket is open; all others need it.
      if (definition.internal !== true || definition.scope !== 'all-groups') return unknownBucket(bucketId);
      this.#closedContext.nowMs = this.#logTimeMs;
      return definition.execute(this.#closedContext, args);
    }
    const use = definition.peeks === true ? PEEKED : COUNTED;
    open.keyspace.prepare(this.#version, this.#logTimeMs, this.#logTimeMs, reading, use);
    open.context.nowMs = this.#logTimeMs;
    open.context.seed = this.#version;
    return definition.execute(open.context, args);
  }

  /** Another bucket than the command's own, made ready for the present command. */
  #prepared(bucketId: number): OpenBucket | undefined {
    const open = this.#buckets.get(bucketId);
    open?.keyspace.prepare(this.#version, this.#logTimeMs, this.#logTimeMs, false);
    return open;
  }

  #executeNested(bucketId: number, commandId: number, args: readonly Buffer[]): Reply {
    const definition = commandById(commandId);
    if (definition === undefined || definition.scope !== 'keys' || definition.name === 'quoin.exec')
      return NOT_IN_TRANSACTION;
    const wrongArity = checkArity(definition, args.length);
    if (wrongArity !== undefined) return wrongArity;
    const last = definition.lastKey < 0 ? args.length + 1 + definition.lastKey : definition.lastKey;
    for (
      let position = definition.firstKey;
      position > 0 && position <= last;
      position += definition.keyStep
    ) {
      const key = args[position - 1];
      if (key !== undefined && slotOf(key) !== this.#executingSlot) return NOT_IN_ONE_SLOT;
    }
    return this.#execute(bucketId, definition, args, false);
  }

  // Reading

  read(
    definition: CommandDefinition,
    bucketId: number,
    args: readonly Buffer[],
    nowMs: number,
  ): Reply | typeof CLOCK_BEHIND {
    invariant(!definition.isWrite, 'a write goes through the log');
    const wrongArity = checkArity(definition, args.length);
    if (wrongArity !== undefined) return wrongArity;
    const open = this.#buckets.get(bucketId);
    if (open === undefined) return unknownBucket(bucketId);
    const { keyspace, context } = open;
    // What has expired by the log has expired, whatever this leader's clock says.
    const effectiveMs = Math.max(nowMs, this.#logTimeMs);
    const use = keyspace.keeper === undefined ? PEEKED : this.#useByReader(definition, keyspace.keeper);
    keyspace.prepare(this.#version, effectiveMs, this.#logTimeMs, true, use);
    context.nowMs = effectiveMs;
    this.#readSeed = (this.#readSeed + 1) | 0;
    context.seed = this.#readSeed;
    const reply = definition.execute(context, args);
    this.idleMet = keyspace.idleMet;
    return keyspace.clockBehind || keyspace.idleMet.length > 0 ? CLOCK_BEHIND : reply;
  }

  noteUseTime(nowMs: number, leadsSinceMs: number): void {
    this.#leadsSinceMs = leadsSinceMs;
    this.#buckets.noteUseTime(nowMs);
  }

  #useByReader(definition: CommandDefinition, keeper: RetentionKeeper): UseOptions {
    if (this.#leadsSinceMs < 0) return PEEKED;
    const peeks = definition.peeks === true;
    if (!keeper.isIdleFor(this.#buckets.useTimeMs - this.#leadsSinceMs)) return peeks ? PEEKED : COUNTED;
    return peeks ? PEEKED_UNLESS_IDLE : COUNTED_UNLESS_IDLE;
  }

  findExpired(
    fromToken: number,
    maxKeys: number,
    nowMs: number,
    found: (bucketId: number, key: Buffer, version: number) => void,
  ): number {
    // All buckets walk the same stretch of the ring: each may shorten it for those that follow, and the cursor is where the
    // shortest ended. What was found beyond is found again, which does no harm.
    const buckets = Math.max(1, this.#buckets.count);
    const budget = Math.max(1, Math.floor(maxKeys / buckets));
    let next = TOKEN_END;
    for (const { keyspace } of this.#buckets.values())
      next = keyspace.findExpired(fromToken, next, budget, nowMs, found);
    return next >= TOKEN_END ? 0 : this.#slots.nextToken(next) % TOKEN_END;
  }

  // Snapshots

  encodeHead(): Buffer {
    const writer = new ByteWriter(1024);
    writer.u8(HEAD_FORMAT);
    writer.varint(this.#logTimeMs);
    const buckets = [...this.buckets.values()].sort((left, right) => left.id - right.id);
    writer.varint(buckets.length);
    for (const bucket of buckets) writeBucket(writer, bucket);
    this.#reflected.write(writer);
    this.#sessions.write(writer);
    this.#sessions.writeForetold(writer, undefined);
    return writer.take();
  }

  restoreHead(bytes: Buffer): void {
    const reader = new ByteReader(bytes);
    const format = reader.u8();
    if (format !== HEAD_FORMAT) throw new DecodeError(`head format ${format} is not known`);
    this.#logTimeMs = reader.varint();
    this.#buckets.forgetAll();
    for (let left = reader.varint(); left > 0; left--) this.#buckets.open(readBucket(reader));
    if (this.#isEmptied) this.#buckets.clearKeys();
    this.#isEmptied = false;
    this.#index = 0;
    this.#reflected.read(reader);
    this.#sessions.read(reader);
    this.#sessions.foretell(reader);
  }

  scanSlot(
    slot: number,
    visitor: (bucketId: number, key: Buffer, value: Buffer, version: number, expiresAtMs: number) => void,
  ): void {
    for (const [bucketId, { keyspace }] of this.#buckets.entries())
      keyspace.scanSlot(slot, (key, record) =>
        visitor(bucketId, key, record.value, record.version, record.expiresAtMs),
      );
  }

  installBucket(bucket: BucketDescription): void {
    this.#buckets.install(bucket);
  }

  installRecord(bucketId: number, key: Buffer, value: Buffer, version: number, expiresAtMs: number): void {
    const keyspace = this.#buckets.target(bucketId);
    invariant(keyspace !== undefined, 'a snapshot names its buckets before their records');
    keyspace.install(key, value, version, expiresAtMs);
  }

  encodeSlotSessions(slot: number): Buffer {
    const writer = new ByteWriter(256);
    this.#sessions.writeSlot(writer, slot);
    return writer.take();
  }

  installSlotSessions(bytes: Buffer): void {
    this.#sessions.foretell(new ByteReader(bytes));
  }

  setSlotReflects(slot: number, index: number): void {
    this.#reflected.set(slot, index);
  }

  reset(): void {
    this.#reflected.clear();
    this.#buckets.dropAll();
    this.#sessions.clear();
    this.#isEmptied = true;
    this.#logTimeMs = 0;
    this.#index = 0;
    this.#version = 0;
  }

  digestOfSlot(slot: number): number {
    let digest = 0;
    for (const [bucketId, { keyspace }] of this.#buckets.entries()) {
      const part = keyspace.engine.digestOfSlot(slot);
      if (part !== 0) digest ^= mix32(part + Math.imul(bucketId + 1, 0x9e3779b1));
    }
    return digest >>> 0;
  }
}
