/** Recordings whose rows carry times: NAB, OBD-II logs and other CSV, with and without a mapping of their columns. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HOUR_MS, MINUTE_MS, SECOND_MS } from '../../contract/kernel/time.ts';
import { type ColumnMapping, PLAIN_MAPPING, readColumnMapping } from '../../device-sim/replay/column-mapping.ts';
import { plannedMessages, planReplay, rowIntervalMs, samplesOf, selectDevices } from '../../device-sim/replay/plan.ts';
import { startsWithTimestamp } from '../../device-sim/replay/recording.ts';
import { readTimedRecordings } from '../../device-sim/replay/timed-recording.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'presage-timed-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function file(name: string, content: string | Buffer): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}
const read = async (content: string, mapping: ColumnMapping = PLAIN_MAPPING, name = 'a.csv') =>
  readTimedRecordings([await file(name, content)], mapping);
const timesOf = (rows: readonly { cycle: number }[] | undefined): number[] =>
  (rows ?? []).map(({ cycle }) => cycle - 1);

describe('a recording with times', () => {
  it('of NAB is a device of its file’s name with one signal, its gaps and equal times kept', async () => {
    const csv =
      'timestamp,value\n2014-02-14 14:30:00,0.132\n2014-02-14 14:35:00,-3e-2\n2014-02-14 14:35:00,7\n2014-02-14 15:30:00,1\n';
    const recording = await read(csv, PLAIN_MAPPING, 'ec2_cpu.utilization.csv');
    expect(recording).toMatchObject({ columns: ['value'], timed: true });
    expect(recording.units.map(({ unit }) => unit)).toEqual(['ec2_cpu-utilization']);
    expect(timesOf(recording.units[0]?.rows)).toEqual([0, 5 * MINUTE_MS, 5 * MINUTE_MS, HOUR_MS]);
    expect(recording.units[0]?.rows.map(({ values }) => values[0])).toEqual([0.132, -0.03, 7, 1]);
  });

  it('takes gzip, epoch milliseconds, ISO times with a zone, several signals and empty cells', async () => {
    const plain = await read('timestamp,a,b\n1400000000000,1,\n1400000060000,,2\n');
    expect(plain.units[0]?.rows.map(({ values }) => values)).toEqual([
      [1, Number.NaN],
      [Number.NaN, 2],
    ]);
    const path = await file(
      'z.csv.gz',
      gzipSync('timestamp,a,b\n2026-01-01T00:00:00+01:00,1,2\n2026-01-01T00:00:00.5Z,1,2\n'),
    );
    expect(timesOf((await readTimedRecordings([path], PLAIN_MAPPING)).units[0]?.rows)).toEqual([0, HOUR_MS + 500]);
    expect(await startsWithTimestamp(path)).toBe(true);
    expect(await startsWithTimestamp(await file('c.csv', 'unit,cycle,timestamp\n'))).toBe(false);
    expect(await startsWithTimestamp(join(folder, 'absent.csv'))).toBe(false);
  });

  it('leaves out rows in which nothing was measured, and a last row that was cut off', async () => {
    const recording = await read(
      'timestamp,a,b\n1400000000000,1,5\n1400000001000,,\n1400000002000,2,6\n1400000003000,3',
    );
    expect(timesOf(recording.units[0]?.rows)).toEqual([0, 2_000]);
  });

  it.each([
    ['', /the file is empty/],
    ['timestamp,value\n', /the file has no rows/],
    ['time,value\n1,2\n', /there is no column "timestamp"/],
    ['timestamp,my value\n', /line 1, column 2: "my value" cannot name a signal.*--columns/],
    ['timestamp,a,a\n', /the signal a comes twice/],
    ['timestamp\n1400000000000\n', /expected 1 to 64 signals/],
    ['timestamp,a\n14:30,1\n', /line 2, column timestamp: expected a time \(timestamp\), found "14:30"/],
    ['timestamp,a\n2014-02-30x,1\n', /line 2, column timestamp/],
    ['timestamp,a\n1400000000000,one\n', /line 2, column a: expected a number, found "one"/],
    ['timestamp,a\n1400000000000,NaN\n', /line 2, column a: expected a number/],
    ['timestamp,a\n1400000001000,1\n1400000000000,1\n', /line 3, column time: "1400000000000" is before the row above/],
    ['timestamp,a,b\n1400000000000,1\n1400000001000,1,2\n', /line 2, column 3: expected 3 columns, found 2/],
  ])('is refused with its place when it is wrong (case %#)', async (content, words) => {
    await expect(read(content)).rejects.toMatchObject({
      code: 'RECORDING_INVALID',
      message: expect.stringMatching(words),
    });
  });

  it('is refused when two files have one name or other columns, or are no CSV', async () => {
    const a = await file('same.csv', 'timestamp,a\n1400000000000,1\n');
    await expect(readTimedRecordings([a, a], PLAIN_MAPPING)).rejects.toThrow(/another file is called same too/);
    const b = await file('b.csv', 'timestamp,b\n1400000000000,1\n');
    await expect(readTimedRecordings([a, b], PLAIN_MAPPING)).rejects.toThrow(/the columns differ/);
    await expect(readTimedRecordings([await file('x.txt', '')], PLAIN_MAPPING)).rejects.toThrow(/expected \.csv/);
    await expect(readTimedRecordings([join(folder, 'absent.csv')], PLAIN_MAPPING)).rejects.toMatchObject({
      code: 'RECORDING_INVALID',
    });
  });
});

describe('a mapping of columns', () => {
  const mapping = async (json: unknown): Promise<ColumnMapping> =>
    readColumnMapping(await file('map.json', JSON.stringify(json)));
  const OBD = 'Trip time (s),RPM,Speed mph,Fuel,Note\n0.0,800,0,n/a,hello\n0.5,900,10,55,\n';

  it('names signals, converts units, knows what was not measured, and leaves other columns out', async () => {
    const map = await mapping({
      time: { column: 'Trip time (s)', unit: 's' },
      signals: {
        RPM: 'engineSpeedRpm',
        'Speed mph': { signal: 'vehicleSpeedKmH', factor: 1.6, offset: 1 },
        Fuel: 'fuelPercent',
      },
      missing: ['n/a'],
    });
    const { columns, units } = await read(OBD, map);
    expect(columns).toEqual(['engineSpeedRpm', 'vehicleSpeedKmH', 'fuelPercent']);
    expect(units[0]?.rows).toEqual([
      { cycle: 1, values: [800, 1, Number.NaN] },
      { cycle: 501, values: [900, 17, 55] },
    ]);
  });

  it('gives times to rows that have none', async () => {
    const map = await mapping({ time: { every: '500ms' }, signals: { RPM: 'engineSpeedRpm' } });
    expect(timesOf((await read(OBD, map)).units[0]?.rows)).toEqual([0, 500]);
  });

  it('joins the files of one device with a pause between them', async () => {
    const map = await mapping({ time: { every: '1s' }, device: { name: 'car', pause: '2h' }, signals: { RPM: 'rpm' } });
    const files = [await file('t1.csv', OBD), await file('t2.csv', OBD)];
    const { units } = await readTimedRecordings(files, map);
    expect(units).toHaveLength(1);
    expect(timesOf(units[0]?.rows)).toEqual([0, SECOND_MS, SECOND_MS + 2 * HOUR_MS, 2 * SECOND_MS + 2 * HOUR_MS]);
  });

  it('makes another recording of the same file', async () => {
    const one = await read(OBD, await mapping({ time: { every: '1s' }, signals: { RPM: 'rpm' } }));
    const other = await read(OBD, await mapping({ time: { every: '2s' }, signals: { RPM: 'rpm' } }));
    expect(one.sha256).not.toBe(other.sha256);
  });

  it('is refused when it names a column that is not there', async () => {
    const map = await mapping({ time: { every: '1s' }, signals: { Rpm: 'rpm' } });
    await expect(read(OBD, map)).rejects.toThrow(/there is no column "Rpm"/);
  });

  it.each([
    [{ signals: {} }, /time/],
    [{ time: { column: 'a', unit: 'years' } }, /time/],
    [{ time: { every: 'often' } }, /time/],
    [{ time: { every: '1s' }, signals: { a: 'my signal' } }, /signals/],
    [{ time: { every: '1s' }, device: { name: 'no.dots', pause: '1h' } }, /device\.name/],
    [{ time: { every: '1s' }, colour: 'red' }, /colour/],
  ])('is refused when it is wrong (case %#)', async (json, words) => {
    await expect(mapping(json)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringMatching(words),
    });
  });

  it('must be there', async () => {
    await expect(readColumnMapping(join(folder, 'absent.json'))).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });
});

describe('placing rows with times', () => {
  const END = Date.UTC(2026, 5, 1);
  const plan = async (csv: string, batch: number) => {
    const recording = await read(csv);
    const devices = selectDevices(recording, { prefix: '', untilFraction: 1 });
    return planReplay(recording.columns, devices, {
      cycleMs: 1,
      rowIntervalMs: rowIntervalMs(devices),
      end: END,
      batch,
    });
  };

  it('puts the last row at the end, keeps intervals, and adds no signal', async () => {
    const planned = await plan('timestamp,a\n1400000000000,1\n1400000300000,2\n1400000600000,3\n1400009600000,4\n', 2);
    expect(planned.intervalMs).toBe(300_000);
    const samples = planned.devices.flatMap(({ rows }) => samplesOf(planned, rows));
    expect(samples.map(({ at }) => at - END)).toEqual([-9_600_000, -9_300_000, -9_000_000, 0]);
    expect(samples[0]?.signals).toEqual({ a: 1 });
  });

  it('never puts more rows into a message than asked for, however dense they are', async () => {
    const dense = Array.from({ length: 25 }, (_, i) => `${1400000000000 + (i < 20 ? 0 : i * 1_000)},${i}`);
    const planned = await plan(['timestamp,a', ...dense].join('\n'), 4);
    const [device] = planned.devices;
    if (!device) throw new Error('no device');
    const messages = plannedMessages(planned, device);
    expect(messages.map(({ seq }) => seq)).toEqual(messages.map((_, i) => i + 1));
    expect(Math.max(...messages.map(({ from, to }) => to - from))).toBe(4);
    expect(messages.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, i) => from + i))).toEqual(
      dense.map((_, i) => i),
    );
  });
});
