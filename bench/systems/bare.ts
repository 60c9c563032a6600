/** The bare RESP server: what a single Node.js process can do at all. */
import { fileURLToPath } from 'node:url';
import { startProcess } from '../support/processes.js';
import { redisBenchmark } from '../support/redis-benchmark.js';
import type { System } from './system.js';

export const bare: System = {
  name: 'bare',
  description: '1 process, a RESP server over a Map: nothing replicated, nothing stored',
  packages: ['redis-tools'],
  start: async () => {
    const script = fileURLToPath(new URL('../bare-resp-server.js', import.meta.url));
    const server = await startProcess(process.execPath, [script]);
    const line = await server.line((text) => text.startsWith('ready '), 10_000);
    const port = Number(line.slice('ready '.length));
    return {
      // One node needs no routing: what others do in cluster mode it does plainly.
      run: (workload) => redisBenchmark(port, { ...workload, mode: 'plain' }),
      stop: () => server.stop(),
    };
  },
};
