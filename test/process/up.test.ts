import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { freeBasePort, quoinPortOffsets } from '../../bench/support/ports.js';
import { waitFor } from '../../bench/support/wait.js';

const QUOIN = join(import.meta.dirname, '../../bin/quoin');
const PATIENCE_MS = 90_000;

interface ReadyNode {
  readonly id: string;
  readonly pid: number;
  readonly resp: string;
  readonly http: string;
  readonly grpc: string;
  readonly dir: string;
}

class Running {
  readonly child: ChildProcess;
  out = '';
  err = '';
  readonly ended: Promise<{ code: number | null; signal: string | null }>;

  constructor(...argv: string[]) {
    this.child = spawn(process.execPath, [QUOIN, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout?.on('data', (chunk: Buffer) => {
      this.out += chunk.toString();
    });
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.err += chunk.toString();
    });
    this.ended = new Promise((resolve) => {
      this.child.once('close', (code, signal) => resolve({ code, signal }));
    });
  }

  /** The one line that `up --json` prints. */
  async ready(): Promise<readonly ReadyNode[]> {
    await Promise.race([
      waitFor('a ready line', PATIENCE_MS, () => (this.out.includes('\n') ? true : undefined)),
      this.ended.then(() => {
        throw new Error(`ended before it was ready: ${this.err}`);
      }),
    ]);
    const line = JSON.parse(this.out) as { readonly ready: boolean; readonly nodes: readonly ReadyNode[] };
    expect(line.ready).toBe(true);
    return line.nodes;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

const gone = (nodes: readonly ReadyNode[]) =>
  waitFor('all nodes to be gone', PATIENCE_MS, () =>
    nodes.some((node) => isAlive(node.pid)) ? undefined : true,
  );

const serving = (http: string) =>
  waitFor(`${http} to serve`, PATIENCE_MS, async () =>
    (await fetch(`http://${http}/readyz`)).ok ? true : undefined,
  );

describe('quoin up', () => {
  let dir: string;
  let basePort: number;
  const started: Running[] = [];
  const run = (...argv: string[]): Running => {
    const running = new Running(...argv);
    started.push(running);
    return running;
  };
  const up = (...argv: string[]): Running =>
    run('up', '--json', '--base-port', String(basePort), '--dir', join(dir, 'data'), ...argv);

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'quoin-up-'));
    basePort = await freeBasePort(quoinPortOffsets(3));
  });

  afterEach(async () => {
    for (const running of started) running.child.kill('SIGTERM');
    await Promise.all(started.splice(0).map((running) => running.ended));
    rmSync(dir, { recursive: true, force: true });
  });

  test('runs three nodes, reports a death, and keeps the data for the next time', async () => {
    const first = up();
    const nodes = await first.ready();
    expect(nodes.map(({ pid: _pid, ...rest }) => rest)).toEqual(
      [0, 1, 2].map((index) => ({
        id: `n${index + 1}`,
        roles: ['storage', 'coordinator'],
        resp: `127.0.0.1:${basePort + index}`,
        http: `127.0.0.1:${basePort + 1000 + index}`,
        grpc: `127.0.0.1:${basePort + 2000 + index}`,
        dir: join(dir, 'data', `n${index + 1}`),
      })),
    );
    const put = await fetch(`http://${nodes[0]?.http}/v1/kv/raft/kept`, { method: 'PUT', body: 'data' });
    expect(put.status).toBe(204);

    const victim = nodes[1];
    if (victim === undefined) throw new Error('a second node');
    process.kill(victim.pid, 'SIGKILL');
    await waitFor('the report', PATIENCE_MS, () =>
      first.err.includes(`node n2 (pid ${victim.pid}) died, SIGKILL; it stays dead`) ? true : undefined,
    );
    const configuration = join(dir, 'data', 'n2.yaml');
    expect(first.err).toContain(configuration);
    const back = run('start', '--config', configuration);
    await serving(victim.http);
    expect(back.out).toContain('quoin n2 ready');
    process.kill(nodes[2]?.pid ?? 0, 'SIGTERM');
    await waitFor('the report', PATIENCE_MS, () =>
      first.err.includes(`node n3 (pid ${nodes[2]?.pid}) stopped, exit code 0; it stays dead`)
        ? true
        : undefined,
    );
    back.child.kill('SIGTERM');
    expect(await back.ended).toEqual({ code: 0, signal: null });

    first.child.kill('SIGTERM');
    expect(await first.ended).toEqual({ code: 0, signal: null });
    await gone(nodes);
    expect(first.out.trimEnd().split('\n')).toHaveLength(1);

    const second = up();
    const again = await second.ready();
    const got = await fetch(`http://${again[2]?.http}/v1/kv/raft/kept`);
    expect([got.status, await got.text()]).toEqual([200, 'data']);
  });

  test('--restart brings a dead node back', async () => {
    const running = up('--restart');
    const nodes = await running.ready();
    const victim = nodes[2];
    if (victim === undefined) throw new Error('a third node');
    process.kill(victim.pid, 'SIGKILL');
    await waitFor('the report', PATIENCE_MS, () =>
      running.err.includes('back in 500 ms') ? true : undefined,
    );
    await serving(victim.http);
  });

  test('--ephemeral leaves nothing behind after Ctrl-C', async () => {
    const running = run('up', '--json', '--ephemeral', '--base-port', String(basePort));
    const nodes = await running.ready();
    const place = join(nodes[0]?.dir ?? '', '..');
    expect(existsSync(place)).toBe(true);
    running.child.kill('SIGINT');
    expect(await running.ended).toEqual({ code: 0, signal: null });
    await gone(nodes);
    expect(existsSync(place)).toBe(false);
  });

  test('that is killed takes its nodes with it', async () => {
    const running = up('--nodes', '1');
    const nodes = await running.ready();
    running.child.kill('SIGKILL');
    await gone(nodes);
  });

  test('stops even a node that does not listen', async () => {
    const running = up('--nodes', '1');
    const nodes = await running.ready();
    const pid = nodes[0]?.pid ?? 0;
    process.kill(pid, 'SIGSTOP');
    running.child.kill('SIGTERM');
    // The second request does not wait for anybody.
    running.child.kill('SIGINT');
    await gone(nodes);
    expect((await running.ended).code).toBe(0);
  });

  test('says which node could not start, and why, and stops the others', async () => {
    const first = up('--nodes', '1');
    await first.ready();
    first.child.kill('SIGTERM');
    await first.ended;
    const data = join(dir, 'data', 'n1');
    rmSync(data, { recursive: true });
    writeFileSync(data, 'this is no directory');
    const second = up('--nodes', '1');
    expect(await second.ended).toEqual({ code: 1, signal: null });
    expect(second.out).toBe('');
    expect(second.err.trimEnd().split('\n')).toHaveLength(1);
    expect(second.err).toMatch(/^quoin: [A-Z_]+: node n1 ended before it was ready \(exit code 1\): .+/);
    expect(readFileSync(data, 'utf8')).toBe('this is no directory');
    expect(readdirSync(join(dir, 'data'))).toContain('n1.log');
  });
});
