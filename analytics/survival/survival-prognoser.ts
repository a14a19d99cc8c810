/**
 * Chances of failure by age, for failure modes that show no trend. It never names a remaining life: the lower bound of one
 * would come within the warn horizon for most of a healthy fleet, and nobody can act on that.
 */
import type { DeviceModel } from '../../contract/devices/device-model.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import type { Prediction } from '../../contract/ports/findings.ts';
import type { Prognoser, PrognosisInput } from '../prognosis/prognoser.ts';
import { curveChance, type SurvivalCurve, survivalCurve } from './curve.ts';
import { livesOf, type UnitLife } from './lives.ts';
import {
  fitWeibull,
  type WeibullCovariance,
  type WeibullFit,
  weibullChanceByDelta,
  weibullCovariance,
} from './weibull.ts';

/** Plain JSON. */
export interface SurvivalState {
  /** Age and device time of the first and of the newest sample whose age is known. */
  first: { age: number; at: number } | null;
  last: { age: number; at: number } | null;
}

export interface SurvivalFleet {
  /** Names the data, so that every prediction says what it stands on. */
  readonly version: string;
  readonly units: readonly UnitLife[];
}

export interface SurvivalOptions {
  /** Age in the unit of the lives; the operating cycle when absent. */
  readonly ageOf?: (input: PrognosisInput) => number | undefined;
}

const NAME = 'survival-by-age';
const DAYS = [7, 14, 30, 90] as const;
/** A pace needs so much time behind it. */
const MIN_PACE_MS = 3 * DAY_MS;

interface Known {
  readonly faultKey: string;
  readonly component: string;
  readonly curve: SurvivalCurve | undefined;
  readonly weibull: { readonly fit: WeibullFit; readonly covariance: WeibullCovariance } | undefined;
  /** Why there is no Weibull. */
  readonly refusal: string;
}

/** Follows the failure modes of `model` that have no limit towards which a trend could lead. */
export function createSurvivalPrognoser(
  model: DeviceModel,
  fleet: SurvivalFleet,
  { ageOf = (input) => input.cycle }: SurvivalOptions = {},
): Prognoser<SurvivalState> {
  const known = model.failureModes.filter((mode) => !mode.endOfLife).map((mode) => learn(mode, fleet.units));
  return {
    name: NAME,
    version: fleet.version,
    init: () => ({ first: null, last: null }),
    update(state, input) {
      const age = ageOf(input);
      if (age === undefined || !Number.isFinite(age) || age < 0) return state;
      // A lower age is another machine, or a new counter: the pace starts anew.
      if (!state.first || (state.last && age < state.last.age)) state.first = { age, at: input.at };
      state.last = { age, at: input.at };
      return state;
    },
    predict: (state) => known.map((one) => predictionOf(one, state, fleet.version)),
  };
}

function learn(mode: { readonly code: string; readonly component: string }, units: readonly UnitLife[]): Known {
  const lives = livesOf(units, mode.code);
  const curve = survivalCurve(lives);
  const fit = fitWeibull(lives);
  const covariance = fit.kind === 'weibull' ? weibullCovariance(lives, fit) : undefined;
  return {
    faultKey: mode.code,
    component: mode.component,
    curve: curve.kind === 'curve' ? curve : undefined,
    weibull: fit.kind === 'weibull' && covariance ? { fit, covariance } : undefined,
    refusal: fit.kind === 'refused' ? fit.reason : 'the ages of the failures tell no shape',
  };
}

function predictionOf(known: Known, state: SurvivalState, version: string): Prediction {
  const { faultKey, component, curve } = known;
  const about = { faultKey, component, method: { name: NAME, version } };
  const refused = (reason: string): Prediction => ({ ...about, probabilityWithin: [], reason });
  if (!state.first || !state.last) return refused('the age of the device is not known');
  const elapsedMs = state.last.at - state.first.at;
  if (elapsedMs < MIN_PACE_MS) return refused('how fast the device ages is not known yet');
  const perDay = ((state.last.age - state.first.age) / elapsedMs) * DAY_MS;
  if (!(perDay > 0)) return refused('the device does not age');
  const age = state.last.age;
  const probabilityWithin = chancesOf(known, age, perDay);
  if (!probabilityWithin || !curve) return refused(known.refusal);
  const reason = `no trend: chances by age, from ${curve.failures} failures among ${curve.units} units`;
  return { ...about, probabilityWithin, reason };
}

/** By what happened to units of that age where they reach far enough, else by the fitted shape. Never a mixture: chances must rise. */
function chancesOf(
  { curve, weibull }: Known,
  age: number,
  perDay: number,
): Prediction['probabilityWithin'] | undefined {
  const seen = curve ? DAYS.map((days) => ({ days, chance: curveChance(curve, age, days * perDay) })) : [];
  const observed = seen.flatMap(({ days, chance }) =>
    chance.kind === 'chance' ? [{ days, p: chance.p, lower: chance.lower, upper: chance.upper }] : [],
  );
  if (observed.length === DAYS.length) return observed;
  if (!weibull) return undefined;
  return DAYS.map((days) => ({ days, ...weibullChanceByDelta(weibull.fit, weibull.covariance, age, days * perDay) }));
}
