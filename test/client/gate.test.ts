/** Bounded concurrency: who gets in, who waits, who is refused. */
import { setMaxListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { QuoinError } from '../../src/base/errors.js';
import { LIMITS } from '../../src/base/limits.js';
import { Gate } from '../../src/client/gate.js';

const never = new AbortController().signal;

/** Work that ends when told to. */
class Work {
  began = false;
  finish: () => void = () => undefined;
  readonly run = (): Promise<void> => {
    this.began = true;
    return new Promise((resolve) => {
      this.finish = resolve;
    });
  };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the gate', () => {
  test('lets so many in and the others after them, in the order of their coming', async () => {
    const gate = new Gate(2);
    const works = Array.from({ length: 4 }, () => new Work());
    const runs = works.map((work) => gate.run(1, never, work.run));
    const began = (): boolean[] => works.map((work) => work.began);
    await turn();
    expect(began()).toEqual([true, true, false, false]);
    works[1]?.finish();
    await turn();
    expect(began()).toEqual([true, true, true, false]);
    works[0]?.finish();
    await turn();
    expect(began()).toEqual([true, true, true, true]);
    for (const work of works) work.finish();
    await Promise.all(runs);
  });

  test('gives the place of work that fails to the next', async () => {
    const gate = new Gate(1);
    const failing = gate.run(1, never, () => Promise.reject(new Error('no')));
    const next = gate.run(1, never, () => Promise.resolve('next'));
    await expect(failing).rejects.toThrow('no');
    expect(await next).toBe('next');
  });

  test('forgets who gives up waiting, and tells why', async () => {
    const gate = new Gate(1);
    const inside = new Work();
    const first = gate.run(1, never, inside.run);
    const ending = new AbortController();
    const impatient = gate.run(1, ending.signal, () => Promise.resolve());
    const patient = gate.run(1, never, () => Promise.resolve('patient'));
    const reason = new QuoinError('TIMEOUT', 'no time left');
    await turn();
    expect(gate.waiting).toBe(2);
    ending.abort(reason);
    await expect(impatient).rejects.toBe(reason);
    expect(gate.waiting).toBe(1);
    inside.finish();
    await first;
    expect(await patient).toBe('patient');
  });

  test('refuses at once whoever comes with his time up', async () => {
    const reason = new QuoinError('TIMEOUT', 'no time left');
    const work = new Work();
    await expect(new Gate(1).run(1, AbortSignal.abort(reason), work.run)).rejects.toBe(reason);
    expect(work.began).toBe(false);
  });

  test('refuses more bytes than may be held, and takes them once there is room', async () => {
    const gate = new Gate(4);
    const inside = new Work();
    const first = gate.run(LIMITS.maxClientBytes, never, inside.run);
    await expect(gate.run(1, never, () => Promise.resolve())).rejects.toMatchObject({ code: 'OVERLOADED' });
    await turn();
    inside.finish();
    await first;
    expect(await gate.run(1, never, () => Promise.resolve('room'))).toBe('room');
  });

  test('refuses whoever would wait behind too many', async () => {
    const gate = new Gate(1);
    const ending = new AbortController();
    setMaxListeners(0, ending.signal);
    const inside = new Work();
    const first = gate.run(0, never, inside.run);
    const waiting = Array.from({ length: LIMITS.maxClientQueue }, () =>
      gate.run(0, ending.signal, () => Promise.resolve()).catch(() => 'gave up'),
    );
    await turn();
    await expect(gate.run(0, never, () => Promise.resolve())).rejects.toMatchObject({ code: 'OVERLOADED' });
    ending.abort(new QuoinError('CLOSED', 'over'));
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(['gave up']));
    inside.finish();
    await first;
  });
});
