/** `quoin proxy`: paper 004's load-balancing proxy, in the foreground. */
import { type Command, InvalidArgumentError } from 'commander';
import { QuoinError } from '../../base/errors.js';
import { formatAddress, parseAddress } from '../../server/configuration/index.js';
import { type CliContext, printJson, printLine } from '../io.js';
import { openProxy } from '../open-proxy.js';

interface ProxyCommandOptions {
  readonly listen: string;
  readonly nodes: readonly string[];
  readonly json?: boolean;
}

const EXAMPLES = `
GET /v1/coordinator answers with a healthy coordinator's addresses, the next one each time; every other request is
redirected (307) to the next one. GET /v1/proxy shows who is in the rotation.

Examples:
  $ quoin proxy --nodes 127.0.0.1:8001
  $ quoin proxy --listen 0.0.0.0:8000 --nodes 10.0.0.1:8001,10.0.0.2:8001
  $ curl -L 127.0.0.1:8000/v1/kv/default/greeting`;

/** `a:1,b:2`, and the option again for more. */
function addressesOption(text: string, before: readonly string[] = []): readonly string[] {
  const addresses = text
    .split(',')
    .map((address) => address.trim().replace(/^http:\/\//, ''))
    .filter((address) => address !== '');
  for (const address of addresses)
    if (parseAddress(address) === undefined)
      throw new InvalidArgumentError(`'${address}' must be an address host:port.`);
  return [...before, ...addresses];
}

export function addProxyCommand(program: Command, { io }: CliContext): void {
  program
    .command('proxy')
    .description('balance clients over the coordinators of a cluster')
    .option('--listen <address>', 'where to listen for HTTP, host:port', '127.0.0.1:8000')
    .requiredOption(
      '--nodes <addresses>',
      'HTTP addresses of one or more nodes, with commas',
      addressesOption,
    )
    .option('--json', 'print the ready line as JSON')
    .addHelpText('after', EXAMPLES)
    .action(async ({ listen, nodes, json }: ProxyCommandOptions) => {
      const listenAt = parseAddress(listen);
      if (listenAt === undefined)
        throw new QuoinError('USAGE', `--listen ${listen}: must be an address host:port`);
      if (nodes.length === 0) throw new QuoinError('USAGE', '--nodes: must name at least one node');
      let askedToStop = (): void => undefined;
      const stopAsked = new Promise<boolean>((resolve) => {
        askedToStop = () => resolve(false);
      });
      const forgetSignals = io.onStop(() => askedToStop());
      try {
        const proxy = await openProxy(listenAt, nodes);
        try {
          const healthy = proxy.until((rotation) => rotation.healthy).then(() => true);
          if (!(await Promise.race([healthy, stopAsked]))) return;
          const http = formatAddress(listenAt.host, proxy.port);
          const coordinators = proxy.rotation.entries().map(({ id, state }) => ({ id, state }));
          if (json === true) printJson(io, { ready: true, pid: process.pid, http, coordinators });
          else printLine(io.stdout, `quoin proxy ready: http ${http}, ${coordinators.length} coordinators`);
          await stopAsked;
        } finally {
          await proxy.close();
        }
      } finally {
        forgetSignals();
      }
    });
}
