/**
 * One table of the LMDB store: reads, each verified. A table that no commit has written to yet has no database and is
 * empty.
 */
import type { Database } from 'lmdb';
import { invariant } from '../../base/errors.js';
import { TOKEN_END } from '../../base/slots.js';
import type { DiskTable, EngineRecord, RecordSummary, ScanVisitor } from '../types.js';
import { lmdbError } from './lmdb-errors.js';
import {
  decodeKeyAndSummary,
  decodeRecord,
  decodeSummary,
  diskKey,
  type StoredRecord,
  tokenKey,
  tokenOfDiskKey,
} from './record-codec.js';

export class LmdbTable implements DiskTable {
  readonly name: string;
  /** Set by the store, once durable. */
  database: Database<Buffer, Buffer> | undefined;

  constructor(name: string, database: Database<Buffer, Buffer> | undefined) {
    this.name = name;
    this.database = database;
  }

  get(token: number, key: Buffer): EngineRecord | undefined {
    const lmdbKey = diskKey(token, key);
    const bytes = this.#read(lmdbKey);
    if (bytes === undefined) return undefined;
    const stored = decodeRecord(this.name, lmdbKey, bytes);
    invariant(stored.key.equals(key), 'keys of equal SHA-256 are equal');
    return stored.record;
  }

  summary(token: number, key: Buffer): RecordSummary | undefined {
    const lmdbKey = diskKey(token, key);
    const bytes = this.#read(lmdbKey);
    return bytes === undefined ? undefined : decodeSummary(this.name, lmdbKey, bytes, bytes.length);
  }

  #read(lmdbKey: Buffer): Buffer | undefined {
    try {
      return this.database?.getBinary(lmdbKey);
    } catch (error) {
      throw lmdbError(error, `cannot read table ${this.name}`, 'DISK_FAILED');
    }
  }

  scan(fromToken: number, toToken: number, visitor: ScanVisitor): void {
    this.#scan<StoredRecord>(
      fromToken,
      toToken,
      (lmdbKey, value) => decodeRecord(this.name, lmdbKey, value),
      (token, { key, record }) => visitor(token, key, record),
    );
  }

  scanSummaries(
    fromToken: number,
    toToken: number,
    visitor: (token: number, key: Buffer, summary: RecordSummary) => boolean,
  ): void {
    this.#scan(
      fromToken,
      toToken,
      (lmdbKey, value) => decodeKeyAndSummary(this.name, lmdbKey, value),
      (token, { key, summary }) => visitor(token, key, summary),
    );
  }

  #scan<Entry extends { readonly key: Buffer }>(
    fromToken: number,
    toToken: number,
    decode: (lmdbKey: Buffer, value: Buffer) => Entry,
    visit: (token: number, entry: Entry) => boolean,
  ): void {
    if (this.database === undefined || fromToken >= toToken || fromToken >= TOKEN_END) return;
    const bound = toToken >= TOKEN_END ? {} : { end: tokenKey(Math.max(0, Math.ceil(toToken))) };
    const range = this.database.getRange({ start: tokenKey(Math.max(0, Math.ceil(fromToken))), ...bound });
    // Records of one token, gathered: long keys stand in the order of their beginnings and hashes only.
    let group: Entry[] = [];
    let groupToken = -1;
    const visitGroup = (): boolean => {
      if (group.length > 1) group.sort((a, b) => a.key.compare(b.key));
      for (const entry of group) if (!visit(groupToken, entry)) return false;
      group = [];
      return true;
    };
    for (const { key: lmdbKey, value } of range) {
      const token = tokenOfDiskKey(lmdbKey);
      if (token !== groupToken) {
        if (!visitGroup()) return;
        groupToken = token;
      }
      group.push(decode(lmdbKey, value));
    }
    visitGroup();
  }
}
