/**
 * Slots and tokens: where a key lives.
 *
 * A slot is `crc16(hashtag(key)) mod 16384`, exactly as Redis Cluster computes it (CRC-16/XMODEM). A token is the
 * key's 48-bit position on the ring: the slot in the top 14 bits, the key's 32-bit hash in the next 32, and two zero
 * bits. So ordering by token orders by slot first, and every slot is one range of tokens.
 */

export const SLOT_COUNT = 16384;
/** Tokens per slot: 2^34. */
export const TOKENS_PER_SLOT = 2 ** 34;
/** One past the highest token. */
export const TOKEN_END = SLOT_COUNT * TOKENS_PER_SLOT;

const CRC16_TABLE = new Uint16Array(256);
for (let byte = 0; byte < 256; byte++) {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
  CRC16_TABLE[byte] = crc;
}

/** CRC-16/XMODEM of bytes [start, end). `crc16("123456789")` is 0x31c3. */
export function crc16(bytes: Uint8Array, start = 0, end = bytes.length): number {
  let crc = 0;
  for (let i = start; i < end; i++) crc = ((crc << 8) & 0xffff) ^ CRC16_TABLE[(crc >>> 8) ^ bytes[i]!]!;
  return crc;
}

const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** The slot of a key, 0 to 16383. Only the part in the first non-empty `{...}` counts, when there is one. */
export function slotOf(key: Uint8Array): number {
  const length = key.length;
  for (let open = 0; open < length; open++) {
    if (key[open] !== OPEN_BRACE) continue;
    for (let close = open + 1; close < length; close++) {
      if (key[close] !== CLOSE_BRACE) continue;
      return close === open + 1 ? crc16(key) & 0x3fff : crc16(key, open + 1, close) & 0x3fff;
    }
    break;
  }
  return crc16(key) & 0x3fff;
}

/** MurmurHash3 (x86, 32 bits, seed 0) of bytes. */
export function hash32(bytes: Uint8Array): number {
  const length = bytes.length;
  const blocks = length & ~3;
  let hash = 0;
  let i = 0;
  for (; i < blocks; i += 4) {
    let k = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    k = Math.imul(k, 0xcc9e2d51);
    k = (k << 15) | (k >>> 17);
    hash ^= Math.imul(k, 0x1b873593);
    hash = (hash << 13) | (hash >>> 19);
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0;
  }
  const rest = length & 3;
  if (rest > 0) {
    let k = bytes[i]!;
    if (rest > 1) k |= bytes[i + 1]! << 8;
    if (rest > 2) k |= bytes[i + 2]! << 16;
    k = Math.imul(k, 0xcc9e2d51);
    k = (k << 15) | (k >>> 17);
    hash ^= Math.imul(k, 0x1b873593);
  }
  return mix32(hash ^ length);
}

/** MurmurHash3's finalizer: spreads every input bit over the 32 output bits. */
export function mix32(value: number): number {
  let hash = value;
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  hash ^= hash >>> 16;
  return hash >>> 0;
}

/** The token of a key. */
export function tokenOf(key: Uint8Array): number {
  return slotOf(key) * TOKENS_PER_SLOT + hash32(key) * 4;
}

export function slotOfToken(token: number): number {
  return Math.floor(token / TOKENS_PER_SLOT);
}

export function firstTokenOfSlot(slot: number): number {
  return slot * TOKENS_PER_SLOT;
}
