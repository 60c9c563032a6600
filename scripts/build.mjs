/** `npm run build`: installs what is missing and compiles the sources to `dist`. */
import { ensureBuilt, ensureInstalled, runScript } from './ensure.mjs';

await runScript(async () => {
  await ensureInstalled();
  await ensureBuilt();
  return 0;
});
