/**
 * What waits to be sent to one peer. Messages are encoded straight into the frame of the present turn; `flush` sends
 * it. A message too large for a frame is cut into pieces that go one by one between the frames, so that heartbeats pass.
 *
 * Invariants:
 * - messages of one lane (kind and group) arrive in the order in which they were written: a message whose lane has
 *   pieces waiting queues behind them;
 * - the queue is bounded: past `LIMITS.maxPeerQueueBytes` new messages are dropped, which every protocol above survives.
 */
import { ByteReader, ByteWriter } from '../../base/bytes.js';
import { LIMITS } from '../../base/limits.js';
import type { Link } from '../../env/env.js';
import {
  beginMessage,
  encodeFrameHeader,
  endMessage,
  type FrameHeader,
  MESSAGE,
  type MessageKind,
} from './frame.js';

interface LargeMessage {
  readonly lane: number;
  readonly kind: MessageKind;
  readonly group: number;
  /** The body is `head` and then `tail`; both belong to the outbox or never change. */
  readonly head: Buffer;
  readonly tail: Buffer;
  readonly lengthBytes: number;
  readonly id: number;
  sentBytes: number;
}

/** A frame is sent early when a turn has gathered this much. */
const FRAME_FULL_BYTES = 4 * LIMITS.maxFrameBytes;

const NO_BYTES = Buffer.alloc(0);

const laneOf = (kind: MessageKind, group: number): number => group * 32 + kind;

export class Outbox {
  readonly #header: () => FrameHeader;
  readonly #frame = new ByteWriter(4096);
  #headerBytes = 0;
  #large: LargeMessage[] = [];
  #largeBytes = 0;
  /** Finished frames that the link had no room for. */
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #nextId = 1;
  #link: Link | undefined;
  #blocked = false;
  #openPosition = 0;
  #openKind: MessageKind = MESSAGE.hello;
  #openGroup = 0;
  #openStart = 0;
  bytesSent = 0;
  framesSent = 0;
  messagesDropped = 0;

  constructor(header: () => FrameHeader) {
    this.#header = header;
  }

  /** True when a link is there to send on. */
  get connected(): boolean {
    return this.#link !== undefined;
  }

  /** A fresh link: what had been queued for the old one is lost, as a network may lose anything. */
  attach(link: Link): void {
    this.detach();
    this.#link = link;
  }

  detach(): void {
    this.#link = undefined;
    this.#blocked = false;
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#large = [];
    this.#largeBytes = 0;
    this.#frame.reset();
    this.#headerBytes = 0;
  }

  get queuedBytes(): number {
    return this.#frame.lengthBytes + this.#largeBytes + this.#waitingBytes;
  }

  /** Starts a message; write its body to the returned writer, then call `end`. */
  begin(kind: MessageKind, group: number): ByteWriter {
    if (this.#frame.lengthBytes === 0) {
      encodeFrameHeader(this.#frame, this.#header());
      this.#headerBytes = this.#frame.lengthBytes;
    }
    this.#openStart = this.#frame.lengthBytes;
    this.#openKind = kind;
    this.#openGroup = group;
    this.#openPosition = beginMessage(this.#frame, kind, group);
    return this.#frame;
  }

  /** False: there was no room, the message is dropped. */
  end(): boolean {
    const bodyStart = this.#openPosition + 4;
    const bodyBytes = this.#frame.lengthBytes - bodyStart;
    if (this.#link === undefined || this.queuedBytes > LIMITS.maxPeerQueueBytes) {
      this.#frame.truncate(this.#openStart);
      this.messagesDropped++;
      return false;
    }
    const lane = laneOf(this.#openKind, this.#openGroup);
    if (bodyBytes > LIMITS.maxFrameBytes || this.#laneWaits(lane)) {
      this.#queue(this.#openKind, this.#openGroup, this.#takeBody(bodyStart), NO_BYTES);
      return true;
    }
    endMessage(this.#frame, this.#openPosition);
    if (this.#frame.lengthBytes > FRAME_FULL_BYTES) this.#closeFrame();
    return true;
  }

  /**
   * A large message whose body is `head` and then `tail`. Neither is copied, so that one payload on its way to several
   * peers is there once: they must not change any more. False: there was no room, the message is dropped.
   */
  sendLarge(kind: MessageKind, group: number, head: Buffer, tail: Buffer): boolean {
    if (this.#link === undefined || this.queuedBytes > LIMITS.maxPeerQueueBytes) {
      this.messagesDropped++;
      return false;
    }
    this.#queue(kind, group, head, tail);
    return true;
  }

  #queue(kind: MessageKind, group: number, head: Buffer, tail: Buffer): void {
    const lengthBytes = head.length + tail.length;
    this.#large.push({
      lane: laneOf(kind, group),
      kind,
      group,
      head,
      tail,
      lengthBytes,
      id: this.#nextId++,
      sentBytes: 0,
    });
    this.#largeBytes += lengthBytes;
  }

  /** Takes the body of the open message out of the frame. */
  #takeBody(bodyStart: number): Buffer {
    if (this.#frame.lengthBytes - bodyStart <= LIMITS.maxFrameBytes) {
      const body = Buffer.from(this.#frame.view().subarray(bodyStart));
      this.#frame.truncate(this.#openStart);
      return body;
    }
    // The large body keeps the buffer; what is before it is copied instead.
    const whole = this.#frame.take();
    this.#frame.raw(whole.subarray(0, this.#openStart));
    return whole.subarray(bodyStart);
  }

  #laneWaits(lane: number): boolean {
    for (const message of this.#large) if (message.lane === lane) return true;
    return false;
  }

  #closeFrame(): void {
    if (this.#frame.lengthBytes <= this.#headerBytes) {
      this.#frame.reset();
      return;
    }
    this.#submit(this.#frame.take());
  }

  #submit(frame: Buffer): void {
    if (this.#blocked) {
      this.#waiting.push(frame);
      this.#waitingBytes += frame.length;
      return;
    }
    this.#write(frame);
  }

  #write(frame: Buffer): void {
    const link = this.#link;
    if (link === undefined) return;
    this.bytesSent += frame.length;
    this.framesSent++;
    if (!link.send(frame)) this.#blocked = true;
  }

  /** Sends what this turn has gathered, then pieces of large messages while the link takes them. */
  flush(): void {
    this.#closeFrame();
    while (!this.#blocked && this.#large.length > 0) this.#sendPiece();
  }

  onDrain(): void {
    this.#blocked = false;
    while (!this.#blocked && this.#waiting.length > 0) {
      const frame = this.#waiting.shift()!;
      this.#waitingBytes -= frame.length;
      this.#write(frame);
    }
    this.flush();
  }

  #sendPiece(): void {
    const message = this.#large[0]!;
    const { head, tail, lengthBytes, sentBytes } = message;
    const size = Math.min(LIMITS.maxFrameBytes, lengthBytes - sentBytes);
    const end = sentBytes + size;
    const writer = new ByteWriter(size + 128);
    encodeFrameHeader(writer, this.#header());
    const position = beginMessage(writer, MESSAGE.piece, message.group);
    writer.varint(message.id);
    writer.u8(message.kind);
    writer.varint(lengthBytes);
    writer.varint(sentBytes);
    if (sentBytes < head.length) writer.raw(head.subarray(sentBytes, end));
    if (end > head.length) writer.raw(tail.subarray(Math.max(0, sentBytes - head.length), end - head.length));
    endMessage(writer, position);
    message.sentBytes = end;
    if (end === lengthBytes) {
      this.#large.shift();
      this.#largeBytes -= lengthBytes;
    }
    this.#write(writer.take());
  }
}

/** Puts the pieces of large messages from one peer together again. A gap or a stranger's piece drops the message. */
export class PieceAssembler {
  #id = -1;
  #body: Buffer = Buffer.alloc(0);
  #received = 0;

  /** Returns the whole message with its last piece. */
  add(body: Buffer): { readonly kind: MessageKind; readonly body: Buffer } | undefined {
    const reader = new ByteReader(body);
    const id = reader.varint();
    const kind = reader.u8() as MessageKind;
    const totalBytes = reader.varint();
    const offset = reader.varint();
    const bytes = reader.raw(reader.remainingBytes);
    if (offset === 0 && totalBytes <= LIMITS.maxPeerQueueBytes) {
      this.#id = id;
      this.#body = Buffer.allocUnsafeSlow(totalBytes);
      this.#received = 0;
    }
    if (id !== this.#id || offset !== this.#received || offset + bytes.length > this.#body.length) {
      this.#id = -1;
      return undefined;
    }
    bytes.copy(this.#body, offset);
    this.#received += bytes.length;
    if (this.#received < this.#body.length) return undefined;
    const whole = this.#body;
    this.#id = -1;
    this.#body = Buffer.alloc(0);
    return { kind, body: whole };
  }
}
