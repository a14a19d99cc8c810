/** A loop that works on due rows of a table, sleeps when there are none, and can be woken. One of its kind a process. */
import { errorText } from '../contract/kernel/errors.ts';
import { retryDelayMs } from '../contract/kernel/retry.ts';
import type { Logger, Service } from '../contract/ports/services.ts';

export interface PollingWorker extends Service {
  /** There may be new work. */
  wake(): void;
}

/**
 * `workOnce` answers how long to sleep when nothing is due, or 0 to go on at once; it should end soon once `stopping`
 * is aborted. Its errors are logged and retried with the one retry policy.
 */
export function createPollingWorker(
  name: string,
  logger: Logger,
  workOnce: (stopping: AbortSignal) => Promise<number>,
  random: () => number = Math.random,
): PollingWorker {
  let running = false;
  let loop: Promise<void> = Promise.resolve();
  let woken = false;
  let stopping = new AbortController();
  let wake: () => void = () => undefined;

  function sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      if (woken || !running) return resolve();
      const timer = setTimeout(resolve, ms);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async function run(): Promise<void> {
    for (let failures = 0; running; ) {
      let sleepMs: number;
      woken = false;
      try {
        sleepMs = await workOnce(stopping.signal);
        failures = 0;
      } catch (error) {
        failures += 1;
        logger.warn({ error: errorText(error), failures }, `${name}: trying again`);
        sleepMs = retryDelayMs(Math.min(failures, 10), random());
      }
      if (sleepMs > 0) await sleep(sleepMs);
    }
  }

  return {
    wake() {
      woken = true;
      wake();
    },
    async start() {
      if (running) return;
      running = true;
      stopping = new AbortController();
      loop = run();
    },
    async stop() {
      running = false;
      stopping.abort();
      wake();
      await loop;
    },
  };
}
