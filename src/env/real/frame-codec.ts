/**
 * The protobuf message `quoin.v1.Frame { bytes payload = 1; }`, by hand: tag 0x0a, a varint length, the bytes.
 *
 * A general protobuf library would copy the payload once more in each direction; here encoding copies once (prefix and
 * payload must be one buffer for gRPC) and decoding not at all. Reads what any protobuf writer may send: fields in any
 * order, unknown fields skipped, the last payload counts, an absent payload is empty.
 */
import { ByteReader, DecodeError } from '../../base/bytes.js';

const PAYLOAD_TAG = 0x0a;
const EMPTY = Buffer.alloc(0);

export function encodeFrame(payload: Uint8Array): Buffer {
  const length = payload.length;
  let prefix = 2;
  for (let rest = length; rest >= 0x80; rest >>>= 7) prefix++;
  const message = Buffer.allocUnsafe(prefix + length);
  message[0] = PAYLOAD_TAG;
  let position = 1;
  let rest = length;
  for (; rest >= 0x80; rest >>>= 7) message[position++] = (rest & 0x7f) | 0x80;
  message[position++] = rest;
  message.set(payload, position);
  return message;
}

/** Skips the field whose key has just been read. Field numbers of 2^29 and more do not exist. */
function skipField(reader: ByteReader, key: number): void {
  switch (key % 8) {
    case 0:
      for (let i = 0; i < 10; i++) if (reader.u8() < 0x80) return; // up to 64 bits, which a number here cannot hold
      throw new DecodeError('varint too long');
    case 1:
      reader.raw(8);
      return;
    case 2:
      reader.bytes();
      return;
    case 5:
      reader.raw(4);
      return;
    default:
      throw new DecodeError(`wire type ${key % 8} is not in use`);
  }
}

/** The payload, as a view of `message`. Throws `DecodeError` when this is not a frame. */
export function decodeFrame(message: Buffer): Buffer {
  const reader = new ByteReader(message);
  let payload: Buffer = EMPTY;
  while (reader.remainingBytes > 0) {
    const key = reader.varint();
    if (key === PAYLOAD_TAG) payload = reader.bytes();
    else if (key < 8 || key >= 2 ** 32) throw new DecodeError(`bad field key ${key}`);
    else skipField(reader, key);
  }
  return payload;
}
