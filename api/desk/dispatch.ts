/**
 * Who is sent: hard conditions first, then a weighed score, each with its reason, so that a person can see why it is this one and why
 * not another, and may decide otherwise. Pure; two runs over the same facts propose the same.
 */
import type { Candidate, Place, Technician } from '../../contract/http/dispatch.ts';
import type { FaultClass } from '../../contract/http/service-terms.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';
import type { Span, WorkingTime } from './service-levels/working-time.ts';

export interface DispatchJob {
  readonly model: string;
  readonly faultClass: FaultClass;
  /** Earliest begin and latest end. */
  readonly window: Span;
  readonly durationMs: number;
  readonly site: Place | undefined;
  /** Numbers of the parts that are likely needed. */
  readonly parts: readonly string[];
}

export interface DispatchPerson {
  readonly technician: Technician;
  readonly time: WorkingTime;
  /** Booked visits that touch the window, in order. */
  readonly visits: readonly Span[];
}

/** What the class of a fault asks for. */
export const REQUIRED_LEVEL: Readonly<Record<FaultClass, number>> = { general: 1, common: 2, difficult: 3 };

/** Weights of the score; they sum to 1. */
const WEIGHTS = { travel: 0.3, soon: 0.25, parts: 0.2, load: 0.15, level: 0.1 } as const;
/** Door to door in a town, parking included. */
const KM_PER_HOUR = 40;
/** Time to leave free before a visit when nobody knows where the site is. */
const UNKNOWN_TRAVEL_MS = 30 * MINUTE_MS;
/** A journey of this length is worth nothing any more. */
const FAR_MS = 3 * HOUR_MS;
const EARTH_KM = 6_371;
const MAX_PIECES = 2_000;

/** Best first; those that cannot be sent after them, in the order of their ids. */
export function rankCandidates(job: DispatchJob, people: readonly DispatchPerson[]): readonly Candidate[] {
  return people
    .map((person) => judge(job, person))
    .sort((a, b) => (b.score ?? -1) - (a.score ?? -1) || (a.technician < b.technician ? -1 : 1));
}

function judge(job: DispatchJob, person: DispatchPerson): Candidate {
  const { technician } = person;
  const head = { technician: technician.id, name: technician.name };
  const travelMs = travelOf(technician.home, job.site);
  const obstacles = obstaclesOf(job, technician);
  const slot = obstacles.length === 0 ? firstSlot(job, person, travelMs ?? UNKNOWN_TRAVEL_MS) : undefined;
  if (obstacles.length === 0 && !slot) obstacles.push('no free time within the window');
  if (!slot) return { ...head, obstacles, parts: [] };
  const expired = certificateProblem(technician, job.model, slot.until);
  if (expired !== undefined) return { ...head, obstacles: [expired], parts: [] };
  const parts = scoreParts(job, person, slot, travelMs);
  const score = parts.reduce((sum, one) => sum + one.weight * one.value, 0);
  return { ...head, slot, obstacles, score, parts };
}

function skillFor({ skills }: Technician, model: string) {
  return skills.find((one) => one.line === model) ?? skills.find((one) => one.line === '*');
}

function obstaclesOf({ model, faultClass }: DispatchJob, technician: Technician): string[] {
  const obstacles: string[] = [];
  if (!technician.active) obstacles.push('is not active');
  const skill = skillFor(technician, model);
  const needed = REQUIRED_LEVEL[faultClass];
  if (!skill) obstacles.push(`has no skill for ${model}`);
  else if (skill.level < needed)
    obstacles.push(`level ${skill.level} for ${model}, a ${faultClass} fault takes ${needed}`);
  return obstacles;
}

/** A certificate that ends before the visit does is none. */
function certificateProblem(technician: Technician, model: string, at: number): string | undefined {
  const certificate = skillFor(technician, model)?.certificate;
  if (!certificate) return undefined;
  const end = Date.parse(`${certificate.validUntil}T00:00:00Z`) + DAY_MS;
  return at > end ? `${certificate.name} expired on ${certificate.validUntil}` : undefined;
}

/** Great circle at the speed of a town; `undefined` when one of the places is not known. */
function travelOf(home: Place | undefined, site: Place | undefined): number | undefined {
  if (!home || !site) return undefined;
  const rad = Math.PI / 180;
  const a =
    Math.sin(((site.lat - home.lat) * rad) / 2) ** 2 +
    Math.cos(home.lat * rad) * Math.cos(site.lat * rad) * Math.sin(((site.lon - home.lon) * rad) / 2) ** 2;
  return ((2 * EARTH_KM * Math.asin(Math.min(1, Math.sqrt(a)))) / KM_PER_HOUR) * HOUR_MS;
}

/** The first stretch of working time that is free for journey and work, on a day that has room. */
function firstSlot(job: DispatchJob, { technician, time, visits }: DispatchPerson, travelMs: number): Span | undefined {
  const { window, durationMs } = job;
  for (const piece of time.pieces(window.from, window.until, MAX_PIECES)) {
    if (piece.idle !== undefined) continue;
    let from = piece.from + travelMs;
    for (;;) {
      const slot = { from, until: from + durationMs };
      if (slot.until > piece.until) break;
      const clash = visits.find((one) => one.from < slot.until && slot.from - travelMs < one.until);
      if (!clash) {
        if (visitsOnDay(visits, piece) < technician.maxVisitsPerDay) return slot;
        break;
      }
      from = clash.until + travelMs;
    }
  }
  return undefined;
}

/** Of the day around a shift: shifts of one day are less than twelve hours apart. */
function visitsOnDay(visits: readonly Span[], shift: Span): number {
  return visits.filter((one) => one.until > shift.from - DAY_MS / 2 && one.from < shift.until + DAY_MS / 2).length;
}

function scoreParts(
  job: DispatchJob,
  { technician, visits }: DispatchPerson,
  slot: Span,
  travelMs: number | undefined,
) {
  const { window, parts } = job;
  const minutes = travelMs === undefined ? undefined : Math.round(travelMs / MINUTE_MS);
  const onVan = parts.filter((number) => technician.van.includes(number)).length;
  const level = skillFor(technician, job.model)?.level ?? 1;
  const spare = level - REQUIRED_LEVEL[job.faultClass];
  const room = Math.max(1, window.until - window.from);
  return [
    {
      name: 'travel',
      weight: WEIGHTS.travel,
      value: travelMs === undefined ? 0.5 : Math.max(0, 1 - travelMs / FAR_MS),
      reason: minutes === undefined ? 'the way is not known' : `${minutes} min away`,
    },
    {
      name: 'soon',
      weight: WEIGHTS.soon,
      value: Math.max(0, 1 - (slot.from - window.from) / room),
      reason: `first free after ${Math.round((slot.from - window.from) / HOUR_MS)} h`,
    },
    {
      name: 'parts',
      weight: WEIGHTS.parts,
      value: parts.length === 0 ? 0.5 : onVan / parts.length,
      reason: parts.length === 0 ? 'no part is expected' : `${onVan} of ${parts.length} likely parts on the van`,
    },
    {
      name: 'load',
      weight: WEIGHTS.load,
      value: 1 / (1 + visits.length),
      reason: `${visits.length} visits in the window`,
    },
    {
      name: 'level',
      weight: WEIGHTS.level,
      value: spare <= 0 ? 1 : 1 / (1 + spare),
      reason: spare <= 0 ? 'just the level that it takes' : `${spare} above the level that it takes`,
    },
  ];
}

/** Lead time that stays free before the lower bound of remaining life. */
export const SAFETY_LEAD_MS = DAY_MS;
/** How far ahead visits are proposed where nothing presses. */
const USUAL_WINDOW_MS = 14 * DAY_MS;

/**
 * When a visit makes sense: from now on, and before the machine may fail.
 * @param lowerHours lower bound of the remaining life from now on; absent where nothing is foreseen in hours
 */
export function windowOf(now: number, lowerHours: number | undefined): Span & { readonly reason: string } {
  if (lowerHours === undefined) return { from: now, until: now + USUAL_WINDOW_MS, reason: 'within two weeks' };
  const safe = now + lowerHours * HOUR_MS - SAFETY_LEAD_MS;
  if (safe <= now + DAY_MS) {
    return { from: now, until: now + 2 * DAY_MS, reason: 'it may fail any day: as soon as anybody can' };
  }
  return { from: now, until: Math.min(safe, now + 90 * DAY_MS), reason: 'before it may fail, with a day to spare' };
}
