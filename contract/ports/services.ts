/** Small things every folder may ask for: time, a log, metrics. `app/` builds them. */

/** Wall clock, epoch ms. */
export interface Clock {
  now(): number;
}

/** The part of pino that we use. */
export interface Logger {
  debug(facts: object, message: string): void;
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
}

export type Labels = Readonly<Record<string, string>>;

/** Metric names start with `presage_`; counters end in `_total`, units come last (`_seconds`, `_bytes`). */
export interface Metrics {
  count(name: string, help: string, labels?: Labels, by?: number): void;
  gauge(name: string, help: string, value: number, labels?: Labels): void;
}

/** State of one dependency for `/readyz`. */
export interface Readiness {
  readonly ok: boolean;
  readonly detail?: string;
}

/** Everything that is started and stopped. Building opens nothing; `stop` twice is fine. */
export interface Service {
  start(): Promise<void>;
  stop(): Promise<void>;
}
