/**
 * The whole loop on a real recording, once for each telemetry store: a model fitted on some engines, others replayed over
 * MQTT with a kill -9 in the middle; every row comes back exactly once and each failing engine has one ticket in time.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type InfluxServer, startInfluxServer } from '../../app/demo/influx-server.ts';
import { seededRandom } from '../../contract/kernel/random.ts';
import { findBinary } from '../support/binaries.ts';
import type { PresageProcess } from '../support/presage-process.ts';
import {
  allTickets,
  compareExport,
  deviceOf,
  drained,
  exportDevice,
  fitModel,
  outcomesOf,
  readEngines,
  replay,
  startForRecording,
} from '../support/recording-run.ts';

const RECORDING = new URL('../fixtures/cmapss/train_FD001_units_1-24.txt.gz', import.meta.url).pathname;
const TRAIN_UNTIL = 14;
const engines = readEngines(RECORDING);
const judged = engines.filter((engine) => engine.unit > TRAIN_UNTIL);
const influxd = findBinary('influxd');

let directory: string;
let model: string;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'presage-recording-'));
  model = await fitModel(
    directory,
    engines.filter((engine) => engine.unit <= TRAIN_UNTIL),
  );
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe.each(['embedded', 'influx'] as const)('a recording replayed into the %s store', (store) => {
  const available = store === 'embedded' || influxd !== undefined;
  let influx: InfluxServer | undefined;
  let server: PresageProcess;

  beforeAll(async () => {
    if (!available) return;
    if (influxd && store === 'influx') influx = await startInfluxServer(influxd);
    const devices = judged.flatMap((engine) => [deviceOf(engine.unit, 'engine-'), deviceOf(engine.unit, 'short-')]);
    server = await startForRecording(devices, model, influx ? influxSettings(influx) : {});
    const units = `${TRAIN_UNTIL + 1}-24`;
    await replay(server, {
      recording: RECORDING,
      prefix: 'engine-',
      units,
      speed: '25',
      kills: 1,
      random: seededRandom(11),
      expectedSeconds: 12,
    });
    await replay(server, { recording: RECORDING, prefix: 'short-', units, speed: 'max', untilFraction: 0.3 });
    await drained(server);
  }, 240_000);

  afterAll(async () => {
    await server?.dispose();
    await influx?.stop();
  });

  it.runIf(available)('gives back every row exactly once with equal values', async () => {
    for (const engine of judged) {
      const samples = await exportDevice(server, deviceOf(engine.unit, 'engine-'));
      expect({ device: engine.unit, ...compareExport(engine, samples) }).toEqual({
        device: engine.unit,
        rows: engine.rows.length,
        missing: 0,
        doubled: 0,
        different: 0,
      });
    }
  });

  it.runIf(available)('has exactly one ticket for nine of ten failing engines, at least ten cycles ahead', async () => {
    const tickets = await allTickets(server);
    const outcomes = await outcomesOf(
      server,
      judged.map((engine) => deviceOf(engine.unit, 'engine-')),
      tickets,
    );
    const good = outcomes.filter((outcome) => outcome.tickets === 1 && (outcome.leadCycles ?? 0) >= 10);
    expect(good.length, JSON.stringify(outcomes)).toBeGreaterThanOrEqual(Math.floor(judged.length * 0.9));
    expect(outcomes.filter((outcome) => outcome.tickets > 1)).toEqual([]);
  });

  it.runIf(available)('has no ticket for engines stopped at 30 % of their life', async () => {
    const tickets = await allTickets(server);
    expect(tickets.filter((ticket) => ticket.device?.startsWith('short-'))).toEqual([]);
  });
});

function influxSettings(influx: InfluxServer): Record<string, string> {
  return {
    PRESAGE_STORE: 'influx',
    INFLUX_URL: influx.url,
    INFLUX_USER: influx.username,
    INFLUX_PASSWORD: influx.password,
  };
}
