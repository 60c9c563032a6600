/** The house rules' own tests: a guard that never barks is no guard. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ESLint } from 'eslint';
import { describe, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

// One for all: what it learns of the types serves every test.
const eslint = new ESLint({ cwd: ROOT });

/** Lints `code` as if it stood in the file at `path`; returns the names of the rules that it breaks. */
async function rulesBroken(path: string, code: string): Promise<string[]> {
  const results = await eslint.lintText(code, { filePath: `${ROOT}${path}` });
  const messages = results.flatMap((result) => result.messages);
  return [...new Set(messages.map(({ ruleId, message }) => ruleId ?? message))];
}

const AMBIENT: readonly (readonly [string, string])[] = [
  ['Date.now', 'export const f = () => Date.now();'],
  ['new Date()', 'export const f = () => new Date();'],
  ['Math.random', 'export const f = () => Math.random();'],
  ['performance', 'export const f = () => performance.now();'],
  ['setTimeout', 'export const f = () => setTimeout(() => {}, 1);'],
  ['setImmediate', 'export const f = () => setImmediate(() => {});'],
  ['process.nextTick', 'export const f = () => process.nextTick(() => {});'],
  ['node:fs', "import { readFileSync } from 'node:fs';\nexport { readFileSync };"],
  ['fs without its prefix', "import { readFileSync } from 'fs';\nexport { readFileSync };"],
  ['node:net', "import { connect } from 'node:net';\nexport { connect };"],
  ['random bytes', "import { randomBytes } from 'node:crypto';\nexport { randomBytes };"],
];

describe('the rule that the outside world comes from Env', () => {
  test.each(AMBIENT)('refuses %s below the doors', async (_name, code) => {
    const broken = await rulesBroken('src/base/slots.ts', code);
    expect(broken.filter((rule) => rule.startsWith('no-restricted-'))).toHaveLength(1);
  });

  test.each(AMBIENT)('allows %s in the real Env', async (_name, code) => {
    const broken = await rulesBroken('src/env/real/clock.ts', code);
    expect(broken.filter((rule) => rule.startsWith('no-restricted-'))).toEqual([]);
  });

  test('allows hashes anywhere: they depend on nothing but their input', async () => {
    const code = "import { createHash } from 'node:crypto';\nexport { createHash };";
    expect(await rulesBroken('src/base/slots.ts', code)).toEqual([]);
  });

  test('allows protocol cores no module of the platform at all', async () => {
    const code = "import { createHash } from 'node:crypto';\nexport { createHash };";
    expect(await rulesBroken('src/protocol/raft/types.ts', code)).toEqual(['no-restricted-imports']);
  });
});

describe('the rules about promises and types', () => {
  test('refuse a promise that nobody waits for', async () => {
    const code = 'async function f(): Promise<void> {}\nexport function g(): void {\n  f();\n}';
    expect(await rulesBroken('src/base/slots.ts', code)).toEqual(['@typescript-eslint/no-floating-promises']);
  });

  test('refuse a cast through unknown', async () => {
    const code = 'export const f = (text: string): number => text as unknown as number;';
    expect(await rulesBroken('src/base/slots.ts', code)).toEqual(['no-restricted-syntax']);
  });

  test('refuse a switch that forgets a case', async () => {
    const code =
      "export function f(kind: 'a' | 'b'): number {\n  switch (kind) {\n    case 'a':\n      return 1;\n  }\n  return 2;\n}";
    expect(await rulesBroken('src/base/slots.ts', code)).toEqual([
      '@typescript-eslint/switch-exhaustiveness-check',
    ]);
  });
});

describe('the package', () => {
  interface Manifest {
    readonly dependencies: Readonly<Record<string, string>>;
    readonly devDependencies: Readonly<Record<string, string>>;
    readonly allowScripts: Readonly<Record<string, boolean>>;
  }
  const manifest = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as Manifest;
  const lock = JSON.parse(readFileSync(`${ROOT}package-lock.json`, 'utf8')) as {
    readonly packages: Readonly<
      Record<string, { readonly resolved?: string; readonly hasInstallScript?: boolean }>
    >;
  };

  test('pins its direct dependencies exactly', () => {
    const versions = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies });
    expect(versions.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
  });

  test('is locked without naming a registry, so that any mirror serves', () => {
    const named = Object.entries(lock.packages).filter(([, { resolved }]) => resolved !== undefined);
    expect(named).toEqual([]);
  });

  test('runs no install script of a dependency: each that has one is refused by name', () => {
    const withScripts = Object.entries(lock.packages)
      .filter(([, { hasInstallScript }]) => hasInstallScript === true)
      .map(([path]) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length));
    expect(withScripts.filter((name) => manifest.allowScripts[name] !== false)).toEqual([]);
  });
});
