/**
 * `npm run bench:labelled -- [--models all] [--count 20] [--held-out] [--confounders 0.3] [--lies 0]`: labelled recordings of every
 * simulated model straight through analytics. Half of the devices fail. Reported per model: faults found and named between onset
 * and failure, with their lead; alerts on machines that had no fault (yet), in 1,000 device-days, confounded or not; and what
 * lying sensors raised. Development uses the seeds from 1 on; `--held-out` those that nobody looks at while a detector is made.
 */
import { parseArgs } from 'node:util';
import { DEFAULT_POLICY } from '../../analytics/alerts/policy.ts';
import { initDevice } from '../../analytics/device-state.ts';
import type { Prognoser } from '../../analytics/prognosis/prognoser.ts';
import { createTrendPrognoser } from '../../analytics/prognosis/trend.ts';
import { createDeviceScorer } from '../../analytics/score-device.ts';
import { findModel } from '../../contract/devices/catalogue.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import type { AlertFinding } from '../../contract/ports/findings.ts';
import { drawRecordings, HELD_OUT_SEEDS } from '../../device-sim/draw-recordings.ts';
import { SIMULATED_MODELS } from '../../device-sim/models/catalogue.ts';
import { type LabelledRecording, type RecordingRequest, recordDevice } from '../../device-sim/record-device.ts';

const { values: options } = parseArgs({
  options: {
    models: { type: 'string', default: 'all' },
    count: { type: 'string', default: '20' },
    'held-out': { type: 'boolean', default: false },
    confounders: { type: 'string', default: '0.3' },
    lies: { type: 'string', default: '0' },
    days: { type: 'string', default: '60' },
    quiet: { type: 'string', default: '25' },
    verbose: { type: 'boolean', default: false },
  },
});
const DAYS = Number(options.days);
const FIRST_SEED = options['held-out'] ? HELD_OUT_SEEDS : 1;
const models = SIMULATED_MODELS.filter(({ id }) => options.models === 'all' || options.models.split(',').includes(id));
const scorer = createDeviceScorer({
  findModel,
  prognosersFor: (model) => [createTrendPrognoser(model) as Prognoser<unknown>],
  policy: DEFAULT_POLICY,
});

/** Each device begins in another week of the year, so that no season is missing. */
function requestsOf(model: string): RecordingRequest[] {
  return Array.from({ length: Number(options.count) }, (_, i) =>
    drawRecordings({
      model,
      firstSeed: FIRST_SEED + i,
      count: 1,
      start: Date.UTC(2026, 0, 5) + ((i * 11) % 52) * 7 * DAY_MS,
      days: DAYS,
      faultShare: 0.5,
      confounderShare: Number(options.confounders),
      lieShare: Number(options.lies),
      quietDays: Number(options.quiet),
    }),
  ).flat();
}

function alertsOf({ model, rows }: LabelledRecording): AlertFinding[] {
  const state = initDevice(model);
  const ref = { tenant: 'bench', device: model };
  return rows.flatMap(({ at, signals }, i) =>
    scorer
      .score(state, { ref, identity: `b:${i}:0`, observedAt: at, position: i + 1, signals })
      .findings.filter((finding): finding is AlertFinding => finding.kind === 'alertRaised'),
  );
}

const emptySums = () => ({
  faults: 0,
  found: 0,
  named: 0,
  healthyDays: 0,
  wrong: 0,
  wrongConfounded: 0,
  wrongLying: 0,
});
const total = emptySums();
for (const { id } of models) {
  const sums = emptySums();
  const leads: number[] = [];
  for (const request of requestsOf(id)) judge(request, sums, leads);
  for (const key of Object.keys(sums) as (keyof typeof sums)[]) total[key] += sums[key];
  report(id, sums, leads);
}
report('all', total, []);

function judge(request: RecordingRequest, sums: ReturnType<typeof emptySums>, leads: number[]): void {
  const recording = recordDevice(request);
  const { fault, confounders, lies } = recording.truth;
  const end = request.start + request.durationMs;
  const alerts = alertsOf(recording);
  // From the onset on every alert is about a faulty machine; after the failure it is no prediction.
  const healthyUntil = fault?.onsetAt ?? end;
  const early = alerts.filter(({ at }) => at < healthyUntil);
  const byLie = early.filter(({ at }) => lies.some((lie) => at > lie.at));
  const wrong = early.filter((alert) => !byLie.includes(alert));
  const confounded = wrong.filter(({ at }) => confounders.some((one) => at > one.at));
  sums.healthyDays += (healthyUntil - request.start) / DAY_MS;
  sums.wrong += wrong.length;
  sums.wrongConfounded += confounded.length;
  sums.wrongLying += byLie.length;
  const told = alerts.filter(({ at }) => fault && at >= fault.onsetAt && at < (fault.failsAt ?? end));
  if (fault) {
    sums.faults += 1;
    if (told.length > 0) sums.found += 1;
    if (told.some(({ faultKey }) => faultKey === fault.code)) sums.named += 1;
    if (told[0] && fault.failsAt) leads.push((fault.failsAt - told[0].at) / DAY_MS);
  }
  if (!options.verbose) return;
  const day = (at: number): string => ((at - request.start) / DAY_MS).toFixed(1);
  const events = [...confounders, ...lies].map((one) => `${one.kind} day ${day(one.at)}`).join(', ');
  const story = fault
    ? `${fault.code} day ${day(fault.onsetAt)}–${fault.failsAt ? day(fault.failsAt) : ''}`
    : 'healthy';
  say(
    `  ${request.seed} ${story}; ${events || 'nothing else'}: ${alerts.map((a) => `${a.faultKey}@${day(a.at)}`).join(' ')}`,
  );
}

function report(name: string, sums: ReturnType<typeof emptySums>, leads: readonly number[]): void {
  const share = (count: number): string => (sums.faults > 0 ? `${((100 * count) / sums.faults).toFixed(0)} %` : '–');
  const median = [...leads].sort((a, b) => a - b)[Math.floor(leads.length / 2)];
  say(
    `${name.padEnd(16)} faults found ${sums.found}/${sums.faults} (${share(sums.found)}), named ${share(sums.named)}` +
      `${median === undefined ? '' : `, median lead ${median.toFixed(1)} d`}; false alerts ${sums.wrong} in ` +
      `${sums.healthyDays.toFixed(0)} device-days = ${((1_000 * sums.wrong) / sums.healthyDays).toFixed(1)} a 1,000 ` +
      `(${sums.wrongConfounded} after a confounder); by lying sensors ${sums.wrongLying}`,
  );
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
