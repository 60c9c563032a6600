/**
 * What crosses between the application's thread and the node's: batches of calls one way, batches of answers the other,
 * one message a turn.
 */
import type { ErrorCode } from '../base/errors.js';
import type { NodeConfiguration } from '../server/configuration/types.js';

export interface Call {
  readonly id: number;
  readonly bucket: string;
  /** Name of an internal command. */
  readonly command: string;
  readonly args: readonly Uint8Array[];
}

/** A reply in a form that can be cloned: bytes, numbers, null and lists of these. */
export type Answered = null | number | Uint8Array | readonly Answered[];

export type Answer =
  | { readonly id: number; readonly value: Answered }
  | { readonly id: number; readonly error: { readonly code: ErrorCode; readonly message: string } };

export interface WorkerStart {
  readonly configuration: NodeConfiguration;
}

export type ToWorker =
  | { readonly kind: 'calls'; readonly calls: readonly Call[] }
  | { readonly kind: 'stop' };

export type FromWorker =
  | { readonly kind: 'started'; readonly addresses: NodeAddresses }
  | { readonly kind: 'ready' }
  | { readonly kind: 'answers'; readonly answers: readonly Answer[] }
  | { readonly kind: 'failed'; readonly error: { readonly code: ErrorCode; readonly message: string } }
  | { readonly kind: 'stopped' };

export interface NodeAddresses {
  readonly resp: string;
  readonly http: string;
  readonly grpc: string;
}
