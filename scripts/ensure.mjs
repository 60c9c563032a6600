/**
 * What the commands of a fresh checkout need before they can run: dependencies installed, sources built, Debian packages
 * present. Only Node's own modules are used here, because nothing else may be there yet.
 *
 * Invariants:
 * - nothing is done twice: each function looks first and returns at once when all is in place;
 * - two processes that build at the same time take turns (a lock directory that names its owner);
 * - whatever cannot be put in place ends with one line that says what is missing and how to get it.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout. */
export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');

const OLDEST_NODE = [20, 19];
const SOURCE_FOLDERS = ['src', 'sim', 'bench'];
const LOCK_WAIT_MS = 300_000;
const LOCK_POLL_MS = 100;
/** How long a lock may be without its owner's name. */
const LOCK_NAMING_MS = 5000;

/** A failure that a person can act on; printed as one line, without a stack. */
export class SetupError extends Error {
  name = 'SetupError';
}

/** Runs `main`, prints a `SetupError` in one line, and ends the process with its exit code. */
export async function runScript(main) {
  try {
    process.exitCode = await main();
  } catch (error) {
    process.stderr.write(`${error instanceof SetupError ? `error: ${error.message}` : error.stack}\n`);
    process.exitCode = 1;
  }
}

function checkNodeVersion() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [oldestMajor, oldestMinor] = OLDEST_NODE;
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return;
  throw new SetupError(
    `Node.js ${OLDEST_NODE.join('.')} or later is needed, this is ${process.versions.node}`,
  );
}

function run(command, args, { quiet = false, environment = {} } = {}) {
  const result = spawnSync(command, args, {
    cwd: ROOT,
    // What is said while preparing belongs on stderr: stdout is for the command that was asked for.
    stdio: ['ignore', quiet ? 'pipe' : 2, quiet ? 'pipe' : 2],
    env: { ...process.env, ...environment },
    maxBuffer: 64 * 1024 * 1024,
  });
  if (result.error) throw new SetupError(`${command} could not be run: ${result.error.message}`);
  if (result.status !== 0 && quiet) process.stderr.write(`${result.stdout}${result.stderr}`);
  return result.status === 0;
}

function say(quiet, line) {
  if (!quiet) process.stderr.write(`${line}\n`);
}

/** True when what is installed is what the lock file asks for. Contents count, not times: a checkout changes times. */
function dependenciesInstalled() {
  const installedPath = join(ROOT, 'node_modules', '.package-lock.json');
  if (!existsSync(installedPath)) return false;
  const wanted = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).packages;
  const installed = JSON.parse(readFileSync(installedPath, 'utf8')).packages;
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '') continue;
    const found = installed[path];
    // Binaries of other platforms are optional and rightly absent.
    if (found === undefined && (entry.optional || entry.devOptional || entry.peer)) continue;
    if (found === undefined || found.version !== entry.version || found.integrity !== entry.integrity)
      return false;
  }
  return true;
}

/** Installs the locked dependencies when they are missing or other than the lock file says. */
export async function ensureInstalled({ quiet = false } = {}) {
  checkNodeVersion();
  if (!existsSync(join(ROOT, 'package-lock.json')) || dependenciesInstalled()) return;
  await withLock('install', async () => {
    if (dependenciesInstalled()) return;
    say(quiet, 'Installing dependencies (npm ci) ...');
    if (!run('npm', ['ci', '--no-audit', '--no-fund'], { quiet }))
      throw new SetupError('npm ci failed; see above, and check that the package registry can be reached');
  });
}

function* filesBelow(folder) {
  if (!existsSync(folder)) return;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesBelow(path);
    else yield path;
  }
}

/** Every source with the time of its last change; two builds of the same listing give the same result. */
function sourceListing() {
  const paths = [
    'tsconfig.json',
    'tsconfig.build.json',
    ...SOURCE_FOLDERS.flatMap((folder) =>
      [...filesBelow(join(ROOT, folder))]
        .filter((path) => path.endsWith('.ts'))
        .map((path) => relative(ROOT, path)),
    ),
  ].sort();
  return paths
    .map((path) => {
      const { mtimeMs, size } = statSync(join(ROOT, path));
      return `${path} ${mtimeMs} ${size}`;
    })
    .join('\n');
}

const stampPath = join(ROOT, 'dist', '.sources');

function isBuilt(listing) {
  return existsSync(stampPath) && readFileSync(stampPath, 'utf8') === listing;
}

/** Removes what was built from sources that are gone, so that a stale module cannot be imported by accident. */
function removeOrphans() {
  for (const folder of SOURCE_FOLDERS) {
    for (const built of filesBelow(join(ROOT, 'dist', folder))) {
      const source = relative(join(ROOT, 'dist'), built).replace(/(\.d\.ts|\.js)(\.map)?$/, '.ts');
      if (!existsSync(join(ROOT, source))) rmSync(built);
    }
  }
}

/** Compiles `src`, `sim` and `bench` to `dist` when a source has changed since the last time. */
export async function ensureBuilt({ quiet = false } = {}) {
  // An installed package carries what was built and no sources.
  if (!existsSync(join(ROOT, 'tsconfig.build.json'))) return;
  if (isBuilt(sourceListing())) return;
  await ensureInstalled({ quiet });
  await withLock('build', async () => {
    const listing = sourceListing();
    if (isBuilt(listing)) return;
    say(quiet, 'Building ...');
    rmSync(stampPath, { force: true });
    const compiler = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
    // Without its outputs the compiler's memory of what it has written is wrong.
    if (!existsSync(join(ROOT, 'dist', 'src'))) rmSync(join(ROOT, 'dist', '.tsbuildinfo'), { force: true });
    if (!run(process.execPath, [compiler, '-p', 'tsconfig.build.json'], { quiet }))
      throw new SetupError('the sources do not compile; the compiler says why above');
    removeOrphans();
    mkdirSync(dirname(stampPath), { recursive: true });
    writeFileSync(stampPath, listing);
  });
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** The process that holds a lock; undefined when it has not written its name yet, or has just let go. */
function lockOwner(path) {
  try {
    return Number(readFileSync(path, 'utf8')) || undefined;
  } catch {
    return undefined;
  }
}

/** Runs `work` while no other process does work of this kind in this checkout. */
async function withLock(kind, work) {
  const lock = join(ROOT, 'dist', `.lock-${kind}`);
  const ownerPath = join(lock, 'owner');
  const deadline = Date.now() + LOCK_WAIT_MS;
  for (;;) {
    try {
      mkdirSync(dirname(lock), { recursive: true });
      mkdirSync(lock);
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw new SetupError(`cannot write to ${ROOT}: ${error.message}`);
    }
    if (Date.now() > deadline)
      throw new SetupError(`another process has held ${lock} for long; remove it if none is at work`);
    // The owner's death releases the lock; an owner that has not written its name yet has a moment to do so.
    const owner = lockOwner(ownerPath);
    const takenAtMs = statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
    if (owner === undefined ? Date.now() - takenAtMs > LOCK_NAMING_MS : !isAlive(owner)) {
      rmSync(lock, { recursive: true, force: true });
      continue;
    }
    await new Promise((resolve) => setTimeout(resolve, LOCK_POLL_MS));
  }
  try {
    writeFileSync(ownerPath, String(process.pid));
    await work();
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
}

function commandExists(command) {
  return (process.env.PATH ?? '')
    .split(':')
    .some((folder) => folder !== '' && existsSync(join(folder, command)));
}

/** Debian packages and the file or command by which one sees that they are there. */
const DEBIAN_PACKAGES = {
  'redis-tools': () => commandExists('redis-cli') && commandExists('redis-benchmark'),
  'redis-server': () => commandExists('redis-server'),
  wamerican: () => existsSync('/usr/share/dict/words'),
  curl: () => commandExists('curl'),
  'etcd-server': () => commandExists('etcd'),
  'golang-go': () => commandExists('go'),
  'golang-etcd-server-dev': () => existsSync('/usr/share/gocode/src/go.etcd.io/etcd/clientv3'),
};

/** The packages among `names` that are not there. */
export function missingPackages(names) {
  return names.filter((name) => !DEBIAN_PACKAGES[name]());
}

/**
 * Installs missing Debian packages with apt when this process may, and returns those that are still missing: the caller
 * decides whether it can do without.
 */
export function installPackages(names, { quiet = false } = {}) {
  const missing = missingPackages(names);
  if (missing.length === 0) return [];
  if (process.getuid?.() !== 0 || !commandExists('apt-get')) return missing;
  say(quiet, `Installing Debian packages: ${missing.join(' ')} ...`);
  const environment = { DEBIAN_FRONTEND: 'noninteractive' };
  run('apt-get', ['update', '-q'], { quiet: true, environment });
  // A package that starts its service on installation would take ports that tests and benchmarks want.
  const policy = '/usr/sbin/policy-rc.d';
  const ownsPolicy = !existsSync(policy);
  if (ownsPolicy) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    run('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...missing], { quiet, environment });
  } finally {
    if (ownsPolicy) rmSync(policy, { force: true });
  }
  return missingPackages(names);
}

/** As `installPackages`, but a package that stays missing is an error that names it. */
export function ensurePackages(names, options) {
  const missing = installPackages(names, options);
  if (missing.length === 0) return;
  throw new SetupError(
    `missing Debian packages: ${missing.join(' ')}; install them with: sudo apt-get install ${missing.join(' ')}`,
  );
}
