/**
 * The outside world as small interfaces: time, chance, disk and network.
 *
 * Everything below `src/api` and `src/cli` reaches the outside only through these, so that whole clusters of real
 * nodes run inside one process under a seed, with virtual time (see `sim/`). The lint run forbids the ambient
 * equivalents (`Date.now`, `Math.random`, `setTimeout`, `node:fs`, `node:net`, ...) anywhere else.
 *
 * Invariants that every implementation keeps:
 * - a callback never runs inside the call that registered it;
 * - what a `DiskFile` has synced without error survives a crash; what it has not may be there, in part, or not at all;
 * - frames on one link arrive whole, in order and at most once, until the link closes.
 */

/** A pending timer. */
export interface Timer {
  /** Forgets the timer; harmless when it has fired already. */
  cancel(): void;
}

/** Time. Wall time may jump; monotonic time never goes back. */
export interface Clock {
  /** Milliseconds since 1970 (an integer), as the machine believes. Use it for what users see: TTL, timestamps. */
  wallMs(): number;
  /** Milliseconds since an arbitrary origin, never decreasing, possibly fractional. Use it for all time-outs. */
  monotonicMs(): number;
  /** Runs `callback` once, `delayMs` or more from now. A real timer does not keep the process alive. */
  setTimer(delayMs: number, callback: () => void): Timer;
  /**
   * Runs `callback` once, after the input callbacks of this turn of the event loop. What arrived in one turn is
   * gathered and then handled as one batch: one log entry, one frame for each peer, one write for each connection.
   */
  defer(callback: () => void): void;
}

/** Chance. */
export interface Random {
  /** A float in [0, 1). */
  float(): number;
  /** An integer in [0, bound). */
  integer(bound: number): number;
  /** `sizeBytes` random bytes as lower-case hex; for identities (incarnations, sessions). */
  hex(sizeBytes: number): string;
}

/** An open file. Positions and sizes are bytes. Every method but `sync` blocks; failures throw `QuoinError`. */
export interface DiskFile {
  readonly path: string;
  sizeBytes(): number;
  /** Reads exactly `lengthBytes`, or fewer at the end of the file. */
  readAt(position: number, lengthBytes: number): Buffer;
  /** Writes all of `bytes` into the operating system's cache; not durable before a sync. */
  writeAt(position: number, bytes: Uint8Array): void;
  /** Makes everything written so far durable, blocking the event loop. Fast disks: cheaper than a thread hop. */
  syncBlocking(): void;
  /** The same off the event loop. `callback` gets the error when the sync failed (which is final: see fsyncgate). */
  sync(callback: (error: Error | undefined) => void): void;
  truncate(sizeBytes: number): void;
  close(): void;
}

/** Files. Paths use `/`. */
export interface Disk {
  /** Creates the directory and its parents when they are missing. */
  makeDirectory(path: string): void;
  /** Names (not paths) in a directory, sorted; empty when the directory does not exist. */
  list(path: string): string[];
  exists(path: string): boolean;
  open(path: string, options: { create: boolean }): DiskFile;
  /** The whole file. */
  read(path: string): Buffer;
  /** Replaces a file so that after a crash it is the old one or the new one, whole and durable. */
  replace(path: string, bytes: Uint8Array): void;
  remove(path: string): void;
  removeDirectory(path: string): void;
  rename(from: string, to: string): void;
  /** Makes creations, removals and renames in a directory durable. */
  syncDirectory(path: string): void;
  /**
   * Takes an existing directory for this process alone, until `release` or the process's end. Throws
   * DIRECTORY_IN_USE when a live process has it; the lock of a dead one is taken over.
   */
  lock(path: string): DirectoryLock;
}

/** Exclusive use of a directory. */
export interface DirectoryLock {
  release(): void;
}

/** Why a link ended. `refused`: nobody listens there, which after an open link means that the process has died. */
export type LinkCloseReason = 'refused' | 'closed' | 'reset' | 'unreachable' | 'rejected';

/** What the owner of a link wants to hear. No call after `onClose`. */
export interface LinkEvents {
  /** The link is usable (dialled links only; accepted links are open when handed over). */
  onOpen?(): void;
  /** One whole frame; the bytes belong to the receiver. */
  onFrame(frame: Buffer): void;
  /** Room again after `send` returned false. */
  onDrain(): void;
  onClose(reason: LinkCloseReason): void;
}

/** An ordered, reliable, two-way channel of frames to one peer. */
export interface Link {
  /** `host:port` of the other side as far as known. */
  readonly remoteAddress: string;
  /**
   * Queues one frame. Returns false when the sender should wait for `onDrain` (the frame is queued all the same).
   * The bytes must not change afterwards.
   */
  send(frame: Uint8Array): boolean;
  close(): void;
}

export interface Listener {
  /** `host:port` in fact bound. */
  readonly address: string;
  close(): Promise<void>;
}

/** Frames between nodes. The real one is gRPC (one bidirectional stream each way, see `proto/quoin/v1/peer.proto`). */
export interface Network {
  /** Rejects with `QuoinError` (`ADDRESS_IN_USE`, ...) when the address cannot be bound. */
  listen(address: string, accept: (link: Link) => LinkEvents): Promise<Listener>;
  /** Opens a link; the outcome is told by `onOpen` or `onClose`. One attempt, no retry. */
  dial(address: string, events: LinkEvents): Link;
}

/** Everything of the outside world that a node may touch. */
export interface Env {
  readonly clock: Clock;
  readonly random: Random;
  readonly disk: Disk;
  readonly network: Network;
}
