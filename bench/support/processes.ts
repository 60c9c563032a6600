/**
 * Child processes of benchmarks and tests: started with their output kept, stopped gently and then surely, and never left
 * behind, not even when this process is interrupted or dies of an error.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { promisify } from 'node:util';

/** Output kept for error messages; older output is dropped. */
const OUTPUT_KEPT_BYTES = 64 * 1024;
const STOP_TIMEOUT_MS = 15_000;

/** How long children may take to end when this process is told to. */
const INTERRUPTED_TIMEOUT_MS = 5000;

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

let listensToSignals = false;

/** Told to end (Ctrl-C), this process ends its children first, gently, so that none outlives it and each tidies up. */
function listenToSignals(): void {
  if (listensToSignals) return;
  listensToSignals = true;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      const end = (): void => process.exit(128 + constants.signals[signal]);
      setTimeout(end, INTERRUPTED_TIMEOUT_MS);
      for (const child of running) {
        child.once('exit', () => {
          if (running.size === 0) end();
        });
        child.kill('SIGTERM');
      }
      if (running.size === 0) end();
    });
  }
}

export interface RunningProcess {
  readonly pid: number;
  /** What it has written to stdout and stderr lately. */
  output(): string;
  /** The first line of stdout, present or future, that `accept` takes. Rejects when the process ends or time is up. */
  line(accept: (line: string) => boolean, timeoutMs: number): Promise<string>;
  /** Hears every later line of stdout. */
  onLine(listener: (line: string) => void): void;
  write(text: string): void;
  kill(signal: NodeJS.Signals): void;
  /** Resolves when it has ended, with its exit code (null: a signal ended it). */
  readonly exited: Promise<number | null>;
  /** Asks it to end, and makes it end when it does not. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** Starts a program. Rejects when it cannot be started at all. */
export async function startProcess(
  command: string,
  args: readonly string[],
  options: { readonly directory?: string; readonly environment?: Readonly<Record<string, string>> } = {},
): Promise<RunningProcess> {
  const child = spawn(command, args, {
    cwd: options.directory,
    env: { ...process.env, ...options.environment },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let output = '';
  const lines: string[] = [];
  let partialLine = '';
  const listeners = new Set<(line: string) => void>();
  const keep = (text: string): void => {
    output = (output + text).slice(-OUTPUT_KEPT_BYTES);
  };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    keep(text);
    const parts = (partialLine + text).split('\n');
    partialLine = parts.pop() ?? '';
    for (const line of parts) {
      if (lines.length < 1000) lines.push(line);
      for (const listener of listeners) listener(line);
    }
  });
  child.stderr.setEncoding('utf8').on('data', keep);
  // A program that ends while it is written to is told of by its exit.
  child.stdin.on('error', () => {});
  running.add(child);
  listenToSignals();
  const exited = new Promise<number | null>((resolve) => {
    child.once('exit', (code) => {
      running.delete(child);
      resolve(code);
    });
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) => {
      running.delete(child);
      reject(error);
    });
  });

  const line = (accept: (line: string) => boolean, timeoutMs: number): Promise<string> =>
    new Promise((resolve, reject) => {
      const earlier = lines.find(accept);
      if (earlier !== undefined) {
        resolve(earlier);
        return;
      }
      const finish = (): void => {
        clearTimeout(timer);
        listeners.delete(listener);
      };
      const fail = (reason: string): void => {
        finish();
        reject(new Error(`${command} ${args.join(' ')}: ${reason}; its output was:\n${output}`));
      };
      const timer = setTimeout(() => fail(`no expected line within ${timeoutMs} ms`), timeoutMs);
      const listener = (candidate: string): void => {
        if (!accept(candidate)) return;
        finish();
        resolve(candidate);
      };
      listeners.add(listener);
      void exited.then((code) => {
        // The last lines may still be on their way when the exit is told.
        setImmediate(() => {
          if (listeners.has(listener)) fail(`ended with ${code ?? 'a signal'}`);
        });
      });
    });

  return {
    pid: child.pid!,
    output: () => output,
    line,
    onLine: (listener) => listeners.add(listener),
    write: (text) => child.stdin.write(text),
    kill: (signal) => child.kill(signal),
    exited,
    stop: async (signal = 'SIGTERM') => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill(signal);
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
      await exited;
      clearTimeout(timer);
    },
  };
}

const execute = promisify(execFile);

/** Runs a program to its end and returns its stdout; rejects with its stderr when it fails. */
export async function runProcess(
  command: string,
  args: readonly string[],
  options: { readonly timeoutMs?: number; readonly environment?: Readonly<Record<string, string>> } = {},
): Promise<string> {
  const { stdout } = await execute(command, [...args], {
    timeout: options.timeoutMs ?? 600_000,
    killSignal: 'SIGKILL',
    maxBuffer: 256 * 1024 * 1024,
    env: { ...process.env, ...options.environment },
  });
  return stdout;
}
