/** `npm start`: installs and builds what is missing, then runs `quoin up` with the arguments given. */
import { join } from 'node:path';
import { ensureBuilt, ensureInstalled, ROOT, runScript } from './ensure.mjs';
import { runChild } from './run-child.mjs';

await runScript(async () => {
  await ensureInstalled();
  await ensureBuilt();
  return await runChild(process.execPath, [join(ROOT, 'bin', 'quoin'), 'up', ...process.argv.slice(2)]);
});
