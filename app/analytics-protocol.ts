/** What the event loop and the analytics worker say to each other. */
import type { AlertPolicy } from '../analytics/alerts/policy.ts';
import type { AnalyticsStats } from '../analytics/create-analytics.ts';
import type { Finding } from '../contract/ports/findings.ts';
import type { Position } from '../contract/ports/telemetry-log.ts';

/** Given to the worker when it starts. */
export interface AnalyticsWorkerData {
  readonly databaseUrl: string;
  readonly logDirectory: string;
  /** One BigInt64: end of the durable part of the telemetry log, written by the event loop only. */
  readonly durableEnd: SharedArrayBuffer;
  /** Path of a fitted prognosis model, by device model id. */
  readonly prognosisModels: Readonly<Record<string, string>>;
  readonly alertPolicy: AlertPolicy;
}

export type ToWorker =
  | { readonly type: 'grown' }
  /** Answer to `findings` with the same id. */
  | { readonly type: 'appended'; readonly id: number; readonly error?: string }
  | { readonly type: 'stop' };

export type FromWorker =
  | { readonly type: 'ready' }
  | { readonly type: 'findings'; readonly id: number; readonly findings: readonly Finding[] }
  /** States up to this position are saved: the log may forget what lies before. */
  | { readonly type: 'committed'; readonly position: Position }
  | { readonly type: 'stats'; readonly stats: AnalyticsStats }
  | {
      readonly type: 'log';
      readonly level: 'debug' | 'info' | 'warn' | 'error';
      readonly facts: object;
      readonly message: string;
    }
  | {
      readonly type: 'metric';
      readonly kind: 'count' | 'gauge';
      readonly name: string;
      readonly help: string;
      readonly value: number;
      readonly labels?: Readonly<Record<string, string>>;
    }
  | { readonly type: 'stopped' };
