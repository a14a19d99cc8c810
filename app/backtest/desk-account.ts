/**
 * What the desk would have made of a version's findings: alerts, the tickets that they open by the desk's own rule, and what
 * those cost by a table. A ticket is right or wrong only where somebody knows; what nobody knows stays unknown.
 */
import { z } from 'zod';
import { decideTicket, decisionAlertOf } from '../../api/desk/decide-ticket.ts';
import { type Episode, mergeAlert } from '../../api/desk/merge-alert.ts';
import type { TicketPolicy } from '../../api/desk/policy.ts';
import type { AlertFinding, Finding, Severity, VersionName } from '../../contract/ports/findings.ts';

export const costTable = z.strictObject({
  currency: z.string().min(1).max(8).default('EUR'),
  /** A technician goes there and finds the fault. */
  visit: z.number().min(0).default(120),
  /** He goes there and finds nothing: the drive and the customer's patience. */
  falseVisit: z.number().min(0).default(150),
  /** What a failure would have cost that was prevented: the emergency visit, goods, goodwill. */
  avoidedFailure: z.number().min(0).default(600),
  /** What a known fault cost that no ticket foresaw. */
  missedFailure: z.number().min(0).default(600),
});
export type CostTable = z.infer<typeof costTable>;

/** What is known about a component of a device in a span of its clock. */
export interface KnownOutcome {
  readonly device: string;
  readonly component: string;
  readonly from: number;
  readonly to: number;
  readonly result: 'fault' | 'noFault';
}

export interface ReplayedAlert {
  readonly id: string;
  readonly device: string;
  readonly model: string;
  readonly component: string;
  readonly faultKey: string;
  readonly severity: Severity;
  readonly confirmed: boolean;
  readonly onset: number;
  readonly raisedAt: number;
  readonly clearedAt: number | null;
  readonly detector: VersionName;
  readonly ensemble: VersionName | undefined;
}

export interface ReplayedTicket {
  readonly device: string;
  readonly model: string;
  readonly component: string;
  readonly faultKey: string;
  readonly openedAt: number;
  readonly reason: 'horizon' | 'confirmed';
  /** Episodes attached to it, oldest first. */
  readonly alerts: readonly string[];
  readonly outcome: 'fault' | 'noFault' | 'unknown';
  /** Of a right ticket: from the beginning of the fault, as far as that is known, until it opened; negative = before. */
  readonly delayMs?: number;
}

export interface Costs {
  readonly currency: string;
  /** Of tickets whose outcome is known, and of faults that no ticket foresaw. Negative = money saved. */
  readonly known: number;
  /** With the tickets of unknown outcome: if all of them were right, and if all were wrong. */
  readonly atBest: number;
  readonly atWorst: number;
}

export interface Account {
  readonly alerts: readonly ReplayedAlert[];
  readonly tickets: readonly ReplayedTicket[];
  /** Known faults without a ticket. */
  readonly missed: readonly KnownOutcome[];
  readonly costs: Costs;
}

export interface AccountRules {
  readonly policy: TicketPolicy;
  readonly costs: CostTable;
  readonly outcomes: readonly KnownOutcome[];
  /** Alerts and tickets count from here on, and only up to there; epoch ms of the device's clock. */
  readonly from: number;
  readonly to: number;
}

/** Findings of any number of devices, of one version; those of one device in the order in which they were found. */
export function accountOf(findings: readonly Finding[], rules: AccountRules): Account {
  const { alerts, tickets } = tally(findings, rules);
  const inRange = (at: number): boolean => at >= rules.from && at < rules.to;
  const counted = tickets.filter((one) => inRange(one.openedAt)).map((one) => judged(one, alerts, rules));
  const missed = rules.outcomes.filter(
    (known) => known.result === 'fault' && inRange(known.from) && !tickets.some((one) => concerns(one, alerts, known)),
  );
  return {
    alerts: [...alerts.values()].filter((one) => inRange(one.raisedAt)).map(alertOf),
    tickets: counted,
    missed,
    costs: costsOf(counted, missed, rules.costs),
  };
}

interface OpenTicket {
  readonly key: string;
  readonly device: string;
  readonly model: string;
  readonly component: string;
  readonly faultKey: string;
  readonly openedAt: number;
  readonly reason: 'horizon' | 'confirmed';
  readonly alerts: string[];
}

/** Nobody closes tickets in a replay: one is over when all its alerts have cleared. */
function tally(findings: readonly Finding[], { policy }: AccountRules) {
  const alerts = new Map<string, Episode>();
  const tickets: OpenTicket[] = [];
  /** by device and component */
  const open = new Map<string, OpenTicket>();
  /** by episode */
  const attached = new Map<string, OpenTicket>();
  for (const finding of findings) {
    if (!isAlert(finding)) continue;
    const before = alerts.get(finding.episode);
    const episode = mergeAlert(before, finding);
    alerts.set(episode.id, episode);
    const place = `${finding.device}\n${finding.component}`;
    const known = open.get(place);
    const isOver = known?.alerts.every((id) => alerts.get(id)?.state === 'cleared') ?? true;
    if (isOver) open.delete(place);
    const current = isOver ? undefined : known;
    const asked = { ...decisionAlertOf(finding), state: episode.state };
    const decision = decideTicket(
      asked,
      attached.get(episode.id)?.key,
      current && { key: current.key, state: 'new' },
      policy,
    );
    if (decision.kind === 'attach' && current) {
      current.alerts.push(episode.id);
      attached.set(episode.id, current);
    }
    if (decision.kind !== 'open') continue;
    const { device, model, component, faultKey, at } = finding;
    const ticket: OpenTicket = {
      ...{ device, model, component, faultKey, openedAt: at, reason: decision.reason },
      key: String(tickets.length),
      alerts: [episode.id],
    };
    tickets.push(ticket);
    open.set(place, ticket);
    attached.set(episode.id, ticket);
  }
  return { alerts, tickets };
}

function isAlert(finding: Finding): finding is AlertFinding {
  return finding.kind === 'alertRaised' || finding.kind === 'alertUpdated' || finding.kind === 'alertCleared';
}

function alertOf(episode: Episode): ReplayedAlert {
  const { id, device, model, component, faultKey, severity, confirmed, onset, raisedAt, clearedAt } = episode;
  const { detector, ensemble } = episode.evidence;
  return {
    ...{ id, device, model, component, faultKey, severity, confirmed, onset, raisedAt, clearedAt, detector },
    ensemble: ensemble && { name: ensemble.name, version: ensemble.version },
  };
}

function judged(ticket: OpenTicket, alerts: ReadonlyMap<string, Episode>, { outcomes }: AccountRules): ReplayedTicket {
  const { device, model, component, faultKey, openedAt, reason } = ticket;
  const about = outcomes.filter((known) => concerns(ticket, alerts, known));
  const outcome = about.some((one) => one.result === 'fault') ? 'fault' : about.length > 0 ? 'noFault' : 'unknown';
  const facts = { device, model, component, faultKey, openedAt, reason, alerts: ticket.alerts, outcome } as const;
  if (outcome !== 'fault') return facts;
  const began = Math.min(...about.filter((one) => one.result === 'fault').map((one) => one.from));
  return { ...facts, delayMs: openedAt - began };
}

/** Same machine and component, and a common time between the onset and the end of what is known. */
function concerns(ticket: OpenTicket, alerts: ReadonlyMap<string, Episode>, known: KnownOutcome): boolean {
  if (ticket.device !== known.device || ticket.component !== known.component) return false;
  const episodes = ticket.alerts.map((id) => alerts.get(id)).filter((one) => one !== undefined);
  const onset = Math.min(...episodes.map((one) => one.onset));
  const end = Math.max(...episodes.map((one) => one.clearedAt ?? Number.POSITIVE_INFINITY));
  return onset <= known.to && known.from <= end;
}

function costsOf(
  tickets: readonly ReplayedTicket[],
  missed: readonly KnownOutcome[],
  { currency, visit, falseVisit, avoidedFailure, missedFailure }: CostTable,
): Costs {
  const count = (outcome: ReplayedTicket['outcome']): number => tickets.filter((one) => one.outcome === outcome).length;
  const right = visit - avoidedFailure;
  const known = count('fault') * right + count('noFault') * falseVisit + missed.length * missedFailure;
  const unknown = count('unknown');
  return { currency, known, atBest: known + unknown * right, atWorst: known + unknown * falseVisit };
}
