/** The answer to bytes that are no HTTP: a problem like all others, and then the end of the connection. */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { HTTP_REMEDY, PROBLEM_TYPE, problemOf } from './problem.js';

/** Answers on a socket whose bytes are no HTTP. */
export function refuseGarbage(error: Error & { readonly code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const status =
    error.code === 'HPE_HEADER_OVERFLOW' ? 431 : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400;
  const code = status === 431 ? 'REQUEST_TOO_LARGE' : status === 408 ? 'TIMEOUT' : 'PROTOCOL_ERROR';
  const detail = status === 400 ? 'this is not HTTP/1.1' : `${STATUS_CODES[status]}`;
  const body = JSON.stringify(problemOf(code, detail, status, status === 400 ? HTTP_REMEDY : undefined));
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: ${PROBLEM_TYPE}\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}
