/**
 * `npm run campaign`: the long proof. The simulator over many seeds, then the process tests with many kills and with nodes away for
 * long (`--away`: seconds); the same code that `npm test` runs for a short while.
 *
 *   npm run campaign -- --seeds 200 --steps 100000 --kills 100 --away 60 --seed 1
 *
 * Ends with 1 when either has found something; what to run again stands in its output.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ensureBuilt, ensureInstalled, ROOT, runScript, SetupError } from './ensure.mjs';
import { runChild } from './run-child.mjs';

const DEFAULTS = { seeds: '200', steps: '100000', kills: '100', away: '60', seed: '1' };

function readOptions() {
  const options = Object.fromEntries(Object.keys(DEFAULTS).map((name) => [name, { type: 'string' }]));
  let settings;
  try {
    settings = { ...DEFAULTS, ...parseArgs({ options }).values };
  } catch (error) {
    throw new SetupError(error.message);
  }
  for (const [name, text] of Object.entries(settings))
    if (!/^[1-9]\d{0,8}$/.test(text)) throw new SetupError(`--${name} must be a whole number from 1 on`);
  return settings;
}

await runScript(async () => {
  const { seeds, steps, kills, away, seed } = readOptions();
  await ensureInstalled();
  await ensureBuilt();
  const simulation = await runChild(process.execPath, [
    join(ROOT, 'scripts', 'run.mjs'),
    'sim',
    ...['--seeds', seeds, '--steps', steps, '--seed', seed],
  ]);
  process.env.QUOIN_KILLS = kills;
  process.env.QUOIN_AWAY_SECONDS = away;
  process.env.QUOIN_SEED = seed;
  const runner = join(ROOT, 'node_modules', 'vitest', 'vitest.mjs');
  const processes = await runChild(process.execPath, [runner, 'run', '--project', 'process']);
  return simulation === 0 && processes === 0 ? 0 : 1;
});
