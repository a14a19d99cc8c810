/** What the telemetry store is asked before a message is taken. It must have caught up with the log to know the answer. */
import { AppError } from '../contract/kernel/errors.ts';
import type { Position, TelemetryLog } from '../contract/ports/telemetry-log.ts';
import type { TelemetryReader } from '../contract/ports/telemetry-store.ts';

export interface StoreQuestionNeeds {
  readonly log: Pick<TelemetryLog, 'barrier' | 'end'>;
  readonly reader: Pick<TelemetryReader, 'hasMessage'>;
  /** Resolves when the store holds everything up to a position: before that, it cannot say that a message is new. */
  readonly passed?: (position: Position) => Promise<void>;
}

export class StoreQuestions {
  readonly #needs: StoreQuestionNeeds;
  readonly #timeoutMs: number;

  constructor(needs: StoreQuestionNeeds, timeoutMs: number) {
    this.#needs = needs;
    this.#timeoutMs = timeoutMs;
  }

  /** Resolves when the store holds everything that was appended so far. @throws AppError STORE_UNAVAILABLE */
  settled(): Promise<void> {
    return this.#inTime(this.#caughtUp());
  }

  /** Whether a message is stored. @throws AppError STORE_UNAVAILABLE */
  hasMessage(message: Parameters<TelemetryReader['hasMessage']>[0]): Promise<boolean> {
    const asking = async (): Promise<boolean> => {
      await this.#caughtUp();
      return this.#needs.reader.hasMessage(message);
    };
    return this.#inTime(asking());
  }

  async #caughtUp(): Promise<void> {
    const { log, passed } = this.#needs;
    await new Promise<void>((resolve, reject) => log.barrier((error) => (error ? reject(error) : resolve())));
    await passed?.(log.end());
  }

  #inTime<T>(answer: Promise<T>): Promise<T> {
    return withTimeout(answer, this.#timeoutMs, () => {
      return new AppError('STORE_UNAVAILABLE', 'no answer whether a message is stored');
    });
  }
}

async function withTimeout<T>(promise: Promise<T>, ms: number, late: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(late()), ms);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
