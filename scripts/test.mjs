/**
 * `npm test`: installs and builds what is missing, Debian packages that tests need among it, then runs every test. Arguments
 * go to the test runner (`npm test -- test/base`).
 */
import { join } from 'node:path';
import { ensureBuilt, ensureInstalled, ensurePackages, ROOT, runScript } from './ensure.mjs';
import { runChild } from './run-child.mjs';

/** Real clients, a peer to compare answers with, and a real word list. */
const TEST_PACKAGES = ['redis-tools', 'redis-server', 'wamerican', 'curl'];

await runScript(async () => {
  await ensureInstalled();
  await ensureBuilt();
  ensurePackages(TEST_PACKAGES);
  const runner = join(ROOT, 'node_modules', 'vitest', 'vitest.mjs');
  return await runChild(process.execPath, [runner, 'run', ...process.argv.slice(2)]);
});
