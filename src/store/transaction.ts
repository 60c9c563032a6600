/**
 * MULTI/EXEC as the arguments of the internal command `quoin.exec`:
 *
 *   first argument   a key of the transaction's slot, so that it is routed like any other command
 *   second argument  format u8 (1) | watched count varint | (bucketId varint | key bytes | version varint)*
 *                    | command count varint | (bucketId varint | commandId varint | argc varint | argument bytes*)*
 *
 * where bytes are a varint length and so many bytes. All keys, watched ones too, lie in one slot.
 */
import { ByteReader, ByteWriter, DecodeError } from '../base/bytes.js';
import type { CommandDefinition } from './command.js';
import { ErrorReply } from './reply.js';

const FORMAT = 1;

/** A key under WATCH; version 0: it was absent. */
export interface WatchedKey {
  readonly bucketId: number;
  readonly key: Buffer;
  readonly version: number;
}

export interface QueuedCommand {
  readonly bucketId: number;
  readonly definition: CommandDefinition;
  readonly args: readonly Buffer[];
}

export interface DecodedTransaction {
  readonly watched: readonly WatchedKey[];
  readonly commands: readonly {
    readonly bucketId: number;
    readonly commandId: number;
    readonly args: readonly Buffer[];
  }[];
}

/** Arguments of `quoin.exec`. `routingKey`: any key of the transaction's slot. */
export function encodeTransaction(
  routingKey: Buffer,
  watched: readonly WatchedKey[],
  commands: readonly QueuedCommand[],
): Buffer[] {
  const writer = new ByteWriter(256);
  writer.u8(FORMAT);
  writer.varint(watched.length);
  for (const item of watched) {
    writer.varint(item.bucketId);
    writer.bytes(item.key);
    writer.varint(item.version);
  }
  writer.varint(commands.length);
  for (const command of commands) {
    writer.varint(command.bucketId);
    writer.varint(command.definition.id);
    writer.varint(command.args.length);
    for (const argument of command.args) writer.bytes(argument);
  }
  return [routingKey, writer.take()];
}

/** The second argument of `quoin.exec`; throws `DecodeError`. */
function decodeTransaction(bytes: Buffer): DecodedTransaction {
  const reader = new ByteReader(bytes);
  const format = reader.u8();
  if (format !== FORMAT) throw new DecodeError(`transaction format ${format} is not known`);
  const watched: WatchedKey[] = [];
  for (let left = readCount(reader); left > 0; left--)
    watched.push({ bucketId: reader.varint(), key: reader.bytes(), version: reader.varint() });
  const commands: { bucketId: number; commandId: number; args: Buffer[] }[] = [];
  for (let left = readCount(reader); left > 0; left--) {
    const bucketId = reader.varint();
    const commandId = reader.varint();
    const args: Buffer[] = [];
    for (let argumentsLeft = readCount(reader); argumentsLeft > 0; argumentsLeft--) args.push(reader.bytes());
    commands.push({ bucketId, commandId, args });
  }
  reader.end();
  return { watched, commands };
}

/** A count of things that take at least one byte each. */
function readCount(reader: ByteReader): number {
  const count = reader.varint();
  if (count > reader.remainingBytes) throw new DecodeError('a count is larger than what follows');
  return count;
}

/** The same for the argument of a command: bad bytes are answered, not thrown. */
export function parseTransaction(bytes: Buffer): DecodedTransaction | ErrorReply {
  try {
    return decodeTransaction(bytes);
  } catch (error) {
    if (error instanceof DecodeError) return ErrorReply.of('WRONG_ARGUMENTS', 'malformed transaction');
    throw error;
  }
}
