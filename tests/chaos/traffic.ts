/**
 * What a misbehaving device measures and does, from a seed: samples with one and the same time, a wrong clock, samples and
 * whole messages that break the contract, reboots, repetitions, disorder. Pure: the caller brings time and randomness.
 */
import type { Random } from '../../contract/kernel/random.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';
import { CONTRACT_VERSION, type Signals } from '../../contract/wire/payloads.ts';
import { type JournalMessage, type JournalSample, journalMessage } from './journal.ts';

/** A signal beyond the catalogue, declared in the birth message. */
export const DECLARED = { name: 'programme', kind: 'text' } as const;
/** Clocks that are wrong and still believed: up to two hours late, up to four minutes early. */
const SKEWS_MS = [0, 0, 0, -2 * HOUR_MS, 4 * MINUTE_MS] as const;
const MAX_SAMPLES = 5;

export interface Traffic {
  readonly boot: string;
  /** How wrong its clock is. */
  readonly skewMs: number;
  /** The next message. `now` = epoch ms. */
  next(now: number): JournalMessage;
  /** A new boot id; numbers start again at 0. */
  reboot(): void;
}

export function createTraffic(tenant: string, device: string, random: Random): Traffic {
  const skewMs = pick(SKEWS_MS, random);
  let boots = 0;
  let boot = '';
  let seq = 0;
  let lastTime = 0;
  const reboot = (): void => {
    // The same ids in every tenant and on every device: only the whole identity tells messages apart.
    boot = `boot-${boots++}`;
    seq = 0;
  };
  reboot();

  return {
    skewMs,
    get boot() {
      return boot;
    },
    reboot,
    next(now) {
      const fields = { tenant, device, boot, seq: seq++ };
      const roll = random();
      if (roll < 0.02) return journalMessage({ ...fields, samples: [] }, `{"broken":"${device}-${boot}-${fields.seq}`);
      const badChance = roll < 0.05 ? 1 : roll < 0.13 ? 0.5 : 0;
      const start = roll > 0.85 && lastTime > 0 ? lastTime : now + skewMs;
      const stepMs = roll > 0.75 ? 0 : Math.floor(random() * 40);
      const samples = Array.from({ length: 1 + Math.floor(random() * MAX_SAMPLES) }, (_, index) => {
        const time = start + (index - MAX_SAMPLES) * stepMs;
        return random() < badChance ? badSample(time, random) : goodSample(time, random);
      });
      lastTime = start;
      return journalMessage({ ...fields, samples }, encode(boot, fields.seq, start, samples));
    },
  };
}

function goodSample(time: number, random: Random): JournalSample {
  const signals: Record<string, number | boolean | string> = {
    freezerTempC: -18 + random() * 3,
    freshFoodTempC: 4 + random(),
    doorOpen: random() < 0.1,
  };
  if (random() < 0.3) signals[DECLARED.name] = pick(['eco', 'boost', 'ünïcode "quoted"\n'], random);
  return { time, signals, good: true };
}

/** One of the ways in which a sample can break the contract. */
function badSample(time: number, random: Random): JournalSample {
  const ways: JournalSample[] = [
    { time, signals: { freezerTempC: 'cold' }, good: false },
    { time, signals: { neverDeclared: 1 }, good: false },
    { time, signals: {}, good: false },
    { time: time + DAY_MS, signals: { freezerTempC: -18 }, good: false },
    { time: 1_000, signals: { freezerTempC: -18 }, good: false },
  ];
  return pick(ways, random);
}

function encode(boot: string, seq: number, start: number, samples: readonly JournalSample[]): string {
  const pairs: [number, Signals][] = samples.map((sample) => [sample.time - start, sample.signals]);
  return JSON.stringify({ v: CONTRACT_VERSION, boot, seq, t: start, s: pairs });
}

export function pick<Item>(items: readonly Item[], random: Random): Item {
  return items[Math.floor(random() * items.length)] as Item;
}
