/** Runs a program in the foreground: same terminal, signals handed on, its exit code returned. */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { ROOT } from './ensure.mjs';

const FORWARDED_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** Resolves to the child's exit code; 128 + the signal's number when a signal ended it. */
export function runChild(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: 'inherit' });
    // A terminal sends Ctrl-C to the whole process group, so the child has had it already; a second copy would mean
    // 'at once' to programs that stop gently on the first.
    const forward = (signal) => {
      if (signal === 'SIGINT' && process.stdin.isTTY) return;
      child.kill(signal);
    };
    for (const signal of FORWARDED_SIGNALS) process.on(signal, forward);
    const done = () => {
      for (const signal of FORWARDED_SIGNALS) process.off(signal, forward);
    };
    child.on('error', (error) => {
      done();
      reject(error);
    });
    child.on('exit', (code, signal) => {
      done();
      resolve(code ?? 128 + (constants.signals[signal] ?? 0));
    });
  });
}
