/**
 * Asks every few seconds how the parts are, and keeps count of each change. `/readyz` only tells the present: whoever was
 * away for a minute at night is found here.
 */
import { errorText } from '../contract/kernel/errors.ts';
import { SECOND_MS } from '../contract/kernel/time.ts';
import type { Logger, Metrics, Readiness, Service } from '../contract/ports/services.ts';

const EVERY_MS = 5 * SECOND_MS;
/** Stands for all components together. */
const ALL = 'all';

export interface ReadinessWatchNeeds {
  readonly readiness: () => Promise<Readonly<Record<string, Readiness>>>;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export interface ReadinessWatch extends Service {
  /** Looks now; the timer does so every 5 s. One look at a time: a second call joins the first. */
  look(): Promise<void>;
}

export function createReadinessWatch({ readiness, logger, metrics }: ReadinessWatchNeeds): ReadinessWatch {
  /** how each component was at the last look, by its name */
  const before = new Map<string, boolean>();
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> | undefined;

  function note(component: string, { ok, detail }: Readiness): void {
    metrics.gauge('presage_ready', 'Whether a component, or all of them, is ready', ok ? 1 : 0, { component });
    const was = before.get(component);
    before.set(component, ok);
    const help = 'Times a component, or all of them, became ready or stopped being it';
    // What begins ready has not changed; the zeros are there from the first look on.
    for (const to of ['ready', 'notReady'] as const) {
      const changed = was !== undefined && was !== ok && (to === 'ready') === ok;
      metrics.count('presage_ready_transitions_total', help, { component, to }, changed ? 1 : 0);
    }
    if (was !== undefined && was !== ok && component !== ALL) {
      if (ok) logger.info({ component }, 'A component is ready again');
      else logger.warn({ component, detail }, 'A component is not ready');
    }
  }

  async function lookOnce(): Promise<void> {
    try {
      const states = Object.entries(await readiness());
      for (const [component, state] of states) note(component, state);
      note(ALL, { ok: states.every(([, { ok }]) => ok) });
    } catch (error) {
      logger.error({ error: errorText(error) }, 'Could not ask whether the parts are ready');
    }
  }

  const watch: ReadinessWatch = {
    look() {
      looking ??= lookOnce().finally(() => {
        looking = undefined;
      });
      return looking;
    },
    async start() {
      if (timer) return;
      timer = setInterval(() => void watch.look(), EVERY_MS).unref();
      await watch.look();
    },
    async stop() {
      clearInterval(timer);
      timer = undefined;
      await looking;
    },
  };
  return watch;
}
