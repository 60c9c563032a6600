/** `npm run sim` and `npm run bench`: installs and builds what is missing, then runs that command with its arguments. */
import { join } from 'node:path';
import { ensureBuilt, ensureInstalled, installPackages, ROOT, runScript } from './ensure.mjs';
import { runChild } from './run-child.mjs';

/** What each runs, and the words that go before the user's: `npm run bench` compares. */
const COMMANDS = {
  sim: { entry: 'runSimCommand', words: [] },
  bench: { entry: 'runBenchCommand', words: ['compare'] },
};

/** The peers that the benchmarks measure beside Quoin. Those that cannot be installed are named in the output. */
const PEER_PACKAGES = ['redis-tools', 'redis-server', 'etcd-server', 'golang-go', 'golang-etcd-server-dev'];

await runScript(async () => {
  const [command, ...args] = process.argv.slice(2);
  if (!Object.hasOwn(COMMANDS, command)) {
    process.stderr.write(`usage: node scripts/run.mjs ${Object.keys(COMMANDS).join('|')} [arguments]\n`);
    return 2;
  }
  const { entry, words } = COMMANDS[command];
  await ensureInstalled();
  await ensureBuilt();
  if (command === 'bench') installPackages(PEER_PACKAGES);
  // A child of its own, so that options given to Node apply to it alone and signals reach it in one way.
  const module = join(ROOT, 'dist', command, 'main.js');
  const program = `const { ${entry} } = await import(${JSON.stringify(module)}); process.exitCode = await ${entry}(process.argv.slice(1));`;
  return await runChild(process.execPath, [
    '--input-type=module',
    '--eval',
    program,
    '--',
    ...words,
    ...args,
  ]);
});
