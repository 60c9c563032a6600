/**
 * What the leader of a group does for buckets with bounds: it puts into the log who goes (`quoin.evict`), and lets writes in
 * only where there is room (paper 004, "Auto Clean-Up").
 *
 * Memory is looked at before each write that may grow it, with what is under way counted in: proposed and not yet applied
 * writes at their full size (as if every key were new), proposed removals at theirs. So removal runs ahead of the writes that
 * need the room, in proportion to their rate, and every write finds the removals that make its room before it in the log.
 *
 * The groups of a node share a bucket's engine, and on other nodes the same groups share theirs. Each leader removes its
 * group's share of what is too much, and all that its own writes add; so together they remove about what is needed.
 *
 * A command on a key that was idle for too long finds its removal before it in the log: idle time is exact for writes, too.
 *
 * Invariants:
 * - what is under way is the sum over batches gathered or proposed and not yet settled;
 * - a removal names a version, so that a key written in the meantime stays.
 *
 * Departure from Redis: writes to a bucket that is full count at their full size until they are applied, overwrites too; and
 * where removal cannot keep up for the moment a write is given back as overloaded instead of being waited for.
 */
import { tokenOf } from '../base/slots.js';
import type { CommandDefinition } from '../store/command.js';
import { commandById } from '../store/registry.js';
import { ErrorReply } from '../store/reply.js';
import type { RetentionKeeper } from '../store/retention.js';
import { parseTransaction } from '../store/transaction.js';
import type { GroupStateMachine } from '../store/types.js';
import type { PendingRequest } from './pending.js';

const NO_BYTES = Buffer.alloc(0);

/** A key to be removed unless it has been written since. */
export interface KeyAtVersion {
  readonly key: Buffer;
  readonly version: number;
}

/** How a leader takes a request: `denied`: there is no room for it, in the words of the log. */
export type Admission = 'admitted' | 'denied' | 'overloaded';

/** What has been put into the log for a bucket and is not applied yet. */
interface UnderWay {
  growthBytes: number;
  removedBytes: number;
  /** Keys about to be removed, as latin-1 strings. */
  readonly removed: Set<string>;
}

/** The same for one batch and one bucket. */
interface BatchPart {
  readonly bucketId: number;
  growthBytes: number;
  removedBytes: number;
  readonly removed: string[];
}

/** What one batch has of it. */
export type BatchUpkeep = readonly BatchPart[];

export interface RetentionUpkeepHost {
  readonly machine: GroupStateMachine;
  /** Puts the removal of these keys into the batch being gathered. */
  remove(bucketId: number, keys: readonly KeyAtVersion[]): void;
}

/** Commands of one look at the memory, and keys in each: so much at most stands before one write. */
const MAX_COMMANDS_PER_LOOK = 16;
const KEYS_PER_COMMAND = 128;
/** Idle keys put into the log at a time. */
const IDLE_KEYS_PER_ROUND = 512;
/** Removal goes this share of the bound below the line, so that not every write needs one of its own. */
const MARGIN = 1 / 1024;
/** With all that is under way a bucket may come this far, as a share of its bound. */
const HARD_LINE = 1.02;
/** While others have more than their share a group may use so much of what is left. */
const LEAST_SHARE = 1 / 8;
/** Records moved together after each entry and on each tick, where memory stands unused. */
const TIDY_RECORDS = 1024;

export class RetentionUpkeep {
  readonly #host: RetentionUpkeepHost;
  readonly #machine: GroupStateMachine;
  readonly #underWay = new Map<number, UnderWay>();
  #gathered: BatchPart[] = [];

  constructor(host: RetentionUpkeepHost) {
    this.#host = host;
    this.#machine = host.machine;
  }

  /** Does any bucket have bounds? Nothing below needs to be called otherwise. */
  get isNeeded(): boolean {
    return this.#machine.retention.size > 0;
  }

  /** Makes room, and removes what is idle, before a request is put into the log. `leadsForMs`: see `tick`. */
  admit(request: PendingRequest, leadsForMs: number): Admission {
    const { bucketId, definition, args } = request;
    if (definition.name !== 'quoin.exec') return this.#admit(bucketId, definition, args, leadsForMs);
    const transaction = parseTransaction(args[1] ?? NO_BYTES);
    if (transaction instanceof ErrorReply) return 'admitted';
    for (const command of transaction.commands) {
      const queued = commandById(command.commandId);
      if (queued === undefined) continue;
      const admission = this.#admit(command.bucketId, queued, command.args, leadsForMs);
      if (admission !== 'admitted') return admission;
    }
    for (const { bucketId: watchedBucket, key } of transaction.watched) {
      const keeper = this.#machine.retention.get(watchedBucket);
      if (keeper !== undefined) this.#removeIfIdle(watchedBucket, keeper, key, leadsForMs);
    }
    return 'admitted';
  }

  #admit(
    bucketId: number,
    definition: CommandDefinition,
    args: readonly Buffer[],
    leadsForMs: number,
  ): Admission {
    const keeper = this.#machine.retention.get(bucketId);
    if (keeper === undefined || definition.firstKey === 0) return 'admitted';
    const last = definition.lastKey < 0 ? args.length + 1 + definition.lastKey : definition.lastKey;
    let keys = 0;
    for (let position = definition.firstKey; position <= last; position += definition.keyStep) {
      const key = args[position - 1];
      if (key === undefined) break;
      keys++;
      this.#removeIfIdle(bucketId, keeper, key, leadsForMs);
    }
    if (keeper.policy.maxMemoryBytes === 0 || !definition.flags.includes('denyoom')) return 'admitted';
    let dataBytes = 0;
    for (const argument of args) dataBytes += argument.length;
    const { access } = keeper;
    const growthBytes = access.recordBytes(dataBytes) + (keys - 1) * access.recordBytes(0);
    const admission = this.#makeRoom(bucketId, keeper, growthBytes);
    if (admission !== 'admitted') return admission;
    this.#of(bucketId).growthBytes += growthBytes;
    this.#partOf(bucketId).growthBytes += growthBytes;
    return 'admitted';
  }

  /** A key that has been idle for too long goes before the command that asks for it. */
  #removeIfIdle(bucketId: number, keeper: RetentionKeeper, key: Buffer, leadsForMs: number): void {
    if (!keeper.isIdleFor(leadsForMs)) return;
    const token = tokenOf(key);
    if (!keeper.isIdle(token, key)) return;
    const version = keeper.versionOf(token, key);
    this.#remove(bucketId, [{ key, version }], 0);
  }

  /** Puts removals into the log until there is room for so much more, and tells whether there is. */
  #makeRoom(bucketId: number, keeper: RetentionKeeper, growthBytes: number): Admission {
    const underWay = this.#of(bucketId);
    const { maxMemoryBytes } = keeper.policy;
    const pending = () => underWay.growthBytes - underWay.removedBytes;
    if (!keeper.evicts) return keeper.exceedsWith(pending() + growthBytes) ? 'denied' : 'admitted';
    const excess = keeper.excessBytes();
    const ours = excess * (excess > 0 ? keeper.share : Math.max(LEAST_SHARE, keeper.share));
    let needed = ours + pending() + growthBytes;
    if (needed <= 0) return 'admitted';
    needed += maxMemoryBytes * MARGIN;
    const removedBefore = underWay.removedBytes;
    for (let commands = 0; commands < MAX_COMMANDS_PER_LOOK && needed > 0; commands++) {
      const keys: KeyAtVersion[] = [];
      let looked = 0;
      let bytes = 0;
      keeper.coldest(
        KEYS_PER_COMMAND,
        underWay.removed.size === 0,
        (key, version, _expiresAtMs, _idleMs, dataBytes) => {
          looked++;
          if (underWay.removed.has(key.toString('latin1'))) return true;
          keys.push({ key, version });
          bytes += keeper.access.recordBytes(dataBytes);
          return bytes < needed;
        },
      );
      if (looked === 0) break;
      if (keys.length === 0) continue;
      this.#remove(bucketId, keys, bytes);
      needed -= bytes;
    }
    // A write that others have made room for may pass even while there is too much, after the bound was lowered.
    if (underWay.removedBytes - removedBefore >= growthBytes) return 'admitted';
    if (keeper.usedBytes() + pending() + growthBytes <= maxMemoryBytes * HARD_LINE) return 'admitted';
    const nothingLeft = underWay.removed.size >= keeper.keyCount;
    return nothingLeft || growthBytes > maxMemoryBytes ? 'denied' : 'overloaded';
  }

  #remove(bucketId: number, keys: readonly KeyAtVersion[], bytes: number): void {
    const underWay = this.#of(bucketId);
    const part = this.#partOf(bucketId);
    const fresh: KeyAtVersion[] = [];
    for (const item of keys) {
      const name = item.key.toString('latin1');
      if (underWay.removed.has(name)) continue;
      underWay.removed.add(name);
      part.removed.push(name);
      fresh.push(item);
    }
    if (fresh.length === 0) return;
    underWay.removedBytes += bytes;
    part.removedBytes += bytes;
    this.#host.remove(bucketId, fresh);
  }

  /**
   * The leader's upkeep between requests. Idle keys go once it has led for as long as they may be idle: before, it did not
   * see who was read.
   */
  tick(leadsForMs: number): void {
    for (const [bucketId, keeper] of this.#machine.retention) {
      if (keeper.evicts) this.#makeRoom(bucketId, keeper, 0);
      if (!keeper.isIdleFor(leadsForMs)) continue;
      const keys: KeyAtVersion[] = [];
      const { removed } = this.#of(bucketId);
      keeper.findIdle(IDLE_KEYS_PER_ROUND + removed.size, (key, version) => {
        if (!removed.has(key.toString('latin1'))) keys.push({ key, version });
        return keys.length < IDLE_KEYS_PER_ROUND;
      });
      if (keys.length > 0) this.#remove(bucketId, keys, 0);
    }
  }

  /** Removes what a read has met that was idle for too long. */
  removeIdle(bucketId: number, keys: readonly KeyAtVersion[]): void {
    for (let from = 0; from < keys.length; from += IDLE_KEYS_PER_ROUND)
      this.#remove(bucketId, keys.slice(from, from + IDLE_KEYS_PER_ROUND), 0);
  }

  /** Every replica's own: memory that stands unused is given back. */
  tidy(): void {
    for (const keeper of this.#machine.retention.values()) keeper.tidy(TIDY_RECORDS);
  }

  /** Hands over what the batch gathered until now has of it, when it is proposed. */
  take(): BatchUpkeep | undefined {
    if (this.#gathered.length === 0) return undefined;
    const gathered = this.#gathered;
    this.#gathered = [];
    return gathered;
  }

  /** A batch is applied, or was not taken. */
  settle(batch: BatchUpkeep): void {
    for (const { bucketId, growthBytes, removedBytes, removed } of batch) {
      const underWay = this.#underWay.get(bucketId);
      if (underWay === undefined) continue;
      underWay.growthBytes -= growthBytes;
      underWay.removedBytes -= removedBytes;
      for (const name of removed) underWay.removed.delete(name);
    }
  }

  /** What was under way is no longer this leader's. */
  forget(): void {
    this.#underWay.clear();
    this.#gathered = [];
  }

  #of(bucketId: number): UnderWay {
    let underWay = this.#underWay.get(bucketId);
    if (underWay === undefined) {
      underWay = { growthBytes: 0, removedBytes: 0, removed: new Set() };
      this.#underWay.set(bucketId, underWay);
    }
    return underWay;
  }

  #partOf(bucketId: number): BatchPart {
    let part = this.#gathered.find((candidate) => candidate.bucketId === bucketId);
    if (part === undefined) {
      part = { bucketId, growthBytes: 0, removedBytes: 0, removed: [] };
      this.#gathered.push(part);
    }
    return part;
  }
}
