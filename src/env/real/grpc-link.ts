/**
 * One link over one gRPC bidirectional stream; the same for the side that dialled and the side that accepted.
 *
 * Invariants: events come only between opening and the first of `close()` and `onClose`; `send` after that is dropped
 * (the frame could not arrive anyway). Room is counted in bytes until gRPC has handed a frame to the socket, which waits
 * for the peer's flow control: so a peer that does not read is felt by the sender, however large its frames are.
 */
import { LIMITS } from '../../base/limits.js';
import type { Link, LinkCloseReason, LinkEvents } from '../env.js';

/** What a link needs of the stream under it. */
export interface FrameStream {
  write(frame: Uint8Array, written: () => void): void;
  /** Ends this direction once all frames written before are out, and then the stream. */
  end(): void;
}

export class GrpcLink implements Link {
  readonly remoteAddress: string;
  readonly #stream: FrameStream;
  #events: LinkEvents | undefined;
  #closed = false;
  /** Sizes of the frames that gRPC has not let go of, oldest first from `#oldest` on. */
  #unsentSizes: number[] = [];
  #oldest = 0;
  #unsentBytes = 0;
  #wantsDrain = false;
  readonly #written = (): void => this.#frameLeft();

  constructor(remoteAddress: string, stream: FrameStream) {
    this.remoteAddress = remoteAddress;
    this.#stream = stream;
  }

  /** Who hears of what happens; set before anything can happen. */
  attach(events: LinkEvents): void {
    this.#events = events;
  }

  send(frame: Uint8Array): boolean {
    if (this.#closed) return true;
    this.#unsentSizes.push(frame.length);
    this.#unsentBytes += frame.length;
    this.#stream.write(frame, this.#written);
    if (this.#unsentBytes < LIMITS.peerHighWaterBytes) return true;
    this.#wantsDrain = true;
    return false;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stream.end();
  }

  opened(): void {
    if (!this.#closed) this.#events?.onOpen?.();
  }

  received(frame: Buffer): void {
    if (!this.#closed) this.#events?.onFrame(frame);
  }

  /** The stream is over, from the other side or by failure. Later calls do nothing. */
  ended(reason: LinkCloseReason): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#events?.onClose(reason);
  }

  /** Ends a link whose listener closes: its owner hears of it as of any other end. */
  shutDown(): void {
    if (this.#closed) return;
    this.ended('closed');
    this.#stream.end();
  }

  #frameLeft(): void {
    const size = this.#unsentSizes[this.#oldest];
    if (size === undefined) return;
    this.#oldest++;
    this.#unsentBytes -= size;
    if (this.#oldest === this.#unsentSizes.length) {
      this.#unsentSizes = [];
      this.#oldest = 0;
    } else if (this.#oldest === 1024) {
      this.#unsentSizes = this.#unsentSizes.slice(1024);
      this.#oldest = 0;
    }
    if (this.#wantsDrain && !this.#closed && this.#unsentBytes <= LIMITS.peerHighWaterBytes / 2) {
      this.#wantsDrain = false;
      this.#events?.onDrain();
    }
  }
}
