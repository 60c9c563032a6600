/** The examples of `docs/consistency.md`, run in their order on a real cluster: what the page says is what happens. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { QUOIN, ROOT } from '../../bench/support/checkout.js';
import { freeBasePort, quoinPortOffsets } from '../../bench/support/ports.js';
import { QuoinCluster } from '../../bench/support/quoin-cluster.js';
import { ConsoleShell, consoleExamples, printsAsExpected } from '../support/console-examples.js';
import { PATIENCE_MS } from '../support/fleet.js';

/** Room for a base port that ends in 1 behind any that is found free. */
const NODES_ASKED_FOR = 12;

const document = readFileSync(join(ROOT, 'docs', 'consistency.md'), 'utf8');
const examples = consoleExamples(document);

describe('docs/consistency.md', () => {
  let directory: string;
  let cluster: QuoinCluster;
  let shell: ConsoleShell;
  let basePort: number;
  let failed = false;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'quoin-examples-'));
    const free = await freeBasePort(quoinPortOffsets(NODES_ASKED_FOR));
    basePort = free + ((11 - (free % 10)) % 10);
    cluster = await QuoinCluster.start({ directory: join(directory, '.quoin'), basePort });
    // What a person has at hand: `quoin`, and a redis-cli that prints for a terminal.
    const commands = join(directory, 'commands');
    mkdirSync(commands);
    const redisCli = execFileSync('which', ['redis-cli'], { encoding: 'utf8' }).trim();
    const scripts = {
      quoin: `exec '${process.execPath}' '${QUOIN}' "$@"`,
      'redis-cli': `exec '${redisCli}' --no-raw "$@"`,
    };
    for (const [name, script] of Object.entries(scripts)) {
      writeFileSync(join(commands, name), `#!/bin/sh\n${script}\n`);
      chmodSync(join(commands, name), 0o755);
    }
    shell = new ConsoleShell(directory, {
      PATH: `${commands}${delimiter}${process.env.PATH ?? ''}`,
      QUOIN_URL: `redis://127.0.0.1:${basePort}`,
    });
  });

  afterAll(async () => {
    if (failed) process.stderr.write(logs());
    await shell?.stop();
    await cluster?.stop();
    // What was killed just now may still hold its files.
    if (directory !== undefined) rmSync(directory, { recursive: true, force: true, maxRetries: 20 });
  });

  /** What the nodes that the examples started again have said. */
  const logs = (): string =>
    readdirSync(directory)
      .filter((name) => name.endsWith('.log'))
      .map((name) => `--- ${name}\n${readFileSync(join(directory, name), 'utf8')}`)
      .join('');

  /** 7001 to 7003 and 8001 to 8003 stand for this cluster's ports, also as 700$1 and 800$1. */
  const here = (command: string): string =>
    command
      .replaceAll(/\b700(?=[1-3$])/g, String(basePort).slice(0, -1))
      .replaceAll(/\b800(?=[1-3$])/g, String(basePort + 1000).slice(0, -1));

  test('has an example for every section', () => {
    const sections = [...document.matchAll(/^## (.+)$/gm)].map(([, name]) => name);
    expect([...new Set(examples.map(({ section }) => section))].slice(1)).toEqual(sections);
  });

  test.each([...new Set(examples.map(({ section }) => section))])('%s', async (section) => {
    // What follows builds on it.
    if (failed) throw new Error('an example above has failed');
    failed = true;
    for (const example of examples.filter((one) => one.section === section)) {
      const printed = await shell.runExample({ ...example, command: here(example.command) }, PATIENCE_MS);
      if (!printsAsExpected(example.expected, printed))
        expect(printed, `line ${example.line}: ${example.command}`).toEqual(example.expected);
    }
    failed = false;
  });
});
