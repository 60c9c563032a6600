/**
 * The text of a configuration file together with the places of its keys, so that each complaint can name the line, and
 * with the `--set` changes laid over it.
 *
 * Invariant: the value handed out is plain data (no prototype keys, no cycles); the YAML library bounds aliases.
 */
import { isMap, isScalar, isSeq, LineCounter, type Node, parse, parseDocument } from 'yaml';
import { QuoinError } from '../../base/errors.js';

export type Path = readonly (string | number)[];

/** `buckets[0].ttl` */
export function formatPath(path: Path): string {
  let text = '';
  for (const part of path) text += typeof part === 'number' ? `[${part}]` : text === '' ? part : `.${part}`;
  return text;
}

const FORBIDDEN_KEYS = new Set(['__proto__', 'constructor', 'prototype']);

export class ConfigurationSource {
  readonly #fileName: string;
  readonly #root: Node | null;
  readonly #lines = new LineCounter();
  readonly #overridden: Path[] = [];
  #value: unknown;

  /** Throws CONFIG_INVALID with the line when the text is no YAML. */
  constructor(text: string, fileName: string) {
    this.#fileName = fileName;
    const document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false, merge: true });
    const error = document.errors[0];
    if (error !== undefined) {
      const line = this.#lines.linePos(error.pos[0]).line;
      throw new QuoinError('CONFIG_INVALID', `${fileName}:${line}: ${firstLine(error.message)}`);
    }
    this.#root = document.contents;
    try {
      this.#value = document.toJS() ?? {};
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new QuoinError('CONFIG_INVALID', `${fileName}: ${firstLine(reason)}`, { cause });
    }
  }

  /** A configuration that was never text: complaints name `origin` and no line. */
  static ofValue(value: unknown, origin: string): ConfigurationSource {
    const source = new ConfigurationSource('', origin);
    source.#value = value;
    return source;
  }

  get value(): unknown {
    return this.#value;
  }

  /** Lays one `key=value` over the file; the value is YAML, the key a dotted path. */
  override(assignment: string): void {
    const separator = assignment.indexOf('=');
    const key = separator < 0 ? assignment : assignment.slice(0, separator);
    const path = key
      .replace(/\[(\d+)\]/g, '.$1')
      .split('.')
      .map((part) => (/^\d+$/.test(part) ? Number(part) : part));
    if (separator < 1 || path.some((part) => part === '' || FORBIDDEN_KEYS.has(String(part))))
      throw new QuoinError(
        'CONFIG_INVALID',
        `--set ${assignment}: must be key=value, such as cluster.replicas=3`,
      );
    let value: unknown;
    try {
      value = parse(assignment.slice(separator + 1), { logLevel: 'error' }) ?? '';
    } catch (cause) {
      const reason = cause instanceof Error ? firstLine(cause.message) : String(cause);
      throw new QuoinError('CONFIG_INVALID', `--set ${assignment}: the value is no YAML: ${reason}`, {
        cause,
      });
    }
    this.#value = withValueAt(this.#value, path, 0, value, assignment);
    this.#overridden.push(path);
  }

  /** Where the value at `path` (or the nearest thing around it) was written: `file:line` or `--set`. */
  place(path: Path): string {
    for (const overridden of this.#overridden)
      if (overridden.every((part, index) => part === path[index])) return '--set';
    const offset = this.#offset(path);
    return offset === undefined ? this.#fileName : `${this.#fileName}:${this.#lines.linePos(offset).line}`;
  }

  #offset(path: Path): number | undefined {
    let node: unknown = this.#root;
    let offset: number | undefined;
    for (const part of path) {
      if (isMap(node)) {
        const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(part));
        if (pair === undefined) break;
        if (isScalar(pair.key) && pair.key.range) offset = pair.key.range[0];
        node = pair.value;
      } else if (isSeq(node) && typeof part === 'number') {
        const item: unknown = node.items[part];
        if (isScalar(item) || isMap(item) || isSeq(item)) offset = item.range?.[0] ?? offset;
        node = item;
      } else break;
    }
    return offset;
  }
}

function firstLine(message: string): string {
  return message.split('\n')[0]!.replace(/:$/, '');
}

function withValueAt(
  target: unknown,
  path: Path,
  depth: number,
  value: unknown,
  assignment: string,
): unknown {
  const part = path[depth];
  if (part === undefined) return value;
  if (typeof part === 'number') {
    const list: unknown[] = Array.isArray(target) ? [...(target as readonly unknown[])] : [];
    if (part > list.length)
      throw new QuoinError(
        'CONFIG_INVALID',
        `--set ${assignment}: ${formatPath(path.slice(0, depth + 1))} leaves a gap; the list has ${list.length} items`,
      );
    list[part] = withValueAt(list[part], path, depth + 1, value, assignment);
    return list;
  }
  const record: Record<string, unknown> =
    typeof target === 'object' && target !== null && !Array.isArray(target)
      ? { ...(target as Readonly<Record<string, unknown>>) }
      : {};
  record[part] = withValueAt(record[part], path, depth + 1, value, assignment);
  return record;
}
