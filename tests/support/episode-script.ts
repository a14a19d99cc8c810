/** The alert machine on a script: one letter a sample, and what it said in return. */
import {
  type EpisodeEvent,
  type EpisodeInput,
  type EpisodeState,
  initEpisode,
  stepEpisode,
} from '../../analytics/alerts/episode.ts';
import { stableId } from '../../analytics/alerts/identity.ts';
import { type AlertPolicy, DEFAULT_POLICY } from '../../analytics/alerts/policy.ts';
import { HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';
import type { Prediction, Severity } from '../../contract/ports/findings.ts';

/** Two samples raise, two clear; four openings a day flap. */
export const QUICK: AlertPolicy = {
  ...DEFAULT_POLICY,
  onSamples: 2,
  offSamples: 2,
  offMs: 0,
  confirmSamples: 50,
  flapQuietMs: 2 * HOUR_MS,
};
export const THRESHOLD = 5;
export const START_AT = 1_000_000_000_000;

export interface Told {
  readonly kind: EpisodeEvent['kind'];
  /** Minutes since the start. */
  readonly minute: number;
  readonly id: string;
  readonly severity: Severity;
  readonly reason?: string;
  readonly flapping: boolean;
}

export class EpisodeScript {
  state: EpisodeState = initEpisode();
  at = START_AT;
  severity: Severity = 'major';
  /** Whether the state goes through JSON before each sample. */
  restarts = true;
  readonly told: Told[] = [];
  readonly policy: AlertPolicy;
  #samples = 0;

  constructor(policy: Partial<AlertPolicy> = {}) {
    this.policy = { ...QUICK, ...policy };
  }

  /** `#` = above the threshold, `.` = quiet, `-` = in the dead band, a digit = so many hours without a sample. */
  play(script: string): this {
    for (const sign of script) {
      if (/\d/.test(sign)) this.at += Number(sign) * HOUR_MS;
      else this.sample(sign === '#' ? 8 : sign === '-' ? 4 : 0, /\d/.test(this.#last) ? 5 * MINUTE_MS : undefined);
      this.#last = sign;
    }
    return this;
  }
  #last = '';

  sample(surprise: number, observedMs?: number, more: Partial<EpisodeInput> = {}): EpisodeEvent | undefined {
    this.at += 5 * MINUTE_MS;
    // Plain JSON survives between any two samples.
    if (this.restarts) this.state = JSON.parse(JSON.stringify(this.state)) as EpisodeState;
    const input: EpisodeInput = {
      at: this.at,
      ...(observedMs === undefined ? {} : { observedMs }),
      sample: `boot:${this.#samples++}:0`,
      surprise,
      held: surprise,
      threshold: THRESHOLD,
      since: undefined,
      prediction: undefined,
      leavesTime: false,
      plausible: true,
      otherConfirmed: false,
      signals: ['vibration'],
      ...more,
    };
    const event = stepEpisode(this.state, input, this.policy, this.severity, (sample) =>
      stableId('t.d', 'wear', sample),
    );
    this.tell(event);
    return event;
  }

  tell(event: EpisodeEvent | undefined): void {
    if (!event) return;
    this.told.push({
      kind: event.kind,
      minute: (event.at - START_AT) / MINUTE_MS,
      id: event.episode.id,
      severity: event.episode.severity,
      flapping: event.episode.flap !== undefined,
      ...('reason' in event ? { reason: event.reason } : {}),
    });
  }

  /** `raised`, `cleared`, or why it was updated. */
  words(): string[] {
    return this.told.map(({ kind, reason }) =>
      kind === 'alertRaised' ? 'raised' : kind === 'alertCleared' ? 'cleared' : (reason ?? ''),
    );
  }
}

/** A prediction of `wear` in hours: lower bound half the median. */
export function wearWithin(median: number): Prediction {
  return {
    faultKey: 'wear',
    component: 'bearing',
    remainingLife: { median, lower: median / 2, upper: 2 * median, unit: 'h' },
    probabilityWithin: [],
    method: { name: 'test', version: '1' },
  };
}
