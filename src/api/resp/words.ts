/** Small readers of command words and replies, for commands that are not on the hot path. */
import type { Reply } from '../../store/reply.js';

/** The word in lower case; options and subcommands are told apart without regard to case. */
export function lower(word: Buffer | undefined): string {
  return word === undefined ? '' : word.toString('latin1').toLowerCase();
}

/** A decimal integer in Redis's strict form; undefined when it is not one, or not a safe integer. */
export function integer(word: Buffer | undefined): number | undefined {
  if (word === undefined || word.length === 0 || word.length > 17) return undefined;
  const text = word.toString('latin1');
  if (!/^(0|-?[1-9][0-9]*)$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** A bulk string of text. */
export function bulk(text: string): Buffer {
  return Buffer.from(text, 'utf8');
}

export function isArrayReply(reply: Reply): reply is readonly Reply[] {
  return Array.isArray(reply);
}
