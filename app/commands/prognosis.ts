/** `presage prognosis fit|predict`: learns remaining life from a fleet that ran to failure, and predicts it for others. */
import { readFile, rename, writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { fitFleet } from '../../analytics/prognosis/fit-fleet.ts';
import { createFittedPrognoser, mapColumns, predictUnit } from '../../analytics/prognosis/fitted-model.ts';
import { type FittedModelFile, parseModel, serializeModel } from '../../analytics/prognosis/model-file.ts';
import { findModel } from '../../contract/devices/catalogue.ts';
import type { DeviceModel } from '../../contract/devices/device-model.ts';
import { AppError, errorText } from '../../contract/kernel/errors.ts';
import { runCommand } from '../cli-support.ts';
import { readPrognosisRecording } from './prognosis-recording.ts';

interface FitCommandOptions {
  readonly train: string;
  readonly model: string;
  readonly horizon: string;
  readonly seed: string;
  readonly deviceModel?: string;
  readonly faultKey?: string;
  readonly json?: true;
}

interface PredictCommandOptions {
  readonly model: string;
  readonly test: string;
  readonly out: string;
  readonly json?: true;
}

export function register(program: Command): void {
  const command = program.command('prognosis').description('learn remaining life from a fleet, and predict it');
  command
    .command('fit')
    .description('fit a model to units that ran to failure (CSV `unit,cycle,…` or C-MAPSS text, also .gz)')
    .requiredOption('--train <file>', 'recording; the last row of each unit is its last cycle')
    .requiredOption('--model <file>', 'model file to write')
    .option('--horizon <cycles>', 'remaining life is learned and predicted as min(remaining, horizon)', '125')
    .option('--device-model <id>', 'device model of the catalogue whose signals the columns are')
    .option('--fault-key <code>', 'failure mode that the units died of')
    .option('--seed <number>', 'seed of all random draws', '1')
    .option('--json', 'summary as JSON')
    .action(runCommand(fit));
  command
    .command('predict')
    .description('predict the remaining life of each unit at its last cycle')
    .requiredOption('--model <file>', 'model file')
    .requiredOption('--test <file>', 'recording with the columns that the model was fitted with')
    .requiredOption('--out <file>', 'CSV to write: unit,rul,lower,upper (90 % interval)')
    .option('--json', 'summary as JSON')
    .action(runCommand(predict));
}

async function fit(options: FitCommandOptions): Promise<void> {
  const horizon = positiveNumber('--horizon', options.horizon);
  const seed = positiveNumber('--seed', options.seed);
  const deviceModel = options.deviceModel === undefined ? undefined : deviceModelOf(options.deviceModel);
  const { history, ignoredColumns, dataHash } = await readPrognosisRecording(options.train);
  if (ignoredColumns.length > 0) say(`left out, no numbers: ${ignoredColumns.join(', ')}`);
  const started = performance.now();
  const model = fitFleet(
    history,
    {
      horizon,
      seed: Math.floor(seed),
      dataHash,
      ...(deviceModel ? { deviceModel: deviceModel.id } : {}),
      ...(options.faultKey === undefined ? {} : { faultKey: options.faultKey }),
    },
    (done, of, what) => say(`${done}/${of} ${what}`),
  );
  if (deviceModel) checkLive(model, deviceModel);
  await replaceFile(options.model, serializeModel(model));
  printFit(options, model, (performance.now() - started) / 1000);
}

/** A model that live devices could not use should not be written as if they could. */
function checkLive(model: FittedModelFile, deviceModel: DeviceModel): void {
  createFittedPrognoser(model, deviceModel);
  const known = deviceModel.failureModes.map((mode) => mode.code);
  if (model.faultKey !== undefined && !known.includes(model.faultKey)) {
    throw new AppError('CONFIG_INVALID', `--fault-key ${model.faultKey}: ${deviceModel.id} has ${known.join(', ')}`);
  }
}

function printFit(options: FitCommandOptions, model: FittedModelFile, seconds: number): void {
  const { metrics, trainedOn, plan } = model;
  if (options.json) {
    const regimes = plan.regimes.centres.length;
    const summary = { model: options.model, version: model.version, trainedOn, regimes, metrics, seconds };
    process.stdout.write(`${JSON.stringify(summary)}\n`);
    return;
  }
  const percent = (100 * metrics.coverage).toFixed(1);
  process.stdout.write(
    `${options.model}: version ${model.version}, ${trainedOn.units} units, ${trainedOn.rows} rows, ` +
      `${plan.regimes.centres.length} regime(s), ${plan.channels.length} signals, ${seconds.toFixed(1)} s\n` +
      `cross-validated by unit: RMSE ${metrics.rmse.toFixed(2)}, PHM08 per prediction ${metrics.phm08.toFixed(2)}, ` +
      `90 % interval covers ${percent} %, Winkler ${metrics.winkler.toFixed(1)}\n`,
  );
}

async function predict(options: PredictCommandOptions): Promise<void> {
  const model = parseModel(await readModelText(options.model), options.model);
  const { history } = await readPrognosisRecording(options.test);
  const columnOf = mapColumns(model, history.columns);
  const rows = history.units.map((unit) => {
    const { median, lower, upper } = predictUnit(model, unit, columnOf);
    return [csvText(unit.id), median.toFixed(2), lower.toFixed(2), upper.toFixed(2)].join(',');
  });
  await replaceFile(options.out, `${['unit,rul,lower,upper', ...rows].join('\n')}\n`);
  const summary = { out: options.out, units: rows.length, version: model.version, horizon: model.horizon };
  process.stdout.write(options.json ? `${JSON.stringify(summary)}\n` : `${options.out}: ${rows.length} units\n`);
}

async function readModelText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new AppError('MODEL_FILE_INVALID', errorText(cause), { cause });
  }
}

/** Whole or not at all: a reader never sees half a file. */
async function replaceFile(path: string, text: string): Promise<void> {
  const draft = `${path}.${process.pid}.tmp`;
  try {
    await writeFile(draft, text);
    await rename(draft, path);
  } catch (cause) {
    throw new AppError('CONFIG_INVALID', `${path} cannot be written: ${errorText(cause)}`, { cause });
  }
}

function deviceModelOf(id: string): DeviceModel {
  const model = findModel(id);
  if (!model) throw new AppError('CONFIG_INVALID', `--device-model ${id} is not in the catalogue`);
  return model;
}

function positiveNumber(flag: string, text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value < 1)
    throw new AppError('CONFIG_INVALID', `${flag} ${text}: expected a number of at least 1`);
  return value;
}

function csvText(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
