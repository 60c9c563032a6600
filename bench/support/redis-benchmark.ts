/** Runs redis-benchmark and reads its figures. */
import type { Sample, Workload } from '../systems/system.js';
import { runProcess } from './processes.js';

/** The command line for a workload, without the program's name. */
export function redisBenchmarkArgs(port: number, workload: Workload): string[] {
  return [
    ...['-p', String(port), '-t', workload.operation, '-c', String(workload.clients)],
    ...['-n', String(workload.requests), '-r', String(workload.keys), '-d', String(workload.valueBytes)],
    ...(workload.pipeline > 1 ? ['-P', String(workload.pipeline)] : []),
    ...(workload.mode === 'routed' ? ['--cluster'] : []),
    '--csv',
  ];
}

/** Reads the CSV: a head line, then one line for each test. In cluster mode, prose stands around them. */
export function parseRedisBenchmark(csv: string): Sample {
  const lines = csv.split(/\r?\n/);
  const head = lines.findIndex((line) => line.startsWith('"test","rps"'));
  const names = lines[head]?.split(',').map((cell) => cell.replaceAll('"', ''));
  const row = lines
    .slice(head + 1)
    .find((line) => /^"[A-Z]+","[0-9.]+"/.test(line))
    ?.split(',')
    .map((cell) => Number(cell.replaceAll('"', '')));
  if (head < 0 || names === undefined || row === undefined)
    throw new Error(`redis-benchmark printed no figures:\n${csv}`);
  const column = (name: string): number => row[names.indexOf(name)] ?? Number.NaN;
  return {
    ratePerSecond: column('rps'),
    p50Ms: column('p50_latency_ms'),
    p99Ms: column('p99_latency_ms'),
  };
}

export async function redisBenchmark(port: number, workload: Workload): Promise<Sample> {
  return parseRedisBenchmark(await runProcess('redis-benchmark', redisBenchmarkArgs(port, workload)));
}
