/** A `CliIo` that keeps what is written. */
import type { CliIo } from '../../src/cli/io.js';
import { run } from '../../src/cli/run.js';

class MemoryIo implements CliIo {
  readonly #out: Buffer[] = [];
  readonly #err: Buffer[] = [];
  readonly stdout = { write: (chunk: string | Uint8Array) => this.#out.push(Buffer.from(chunk)) };
  readonly stderr = { write: (chunk: string | Uint8Array) => this.#err.push(Buffer.from(chunk)) };
  readonly stdin: AsyncIterable<Uint8Array>;
  readonly environment: Record<string, string | undefined>;
  readonly interactive = false;

  constructor(environment: Record<string, string | undefined> = {}, stdin: Buffer = Buffer.alloc(0)) {
    this.environment = environment;
    this.stdin = (async function* () {
      // In two pieces, as a pipe would.
      yield stdin.subarray(0, stdin.length >> 1);
      yield stdin.subarray(stdin.length >> 1);
    })();
  }

  /** Nobody asks these commands to stop. */
  onStop(): () => void {
    return () => undefined;
  }

  get out(): string {
    return Buffer.concat(this.#out).toString('utf8');
  }

  get outBytes(): Buffer {
    return Buffer.concat(this.#out);
  }

  get err(): string {
    return Buffer.concat(this.#err).toString('utf8');
  }
}

export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly outBytes: Buffer;
  readonly err: string;
}

/** Runs one command line to its end. */
export async function quoin(
  argv: readonly string[],
  environment: Record<string, string | undefined> = {},
  stdin?: Buffer,
): Promise<Outcome> {
  const io = new MemoryIo(environment, stdin);
  const code = await run(argv, io);
  return { code, out: io.out, outBytes: io.outBytes, err: io.err };
}
