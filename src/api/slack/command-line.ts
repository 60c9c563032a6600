/**
 * The words after a slash command: `get KEY`, `put KEY VALUE`, `del KEY`, `help`.
 *
 * VALUE is the rest of the line as it was typed, or one text in double quotes. `--bucket NAME` may stand after the verb, after the
 * key and at the end of the line; inside of an unquoted value it is refused, for nobody can tell whether it belongs to it. What
 * follows a lone `--` is taken as it is.
 *
 * Departures from a shell: Slack's clients turn `"` into curly quotes and `--` into dashes while people type, so these count as what
 * was typed; and `&`, `<`, `>` may arrive as entities.
 */
import { QuoinError } from '../../base/errors.js';
import type { SlackVerb } from '../../server/configuration/types.js';

export type SlackCommand =
  | { readonly verb: 'help' }
  | { readonly verb: 'get' | 'del'; readonly bucket: string; readonly key: string }
  | { readonly verb: 'put'; readonly bucket: string; readonly key: string; readonly value: string };

const DEFAULT_BUCKET = 'default';
const VERBS: readonly SlackVerb[] = ['get', 'put', 'del'];
const BUCKET_OPTION = /^(?:--|—|–)bucket(?:=|\s+|$)/u;
const LAST_BUCKET_OPTION = /(?:^|\s)(?:--|—|–)bucket(?:=|\s+)(\S+)\s*$/u;
const ANY_BUCKET_OPTION = /(?:^|\s)(?:--|—|–)bucket(?:=|\s|$)/u;
const END_OF_OPTIONS = /^--(?=\s|$)/;
const ESCAPED: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  '"': '"',
  '“': '“',
  '”': '”',
  '\\': '\\',
};
const ENTITIES: Readonly<Record<string, string>> = { '&amp;': '&', '&lt;': '<', '&gt;': '>' };

function wrong(message: string): QuoinError {
  return new QuoinError('WRONG_ARGUMENTS', message);
}

/** A text that holds a bare `<`, `>` or `&` was not encoded on its way, so entities in it are what somebody typed. */
function withoutEntities(text: string): string {
  if (/[<>]|&(?!amp;|lt;|gt;)/.test(text)) return text;
  return text.replace(/&(?:amp|lt|gt);/g, (entity) => ENTITIES[entity]!);
}

class Scanner {
  #rest: string;
  /** True once a lone `--` was read. */
  #verbatim = false;
  #bucket: string | undefined;

  constructor(text: string) {
    this.#rest = text.trim();
  }

  get bucket(): string {
    return this.#bucket ?? DEFAULT_BUCKET;
  }

  get atEnd(): boolean {
    return this.#rest === '';
  }

  /** The next characters up to white space. */
  bare(): string {
    const word = /^\S*/.exec(this.#rest)![0];
    this.#skip(word.length);
    return word;
  }

  /** Reads what options stand here. */
  options(): void {
    while (!this.#verbatim) {
      const option = BUCKET_OPTION.exec(this.#rest);
      if (option !== null) {
        this.#skip(option[0].length);
        this.#setBucket(this.bare());
      } else if (END_OF_OPTIONS.test(this.#rest)) {
        this.#skip(2);
        this.#verbatim = true;
      } else if (/^--\S/.test(this.#rest))
        throw wrong(
          `unknown option ${this.bare()}; there is --bucket NAME, and -- before words that begin so`,
        );
      else return;
    }
  }

  key(): string {
    const quoted = this.#quoted();
    if (quoted !== undefined && !/^(?:\s|$)/.test(quoted.after))
      throw wrong('a space is missing after the quoted key');
    const key = quoted?.text ?? this.bare();
    if (quoted !== undefined) this.#rest = quoted.after.trimStart();
    if (key === '') throw wrong('the key is missing');
    return key;
  }

  /** The rest of the line. */
  value(): string {
    if (this.atEnd && !this.#verbatim) throw wrong('the value is missing; "" is an empty one');
    if (this.#verbatim) return this.#take();
    const quoted = this.#quoted();
    if (quoted !== undefined) {
      const before = this.#rest;
      this.#rest = quoted.after.trimStart();
      const option = LAST_BUCKET_OPTION.exec(quoted.after);
      if (this.atEnd || option?.index === 0) {
        this.options();
        if (this.atEnd) return quoted.text;
        throw wrong('put the whole value in quotes, or none of it');
      }
      // Such as a list of quoted words: the quotes belong to the value.
      this.#rest = before;
    }
    const option = LAST_BUCKET_OPTION.exec(this.#rest);
    if (option !== null) {
      this.#setBucket(option[1]!);
      this.#rest = this.#rest.slice(0, option.index);
    }
    if (ANY_BUCKET_OPTION.test(this.#rest))
      throw wrong('--bucket stands inside of the value; put the value in quotes, or the option before it');
    if (this.atEnd) throw wrong('the value is missing; "" is an empty one');
    return this.#take();
  }

  #setBucket(name: string): void {
    if (this.#bucket !== undefined) throw wrong('--bucket is given twice');
    if (name === '') throw wrong('--bucket needs the name of a bucket');
    this.#bucket = name;
  }

  #take(): string {
    const rest = this.#rest;
    this.#rest = '';
    return rest;
  }

  #skip(length: number): void {
    this.#rest = this.#rest.slice(length).trimStart();
  }

  /** The quoted text that begins here and what follows it; undefined when there is none. */
  #quoted(): { readonly text: string; readonly after: string } | undefined {
    const rest = this.#rest;
    const opening = rest[0];
    if (this.#verbatim || (opening !== '"' && opening !== '“' && opening !== '”')) return undefined;
    const closing = opening === '"' ? '"' : '“”';
    let text = '';
    for (let i = 1; i < rest.length; i++) {
      const character = rest[i]!;
      const escaped = character === '\\' ? ESCAPED[rest[i + 1] ?? ''] : undefined;
      if (escaped !== undefined) {
        text += escaped;
        i++;
      } else if (closing.includes(character)) return { text, after: rest.slice(i + 1) };
      else text += character;
    }
    throw wrong('a quote is not closed; -- before it takes it as it is');
  }
}

/** Reads a command. Throws WRONG_ARGUMENTS. */
export function parseSlackCommand(text: string): SlackCommand {
  const scanner = new Scanner(withoutEntities(text));
  const word = scanner.bare().toLowerCase();
  if (word === '' || word === 'help') return { verb: 'help' };
  const verb = VERBS.find((one) => one === word);
  if (verb === undefined) throw wrong(`there is no '${word.slice(0, 40)}'; there are get, put, del and help`);
  scanner.options();
  const key = scanner.key();
  scanner.options();
  if (verb === 'put') {
    const value = scanner.value();
    return { verb, bucket: scanner.bucket, key, value };
  }
  if (!scanner.atEnd) throw wrong(`${verb} takes one key; put a key with spaces in quotes`);
  return { verb, bucket: scanner.bucket, key };
}
