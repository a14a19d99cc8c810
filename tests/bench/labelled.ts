/**
 * `npm run bench:labelled -- [--models all] [--count 20] [--held-out] [--confounders 0.3] [--lies 0]`: labelled recordings of every
 * simulated model straight through analytics. Half of the devices fail. Reported per model: faults found and named between onset
 * and failure, with their lead; alerts on machines that had no fault (yet), in 1,000 device-days, confounded or not; which lying
 * sensors were recognised as such and how many faults of the machine they were taken for; size of the states and speed.
 * Development uses the seeds from 1 on; `--held-out` those that nobody looks at while a detector is made, and faults that grow
 * in ways not drawn before: twice as fast, or hidden for long and then all the steeper.
 */
import { parseArgs } from 'node:util';
import { DEFAULT_POLICY } from '../../analytics/alerts/policy.ts';
import { initDevice, packDevice } from '../../analytics/device-state.ts';
import { sensorFaultKey, sensorOf } from '../../analytics/diagnosis/sensor-faults.ts';
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
  )
    .flat()
    .map((request) => (options['held-out'] ? withOtherSeverity(request) : request));
}

/** Development draws linear curves and exponential ones of a steepness of 1.5 to 3.5, over 40 to 95 % of the time left. */
function withOtherSeverity(request: RecordingRequest): RecordingRequest {
  const { fault } = request;
  if (!fault) return request;
  const lifeMs = fault.failsAt - fault.onsetAt;
  return request.seed % 2 === 0
    ? { ...request, fault: { ...fault, failsAt: fault.onsetAt + lifeMs / 2 } }
    : { ...request, fault: { ...fault, curve: 'exponential', steepness: 4.5 } };
}

function alertsOf({ model, rows }: LabelledRecording): AlertFinding[] {
  const state = initDevice(model);
  const ref = { tenant: 'bench', device: model };
  const before = process.cpuUsage();
  const alerts = rows.flatMap(({ at, signals }, i) => {
    const outcome = scorer.score(state, { ref, identity: `b:${i}:0`, observedAt: at, position: i + 1, signals });
    cost.values += outcome.values;
    return outcome.findings.filter((finding): finding is AlertFinding => finding.kind === 'alertRaised');
  });
  const { user, system } = process.cpuUsage(before);
  cost.seconds += (user + system) / 1e6;
  cost.bytes.push(JSON.stringify(packDevice(state)).length);
  return alerts;
}

/** Of the model under way. */
let cost = { values: 0, seconds: 0, bytes: [] as number[] };
const emptySums = () => ({
  faults: 0,
  found: 0,
  named: 0,
  healthyDays: 0,
  wrong: 0,
  wrongConfounded: 0,
  wrongLying: 0,
  lies: 0,
  liesFound: 0,
});
const total = emptySums();
for (const { id } of models) {
  const sums = emptySums();
  const leads: number[] = [];
  cost = { values: 0, seconds: 0, bytes: [] };
  for (const request of requestsOf(id)) judge(request, sums, leads);
  for (const key of Object.keys(sums) as (keyof typeof sums)[]) total[key] += sums[key];
  report(id, sums, leads);
  const meanKiB = cost.bytes.reduce((sum, bytes) => sum + bytes, 0) / cost.bytes.length / 1_024;
  say(
    `${''.padEnd(16)} state ${meanKiB.toFixed(0)} KiB, at most ${(Math.max(...cost.bytes) / 1_024).toFixed(0)}; ` +
      `${(cost.values / cost.seconds / 1_000).toFixed(0)} k values a second of CPU, prognosis included`,
  );
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
  sums.lies += lies.length;
  sums.liesFound += lies.filter((lie) =>
    alerts.some(({ at, faultKey }) => at > lie.at && faultKey === sensorFaultKey(lie.signal)),
  ).length;
  const confounded = wrong.filter(({ at }) => confounders.some((one) => at > one.at));
  sums.healthyDays += (healthyUntil - request.start) / DAY_MS;
  sums.wrong += wrong.length;
  sums.wrongConfounded += confounded.length;
  sums.wrongLying += byLie.filter(({ faultKey }) => sensorOf(faultKey) === undefined).length;
  const told = alerts.filter(
    ({ at, faultKey }) =>
      fault && at >= fault.onsetAt && at < (fault.failsAt ?? end) && sensorOf(faultKey) === undefined,
  );
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
      `(${sums.wrongConfounded} after a confounder)` +
      (sums.lies > 0
        ? `; lying sensors recognised ${sums.liesFound}/${sums.lies}, taken for faults of the machine ${sums.wrongLying}`
        : ''),
  );
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
