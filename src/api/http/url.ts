/**
 * Keys and query parameters as bytes. Keys are any bytes, and a router that decodes its parameters as UTF-8 text would
 * refuse or mangle them. So the path of a key is rewritten before routing: `/v1/kv/{bucket}/{key}` with everything
 * after the bucket (slashes too) percent-decoded and written as hex. Handlers read the hex back.
 */
import { QuoinError } from '../../base/errors.js';

const KEY_PATH = /^(\/v1\/kv\/[^/?#]+\/)([^?#]+)/;
/** Stands in the place of the hex when the percent-encoding of a key is broken. */
const MALFORMED = '!';

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** The bytes that a percent-encoded text stands for; undefined when a `%` is not followed by two hex digits. */
function percentDecode(text: string, plusIsSpace: boolean): Buffer | undefined {
  // Node hands over the bytes of the request line one character each.
  const bytes = Buffer.from(text, 'latin1');
  let length = 0;
  for (let i = 0; i < bytes.length; i++) {
    let byte = bytes[i]!;
    if (byte === 0x25) {
      const high = i + 2 < bytes.length ? hexDigit(bytes[i + 1]!) : -1;
      const low = i + 2 < bytes.length ? hexDigit(bytes[i + 2]!) : -1;
      if (high < 0 || low < 0) return undefined;
      byte = high * 16 + low;
      i += 2;
    } else if (byte === 0x2b && plusIsSpace) byte = 0x20;
    bytes[length++] = byte;
  }
  return bytes.subarray(0, length);
}

/** What the router sees instead of the URL of a request. */
export function rewriteKeyPath(url: string): string {
  const match = KEY_PATH.exec(url);
  if (match === null) return url;
  const key = percentDecode(match[2]!, false);
  return match[1]! + (key === undefined ? MALFORMED : key.toString('hex')) + url.slice(match[0].length);
}

/** The key of a rewritten path. */
export function keyOfParameter(parameter: string): Buffer {
  if (parameter === MALFORMED)
    throw new QuoinError('WRONG_ARGUMENTS', 'the key in the path is not percent-encoded correctly');
  return Buffer.from(parameter, 'hex');
}

/** Query parameters; values are bytes. */
export class Query {
  readonly #values = new Map<string, Buffer>();

  /** Throws WRONG_ARGUMENTS on parameters that are broken, given twice or not among `known`. */
  constructor(url: string, known: readonly string[]) {
    const start = url.indexOf('?');
    if (start < 0) return;
    const fragment = url.indexOf('#', start);
    const text = url.slice(start + 1, fragment < 0 ? undefined : fragment);
    for (const pair of text.split('&')) {
      if (pair === '') continue;
      const equals = pair.indexOf('=');
      const name = percentDecode(equals < 0 ? pair : pair.slice(0, equals), true)?.toString('utf8');
      const value = percentDecode(equals < 0 ? '' : pair.slice(equals + 1), true);
      if (name === undefined || value === undefined)
        throw new QuoinError('WRONG_ARGUMENTS', 'the query is not percent-encoded correctly');
      if (!known.includes(name)) {
        const wanted = known.length === 0 ? 'there are none here' : `known are ${known.join(', ')}`;
        throw new QuoinError('WRONG_ARGUMENTS', `unknown query parameter '${name}'; ${wanted}`);
      }
      if (this.#values.has(name))
        throw new QuoinError('WRONG_ARGUMENTS', `query parameter '${name}' is given twice`);
      this.#values.set(name, value);
    }
  }

  bytes(name: string): Buffer | undefined {
    return this.#values.get(name);
  }

  text(name: string): string | undefined {
    return this.#values.get(name)?.toString('utf8');
  }

  /** A whole number in a range, or `otherwise` when it is not given. */
  integer(name: string, range: { readonly min: number; readonly max: number }, otherwise: number): number {
    const text = this.text(name);
    if (text === undefined) return otherwise;
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= range.min && value <= range.max))
      throw new QuoinError(
        'WRONG_ARGUMENTS',
        `${name} must be a whole number from ${range.min} to ${range.max}`,
      );
    return value;
  }
}
