/**
 * What a command is. Each command is one file in `commands/` that exports one `CommandDefinition`; the registry gathers
 * them. Adding a command touches its file, the registry's list and its test.
 *
 * A command runs as part of the replicated state machine: `execute` is deterministic, looks at nothing but its
 * context and arguments, and never throws for bad input (it answers an `ErrorReply`).
 */
import type { EngineRecord } from '../engine/types.js';
import type { ErrorReply, Reply } from './reply.js';
import type { BucketDescription } from './types.js';

/** When and how often a key was used, as the node that answers knows it. */
export interface KeyUse {
  readonly idleMs: number;
  /** Logarithmic count, 0 to 255, that decays with time. */
  readonly frequency: number;
}

/** One bucket's keys as a command sees them: expired keys are absent. Versions are given by the state machine. */
export interface KeySpace {
  /** The live record, or undefined. */
  get(key: Buffer): EngineRecord | undefined;
  /** Writes; `expiresAtMs` 0 = never. The bucket's default TTL is for the command to apply (`defaultExpiryMs`). */
  put(key: Buffer, value: Buffer, expiresAtMs: number): void;
  /** Removes; false when there was no live key. */
  remove(key: Buffer): boolean;
  /** Changes the expiry of a live key (0 = never), which counts as a write; false when there is no live key. */
  setExpiry(key: Buffer, expiresAtMs: number): boolean;
  /** Absolute expiry for a key written without one of its own: now + the bucket's TTL, or 0. */
  defaultExpiryMs(): number;
  /** Live keys from a token on, in token order, until the visitor returns false. Only slots of this group are seen. */
  scan(
    fromToken: number,
    toToken: number,
    visitor: (token: number, key: Buffer, record: EngineRecord) => boolean,
  ): void;
  /** Keys of this group (expired ones not yet removed count, as in Redis). */
  keyCount(): number;
  keyCountInSlot(slot: number): number;
  /** Removes every key of this group. */
  clear(): void;
  /** Version that the command's writes get. */
  readonly version: number;
  /** How a live key was used, where that is kept (buckets with bounds). Looking at it this way uses nothing. */
  useOf?(key: Buffer): KeyUse | undefined;
  /** First token after the run of adjacent slots of this group that holds `token`; absent: one run to the end. */
  endOfRun?(token: number): number;
}

/** What commands may do to the state of their group beyond one bucket's keys. */
export interface GroupControl {
  /** Opens a bucket for commands, or changes the policy of an open one. */
  openBucket(bucket: BucketDescription): void;
  /** Forgets a bucket and removes the group's keys of it; false when it was not open. */
  dropBucket(bucketId: number): boolean;
  isBucketOpen(bucketId: number): boolean;
  /** Removes every key of this group in every bucket. */
  clearAllBuckets(): void;
  /** Removes a key that is expired by the group's time and still at this version. */
  removeExpired(bucketId: number, key: Buffer, version: number): boolean;
  /** Removes a key that is still at this version. */
  evict(bucketId: number, key: Buffer, version: number): boolean;
  /** Version of a live key, 0 when there is none; undefined when the bucket is not open. */
  versionOf(bucketId: number, key: Buffer): number | undefined;
  /** Runs another command at the same point of the log. */
  execute(bucketId: number, commandId: number, args: readonly Buffer[]): Reply;
}

export interface ExecutionContext {
  readonly keyspace: KeySpace;
  /** The group's time: the leader's clock as it stands in the log (writes), or the leader's clock now (reads). */
  readonly nowMs: number;
  readonly bucketId?: number;
  /** A number that differs from read to read: the only chance that a read may take. */
  readonly seed?: number;
  /** Absent where commands run on a bare key space. */
  readonly control?: GroupControl;
}

/** Redis's own flag words, as `COMMAND` shows them. */
export type CommandFlag =
  | 'write'
  | 'readonly'
  | 'denyoom'
  | 'admin'
  | 'fast'
  | 'loading'
  | 'stale'
  | 'noscript'
  | 'movablekeys'
  | 'no_auth'
  | 'blocking'
  | 'skip_monitor';

/**
 * Where a command runs: with its keys; in the group that holds the slot of its cursor; in every group (answers are
 * merged); or at the connection, without the store.
 */
export type CommandScope = 'keys' | 'cursor' | 'all-groups' | 'connection';

export interface CommandDefinition {
  /** Lower case. */
  readonly name: string;
  /** Identity in the log: never changed, never reused. */
  readonly id: number;
  /** Number of words with the name; negative = at least so many. As in Redis. */
  readonly arity: number;
  readonly flags: readonly CommandFlag[];
  /** Positions of keys among the words (name = 0); `last` may count from the end (-1 = last). Zero `first`: no keys. */
  readonly firstKey: number;
  readonly lastKey: number;
  readonly keyStep: number;
  readonly scope: CommandScope;
  /** Redis's category: `string`, `generic`, `transactions`, `connection`, `server`, `cluster`. */
  readonly category: string;
  readonly summary: string;
  /** True: looking at a key this way does not count as using it. */
  readonly peeks?: boolean;
  /** Hidden from clients: used by HTTP, embedding and the node itself. */
  readonly internal?: boolean;
  /** True when it changes state and must pass through the log. */
  readonly isWrite: boolean;
  /**
   * A command over several keys that may be answered key by key when they lie in different slots (each part is atomic,
   * the whole is not): how many words make one part, and how the parts' answers (in the order of the parts) become one.
   */
  readonly split?: { readonly wordsPerPart: number; readonly merge: (replies: readonly Reply[]) => Reply };
  /** For scope `all-groups`: how the groups' answers become one. */
  readonly merge?: (replies: readonly Reply[], args: readonly Buffer[]) => Reply;
  /** For scope `cursor`: the token at which the command goes on. */
  readonly cursorToken?: (args: readonly Buffer[]) => number;
  /** Refuses bad arguments before they reach the log. Called at the front door, with the words after the name. */
  readonly validate?: (args: readonly Buffer[]) => ErrorReply | undefined;
  /** The answer to words that pass `validate` and name no key (`OBJECT HELP`); without it these are refused. */
  readonly withoutKey?: (args: readonly Buffer[]) => Reply;
  /** `args`: the words after the name. */
  readonly execute: (context: ExecutionContext, args: readonly Buffer[]) => Reply;
}
