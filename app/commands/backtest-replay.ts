/**
 * `presage backtest replay`: what a version of the detectors would have raised over the telemetry that a running server has
 * stored, beside the active version, down to tickets and their cost. It reads through the API, with the rights of its token.
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import type { Command } from 'commander';
import { z } from 'zod';
import { createFittedPrognoser } from '../../analytics/prognosis/fitted-model.ts';
import { parseModel } from '../../analytics/prognosis/model-file.ts';
import type { Prognoser } from '../../analytics/prognosis/prognoser.ts';
import { parsePolicy } from '../../api/desk/policy.ts';
import { findModel } from '../../contract/devices/catalogue.ts';
import { type Label, label } from '../../contract/http/outcomes.ts';
import { registryEntry } from '../../contract/http/registry.ts';
import { device as deviceShape, exportedSample } from '../../contract/http/resources.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { parseDuration } from '../../contract/kernel/time.ts';
import type { StoredSample } from '../../contract/ports/telemetry-store.ts';
import { type ApiClient, type ApiOptions, apiClientFor, withApiAccess } from '../api-client.ts';
import { costTable, type KnownOutcome } from '../backtest/desk-account.ts';
import {
  DEFAULT_MAX_ROWS,
  type FleetDevice,
  type FleetSource,
  type ReplayReport,
  replayFleet,
  type VersionResult,
} from '../backtest/replay-fleet.ts';
import { runCommand } from '../cli-support.ts';
import { print } from '../table.ts';

interface ReplayFlags extends ApiOptions {
  readonly from: string;
  readonly to: string;
  readonly detector: string;
  readonly model?: string;
  readonly devices?: string;
  readonly warmup: string;
  readonly costs?: string;
  readonly outcomes?: string;
  readonly labels: boolean;
  readonly ticketPolicy?: string;
  readonly prognosis?: readonly string[];
}

export function registerReplay(backtest: Command): void {
  withApiAccess(
    backtest
      .command('replay')
      .description('what a version would have raised over stored telemetry, beside the active one'),
  )
    .requiredOption('--from <time>', 'ISO 8601, inclusive: alerts and tickets count from here on')
    .option('--to <time>', 'ISO 8601, exclusive', new Date().toISOString())
    .requiredOption(
      '--detector <version>',
      'version of the registry (presage detector list); `active` for the active one',
    )
    .option('--model <id>', 'devices of one model only')
    .option('--devices <ids>', 'these devices only, separated by commas')
    .option('--warmup <duration>', 'so long before --from the detectors learn', '30d')
    .option('--costs <file>', 'JSON: currency, visit, falseVisit, avoidedFailure, missedFailure')
    .option(
      '--outcomes <file>',
      'JSON list: device, component, from, to, result (fault or noFault); beside the desk’s labels',
    )
    .option('--no-labels', 'leave out what technicians have reported')
    .option('--ticket-policy <file>', 'JSON: overrides of the ticket policy, as in the seed file')
    .option('--prognosis <model=file...>', 'fitted prognosis model of a device model; else the trend foresees alone')
    .action(runCommand(replay));
}

async function replay(flags: ReplayFlags): Promise<void> {
  const client = apiClientFor(flags);
  const range = { from: timeOf(flags.from, '--from'), to: timeOf(flags.to, '--to') };
  if (range.to <= range.from) throw new AppError('CONFIG_INVALID', '--to must be later than --from');
  const fitted = fittedModels(flags.prognosis ?? []);
  const outcomes = [
    ...(flags.labels ? (await client.all('/api/v1/labels', label)).flatMap(outcomesOf) : []),
    ...fileOf(flags.outcomes, '--outcomes', z.array(knownOutcome), []),
  ];
  const missingModels = await prognosesNotHere(client, fitted);
  const report = await replayFleet(await sourceOf(client, flags), {
    ...range,
    ...{ detector: flags.detector, fitted, outcomes, maxRows: DEFAULT_MAX_ROWS },
    warmupMs: parseDuration(flags.warmup),
    costs: fileOf(flags.costs, '--costs', costTable, costTable.parse({})),
    policy: parsePolicy(fileOf(flags.ticketPolicy, '--ticket-policy', z.record(z.string(), z.unknown()), {})),
  });
  if (flags.json) process.stdout.write(`${JSON.stringify({ ...report, prognosesNotHere: missingModels })}\n`);
  else show(report, missingModels);
}

const time = z.union([z.number(), z.iso.datetime({ offset: true }).transform((text) => Date.parse(text))]);
const knownOutcome = z.strictObject({
  device: z.string(),
  component: z.string(),
  from: time,
  to: time,
  result: z.enum(['fault', 'noFault']),
});

function timeOf(text: string, flag: string): number {
  const at = Date.parse(text);
  if (Number.isFinite(at)) return at;
  throw new AppError('CONFIG_INVALID', `${flag} "${text}" is not a time; write for example 2026-11-01T00:00:00Z`);
}

function fileOf<Shape extends z.ZodType>(
  path: string | undefined,
  flag: string,
  shape: Shape,
  absent: z.output<Shape>,
): z.output<Shape> {
  if (path === undefined) return absent;
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new AppError('CONFIG_INVALID', `${flag} ${path} is not readable JSON`, { cause });
  }
  const checked = shape.safeParse(parsed);
  if (checked.success) return checked.data;
  const problems = checked.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  throw new AppError('CONFIG_INVALID', `${flag} ${path}: ${problems.join('; ')}`);
}

function fittedModels(pairs: readonly string[]): ReadonlyMap<string, Prognoser<unknown>> {
  return new Map(
    pairs.map((pair) => {
      const [id = '', ...path] = pair.split('=');
      const model = findModel(id);
      if (!model) throw new AppError('CONFIG_INVALID', `--prognosis: there is no device model ${id}`);
      const file = path.join('=');
      const prognoser = createFittedPrognoser(parseModel(readFileSync(file, 'utf8'), file), model);
      return [id, prognoser as Prognoser<unknown>] as const;
    }),
  );
}

/** What a technician has found, as something known about a component; nothing where nobody looked. */
function outcomesOf({ device, model, component, onset, openedAt, outcome }: Label): KnownOutcome[] {
  // A fault that somebody reported of a machine that sends nothing.
  if (device === undefined) return [];
  const span = { device, from: onset ?? openedAt, to: outcome.at };
  switch (outcome.result) {
    case 'confirmed':
      return [{ ...span, component, result: 'fault' }];
    case 'no_fault_found':
      return [{ ...span, component, result: 'noFault' }];
    case 'other_cause': {
      const found = findModel(model)?.failureModes.find((mode) => mode.code === outcome.faultKey)?.component;
      if (found === undefined) return [];
      const known: KnownOutcome = { ...span, component: found, result: 'fault' };
      return found === component ? [known] : [known, { ...span, component, result: 'noFault' }];
    }
    case 'not_visited':
      return [];
  }
}

/** Fitted models that are active in the registry and were not given: here the trend alone speaks for them. */
async function prognosesNotHere(client: ApiClient, fitted: ReadonlyMap<string, Prognoser<unknown>>): Promise<string[]> {
  const active = await client.all('/api/v1/registry?kind=prognosis&state=active', registryEntry);
  return active
    .filter(({ parts }) => parts.length > 1)
    .filter(({ model, name, version }) => {
      const here = fitted.get(model);
      return here?.name !== name || here.version !== version;
    })
    .map(({ model, name, version }) => `${name} ${version} of ${model}`);
}

async function sourceOf(client: ApiClient, { model, devices }: ReplayFlags): Promise<FleetSource> {
  const wanted = devices === undefined ? undefined : new Set(devices.split(','));
  const all = await client.all('/api/v1/devices', deviceShape);
  const chosen = all.filter((one) => (wanted?.has(one.id) ?? true) && (model === undefined || one.model === model));
  const unknown = [...(wanted ?? [])].filter((id) => !chosen.some((one) => one.id === id));
  if (unknown.length > 0)
    throw new AppError('NOT_FOUND', `device ${unknown.join(', ')}${model ? ` of model ${model}` : ''}`);
  return {
    devices: chosen.map(({ tenant, id, model }) => ({ tenant, id, model })),
    versions: await client.all('/api/v1/registry?kind=ensemble', registryEntry),
    rows: (device, from, to) => exported(client, device, from, to),
  };
}

async function* exported(
  client: ApiClient,
  { tenant, id }: FleetDevice,
  from: number,
  to: number,
): AsyncGenerator<StoredSample> {
  const query = new URLSearchParams({
    device: id,
    from: new Date(from).toISOString(),
    to: new Date(to).toISOString(),
  });
  const body = await client.stream(`/api/v1/export/telemetry?${query}`);
  const lines = createInterface({ input: Readable.fromWeb(body), crlfDelay: Number.POSITIVE_INFINITY });
  for await (const line of lines) {
    if (line === '') continue;
    const { device, time: observedAt, ...sample } = exportedSample.parse(JSON.parse(line));
    yield { ...sample, tenant, device, observedAt };
  }
}

const LISTED = 20;

function show(report: ReplayReport, prognosesNotHere: readonly string[]): void {
  const out = (line: string): void => void process.stdout.write(`${line}\n`);
  out(
    `${isoOf(report.from)} to ${isoOf(report.to)}, learning from ${isoOf(report.learnsFrom)}: ` +
      `${report.devices} devices, ${report.samples} samples, ${report.deviceDays} device-days`,
  );
  print([rowOf('asked for', report.candidate), rowOf('active', report.active)], COLUMNS, {});
  const { both, onlyShadow, onlyActive } = report.agreement;
  out(`alerts of both: ${both}; only of the one asked for: ${onlyShadow}; only of the active one: ${onlyActive}`);
  named('devices without stored samples', report.devicesWithoutRows, (id) => id, out);
  named('devices of models without this version', report.leftOut, (id) => id, out);
  named(
    'missing messages',
    report.missing.messages,
    ({ device, boot, fromSeq, toSeq }) => `${device} boot ${boot} seq ${fromSeq}${toSeq > fromSeq ? `–${toSeq}` : ''}`,
    out,
  );
  named('silent', report.missing.silences, ({ device, from, to }) => `${device} ${isoOf(from)} to ${isoOf(to)}`, out);
  named('prognosis models that are active and not here', prognosesNotHere, (one) => one, out);
}

const COLUMNS = [
  'role',
  'version',
  'alerts',
  'per1000DeviceDays',
  'tickets',
  'right',
  'wrong',
  'unknown',
  'missedFaults',
  'cost',
  'ifAllUnknown',
] as const;

function rowOf(role: string, result: VersionResult) {
  const count = (outcome: string): number => result.tickets.filter((one) => one.outcome === outcome).length;
  const { currency, known, atBest, atWorst } = result.costs;
  return {
    role,
    version: [...new Set(result.versions.map((one) => one.version))].join(' '),
    alerts: result.alerts.length,
    per1000DeviceDays: result.alertsPer1000DeviceDays?.toFixed(2),
    tickets: result.tickets.length,
    right: count('fault'),
    wrong: count('noFault'),
    unknown: count('unknown'),
    missedFaults: result.missed.length,
    cost: `${known} ${currency}`,
    ifAllUnknown: count('unknown') === 0 ? undefined : `right ${atBest}, wrong ${atWorst}`,
  };
}

function named<Item>(
  what: string,
  items: readonly Item[],
  nameOf: (item: Item) => string,
  out: (line: string) => void,
) {
  if (items.length === 0) return;
  out(`${what}: ${items.length}`);
  for (const item of items.slice(0, LISTED)) out(`  ${nameOf(item)}`);
  if (items.length > LISTED) out(`  and ${items.length - LISTED} more; --json names all`);
}

function isoOf(at: number): string {
  return new Date(at).toISOString().replace('.000Z', 'Z');
}
