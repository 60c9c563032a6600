/** `quoin/client`: a running cluster over HTTP, with the same bucket handle as an embedded node. */
export { ERRORS, type ErrorCode, QuoinError } from '../base/errors.js';
export type {
  Bucket,
  Bytes,
  DeleteOptions,
  Entry,
  ExpiryOptions,
  ReadOptions,
  ScanOptions,
  WriteOptions,
} from './bucket.js';
export { type Client, type ConnectOptions, connect } from './client.js';
