/**
 * What the command line touches of its process, so that `run` can be called by a test as well as by a shell.
 */

/** Where text and bytes go. */
export interface Output {
  write(chunk: string | Uint8Array): unknown;
}

export interface CliIo {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly stdin: AsyncIterable<Uint8Array | string>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** True when stdout is a terminal: progress is drawn, questions may be asked. */
  readonly interactive: boolean;
  /**
   * Calls back when the process is asked to stop (SIGINT, SIGTERM, SIGHUP, or the parent that started it is gone);
   * `again` from the second time on. Returns a function that stops listening.
   */
  onStop(callback: (again: boolean) => void): () => void;
}

/** What a command's file gets: where to print, and where to leave an exit code other than 0. */
export interface CliContext {
  readonly io: CliIo;
  exitCode: number;
}

/** Writes one line. */
export function printLine(output: Output, text: string): void {
  output.write(`${text}\n`);
}

export function printJson(io: CliIo, value: unknown): void {
  printLine(io.stdout, JSON.stringify(value));
}

/** All of stdin. */
export async function readStdin(io: CliIo): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of io.stdin) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}
