/**
 * Counts whole RESP replies in a stream without building them: a load generator wants to know that an answer came and whether
 * it was an error, nothing else. Fed any pieces of the stream, it takes each byte once.
 */

const CARRIAGE_RETURN = 0x0d;
const LINE_FEED = 0x0a;

const STATE = {
  /** At the first byte of a reply or of an element. */
  start: 0,
  /** Within a line: a status, a number, or the length of what follows. */
  line: 1,
  /** Within a bulk string's bytes and the line end after them. */
  bulk: 2,
} as const;

type State = (typeof STATE)[keyof typeof STATE];

export class ReplyCounter {
  readonly #onReply: (isError: boolean) => void;
  #state: State = STATE.start;
  #kind = 0;
  #length = 0;
  #negative = false;
  #bulkLeft = 0;
  /** Elements still to come of each aggregate that is open, outermost first. */
  readonly #open: number[] = [];
  #isError = false;

  /** `onReply` is called once for each whole reply. */
  constructor(onReply: (isError: boolean) => void) {
    this.#onReply = onReply;
  }

  /** Throws when the stream is no RESP. */
  push(chunk: Buffer): void {
    let i = 0;
    while (i < chunk.length) {
      if (this.#state === STATE.bulk) {
        const taken = Math.min(this.#bulkLeft, chunk.length - i);
        this.#bulkLeft -= taken;
        i += taken;
        if (this.#bulkLeft === 0) this.#finishElement();
      } else if (this.#state === STATE.line) {
        const byte = chunk[i++]!;
        if (byte === LINE_FEED) this.#finishLine();
        else if (byte === 0x2d) this.#negative = true;
        else if (byte !== CARRIAGE_RETURN) this.#length = this.#length * 10 + byte - 0x30;
      } else {
        this.#kind = chunk[i++]!;
        this.#length = 0;
        this.#negative = false;
        this.#state = STATE.line;
        if (this.#open.length === 0) this.#isError = false;
      }
    }
  }

  #finishLine(): void {
    switch (String.fromCharCode(this.#kind)) {
      case '-':
        this.#isError ||= this.#open.length === 0;
        this.#finishElement();
        return;
      case '+':
      case ':':
      case '_':
      case '#':
      case ',':
      case '(':
        this.#finishElement();
        return;
      case '!':
        this.#isError ||= this.#open.length === 0;
        this.#startBulk();
        return;
      case '$':
      case '=':
        this.#startBulk();
        return;
      case '*':
      case '~':
      case '>':
        this.#startAggregate(1);
        return;
      case '%':
        this.#startAggregate(2);
        return;
      default:
        throw new Error(`a reply starts with byte ${this.#kind}: the server speaks no RESP`);
    }
  }

  #startBulk(): void {
    if (this.#negative) {
      this.#finishElement();
      return;
    }
    this.#bulkLeft = this.#length + 2;
    this.#state = STATE.bulk;
  }

  #startAggregate(elementsPerEntry: number): void {
    const elements = this.#negative ? 0 : this.#length * elementsPerEntry;
    if (elements === 0) {
      this.#finishElement();
      return;
    }
    this.#open.push(elements);
    this.#state = STATE.start;
  }

  #finishElement(): void {
    this.#state = STATE.start;
    for (;;) {
      const depth = this.#open.length;
      if (depth === 0) {
        this.#onReply(this.#isError);
        return;
      }
      this.#open[depth - 1]!--;
      if (this.#open[depth - 1]! > 0) return;
      this.#open.pop();
    }
  }
}
