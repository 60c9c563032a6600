/**
 * Answers as Slack shows them. What users stored or typed stands in rich text elements and plain text only, which Slack shows
 * as they are: neither backticks nor `<!channel>` nor `:smile:` mean anything there. The one text that Slack interprets is the
 * fallback for notifications, and there its three control characters are escaped.
 *
 * Invariant: every text is shorter than Slack's limit for it, and none is empty.
 */
import { isUtf8 } from 'node:buffer';
import type { types } from '@slack/bolt';
import type { QuoinError } from '../../base/errors.js';
import { formatDuration } from '../../server/configuration/index.js';

export type ResponseType = 'ephemeral' | 'in_channel';

/** A message in Slack's own words. */
export interface SlackMessage {
  readonly response_type: ResponseType;
  /** For notifications and readers without blocks. */
  readonly text: string;
  readonly blocks: (types.RichTextBlock | types.ContextBlock)[];
}

/** A piece of a sentence: as it is, or as code. */
type Piece = string | { readonly code: string };

/** Slack refuses a text of more than 3000 characters. */
const SHOWN_CHARACTERS = 2800;
/** Keys, names and messages within a sentence. */
const SHOWN_WORD_CHARACTERS = 200;
const SHOWN_MESSAGE_CHARACTERS = 1000;
const SHOWN_BINARY_BYTES = 64;
/** What a terminal, and Slack, shows as nothing or as a box: all control characters but tab and line ends. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL_CHARACTERS = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/;

function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** The first characters of a text; a surrogate pair is not torn. */
function cut(text: string, characters: number): string {
  if (text.length <= characters) return text;
  const end = /[\ud800-\udbff]/.test(text[characters - 1]!) ? characters - 1 : characters;
  return text.slice(0, end);
}

function shortened(text: string, characters = SHOWN_WORD_CHARACTERS): string {
  return text.length <= characters ? text : `${cut(text, characters)}…`;
}

function bytesOf(count: number): string {
  return count === 1 ? '1 byte' : `${count} bytes`;
}

function element(piece: Piece): types.RichTextText {
  if (typeof piece === 'string') return { type: 'text', text: piece };
  // An element must not be empty.
  return { type: 'text', text: shortened(piece.code) || ' ', style: { code: true } };
}

function sentence(pieces: readonly Piece[]): types.RichTextBlock {
  return {
    type: 'rich_text',
    elements: [{ type: 'rich_text_section', elements: pieces.map(element) }],
  };
}

function codeBlock(text: string): types.RichTextBlock {
  return {
    type: 'rich_text',
    elements: [{ type: 'rich_text_preformatted', elements: [{ type: 'text', text }] }],
  };
}

function context(text: string): types.ContextBlock {
  return { type: 'context', elements: [{ type: 'plain_text', text, emoji: false }] };
}

function message(
  responseType: ResponseType,
  pieces: readonly Piece[],
  more: SlackMessage['blocks'],
): SlackMessage {
  const plain = pieces
    .map((piece) => (typeof piece === 'string' ? piece : `'${shortened(piece.code)}'`))
    .join('');
  return { response_type: responseType, text: escapeText(plain), blocks: [sentence(pieces), ...more] };
}

interface ShownValue {
  readonly block: types.RichTextBlock | undefined;
  readonly note: string;
}

/** Only what is shown is turned into text: a value may have a hundred megabytes. */
function shownValue(value: Buffer): ShownValue {
  if (value.length === 0) return { block: undefined, note: 'an empty value' };
  const size = bytesOf(value.length);
  // In UTF-8 no character takes more than three bytes for each of its UTF-16 units.
  const head = value.subarray(0, 3 * (SHOWN_CHARACTERS + 1));
  const text = isUtf8(value)
    ? new TextDecoder('utf-8', { ignoreBOM: true }).decode(head, { stream: true })
    : undefined;
  if (text === undefined || CONTROL_CHARACTERS.test(text)) {
    const bytes = value.subarray(0, SHOWN_BINARY_BYTES);
    const shown = bytes.length < value.length ? `; its first ${bytes.length} are shown in hex` : ' in hex';
    return {
      block: codeBlock(bytes.toString('hex').replace(/(..)(?=.)/g, '$1 ')),
      note: `binary, ${size}${shown}`,
    };
  }
  const shown = cut(text, SHOWN_CHARACTERS);
  if (Buffer.byteLength(shown) === value.length) return { block: codeBlock(shown), note: size };
  return {
    block: codeBlock(shown),
    note: `${size}; cut here after ${shown.length} characters, the whole is to be had over HTTP`,
  };
}

export function valueMessage(
  responseType: ResponseType,
  place: { readonly bucket: string; readonly key: string },
  stored: { readonly value: Buffer; readonly version: number | bigint; readonly expiresAtMs: number },
  nowMs: number,
): SlackMessage {
  const { block, note } = shownValue(stored.value);
  const facts = [`version ${stored.version}`, note];
  if (stored.expiresAtMs > 0) {
    const seconds = Math.ceil(Math.max(1, stored.expiresAtMs - nowMs) / 1000);
    facts.splice(1, 0, `expires in ${seconds}s (${timeOf(stored.expiresAtMs)})`);
  }
  return message(
    responseType,
    [{ code: place.key }, ' in bucket ', { code: place.bucket }],
    [...(block === undefined ? [] : [block]), context(facts.join(' · '))],
  );
}

/** Empty for a time beyond what dates can tell. */
function timeOf(timeMs: number): string {
  const date = new Date(timeMs);
  return Number.isNaN(date.getTime()) ? 'far away' : date.toISOString();
}

export function storedMessage(
  responseType: ResponseType,
  place: { readonly bucket: string; readonly key: string },
  stored: { readonly sizeBytes: number; readonly version: number | bigint; readonly ttlMs: number },
): SlackMessage {
  const facts = [`version ${stored.version}`, bytesOf(stored.sizeBytes)];
  if (stored.ttlMs > 0) facts.splice(1, 0, `expires in ${formatDuration(stored.ttlMs)}, as the bucket says`);
  return message(
    responseType,
    ['Stored ', { code: place.key }, ' in bucket ', { code: place.bucket }, '.'],
    [context(facts.join(' · '))],
  );
}

export function deletedMessage(
  responseType: ResponseType,
  place: { readonly bucket: string; readonly key: string },
): SlackMessage {
  return message(
    responseType,
    ['Deleted ', { code: place.key }, ' from bucket ', { code: place.bucket }, '.'],
    [],
  );
}

/** An error, with what to do about it; seen by whoever asked alone. `name` is what the slash command is called. */
export function errorMessage(error: QuoinError, name: string): SlackMessage {
  const { remedy, definite } = error;
  const help = error.code === 'WRONG_ARGUMENTS' ? ` Type ${shortened(name)} help to see what there is.` : '';
  const outcome = definite ? '' : ' Whether it was carried out is not known.';
  return message(
    'ephemeral',
    [{ code: error.code }, ` ${shortened(error.message, SHOWN_MESSAGE_CHARACTERS)}`],
    [context(`${remedy}${help}${outcome}`)],
  );
}

/** What can be typed; `name` is what the slash command is called. */
export function helpMessage(name: string): SlackMessage {
  const lines = [
    `${name} get KEY            shows a value`,
    `${name} put KEY VALUE      stores a value: the rest of the line, or "a text in quotes"`,
    `${name} del KEY            deletes a key`,
    `${name} help               shows this`,
    '',
    '--bucket NAME              another bucket than default; after the verb, the key or the value',
    '"KEY WITH SPACES"          \\" \\\\ \\n \\t stand for themselves in quotes',
    '--                         what follows is taken as it is',
  ];
  return message('ephemeral', ['Keys and values in Quoin:'], [codeBlock(lines.join('\n'))]);
}
