/**
 * How the alarm system does (ISA-18.2, EEMUA 191): figures of a range, from what was annunciated in it. Pure, so that they
 * can be checked by hand. A share of nothing is absent, not 0.
 */
import type { AlarmKpis } from '../../contract/http/alarms.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';

/** One time at which somebody's attention was asked for. */
export interface Annunciation {
  readonly at: number;
  readonly device: string;
  readonly faultKey: string;
  /** Time to acknowledge it; the policy's. */
  readonly targetMs: number;
  /** When it was acknowledged, if it was. */
  readonly acknowledgedAt: number | undefined;
}

/** One alarm raised in the range. */
export interface Raised {
  /** Device time. */
  readonly at: number;
  readonly device: string;
  readonly faultKey: string;
  readonly flapping: boolean;
}

export interface KpiInput {
  readonly from: number;
  readonly to: number;
  readonly operators: number;
  readonly now: number;
  readonly annunciations: readonly Annunciation[];
  readonly raised: readonly Raised[];
  /** Alarms that were active for more than a day at `to`. */
  readonly stale: number;
  readonly shelvedNow: number;
  readonly suppressedNow: number;
  readonly outOfServiceNow: number;
}

export const STALE_MS = DAY_MS;
const SLOT_MS = 10 * MINUTE_MS;
/** More alarms than that for one operator in ten minutes are a flood, which lasts until there are fewer than five. */
const FLOOD_ABOVE = 10;
const FLOOD_OVER_BELOW = 5;
/** As often within a minute, an alarm chatters. */
const CHATTER_TIMES = 3;
const TOP = 10;
const MAX_CHATTERING = 100;

export function kpisOf(input: KpiInput): AlarmKpis {
  const { from, to, operators, annunciations } = input;
  const slots = slotsOf(input);
  const top = topSources(annunciations);
  const topTotal = top.reduce((sum, one) => sum + one.annunciated, 0);
  return {
    from,
    to,
    operators,
    annunciated: annunciations.length,
    perOperatorHour: round((annunciations.length / operators) * (HOUR_MS / (to - from))),
    peakPerTenMinutes: round(slots.reduce((most, count) => Math.max(most, count), 0) / operators),
    floods: floodsOf(slots, operators),
    stale: input.stale,
    chattering: chatteringOf(input.raised),
    top,
    ...(annunciations.length > 0 ? { topShare: round(topTotal / annunciations.length) } : {}),
    acknowledged: acknowledgedOf(annunciations, Math.min(to, input.now)),
    shelvedNow: input.shelvedNow,
    suppressedNow: input.suppressedNow,
    outOfServiceNow: input.outOfServiceNow,
  };
}

/** Annunciations in each slot of ten minutes from `from` on; the last one may be shorter. */
function slotsOf({ from, to, annunciations }: KpiInput): number[] {
  const slots = new Array<number>(Math.ceil((to - from) / SLOT_MS)).fill(0);
  for (const { at } of annunciations) {
    const slot = Math.floor((at - from) / SLOT_MS);
    slots[slot] = (slots[slot] ?? 0) + 1;
  }
  return slots;
}

function floodsOf(slots: readonly number[], operators: number): AlarmKpis['floods'] {
  let count = 0;
  let inFlood = 0;
  let flooding = false;
  for (const slot of slots) {
    const each = slot / operators;
    if (!flooding && each > FLOOD_ABOVE) {
      flooding = true;
      count += 1;
    } else if (flooding && each < FLOOD_OVER_BELOW) flooding = false;
    if (flooding) inFlood += 1;
  }
  return { count, slots: inFlood, shareOfTime: slots.length > 0 ? round(inFlood / slots.length) : 0 };
}

const sourceOf = (one: { device: string; faultKey: string }) => `${one.device}\n${one.faultKey}`;

function chatteringOf(raised: readonly Raised[]): AlarmKpis['chattering'] {
  /** by device and fault key */
  const sources = new Map<string, Raised[]>();
  for (const one of raised) {
    const times = sources.get(sourceOf(one));
    if (times) times.push(one);
    else sources.set(sourceOf(one), [one]);
  }
  const found: AlarmKpis['chattering'] = [];
  for (const times of sources.values()) {
    const [first] = times;
    const flapping = times.some((one) => one.flapping);
    if (!first || !(flapping || chatters(times.map((one) => one.at)))) continue;
    found.push({ device: first.device, faultKey: first.faultKey, raised: times.length, flapping });
  }
  return found.sort((a, b) => b.raised - a.raised || (sourceOf(a) < sourceOf(b) ? -1 : 1)).slice(0, MAX_CHATTERING);
}

function chatters(times: readonly number[]): boolean {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted.some((at, index) => {
    const earlier = sorted[index - (CHATTER_TIMES - 1)];
    return earlier !== undefined && at - earlier < MINUTE_MS;
  });
}

function topSources(annunciations: readonly Annunciation[]): AlarmKpis['top'] {
  const counts = new Map<string, AlarmKpis['top'][number]>();
  for (const one of annunciations) {
    const known = counts.get(sourceOf(one));
    counts.set(sourceOf(one), {
      device: one.device,
      faultKey: one.faultKey,
      annunciated: (known?.annunciated ?? 0) + 1,
    });
  }
  return [...counts.values()]
    .sort((a, b) => b.annunciated - a.annunciated || (sourceOf(a) < sourceOf(b) ? -1 : 1))
    .slice(0, TOP);
}

/** One that still has time is not counted yet. */
function acknowledgedOf(annunciations: readonly Annunciation[], until: number): AlarmKpis['acknowledged'] {
  let due = 0;
  let withinTarget = 0;
  for (const { at, targetMs, acknowledgedAt } of annunciations) {
    const deadline = at + targetMs;
    const inTime = acknowledgedAt !== undefined && acknowledgedAt <= deadline;
    if (!inTime && deadline > until) continue;
    due += 1;
    if (inTime) withinTarget += 1;
  }
  return { due, withinTarget, ...(due > 0 ? { share: round(withinTarget / due) } : {}) };
}

const round = (value: number) => Math.round(value * 10_000) / 10_000;
