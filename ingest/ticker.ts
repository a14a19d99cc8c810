/** Says in the log that somebody listens, when nothing else says so: see contract/ports/telemetry-log.ts. */
import type { Clock } from '../contract/ports/services.ts';
import { type Position, type TelemetryLog, TICK_EVERY_MS, TICK_NAME } from '../contract/ports/telemetry-log.ts';

export interface TickerNeeds {
  readonly log: Pick<TelemetryLog, 'append' | 'end'>;
  readonly clock: Clock;
}

const NOTHING = new Uint8Array(0);
/** Asked once a second, it must be early rather than late. */
const MARGIN_MS = 2_000;

export class LogTicker {
  readonly #needs: TickerNeeds;
  #end: Position = -1;
  #movedAt = 0;

  constructor(needs: TickerNeeds) {
    this.#needs = needs;
  }

  /** Call it every second. */
  beat(): void {
    const { log, clock } = this.#needs;
    const now = clock.now();
    const end = log.end();
    if (end !== this.#end) {
      this.#end = end;
      this.#movedAt = now;
    } else if (Math.abs(now - this.#movedAt) >= TICK_EVERY_MS - MARGIN_MS) {
      this.#movedAt = now;
      const entry = {
        kind: 'tick' as const,
        tenant: TICK_NAME,
        device: TICK_NAME,
        model: '',
        receivedAt: now,
        body: NOTHING,
      };
      // A log that takes nothing gets no tick either: then nobody is listening, and that is what its silence says.
      log.append(entry, () => undefined);
    }
  }
}
