/** Numbers, times and names as people read them. Times are shown in the viewer's zone, which is always named. */

const DAY_H = 24;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const dateTime = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short', hourCycle: 'h23' });
const clockTime = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const dayMonth = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });

export const formatTime = (ms) => dateTime.format(ms);

/** Labels of a time axis: days where ticks are days apart, else hours and minutes with the day where it changes. */
export function formatTicks(seconds) {
  const stepSeconds = seconds.length > 1 ? seconds[1] - seconds[0] : 0;
  let lastDay = '';
  return seconds.map((second) => {
    const ms = second * 1000;
    const day = dayMonth.format(ms);
    if (stepSeconds >= 86_400) return day;
    const label = day === lastDay ? clockTime.format(ms) : `${clockTime.format(ms)}\n${day}`;
    lastDay = day;
    return label;
  });
}

/** `3 min`, `5 h`, `2 d`: how long ago, in one unit. */
export function formatAge(ms) {
  if (ms < MINUTE_MS) return 'now';
  if (ms < HOUR_MS) return `${Math.round(ms / MINUTE_MS)} min`;
  if (ms < 2 * DAY_MS) return `${Math.round(ms / HOUR_MS)} h`;
  return `${Math.round(ms / DAY_MS)} d`;
}

export function formatNumber(value) {
  if (typeof value !== 'number') return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e7)) return value.toExponential(2);
  return value.toLocaleString('en-GB', {
    maximumFractionDigits: size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 3,
  });
}

/** Remaining life in the unit that suits it: `{ median: '9', lower: '5', upper: '14', unit: 'd' }`. */
export function lifeParts(life) {
  const inDays = life.unit === 'h' && life.upper >= 3 * DAY_H;
  const unit = life.unit === 'cycle' ? 'cycles' : inDays ? 'd' : 'h';
  const show = (value) => {
    const shown = inDays ? value / DAY_H : value;
    return shown < 3 && inDays ? String(Math.round(shown * 10) / 10) : String(Math.round(shown));
  };
  return { median: show(life.median), lower: show(life.lower), upper: show(life.upper), unit };
}

/** `9 d (5–14)`: median and 90 % interval. */
export function formatLife(life) {
  const { median, lower, upper, unit } = lifeParts(life);
  return `${median} ${unit} (${lower}–${upper})`;
}

/**
 * What a score says, in words: how seldom a healthy device shows this, and how seldom it must be to raise an alarm.
 * An alert without an odd sample was raised by its prediction.
 */
export function formatChance({ score, threshold }) {
  const alarm = `an alarm is raised from 1 in ${oneIn(threshold)}.`;
  if (score < threshold)
    return `Raised by its prediction; this sample alone is not odd enough (${alarm.slice(0, -1)}).`;
  return `A healthy device shows this in ${rarity(score)} samples; ${alarm}`;
}

/** Tails are not known beyond a million: a longer number would claim more than anybody measured. */
const RAREST = 1_000_000;

function oneIn(score) {
  return formatNumber(Math.round(1 / Math.max(1 - score, 1 / RAREST)));
}

function rarity(score) {
  return 1 - score < 1 / RAREST ? `fewer than 1 of ${formatNumber(RAREST)}` : `1 of ${oneIn(score)}`;
}

/** `remote_diagnosis` → `remote diagnosis`, `evaporatorFan` → `evaporator fan`. */
export function words(name) {
  return name
    .replaceAll('_', ' ')
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase();
}

export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
