import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { runSimCommand } from '../../sim/main.js';

let out: string;
let err: string;

beforeEach(() => {
  out = '';
  err = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += String(text);
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    err += String(text);
    return true;
  });
});

afterEach(() => {
  vi.restoreAllMocks();
});

describe('quoin sim', () => {
  it('prints one JSON line with the result', async () => {
    expect(await runSimCommand(['--seed', '7', '--steps', '3000', '--json'])).toBe(0);
    expect(out.trim().split('\n')).toHaveLength(1);
    expect(JSON.parse(out)).toMatchObject({
      ok: true,
      seed: '7',
      steps: 3000,
      trace: expect.stringMatching(/^[0-9a-f]{16}$/),
      operations: expect.any(Number),
      faults: expect.any(Object),
      swarm: expect.any(Object),
    });
  });

  it('exits 1 on a violation and prints the command that replays it', async () => {
    const args = ['--seed', '1', '--steps', '30000', '--nodes', '5', '--mutation', 'minority-is-enough'];
    expect(await runSimCommand(args)).toBe(1);
    expect(out).toContain('VIOLATION');
    expect(out).toContain('replay: quoin sim --seed 1 --steps 30000 --nodes 5 --mutation minority-is-enough');
  });

  it('counts the seeds of a campaign', async () => {
    expect(await runSimCommand(['--seed', '40', '--seeds', '2', '--steps', '2000'])).toBe(0);
    expect(out).toContain('seed 40: ok');
    expect(out).toContain('seed 41: ok');
    expect(out).toContain('2 of 2 seeds held');
  });

  it.each([
    [['--steps', 'many'], '--steps must be an integer'],
    [['--nodes', '0'], '--nodes must be an integer'],
    [['--mutation', 'none-such'], 'no mutation none-such'],
    [['--seed', 'x', '--seeds', '2'], '--seeds counts up'],
    [['--frobnicate'], 'frobnicate'],
  ])('exits 2 on wrong usage: %j', async (args, message) => {
    expect(await runSimCommand(args)).toBe(2);
    expect(err).toContain(message);
    expect(err.trim().split('\n')).toHaveLength(1);
  });

  it('explains itself, and names the planted bugs', async () => {
    expect(await runSimCommand(['--help'])).toBe(0);
    expect(out).toContain('--seed');
    expect(await runSimCommand(['--mutation', 'list'])).toBe(0);
    expect(out).toContain('sync-does-nothing');
  });
});
