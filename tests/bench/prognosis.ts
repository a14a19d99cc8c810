/**
 * `npm run bench:prognosis -- [--seeds 1,2] [--write DIR]`: how well remaining life is predicted on recordings that nobody
 * of this project made. Every fleet goes through the same untouched pipeline: five folds by unit, ten ages a unit drawn
 * uniformly from cycle 30 to the last but one, cap 125. Reads PRESAGE_BENCH_DIR; `--write` saves predictions and truths
 * for an outside scorer.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { reportLeadTimes, type Warning } from '../../analytics/evaluate/lead-time.ts';
import { fitFleet } from '../../analytics/prognosis/fit-fleet.ts';
import { createFittedPrognoser, mapColumns, predictUnit } from '../../analytics/prognosis/fitted-model.ts';
import { type FleetHistory, truncateUnit, type UnitHistory } from '../../analytics/prognosis/fleet-history.ts';
import { type PrognosisMetrics, type ScoredPrediction, scorePredictions } from '../../analytics/prognosis/metrics.ts';
import type { FittedModelFile } from '../../analytics/prognosis/model-file.ts';
import type { Prognoser, PrognosisInput } from '../../analytics/prognosis/prognoser.ts';
import { createTrendPrognoser } from '../../analytics/prognosis/trend.ts';
import type { DeviceModel } from '../../contract/devices/device-model.ts';
import { turbofan } from '../../contract/devices/turbofan.ts';
import { type Random, seededRandom } from '../../contract/kernel/random.ts';
import { HOUR_MS } from '../../contract/kernel/time.ts';
import { benchPath } from '../support/bench-data.ts';
import { readCmapss, unitsWhere } from '../support/fleets.ts';

const CAP = 125;
const FOLDS = 5;
const AGES = 10;
const FIRST_AGE = 30;
/** Remaining cycles at which a service centre is warned, and for how many cycles in a row. */
const WARN_BELOW = 30;
const WARN_AFTER = 3;

const { values: options } = parseArgs({
  options: { seeds: { type: 'string', default: '1,2' }, write: { type: 'string' } },
});
/** A cell whose capacity falls to its end of life at 1.4 Ah, one value a discharge. */
const BATTERY: DeviceModel = {
  id: 'battery',
  name: 'Lithium-ion cell',
  kind: 'machine',
  intervalMs: HOUR_MS,
  lifeUnit: 'cycle',
  modes: [],
  signals: [
    { name: 'capacityAh', label: 'Capacity', unit: 'Ah', kind: 'number', component: 'cell', role: 'condition' },
  ],
  failureModes: [
    {
      code: 'capacityFade',
      name: 'Capacity fade',
      component: 'cell',
      cause: 'Loss of lithium and active material',
      effect: 'Run time falls below what is needed',
      severity: 'major',
      parts: [],
      shows: [{ signal: 'capacityAh', direction: 'down', weight: 1 }],
      endOfLife: { signal: 'capacityAh', direction: 'down', limit: 1.4 },
    },
  ],
  faultCodes: [],
};
const seeds = options.seeds.split(',').map(Number);

const fd001 = readCmapss(benchPath('cmapss', 'train_FD001.txt.gz'));
const fd002 = readCmapss(benchPath('cmapss', 'train_FD002_part.txt.gz'));
say(`Cross-validated by unit, seeds ${seeds.join(', ')} pooled, cap ${CAP}:`);
for (const [name, fleet] of [
  ['FD001', fd001],
  ['FD002 part', fd002],
] as const) {
  const scored = seeds.flatMap((seed) => crossValidate(fleet, seed));
  say(`  ${name.padEnd(11)} ${describe(scorePredictions(scored))}`);
  if (options.write !== undefined) writeForScorer(options.write, name, scored);
}
measureSpeed();
measureLeadTimes();
measureBattery();

function crossValidate(fleet: FleetHistory, seed: number): ScoredPrediction[] {
  const random = seededRandom(seed);
  const fold = shuffledFolds(fleet.units.length, random);
  return Array.from({ length: FOLDS }, (_, left) => {
    const model = fitFleet(
      unitsWhere(fleet, (unit) => fold[unit] !== left),
      { horizon: CAP, seed: 1, dataHash: 'bench' },
    );
    return unitsWhere(fleet, (unit) => fold[unit] === left).units.flatMap((unit) =>
      predictAges(model, fleet, unit, random),
    );
  }).flat();
}

function shuffledFolds(count: number, random: Random): number[] {
  const order = Array.from({ length: count }, (_, unit) => ({ unit, key: random() })).sort((a, b) => a.key - b.key);
  const folds = new Array<number>(count).fill(0);
  order.forEach(({ unit }, position) => {
    folds[unit] = position % FOLDS;
  });
  return folds;
}

function predictAges(
  model: FittedModelFile,
  fleet: FleetHistory,
  unit: UnitHistory,
  random: Random,
): ScoredPrediction[] {
  const columnOf = mapColumns(model, fleet.columns);
  const life = unit.cycles.length;
  return Array.from({ length: AGES }, () => {
    const age = FIRST_AGE + Math.floor(random() * (life - FIRST_AGE));
    const estimate = predictUnit(model, truncateUnit(unit, age, fleet.columns.length), columnOf);
    return { ...estimate, actual: Math.min(CAP, life - age) };
  });
}

/** Predictions as rows `unit,rul,lower,upper` and truths as `unit,rul`; a unit is one prediction here. */
function writeForScorer(directory: string, name: string, scored: readonly ScoredPrediction[]): void {
  mkdirSync(directory, { recursive: true });
  const base = join(directory, name.replaceAll(' ', '-'));
  const predictions = scored.map(({ median, lower, upper }, i) => [i + 1, median, lower, upper].join(','));
  const truths = scored.map(({ actual }, i) => `${i + 1},${actual}`);
  writeFileSync(`${base}-pred.csv`, `${['unit,rul,lower,upper', ...predictions].join('\n')}\n`);
  writeFileSync(`${base}-truth.csv`, `${['unit,rul', ...truths].join('\n')}\n`);
}

function measureSpeed(): void {
  const fitStart = performance.now();
  const model = fitFleet(fd001, { horizon: CAP, seed: 1, dataHash: 'bench' });
  const fitSeconds = (performance.now() - fitStart) / 1000;
  const columnOf = mapColumns(model, fd001.columns);
  const predictStart = performance.now();
  for (const unit of fd001.units) predictUnit(model, unit, columnOf);
  const unitsPerSecond = (1000 * fd001.units.length) / (performance.now() - predictStart);
  const rssMib = process.memoryUsage().rss / 2 ** 20;
  say(`Fit of 100 units: ${fitSeconds.toFixed(1)} s on one core, resident ${rssMib.toFixed(0)} MiB`);
  say(
    `Predict from whole histories: ${unitsPerSecond.toFixed(0)} units/s; live ${livePerSecond(model)} updates and predictions/s`,
  );
}

function livePerSecond(model: FittedModelFile): string {
  const prognoser = createFittedPrognoser(model, turbofan);
  const units = fd001.units.slice(0, 20);
  const samples = units.map((unit) => unit.cycles.length).reduce((a, b) => a + b, 0);
  const start = performance.now();
  for (const unit of units) warnedAt(prognoser, fd001, unit, unit.cycles.length);
  return ((1000 * samples) / (performance.now() - start)).toFixed(0);
}

/** A model fitted on engines 1–50 follows engines 51–100 live, and again stopped at 30 % of their life. */
function measureLeadTimes(): void {
  const model = fitFleet(
    unitsWhere(fd001, (unit) => unit < 50),
    { horizon: CAP, seed: 1, dataHash: 'bench', deviceModel: 'turbofan' },
  );
  for (const prognoser of [createFittedPrognoser(model, turbofan), createTrendPrognoser(turbofan)]) {
    reportLeads(prognoser as Prognoser<unknown>);
  }
}

function reportLeads(prognoser: Prognoser<unknown>): void {
  const warnings: Warning[] = [];
  const judged = fd001.units.slice(50);
  for (const unit of judged) {
    const life = unit.cycles.length;
    const whole = warnedAt(prognoser, fd001, unit, life);
    if (whole !== undefined) warnings.push({ device: unit.id, at: whole });
    const short = warnedAt(prognoser, fd001, unit, Math.floor(0.3 * life));
    if (short !== undefined) warnings.push({ device: `${unit.id}-stopped`, at: short });
  }
  const ends = judged.flatMap((unit) => [
    { device: unit.id, failedAt: unit.cycles.length },
    { device: `${unit.id}-stopped` },
  ]);
  const report = reportLeadTimes(warnings, ends, { leastLead: 10, mostLead: CAP });
  say(`Lead times, ${prognoser.name}, engines 51–100, lower bound at most ${WARN_BELOW} for ${WARN_AFTER} cycles:`);
  say(`  ${JSON.stringify(report)}`);
}

/** Cycle of the first warning within the first `rows` rows. */
function warnedAt(
  prognoser: Prognoser<unknown>,
  fleet: FleetHistory,
  unit: UnitHistory,
  rows: number,
): number | undefined {
  let state = prognoser.init();
  let run = 0;
  for (let row = 0; row < rows; row++) {
    state = prognoser.update(state, sampleOf(fleet, unit, row));
    const lower = prognoser.predict(state)[0]?.remainingLife?.lower;
    run = lower !== undefined && lower <= WARN_BELOW ? run + 1 : 0;
    if (run === WARN_AFTER) return unit.cycles[row];
  }
  return undefined;
}

function sampleOf(fleet: FleetHistory, unit: UnitHistory, row: number): PrognosisInput {
  const width = fleet.columns.length;
  const signals = Object.fromEntries(
    fleet.columns.map((name, column) => [name, unit.values[row * width + column] as number]),
  );
  return { at: row * HOUR_MS, cycle: unit.cycles[row] as number, signals };
}

/** Two cells discharged until their capacity fell below 1.4 Ah: too few to learn from, so the trend has to do. */
function measureBattery(): void {
  const rows = readFileSync(benchPath('battery', 'capacity.csv'), 'utf8').trim().split('\n').slice(1);
  const samples = rows.map((row) => row.split(','));
  for (const cell of new Set(samples.map(([name]) => name))) {
    const capacities = samples.filter(([name]) => name === cell).map(([, , capacity]) => Number(capacity));
    const end = capacities.findIndex((capacity) => capacity < 1.4) + 1;
    const metrics = scorePredictions(followCell(capacities.slice(0, end), end));
    say(`Battery ${cell}, end of life at cycle ${end || 'unknown'}, trend: ${describe(metrics)}`);
  }
}

function followCell(capacities: readonly number[], end: number): ScoredPrediction[] {
  const prognoser = createTrendPrognoser(BATTERY);
  let state = prognoser.init();
  return capacities.flatMap((capacityAh, index) => {
    state = prognoser.update(state, { at: index * HOUR_MS, cycle: index + 1, signals: { capacityAh } });
    const life = prognoser.predict(state)[0]?.remainingLife;
    return life ? [{ ...life, actual: end - (index + 1) }] : [];
  });
}

function describe(metrics: PrognosisMetrics | undefined): string {
  if (!metrics) return 'no predictions';
  const { count, rmse, phm08, coverage, meanWidth, winkler } = metrics;
  return (
    `RMSE ${rmse.toFixed(2)}, PHM08 per prediction ${phm08.toFixed(2)}, 90 % interval covers ${(100 * coverage).toFixed(1)} %, ` +
    `width ${meanWidth.toFixed(1)}, Winkler ${winkler.toFixed(1)} (${count} predictions)`
  );
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
