/** `presage backtest replay` and `presage detector` as commands against a running server. */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runnableHere } from '../../analytics/registry/ensemble.ts';
import { shippedVersions } from '../../analytics/registry/shipped.ts';
import { type Database, openDatabase } from '../../api/db/database.ts';
import { migrate } from '../../api/db/migrate.ts';
import { applyShipped } from '../../api/registry/apply-shipped.ts';
import type { ReplayReport } from '../../app/backtest/replay-fleet.ts';
import { DEVICE_MODELS } from '../../contract/devices/catalogue.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import { type ApiHarness, startHarness, storedSample, T0, token } from '../support/api-harness.ts';
import { manualClock, silentLogger } from '../support/fake-services.ts';
import { temporaryDirectory } from '../support/postgres.ts';
import { refrigeratorStream } from '../support/refrigerator-stream.ts';
import { runCliOk } from '../support/run-cli.ts';

const clock = manualClock(T0);
const START = T0 - 10 * DAY_MS;

// What the commands ask of the database is tested with the API; here one server will do, because each command is a process.
describe('a replay from the command line', () => {
  let harness: ApiHarness;
  let database: Database;
  let folder: string;
  let access: string[];
  beforeAll(async () => {
    folder = temporaryDirectory('replay');
    database = openDatabase({ embedded: join(folder, 'sql') }, { logger: silentLogger, clock });
    await database.start();
    await migrate(database);
    harness = await startHarness(database, clock);
    await applyShipped(database, shippedVersions(DEVICE_MODELS, new Map()), {
      clock,
      successorOf: (version) => runnableHere(version),
    });
    const file = join(folder, 'token');
    writeFileSync(file, `${token('acme', 'anna')}\n`, { mode: 0o600 });
    access = ['--api', `http://127.0.0.1:${harness.api.ports().http}`, '--token-file', file];
    const worn = refrigeratorStream({
      seed: 9,
      days: 10,
      startAt: START,
      fanWear: (day) => Math.max(0, (day - 5) / 5),
    });
    let seq = 0;
    for (const { at, signals } of worn) {
      harness.telemetry.samples.push(storedSample({ seq: seq++, observedAt: at, receivedAt: at + 100, signals }));
    }
  });
  afterAll(async () => {
    await harness?.api.stop();
    await database?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('registers, replays with outcomes and costs of one’s own, and promotes', async () => {
    const parameters = join(folder, 'parameters.json');
    writeFileSync(parameters, JSON.stringify({ onSamples: 30 }));
    const args = ['--model', 'refrigerator', ...access];
    await runCliOk(['detector', 'register', 'calm', '--parameters', parameters, ...args]);
    const outcomes = join(folder, 'outcomes.json');
    const fault = { device: 'fridge-1', component: 'evaporatorFan', from: START + 5 * DAY_MS, to: T0, result: 'fault' };
    writeFileSync(outcomes, JSON.stringify([fault]));
    const costs = join(folder, 'costs.json');
    writeFileSync(costs, JSON.stringify({ currency: 'CHF', visit: 90 }));
    const from = new Date(START + 3 * DAY_MS).toISOString();
    const to = new Date(T0).toISOString();
    const range = ['--from', from, '--to', to, '--warmup', '3d', '--outcomes', outcomes, '--costs', costs];
    const said = await runCliOk(['backtest', 'replay', '--detector', 'calm', ...range, ...args, '--json']);
    const report = JSON.parse(said) as ReplayReport;
    expect(report).toMatchObject({ devices: 3, samples: 2_880, devicesWithoutRows: ['fridge-2', 'fridge-3'] });
    expect(report.candidate.alerts.length).toBeGreaterThan(0);
    expect(report.candidate.alerts.map((one) => one.ensemble?.version)).toContain('calm');
    expect(report.candidate.costs.currency).toBe('CHF');
    expect(await runCliOk(['backtest', 'replay', '--detector', 'calm', ...range, ...args])).toMatch(/asked for +calm/);
    const promoted = await runCliOk(['detector', 'promote', 'calm', '--reason', 'quieter', ...args]);
    expect(promoted).toMatch(/ensemble +refrigerator +ensemble +calm +active +tenant +anna/);
  }, 600_000);
});
