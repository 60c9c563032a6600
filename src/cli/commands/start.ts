/** `quoin start`: one node in the foreground, from a configuration file. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { QuoinError } from '../../base/errors.js';
import { parseConfiguration } from '../../server/configuration/index.js';
import { type CliContext, printJson, printLine } from '../io.js';
import { createLogger } from '../logger.js';

interface StartOptions {
  readonly config?: string;
  readonly set?: readonly string[];
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  $ quoin start                                      a single node, its data in .quoin/n1
  $ quoin start --config /etc/quoin.yaml
  $ quoin start --config quoin.yaml --set log.level=debug storage.checkpointInterval=30s`;

function readConfigurationFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new QuoinError('CONFIG_INVALID', `cannot read ${path}: ${reason}`, {
      cause: error,
      remedy: 'Check the path that --config was given; without --config the defaults hold.',
    });
  }
}

export function addStartCommand(program: Command, { io }: CliContext): void {
  program
    .command('start')
    .description('run one node in the foreground')
    .option('--config <file>', 'configuration file (YAML); without one, the defaults')
    .option('--set <key=value...>', 'change a key of the configuration')
    .option('--json', 'print the ready line as JSON')
    .addHelpText('after', EXAMPLES)
    .action(async (options: StartOptions) => {
      const file = options.config;
      const configuration = parseConfiguration(
        file === undefined ? '' : readConfigurationFile(file),
        file ?? 'defaults',
        options.set ?? [],
      );
      let askedToStop = (): void => undefined;
      const stopAsked = new Promise<undefined>((resolve) => {
        askedToStop = () => resolve(undefined);
      });
      const forgetSignals = io.onStop((again) => {
        askedToStop();
        // The first signal lets the node finish what it has under way; the second does not wait for that.
        if (again) process.exit(1);
      });
      try {
        const { serveNode } = await import('../../embed/serve.js');
        const starting = serveNode(configuration, createLogger(configuration, io.stderr));
        const service = await Promise.race([starting, stopAsked]);
        if (service === undefined) {
          // Asked to stop before it could begin: it stops as soon as it has, unless the process is gone by then.
          starting.then((late) => late.stop()).catch(() => undefined);
          return;
        }
        const { id, dataDir } = configuration.node;
        const { resp, http, grpc } = service.addresses;
        if (options.json === true)
          printJson(io, { ready: true, id, pid: process.pid, resp, http, grpc, dir: dataDir });
        else
          printLine(
            io.stdout,
            `quoin ${id} ready: resp ${resp}, http ${http}, grpc ${grpc}, data in ${dataDir}`,
          );
        const failure = await Promise.race([service.ended, stopAsked]);
        await service.stop();
        if (failure !== undefined) throw failure;
      } finally {
        forgetSignals();
      }
    });
}
