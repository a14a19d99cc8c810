/**
 * The desk's consumer of the findings log. A batch's effects and the position behind it are one SQL transaction, so
 * that every finding has its effect exactly once, whenever the process is killed.
 */
import { and, eq, inArray } from 'drizzle-orm';
import type { AlarmGroup } from '../contract/http/alarms.ts';
import type { TicketSummary } from '../contract/http/resources.ts';
import { AppError, assertNever, errorText } from '../contract/kernel/errors.ts';
import { retryDelayMs } from '../contract/kernel/retry.ts';
import {
  type AlertFinding,
  type Finding,
  finding,
  type PredictionFinding,
  type ShadowFinding,
} from '../contract/ports/findings.ts';
import type { Clock, Logger, Metrics, Service } from '../contract/ports/services.ts';
import type { LogConsumers, LoggedEntry, LogNotifier, LogReader, Position } from '../contract/ports/telemetry-log.ts';
import { selectGroups } from './alerts/groups.ts';
import type { AppliedAlerts } from './alerts/news.ts';
import { alarmGroups } from './db/alarm-schema.ts';
import { readPosition, writePosition } from './db/consumer-positions.ts';
import { type Database, sqlState, type Transaction } from './db/database.ts';
import { tickets } from './db/schema.ts';
import type { Episode } from './desk/merge-alert.ts';
import { applyShadowAlerts } from './registry/shadow-alerts.ts';
import { applyAlerts } from './tickets/apply-alerts.ts';
import { applyPredictions } from './tickets/apply-predictions.ts';
import { selectSummaries } from './tickets/ticket-summary.ts';

export const DESK_CONSUMER = 'desk';

export type FindingsLog = LogReader & LogConsumers & Partial<LogNotifier>;

/** What changed in a batch, told after it was committed. */
export interface DeskNews {
  readonly tickets: readonly { tenant: string; ticket: TicketSummary }[];
  readonly episodes: readonly (Episode & { ticketKey: string | undefined })[];
  readonly groups: readonly { tenant: string; group: AlarmGroup }[];
  readonly opened: number;
}

export interface FollowerDeps {
  readonly database: Database;
  readonly findings: FindingsLog;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Base of links in webhooks. */
  readonly publicUrl: () => string;
  readonly onNews: (news: DeskNews) => void;
}

export interface FollowerOptions {
  /** Findings of one transaction; 500. */
  readonly batchMaxFindings?: number;
  /** Longest wait for a wake-up; 1 s. */
  readonly idleMs?: number;
}

const NO_NEWS: DeskNews = { tickets: [], episodes: [], groups: [], opened: 0 };

export interface FindingsFollower extends Service {
  /** Position up to which everything has had its effect. */
  position(): Position;
}

export function createFindingsFollower(deps: FollowerDeps, options: FollowerOptions = {}): FindingsFollower {
  const maxEntries = options.batchMaxFindings ?? 500;
  let position: Position = 0;
  let running = false;
  let loop: Promise<void> = Promise.resolve();
  let wake: () => void = () => undefined;
  let unsubscribe: (() => void) | undefined;

  async function run(): Promise<void> {
    for (let failures = 0; running; ) {
      try {
        const batch = await deps.findings.read(position, { maxEntries });
        if (batch.next === position) await sleep(options.idleMs ?? 1_000);
        else {
          await applyOrSplit(batch.entries, batch.next);
          failures = 0;
        }
      } catch (error) {
        failures += 1;
        deps.metrics.count('presage_desk_retries_total', 'Batches of findings tried again');
        deps.logger.warn({ error: errorText(error), failures }, 'findings were not applied; trying again');
        await sleep(retryDelayMs(Math.min(failures, 10), Math.random()));
      }
    }
  }

  /** A batch that fails by itself is applied finding by finding, and the one that cannot be is left out with an error. */
  async function applyOrSplit(entries: readonly LoggedEntry[], next: Position): Promise<void> {
    try {
      await apply(entries, next);
    } catch (error) {
      if (isTransient(error)) throw error;
      if (entries.length <= 1) await skip(entries[0], next, error);
      else {
        for (const [index, entry] of entries.entries()) {
          await applyOrSplit([entry], entries[index + 1] ? entry.position : next);
        }
      }
    }
  }

  async function skip(entry: LoggedEntry | undefined, next: Position, error: unknown): Promise<void> {
    deps.metrics.count('presage_desk_findings_skipped_total', 'Findings that could not be applied');
    deps.logger.error(
      { error: errorText(error), position: entry?.position, tenant: entry?.tenant, device: entry?.device },
      'a finding cannot be applied and is left out',
    );
    await apply([], next);
  }

  async function apply(entries: readonly LoggedEntry[], next: Position): Promise<void> {
    const parsed = entries.flatMap((entry) => parseFinding(entry, deps));
    const news = await deps.database.withSystem(async (tx) => {
      const stored = await readPosition(tx, DESK_CONSUMER);
      // Another process was faster, or this batch was committed although we were told of an error.
      if (stored >= next && stored <= deps.findings.end()) return NO_NEWS;
      const changes = await applyFindings(tx, parsed, deps);
      await writePosition(tx, DESK_CONSUMER, next);
      return changes;
    });
    position = next;
    await deps.findings.commit(DESK_CONSUMER, next);
    deps.metrics.gauge('presage_desk_lag_bytes', 'Findings not yet applied', deps.findings.lagBytes(DESK_CONSUMER));
    if (news.opened > 0)
      deps.metrics.count('presage_tickets_opened_total', 'Preemptive tickets opened', {}, news.opened);
    deps.onNews(news);
  }

  function sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  return {
    position: () => position,
    async start() {
      if (running) return;
      position = await resumePosition(deps);
      running = true;
      unsubscribe = deps.findings.onDurable?.(() => wake());
      loop = run();
    },
    async stop() {
      running = false;
      unsubscribe?.();
      unsubscribe = undefined;
      wake();
      await loop;
    },
  };
}

/** Where to go on. A log that ends before the stored position is a new one: everything in it is news. */
async function resumePosition(deps: FollowerDeps): Promise<Position> {
  const stored = await deps.database.withSystem((tx) => readPosition(tx, DESK_CONSUMER));
  if (stored <= deps.findings.end()) {
    const position = Math.max(stored, deps.findings.start());
    // Between the two commits a kill or a backup may have come: the log would keep these entries until the next finding.
    if (position > deps.findings.committed(DESK_CONSUMER)) await deps.findings.commit(DESK_CONSUMER, position);
    return position;
  }
  deps.logger.warn({ stored, end: deps.findings.end() }, 'the findings log is a new one; reading it from its start');
  return deps.findings.start();
}

function isTransient(error: unknown): boolean {
  if (error instanceof AppError) return error.retriable;
  // Serialisation failure, deadlock, or cancelled by a time limit.
  return ['40001', '40P01', '57014', '55P03'].includes(sqlState(error) ?? '');
}

function parseFinding(entry: LoggedEntry, deps: FollowerDeps): Finding[] {
  if (entry.kind !== 'finding') return [];
  try {
    return [finding.parse(JSON.parse(Buffer.from(entry.body).toString()))];
  } catch (error) {
    deps.metrics.count('presage_desk_findings_skipped_total', 'Findings that could not be applied');
    deps.logger.error(
      { error: errorText(error), position: entry.position },
      'a finding cannot be read and is left out',
    );
    return [];
  }
}

async function applyFindings(tx: Transaction, findings: readonly Finding[], deps: FollowerDeps): Promise<DeskNews> {
  const alertFindings: AlertFinding[] = [];
  const predictionFindings: PredictionFinding[] = [];
  const shadowFindings: ShadowFinding[] = [];
  for (const one of findings) {
    switch (one.kind) {
      case 'prediction':
        predictionFindings.push(one);
        break;
      case 'alertRaised':
      case 'alertUpdated':
      case 'alertCleared':
        alertFindings.push(one);
        break;
      case 'shadowAlert':
        shadowFindings.push(one);
        break;
      default:
        assertNever(one);
    }
  }
  await applyPredictions(tx, predictionFindings);
  const cut = await applyShadowAlerts(tx, shadowFindings);
  if (cut > 0)
    deps.metrics.count('presage_shadow_alerts_cut_total', 'Shadow alerts that made room for newer ones', {}, cut);
  if (alertFindings.length === 0) return NO_NEWS;
  const applied = await applyAlerts(tx, alertFindings, { now: deps.clock.now(), publicUrl: deps.publicUrl() });
  return newsOf(tx, applied);
}

/** What was applied, as clients see it. */
export async function newsOf(tx: Transaction, applied: AppliedAlerts): Promise<DeskNews> {
  return {
    episodes: applied.episodes,
    opened: applied.opened,
    tickets: await readChanged(tx, applied.ticketKeys),
    groups: await readGroups(tx, applied.groups),
  };
}

async function readGroups(tx: Transaction, ids: readonly { tenant: string; id: string }[]) {
  const changed: { tenant: string; group: AlarmGroup }[] = [];
  for (const { tenant, id } of ids) {
    const [group] = await selectGroups(tx, and(eq(alarmGroups.tenant, tenant), eq(alarmGroups.id, id)), 1);
    if (group) changed.push({ tenant, group });
  }
  return changed;
}

async function readChanged(tx: Transaction, keys: readonly { tenant: string; key: string }[]) {
  const changed: { tenant: string; ticket: TicketSummary }[] = [];
  for (const tenant of new Set(keys.map((one) => one.tenant))) {
    const ofTenant = keys.filter((one) => one.tenant === tenant).map((one) => one.key);
    const rows = await selectSummaries(
      tx,
      and(eq(tickets.tenant, tenant), inArray(tickets.key, ofTenant)),
      ofTenant.length,
    );
    changed.push(...rows.map((ticket) => ({ tenant, ticket })));
  }
  return changed;
}
