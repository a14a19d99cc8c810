/** `presage replay`: recorded data (run to failure, NAB, OBD-II, any CSV) as devices on real MQTT, shifted in time, resumable. */
import { createHash } from 'node:crypto';
import type { Command } from 'commander';
import { findModel, signalsOf } from '../../contract/devices/catalogue.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { formatDuration, parseDuration } from '../../contract/kernel/time.ts';
import { type ColumnMapping, PLAIN_MAPPING, readColumnMapping } from '../../device-sim/replay/column-mapping.ts';
import { createReplay, type ReplaySummary } from '../../device-sim/replay/create-replay.ts';
import {
  planReplay,
  type ReplayDevice,
  type ReplayPlan,
  rowIntervalMs,
  selectDevices,
} from '../../device-sim/replay/plan.ts';
import { type Recording, readRecordings, startsWithTimestamp } from '../../device-sim/replay/recording.ts';
import {
  loadReplayState,
  type ReplayIdentity,
  type ReplayState,
  saveReplayState,
} from '../../device-sim/replay/state-file.ts';
import { readTimedRecordings } from '../../device-sim/replay/timed-recording.ts';
import { createLogger, runCommand } from '../cli-support.ts';
import {
  accessFor,
  brokerUrlOf,
  type DeviceAccessOptions,
  parseCount,
  parseNumber,
  parseSpeed,
  parseTime,
  playToEnd,
  showProgress,
  withDeviceAccess,
} from '../device-options.ts';

interface ReplayCommandOptions extends DeviceAccessOptions {
  readonly model?: string;
  readonly units?: string;
  readonly untilFraction: string;
  readonly cycle: string;
  readonly end?: string;
  readonly speed: string;
  readonly batch?: string;
  readonly state?: string;
  readonly prefix?: string;
  readonly columns?: string;
  readonly json?: true;
}

const BATCH_AT_MAX_SPEED = 20;
const MAX_DEFAULT_BATCH = 100;

export function register(program: Command): void {
  withDeviceAccess(
    program
      .command('replay')
      .description('replay recorded data as devices')
      .argument('<files...>', 'C-MAPSS .txt, CSV unit,cycle,… or timestamp,…, or any CSV with --columns; also .gz'),
  )
    .option('--model <id>', 'device model; turbofan for cycles, series for times when absent')
    .option('--columns <file>', 'JSON that says which column is which signal, for example of an OBD-II log')
    .option('--units <list>', 'only these units, for example 51-100 or 1,4,7')
    .option('--until-fraction <f>', 'only this share of each life, from its start', '1')
    .option('--cycle <duration>', 'what one cycle lasts, for recordings of cycles', '1h')
    .option('--end <time>', 'time of the last sample, ISO 8601; now when absent')
    .option('--speed <n|max>', 'cycles per second; of recordings with times, seconds per second', 'max')
    .option('--batch <n>', 'rows in one message; by speed when absent')
    .option('--state <file>', 'keep progress here; a rerun goes on from it')
    .option('--prefix <text>', 'device ids start with it; engine- for cycles, nothing for times when absent')
    .option('--json', 'print the summary as JSON')
    .action(runCommand(replay));
}

async function replay(files: readonly string[], options: ReplayCommandOptions): Promise<void> {
  checkModel(options.model, '--model');
  const speed = parseSpeed(options.speed);
  brokerUrlOf(options);
  const cycleMs = parseDuration(options.cycle);
  if (!(Number.isInteger(cycleMs) && cycleMs > 0))
    throw new AppError('CONFIG_INVALID', '--cycle must be whole milliseconds');
  const mapping = options.columns === undefined ? undefined : await readColumnMapping(options.columns);
  checkModel(mapping?.model, `--columns ${options.columns}`);
  const recording = await readAny(files, mapping);
  const timed = recording.timed === true;
  const model = options.model ?? mapping?.model ?? (timed ? TIMED_MODEL : 'turbofan');
  const selection = {
    prefix: options.prefix ?? (timed ? '' : 'engine-'),
    untilFraction: parseNumber(options.untilFraction, '--until-fraction', 0, 1),
    ...(options.units === undefined ? {} : { units: options.units }),
  };
  const devices = selectDevices(recording, selection);
  const timing = timed ? { cycleMs: 1, rowIntervalMs: rowIntervalMs(devices) } : { cycleMs };
  const rowsPerSecond = speed === 'max' || !timed ? speed : (speed * 1_000) / rowIntervalMs(devices);
  const batch = batchOf(options.batch, rowsPerSecond);
  const identity: ReplayIdentity = {
    recording: recording.sha256,
    model,
    prefix: selection.prefix,
    units: createHash('sha256')
      .update(devices.map((device) => device.device).join())
      .digest('hex'),
    untilFraction: selection.untilFraction,
    cycleMs: timing.cycleMs,
    batch,
  };
  const earlier = options.state ? await loadReplayState(options.state, identity) : undefined;
  const plan = planReplay(recording.columns, devices, { ...timing, batch, end: endOf(options, earlier) });
  announce(plan, recording, model, earlier, options);
  const summary = await play(plan, devices, options, { model, speed, identity, earlier });
  printSummary(plan, summary, options);
  if (!summary.complete) process.exitCode = 1;
}

/** Devices of a recording with times of which nobody said what they are: all their numbers are declared in their birth. */
const TIMED_MODEL = 'series';

function checkModel(model: string | undefined, source: string): void {
  if (model !== undefined && !findModel(model))
    throw new AppError('CONFIG_INVALID', `${source}: there is no model "${model}"`);
}

async function readAny(files: readonly string[], mapping: ColumnMapping | undefined): Promise<Recording> {
  if (mapping) return readTimedRecordings(files, mapping);
  const timed = await startsWithTimestamp(files[0] ?? '');
  return timed ? readTimedRecordings(files, PLAIN_MAPPING) : readRecordings(files);
}

/** A rerun must not move what is already stored, so the time of the first run stays. */
function endOf(options: ReplayCommandOptions, earlier: ReplayState | undefined): number {
  const asked = options.end === undefined ? undefined : parseTime(options.end, '--end');
  if (earlier && asked !== undefined && asked !== earlier.end) {
    throw new AppError(
      'CONFIG_INVALID',
      `--end: ${options.state} was begun with ${new Date(earlier.end).toISOString()}`,
    );
  }
  return earlier?.end ?? asked ?? Date.now();
}

/** A quarter second of cycles in one message, so that a paced replay looks live. */
function batchOf(text: string | undefined, speed: number | 'max'): number {
  if (text !== undefined) return parseCount(text, '--batch', 1, 500);
  return speed === 'max' ? BATCH_AT_MAX_SPEED : Math.max(1, Math.min(MAX_DEFAULT_BATCH, Math.ceil(speed / 4)));
}

interface PlayOptions {
  readonly model: string;
  readonly speed: number | 'max';
  readonly identity: ReplayIdentity;
  readonly earlier: ReplayState | undefined;
}

async function play(
  plan: ReplayPlan,
  devices: readonly ReplayDevice[],
  options: ReplayCommandOptions,
  { model, speed, identity, earlier }: PlayOptions,
): Promise<ReplaySummary> {
  const wanted = devices.map((device) => ({ id: device.device, model }));
  const access =
    options.state && options.provision && !options.saveSeed
      ? { ...options, saveSeed: `${options.state}.seed` }
      : options;
  const credentials = new Map((await accessFor(wanted, access)).map((device) => [device.ref.device, device]));
  const state = options.state;
  const run = createReplay(
    {
      brokerUrl: brokerUrlOf(options),
      plan,
      model,
      credentialOf(device) {
        const credential = credentials.get(device);
        if (!credential) throw new AppError('CONFIG_INVALID', `there is no secret for ${device}`);
        return credential;
      },
      clock: { now: Date.now },
      logger: createLogger('warn'),
    },
    {
      speed: speed === 'max' || plan.timed ? speed : (speed * plan.cycleMs) / 1_000,
      ...(earlier ? { resume: earlier.devices } : {}),
      ...(state
        ? { save: (places) => saveReplayState(state, { version: 1, identity, end: plan.end, devices: { ...places } }) }
        : {}),
      onProgress: (progress) =>
        showProgress(`${Math.floor(100 * progress.share)} %  ${progress.samplesAcked} samples acknowledged`),
    },
  );
  return playToEnd(run);
}

/** On stderr: stdout belongs to the summary. */
function announce(
  plan: ReplayPlan,
  recording: Recording,
  model: string,
  earlier: ReplayState | undefined,
  options: ReplayCommandOptions,
): void {
  if (options.json) return;
  const first = new Date(plan.start + plan.cycleMs).toISOString();
  const pace = plan.timed ? 'a row every' : 'one cycle =';
  const origin = plan.timed ? 'the first row of each device' : 'cycle 0 of the recording';
  process.stderr.write(
    `${plan.devices.length} of ${recording.units.length} units, ${plan.samples} samples, ${pace} ${formatDuration(plan.intervalMs)}\n` +
      `shift: ${origin} is ${new Date(plan.timed ? plan.start + 1 : plan.shiftMs).toISOString()}; replayed from ${first} to ${new Date(plan.end).toISOString()}\n`,
  );
  const declared = plan.columns.filter((name) => !signalsOf(model).has(name));
  if (plan.timed && declared.length > 0)
    process.stderr.write(`not in model ${model}, declared: ${declared.join(', ')}\n`);
  if (earlier) process.stderr.write(`going on from ${options.state}\n`);
}

function printSummary(plan: ReplayPlan, summary: ReplaySummary, options: ReplayCommandOptions): void {
  if (options.json) {
    const { shiftMs, start, end, cycleMs, intervalMs } = plan;
    process.stdout.write(
      `${JSON.stringify({ ...summary, samplesPlanned: plan.samples, shiftMs, start, end, cycleMs, intervalMs })}\n`,
    );
    return;
  }
  const resumed = summary.samplesResumed > 0 ? `${summary.samplesResumed} samples done before, ` : '';
  process.stdout.write(
    `${summary.devices} devices, ${resumed}${summary.samplesSent} samples sent, ${summary.samplesAcked} acknowledged, ` +
      `${summary.messagesResent} messages resent, ${summary.seconds.toFixed(1)} s${summary.complete ? '' : ' (incomplete)'}\n`,
  );
}
