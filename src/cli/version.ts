/** The version of the package, from the `package.json` that lies above this file (in the sources and in what was built). */
import { existsSync, readFileSync } from 'node:fs';

export function packageVersion(): string {
  for (const place of ['../../package.json', '../../../package.json']) {
    const url = new URL(place, import.meta.url);
    if (!existsSync(url)) continue;
    const { version }: { readonly version?: unknown } = JSON.parse(readFileSync(url, 'utf8')) as object;
    if (typeof version === 'string') return version;
  }
  return '0.0.0';
}
