/** Tries again for ever, with the house's one policy, until it works or somebody says stop. */
import { setTimeout as pause } from 'node:timers/promises';
import { errorText } from '../contract/kernel/errors.ts';
import type { Random } from '../contract/kernel/random.ts';
import { retryDelayMs } from '../contract/kernel/retry.ts';
import type { Logger } from '../contract/ports/services.ts';

export interface Retrying {
  readonly signal: AbortSignal;
  readonly logger: Logger;
  readonly random: Random;
  /** What is tried, for the log. */
  readonly what: string;
  /** Errors for which trying again is useless; they are thrown. Default: none. */
  readonly isFinal?: (error: unknown) => boolean;
  /** Called with each error, and with `undefined` after success. */
  readonly onOutcome?: (error: unknown) => void;
}

/** The action's result. @throws whatever `isFinal` says is final, and AbortError once `signal` is aborted */
export async function retryForEver<T>(action: () => Promise<T>, retrying: Retrying): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      const result = await action();
      retrying.onOutcome?.(undefined);
      return result;
    } catch (error) {
      retrying.signal.throwIfAborted();
      if (retrying.isFinal?.(error)) throw error;
      retrying.onOutcome?.(error);
      const delayMs = retryDelayMs(attempt, retrying.random());
      retrying.logger.warn({ attempt, delayMs, error: errorText(error) }, `${retrying.what} failed; trying again`);
      await pause(delayMs, undefined, { signal: retrying.signal });
    }
  }
}
