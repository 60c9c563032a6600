/** Waiting for conditions, with a deadline and never longer than needed. */
import { setTimeout as delay } from 'node:timers/promises';

/** Asks until the answer is not undefined; rejects with what was waited for and the last error when time is up. */
export async function waitFor<T>(
  what: string,
  timeoutMs: number,
  ask: () => Promise<T | undefined> | T | undefined,
  pauseMs = 20,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let lastError: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined) return answer;
    } catch (error) {
      lastError = error;
    }
    if (performance.now() > deadline) {
      const reason = lastError instanceof Error ? `; last error: ${lastError.message}` : '';
      throw new Error(`${what}: not within ${timeoutMs} ms${reason}`, { cause: lastError });
    }
    await delay(pauseMs);
  }
}
