/**
 * Examples of a document, run as they stand: fenced blocks of the kind `console`, where a line after `$ ` is a command for a shell
 * and the lines below it are what it prints.
 *
 * All commands of a document run in one bash, so that functions and variables last. In what is printed, a line `...` stands for any
 * lines, and how long a command took, as redis-cli tells of slow ones, does not count. A command that ends with `# soon` is repeated until it prints what is expected, or time is up: such a command must be
 * one that may be repeated.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';

export interface ConsoleExample {
  /** Of the command, counted from 1. */
  readonly line: number;
  /** The heading above it. */
  readonly section: string;
  readonly command: string;
  readonly expected: readonly string[];
  readonly soon: boolean;
}

const SOON = /\s+# soon$/;
const RETRY_MS = 100;

export function consoleExamples(document: string): ConsoleExample[] {
  const examples: ConsoleExample[] = [];
  let section = '';
  let fence: 'none' | 'console' | 'other' = 'none';
  let expected: string[] | undefined;
  for (const [index, line] of document.split('\n').entries()) {
    if (line.startsWith('```')) {
      fence = fence !== 'none' ? 'none' : line === '```console' ? 'console' : 'other';
      expected = undefined;
    } else if (fence === 'none' && line.startsWith('#')) section = line.replace(/^#+ /, '');
    else if (fence === 'console' && line.startsWith('$ ')) {
      expected = [];
      const command = line.slice(2).replace(SOON, '');
      examples.push({ line: index + 1, section, command, expected, soon: SOON.test(line) });
    } else if (fence === 'console') {
      if (expected === undefined) throw new Error(`line ${index + 1}: output without a command`);
      expected.push(line);
    }
  }
  return examples;
}

/** Is this what was expected? */
export function printsAsExpected(expected: readonly string[], printed: readonly string[]): boolean {
  return matches(expected.filter(isNoDuration), printed.filter(isNoDuration));
}

const isNoDuration = (line: string): boolean => !/^\(\d+\.\d\ds\)$/.test(line);

function matches(expected: readonly string[], printed: readonly string[]): boolean {
  const [first, ...rest] = expected;
  if (first === undefined) return printed.length === 0;
  if (first === '...') {
    for (let skipped = 0; skipped <= printed.length; skipped++)
      if (matches(rest, printed.slice(skipped))) return true;
    return false;
  }
  return printed[0] === first && matches(rest, printed.slice(1));
}

/** A bash that carries out one command after the other. Whatever it has started ends with it. */
export class ConsoleShell {
  readonly #shell: ChildProcess;
  #output = '';
  #commands = 0;

  constructor(directory: string, environment: Readonly<Record<string, string>>) {
    // A process group of its own, so that what runs in the background can be ended too.
    this.#shell = spawn('bash', ['--noprofile', '--norc'], {
      cwd: directory,
      env: { ...process.env, ...environment },
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    });
    const keep = (chunk: Buffer): void => {
      this.#output += chunk.toString();
    };
    this.#shell.stdout?.on('data', keep);
    this.#shell.stderr?.on('data', keep);
    this.#shell.stdin?.on('error', () => {});
    this.#write('exec 2>&1');
  }

  #write(line: string): void {
    this.#shell.stdin?.write(`${line}\n`);
  }

  /** The lines that a command prints. */
  async run(command: string, timeoutMs: number): Promise<string[]> {
    const end = `--- end of command ${++this.#commands} ---`;
    const deadline = performance.now() + timeoutMs;
    this.#output = '';
    // What reads its input must not read the commands to come.
    this.#write(`{ ${command}\n} < /dev/null; echo; echo '${end}'`);
    while (!this.#output.includes(`${end}\n`)) {
      if (performance.now() > deadline || this.#shell.exitCode !== null)
        throw new Error(`no end of '${command}'; it printed: ${this.#output}`);
      await delay(5);
    }
    // A program may leave its last line open, so one line end was added.
    const printed = this.#output.slice(0, this.#output.indexOf(end)).replace(/\n$/, '').replace(/\n$/, '');
    return printed === '' ? [] : printed.split('\n');
  }

  /** Runs an example; the lines that it printed at last. */
  async runExample({ command, expected, soon }: ConsoleExample, timeoutMs: number): Promise<string[]> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const printed = await this.run(command, timeoutMs);
      if (!soon || printsAsExpected(expected, printed) || performance.now() > deadline) return printed;
      await delay(RETRY_MS);
    }
  }

  async stop(): Promise<void> {
    const { pid } = this.#shell;
    const closed = new Promise((resolve) => this.#shell.once('close', resolve));
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
    await closed;
  }
}
