/**
 * Replays a run-to-failure recording through a whole Presage and judges what came out: every row exported exactly once
 * with equal values, one ticket an engine, and how long before its failure. Used by a scenario test on the small fixture
 * and by `npm run bench:fd001` on the whole recording.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { CMAPSS_SIGNALS } from '../../contract/devices/turbofan.ts';
import {
  type ExportedSample,
  exportedSample,
  type TicketSummary,
  ticketSummary,
} from '../../contract/http/resources.ts';
import type { SeedFile } from '../../contract/kernel/seed.ts';
import { type PresageProcess, startPresage } from './presage-process.ts';
import { runCliOk } from './run-cli.ts';
import { waitFor } from './wait-for.ts';

const TENANT = 'bench';
const TOKEN = 'psg_bench_manager_token_0123456789abcdef';
const CYCLE_MS = 3_600_000;

/** Rows of one engine in file order: cycle first, then the 24 value columns. */
export type Engine = {
  readonly unit: number;
  readonly rows: readonly (readonly number[])[];
  readonly lines: readonly string[];
};

/** The engines of a C-MAPSS text file (gzipped or not). */
export function readEngines(path: string): Engine[] {
  const bytes = readFileSync(path);
  const text = (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString();
  const engines = new Map<number, { rows: number[][]; lines: string[] }>();
  for (const line of text.split('\n')) {
    const [unit, ...values] = line.trim().split(/\s+/).map(Number);
    if (unit === undefined || values.length === 0) continue;
    const engine = engines.get(unit) ?? { rows: [], lines: [] };
    engine.rows.push(values);
    engine.lines.push(line);
    engines.set(unit, engine);
  }
  return [...engines].map(([unit, engine]) => ({ unit, ...engine }));
}

export function writeEngines(path: string, engines: readonly Engine[]): void {
  writeFileSync(path, `${engines.flatMap((engine) => engine.lines).join('\n')}\n`);
}

/** The device id that replay gives an engine. */
export function deviceOf(unit: number, prefix: string): string {
  return `${prefix}${String(unit).padStart(3, '0')}`;
}

export function seedFor(devices: readonly string[]): SeedFile {
  return {
    tenants: [
      {
        id: TENANT,
        name: 'Bench',
        centres: [{ id: 'hangar', name: 'Hangar', timeZone: 'UTC' }],
        users: [{ id: 'manager', role: 'manager', tokens: [TOKEN] }],
        devices: devices.map((id) => ({ id, model: 'turbofan', secret: `secret-of-${id}-${'x'.repeat(24)}` })),
      },
    ],
  };
}

export interface ReplayPlan {
  readonly recording: string;
  readonly prefix: string;
  readonly units: string;
  /** Cycles a second. */
  readonly speed: string;
  readonly untilFraction?: number;
  /** Kills the server this many times, at moments drawn from `random`, while the replay runs. */
  readonly kills?: number;
  readonly random?: () => number;
  readonly expectedSeconds?: number;
}

/** Runs `presage replay` to its end; with kills, the server dies and comes back meanwhile. Returns restart times, ms. */
export async function replay(server: PresageProcess, plan: ReplayPlan): Promise<number[]> {
  const args = [
    'replay',
    plan.recording,
    '--broker',
    server.broker,
    '--seed',
    server.seedPath,
    '--prefix',
    plan.prefix,
  ];
  args.push('--units', plan.units, '--speed', plan.speed, '--cycle', '1h', '--json');
  if (plan.untilFraction !== undefined) args.push('--until-fraction', String(plan.untilFraction));
  let ended = false;
  const running = runCliOk(args).finally(() => {
    ended = true;
  });
  // Nobody awaits the replay while the server is being killed; its failure is reported below.
  running.catch(() => undefined);
  const restarts: number[] = [];
  for (let kill = 0; kill < (plan.kills ?? 0) && !ended; kill++) {
    const share = (plan.expectedSeconds ?? 10) / ((plan.kills ?? 1) + 1);
    const until = performance.now() + 1_000 * share * (0.5 + (plan.random?.() ?? 0.5));
    await waitFor('the moment of the next kill', () => ended || performance.now() > until, 600_000);
    if (ended) break;
    await server.kill();
    await server.restart();
    restarts.push(server.startMs);
  }
  await running;
  return restarts;
}

async function get(server: PresageProcess, path: string): Promise<Response> {
  const response = await fetch(new URL(path, server.api), { headers: { authorization: `Bearer ${TOKEN}` } });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response;
}

export async function exportDevice(server: PresageProcess, device: string): Promise<ExportedSample[]> {
  const range = 'from=2000-01-01T00:00:00Z&to=2100-01-01T00:00:00Z';
  const text = await (await get(server, `/api/v1/export/telemetry?device=${device}&${range}`)).text();
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => exportedSample.parse(JSON.parse(line)));
}

export async function allTickets(server: PresageProcess): Promise<TicketSummary[]> {
  const tickets: TicketSummary[] = [];
  let cursor: string | undefined;
  do {
    const page = (await (
      await get(server, `/api/v1/tickets?limit=500${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`)
    ).json()) as {
      items: unknown[];
      nextCursor?: string;
    };
    tickets.push(...page.items.map((item) => ticketSummary.parse(item)));
    cursor = page.nextCursor;
  } while (cursor);
  return tickets;
}

/** Waits until store, analytics and desk have passed everything that was acknowledged. */
export async function drained(server: PresageProcess): Promise<void> {
  await waitFor(
    'the followers to pass the end of the logs',
    async () => {
      const metrics = await (await fetch(new URL('/metrics', server.api))).text();
      const lags = [...metrics.matchAll(/^presage_(?:log|desk)_lag_bytes(?:\{([^}]*)\})? (\S+)$/gm)].filter(
        (match) => !match[1]?.includes('sequence'),
      );
      return lags.length >= 4 && lags.every((match) => Number(match[2]) === 0);
    },
    120_000,
  );
}

export interface ExportVerdict {
  readonly rows: number;
  readonly missing: number;
  readonly doubled: number;
  readonly different: number;
}

/** Compares a device's export with the engine's rows, value by value. */
export function compareExport(engine: Engine, samples: readonly ExportedSample[]): ExportVerdict {
  const byCycle = new Map<number, ExportedSample[]>();
  for (const sample of samples) {
    const cycle = Number(sample.signals.cycle);
    byCycle.set(cycle, [...(byCycle.get(cycle) ?? []), sample]);
  }
  let missing = 0;
  let doubled = 0;
  let different = 0;
  for (const row of engine.rows) {
    const found = byCycle.get(row[0] ?? -1) ?? [];
    if (found.length === 0) missing += 1;
    if (found.length > 1) doubled += found.length - 1;
    if (found[0] && CMAPSS_SIGNALS.some((signal, column) => found[0]?.signals[signal] !== row[column + 1]))
      different += 1;
  }
  return { rows: samples.length, missing, doubled, different };
}

export interface EngineOutcome {
  readonly device: string;
  readonly tickets: number;
  /** Cycles between the ticket's sample and the failure, by device time. */
  readonly leadCycles?: number;
  /** The same on the server's clock: from the ticket's creation to the receipt of the failing sample. */
  readonly leadSeconds?: number;
}

async function outcomeOf(
  server: PresageProcess,
  device: string,
  tickets: readonly TicketSummary[],
): Promise<EngineOutcome> {
  const own = tickets.filter((ticket) => ticket.device === device).sort((a, b) => a.createdAt - b.createdAt);
  const first = own[0];
  if (!first) return { device, tickets: 0 };
  const last = (await exportDevice(server, device)).at(-1);
  if (!last) return { device, tickets: own.length };
  return {
    device,
    tickets: own.length,
    leadCycles: Math.round((last.time - first.observedAt) / CYCLE_MS),
    leadSeconds: (last.receivedAt - first.createdAt) / 1_000,
  };
}

/** One after the other: a tenant may run few exports at once. */
export async function outcomesOf(
  server: PresageProcess,
  devices: readonly string[],
  tickets: readonly TicketSummary[],
): Promise<EngineOutcome[]> {
  const outcomes: EngineOutcome[] = [];
  for (const device of devices) outcomes.push(await outcomeOf(server, device, tickets));
  return outcomes;
}

/** Fits a model on the engines with the real command; returns its path. */
export async function fitModel(directory: string, engines: readonly Engine[]): Promise<string> {
  const train = join(directory, 'train.txt');
  const model = join(directory, 'turbofan.json');
  writeEngines(train, engines);
  await runCliOk(['prognosis', 'fit', '--train', train, '--model', model]);
  return model;
}

export function startForRecording(
  devices: readonly string[],
  modelPath: string,
  env: Readonly<Record<string, string>> = {},
): Promise<PresageProcess> {
  return startPresage({ seed: seedFor(devices), env: { PRESAGE_PROGNOSIS_MODELS: `turbofan=${modelPath}`, ...env } });
}
