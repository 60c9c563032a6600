/** Where the checkout is, seen from a source (`bench/…`) and from what was built of it (`dist/bench/…`) alike. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

function findRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error('package.json not found above the benchmarks');
    folder = parent;
  }
  return folder;
}

export const ROOT = findRoot();
/** The command. */
export const QUOIN = join(ROOT, 'bin', 'quoin');
