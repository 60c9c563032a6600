/**
 * One HTTP request to one node and its whole answer. `node:http` rather than `fetch`: keys go into the path as they are
 * (a URL parser would resolve a key `..` away), and it tells whether a request can have reached the node.
 */
import { type Agent, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import { LIMITS } from '../base/limits.js';
import type { NodeAddress } from './node-choice.js';

export interface HttpCall {
  readonly method: 'GET' | 'PUT' | 'DELETE';
  /** Percent-encoded path and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | undefined;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** A request without an answer. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer';
  /** False: the node certainly has not seen the request. */
  readonly mayHaveArrived: boolean;

  constructor(message: string, mayHaveArrived: boolean, cause: unknown) {
    super(message, { cause });
    this.mayHaveArrived = mayHaveArrived;
  }
}

function reasonOf(error: Error): string {
  const { code } = error as NodeJS.ErrnoException;
  return error.message || (code ?? error.name);
}

/**
 * Rejects with `NoAnswer` alone. `silenceMs`: how long the connection may be without any progress, while it is being made
 * too. The signal ends the request at once.
 */
export function exchange(
  agent: Agent,
  node: NodeAddress,
  call: HttpCall,
  silenceMs: number,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    let mayHaveArrived = false;
    const fail = (error: Error): void => reject(new NoAnswer(reasonOf(error), mayHaveArrived, error));
    const { method, path, body } = call;
    const headers: Record<string, string> = { ...call.headers };
    if (body !== undefined) headers['content-length'] = String(body.length);
    const outgoing = request({
      agent,
      host: node.host,
      port: node.port,
      method,
      path,
      headers,
      signal,
      timeout: silenceMs,
    });
    outgoing.on('socket', (socket) => {
      if (!socket.connecting) mayHaveArrived = true;
      else socket.once('connect', () => (mayHaveArrived = true));
    });
    outgoing.on('timeout', () => outgoing.destroy(new Error(`silent for ${silenceMs} ms`)));
    outgoing.on('error', fail);
    outgoing.on('response', (response) => {
      receive(response).then((received) => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: received });
      }, fail);
    });
    outgoing.end(body);
  });
}

/** The whole body. An answer that is cut off, or larger than any that a node gives, is none. */
function receive(response: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let sizeBytes = 0;
    response.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      sizeBytes += chunk.length;
      if (sizeBytes > LIMITS.maxRequestBytes) response.destroy(new Error('the answer is too large'));
    });
    response.on('error', reject);
    response.on('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, sizeBytes)));
    response.on('close', () => {
      if (!response.complete) reject(new Error('the answer was cut off'));
    });
  });
}
