/**
 * The process `quoin`: hands the real stdin, stdout, stderr and signals to `run` and sets the exit code. The loop is let
 * run dry, so that nothing written to a pipe is cut off; what then still holds the process is not waited for.
 */
import type { CliIo } from './io.js';
import { run } from './run.js';

const LINGER_MS = 1000;

function onStop(callback: (again: boolean) => void): () => void {
  let asked = 0;
  const stop = (): void => {
    asked++;
    callback(asked > 1);
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, stop);
  // A node that `quoin up` started has a channel to it: when that closes, its parent is gone.
  process.on('disconnect', stop);
  process.channel?.unref();
  return () => {
    for (const signal of signals) process.off(signal, stop);
    process.off('disconnect', stop);
  };
}

// `quoin scan | head` closes the pipe early, which is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});

const io: CliIo = {
  stdout: process.stdout,
  stderr: process.stderr,
  stdin: process.stdin,
  environment: process.env,
  interactive: process.stdout.isTTY === true,
  onStop,
};

process.exitCode = await run(process.argv.slice(2), io);
setTimeout(() => process.exit(), LINGER_MS).unref();
