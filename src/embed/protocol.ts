/**
 * What crosses between the application's thread and the node's: packets of calls one way, packets of answers the other (see
 * `packet.ts`), one of each a turn, and the few words about the node's life.
 */
import type { ErrorCode } from '../base/errors.js';
import type { LogFields } from '../base/logger.js';
import type { LogLevel, NodeConfiguration } from '../server/configuration/types.js';
import type { Packet } from './packet.js';

/** What the node's thread begins with. */
export interface WorkerStart {
  readonly configuration: NodeConfiguration;
  /** Log lines from this level on cross over; 'silent': none. */
  readonly logLevel: LogLevel;
}

export interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly remedy?: string | undefined;
}

export type ToWorker = { readonly kind: 'calls'; readonly packet: Packet } | { readonly kind: 'stop' };

export type FromWorker =
  | { readonly kind: 'started'; readonly addresses: NodeAddresses }
  | { readonly kind: 'ready' }
  | { readonly kind: 'answers'; readonly packet: Packet }
  | { readonly kind: 'log'; readonly level: LogMethod; readonly fields: LogFields; readonly message: string }
  /** The last word of a node that could not start or go on. */
  | { readonly kind: 'failed'; readonly error: Failure }
  /** The last word of a node that has stopped. */
  | { readonly kind: 'stopped' };

export type LogMethod = Exclude<LogLevel, 'silent'>;

/** `host:port` of each of a node's doors. */
export interface NodeAddresses {
  readonly resp: string;
  readonly http: string;
  readonly grpc: string;
}
