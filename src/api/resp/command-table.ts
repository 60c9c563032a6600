/**
 * All commands of one server by name. The hot path finds a command from the bytes of its name as they lie in the
 * socket's chunk: hashed with case folded, compared byte by byte, without making a string. Entries also count calls.
 */
import type { CommandDefinition } from '../../store/command.js';
import { ALL_COMMANDS } from '../../store/registry.js';
import { CONNECTION_COMMANDS } from './commands/index.js';
import type { CommandShape, ConnectionCommand, InTransaction } from './connection-command.js';

/** One command and what this server has seen of it. */
export class CommandEntry {
  readonly shape: CommandShape;
  readonly name: string;
  /** Set for a command of the store. */
  readonly data: CommandDefinition | undefined;
  /** Set for a command of the connection. */
  readonly connection: ConnectionCommand | undefined;
  readonly nameBytes: Buffer;
  /** Bounds on the number of words after the name. */
  readonly leastArgs: number;
  readonly mostArgs: number;
  readonly isWrite: boolean;
  readonly inTransaction: InTransaction;
  readonly allowedWhileStarting: boolean;
  readonly allowedUnauthenticated: boolean;
  calls = 0;
  rejectedCalls = 0;
  failedCalls = 0;
  totalMs = 0;

  constructor(
    data: CommandDefinition | undefined,
    connection: ConnectionCommand | undefined,
    shape: CommandShape,
  ) {
    this.shape = shape;
    this.data = data;
    this.connection = connection;
    this.name = shape.name;
    this.nameBytes = Buffer.from(shape.name, 'latin1');
    this.leastArgs = Math.abs(shape.arity) - 1;
    this.mostArgs = shape.arity < 0 ? Number.POSITIVE_INFINITY : shape.arity - 1;
    this.isWrite = data?.isWrite ?? false;
    this.inTransaction = connection?.inTransaction ?? 'queued';
    this.allowedWhileStarting = shape.flags.includes('loading');
    this.allowedUnauthenticated = shape.flags.includes('no_auth');
  }

  resetStatistics(): void {
    this.calls = 0;
    this.rejectedCalls = 0;
    this.failedCalls = 0;
    this.totalMs = 0;
  }
}

/** Sets the bit that tells small letters from capitals; harmless for hashing what is no letter. */
const CASE_BIT = 0x20;

function foldCase(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte | CASE_BIT : byte;
}

export class CommandTable {
  readonly entries: readonly CommandEntry[];
  readonly #buckets: (readonly CommandEntry[] | undefined)[];
  readonly #mask: number;

  constructor() {
    const entries: CommandEntry[] = [];
    for (const definition of ALL_COMMANDS) {
      if (definition.internal !== true) entries.push(new CommandEntry(definition, undefined, definition));
    }
    for (const command of CONNECTION_COMMANDS) entries.push(new CommandEntry(undefined, command, command));
    this.entries = entries;
    // Sparse, so that nearly every bucket holds one entry.
    let size = 64;
    while (size < entries.length * 8) size *= 2;
    this.#mask = size - 1;
    const buckets: CommandEntry[][] = Array.from({ length: size });
    for (const entry of entries) {
      const at = this.#hash(entry.nameBytes, 0, entry.nameBytes.length);
      const bucket = buckets[at];
      if (bucket === undefined) buckets[at] = [entry];
      else bucket.push(entry);
    }
    this.#buckets = buckets;
  }

  #hash(bytes: Buffer, start: number, end: number): number {
    let hash = end - start;
    for (let i = start; i < end; i++) hash = (Math.imul(hash, 31) + (bytes[i]! | CASE_BIT)) | 0;
    return (hash ^ (hash >>> 15)) & this.#mask;
  }

  /** The command whose name is [start, end) of `bytes`, in any case. */
  find(bytes: Buffer, start: number, end: number): CommandEntry | undefined {
    // No name is longer; a hostile one of many megabytes is not worth hashing.
    if (end - start > 64) return undefined;
    const bucket = this.#buckets[this.#hash(bytes, start, end)];
    if (bucket === undefined) return undefined;
    next: for (const entry of bucket) {
      const name = entry.nameBytes;
      if (name.length !== end - start) continue;
      for (let i = 0; i < name.length; i++) if (foldCase(bytes[start + i]!) !== name[i]) continue next;
      return entry;
    }
    return undefined;
  }

  byName(name: Buffer): CommandEntry | undefined {
    return this.find(name, 0, name.length);
  }
}
