/**
 * Which node to ask next. Any node answers for any key, so the client goes round; one that did not answer, or said that it
 * cannot, is put aside for a while and asked again before that only when no other is left.
 */
import { QuoinError } from '../base/errors.js';

/** How long a node that failed is left alone. */
const ASIDE_MS = 1000;

export interface NodeAddress {
  /** `http://host:port`, for messages. */
  readonly url: string;
  readonly host: string;
  readonly port: number;
}

/** Reads `http://host:port`. Throws WRONG_ARGUMENTS. */
export function parseNodeUrl(text: string): NodeAddress {
  const url = typeof text === 'string' && URL.canParse(text) ? new URL(text) : undefined;
  const bare = url !== undefined && (url.pathname === '/' || url.pathname === '') && url.search === '';
  if (url === undefined || url.protocol !== 'http:' || !bare || url.hash !== '' || url.username !== '')
    throw new QuoinError('WRONG_ARGUMENTS', `nodes: '${text}' must be http://host:port`);
  return {
    url: url.origin,
    // An IPv6 address stands in brackets in a URL, and without them everywhere else.
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? 80 : Number(url.port),
  };
}

export class NodeChoice {
  readonly #nodes: readonly NodeAddress[];
  readonly #asideUntilMs: number[];
  #turn = 0;

  constructor(nodes: readonly NodeAddress[]) {
    this.#nodes = nodes;
    this.#asideUntilMs = nodes.map(() => 0);
  }

  /** A node that is not among `tried`; undefined when all are. */
  next(tried: ReadonlySet<NodeAddress>, nowMs: number): NodeAddress | undefined {
    let fallback: number | undefined;
    for (let step = 0; step < this.#nodes.length; step++) {
      const index = (this.#turn + step) % this.#nodes.length;
      if (tried.has(this.#nodes[index]!)) continue;
      if (this.#asideUntilMs[index]! <= nowMs) return this.#take(index);
      fallback ??= index;
    }
    return fallback === undefined ? undefined : this.#take(fallback);
  }

  #take(index: number): NodeAddress {
    this.#turn = index + 1;
    return this.#nodes[index]!;
  }

  putAside(node: NodeAddress, nowMs: number): void {
    this.#asideUntilMs[this.#nodes.indexOf(node)] = nowMs + ASIDE_MS;
  }

  welcomeBack(node: NodeAddress): void {
    this.#asideUntilMs[this.#nodes.indexOf(node)] = 0;
  }
}
