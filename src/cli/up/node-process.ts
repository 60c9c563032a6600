/**
 * One node of `quoin up` as a child process. It runs in a process group of its own, so that Ctrl-C reaches only the parent,
 * which then stops its nodes in order; a channel tells it when the parent is gone, so that no node is left behind.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, renameSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ERRORS, type ErrorCode } from '../../base/errors.js';
import { formatTable } from '../table.js';
import type { NodeLayout } from './layout.js';

/** A log larger than this is set aside when its node starts; one earlier log is kept. */
const MAX_LOG_BYTES = 16 * 1024 * 1024;
const TAIL_BYTES = 4096;

export interface NodeExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** The command line's own entry: what was built, or the source under a loader in development. */
function entryPath(): string {
  const built = fileURLToPath(new URL('../main.js', import.meta.url));
  return existsSync(built) ? built : built.replace(/\.js$/, '.ts');
}

/**
 * A node makes much short-lived garbage (requests, frames). A larger young generation collects it more seldom, which
 * shows most under pipelined writes, and costs some tens of megabytes.
 *
 * V8 marks the whole heap as soon as the room left to the old generation is less than the young one's size. After each
 * collection it leaves some 40 MB to the small old generation of a node, which with a large young one means that it
 * never stops marking: a fifth of all CPU time under writes. The second flag keeps it from doing so below 256 MB.
 */
const NODE_FLAGS = ['--max-semi-space-size=64', '--initial-old-space-size=256'];

export class NodeProcess {
  readonly layout: NodeLayout;
  readonly exited: Promise<NodeExit>;
  readonly #child: ChildProcess;
  #exit: NodeExit | undefined;

  constructor(layout: NodeLayout, overrides: readonly string[]) {
    this.layout = layout;
    if (existsSync(layout.logPath) && statSync(layout.logPath).size > MAX_LOG_BYTES)
      renameSync(layout.logPath, `${layout.logPath}.1`);
    const log = openSync(layout.logPath, 'a');
    const words = ['start', '--config', layout.configurationPath];
    if (overrides.length > 0) words.push('--set', ...overrides);
    try {
      this.#child = spawn(process.execPath, [...process.execArgv, ...NODE_FLAGS, entryPath(), ...words], {
        detached: true,
        stdio: ['ignore', log, log, 'ipc'],
      });
    } finally {
      closeSync(log);
    }
    this.exited = new Promise((resolve) => {
      const ended = (exit: NodeExit): void => {
        this.#exit ??= exit;
        resolve(this.#exit);
      };
      this.#child.once('exit', (code, signal) => ended({ code, signal }));
      // Without a process there is no exit either.
      this.#child.once('error', () => {
        if (this.#child.pid === undefined) ended({ code: 1, signal: null });
      });
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get exit(): NodeExit | undefined {
    return this.#exit;
  }

  kill(signal: NodeJS.Signals): void {
    if (this.#exit === undefined) this.#child.kill(signal);
  }

  /** Why it ended: the error that it printed last, or its last line. */
  lastWords(): { readonly code: ErrorCode; readonly message: string } {
    let lines: string[] = [];
    try {
      const bytes = readFileSync(this.layout.logPath);
      lines = bytes
        .subarray(Math.max(0, bytes.length - TAIL_BYTES))
        .toString('utf8')
        .trim()
        .split('\n');
    } catch {
      // Without a log there are no last words.
    }
    const printed = lines.findLast((line) => line.startsWith('quoin: '));
    const [, code = '', message = ''] = /^quoin: ([A-Z_]+): (.*)$/.exec(printed ?? '') ?? [];
    if (Object.hasOwn(ERRORS, code)) return { code: code as ErrorCode, message };
    return { code: 'INTERNAL', message: lines.at(-1) ?? 'it left no log' };
  }
}

export function describeExit(exit: NodeExit): string {
  return exit.signal === null ? `exit code ${exit.code}` : exit.signal;
}

export function describeNodes(nodes: readonly NodeLayout[]): string {
  return formatTable(
    ['node', 'roles', 'Redis clients', 'HTTP', 'peers'],
    nodes.map(({ id, roles, resp, http, grpc }) => [id, roles.join(', '), resp, http, grpc]),
  );
}
