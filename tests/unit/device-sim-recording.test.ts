/** Recordings and their place in time: parsing with clear errors, selection, shift, messages. */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CMAPSS_SIGNALS } from '../../contract/devices/turbofan.ts';
import { HOUR_MS } from '../../contract/kernel/time.ts';
import {
  deviceNameOf,
  plannedMessages,
  planReplay,
  type ReplayTiming,
  samplesOf,
  selectDevices,
} from '../../device-sim/replay/plan.ts';
import { readRecordings } from '../../device-sim/replay/recording.ts';
import { loadReplayState, type ReplayIdentity, saveReplayState } from '../../device-sim/replay/state-file.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'presage-recording-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let files = 0;
async function file(name: string, content: string | Buffer): Promise<string> {
  const path = join(folder, `${files++}-${name}`);
  await writeFile(path, content);
  return path;
}
const cmapssLine = (unit: number, cycle: number): string =>
  `${unit} ${cycle} ${CMAPSS_SIGNALS.map((_, i) => (i + cycle / 100).toFixed(4)).join(' ')}  `;
const cmapss = (lives: readonly number[]): string =>
  lives.flatMap((life, u) => Array.from({ length: life }, (_, c) => cmapssLine(u + 1, c + 1))).join('\n');
const END = Date.UTC(2026, 5, 1);
const timing: ReplayTiming = { cycleMs: HOUR_MS, end: END, batch: 5 };
const all = { prefix: 'engine-', untilFraction: 1 };

describe('reading a recording', () => {
  it('takes C-MAPSS text with trailing blanks, empty lines and Windows line ends', async () => {
    const text = cmapss([3, 2]).replaceAll('\n', '\r\n');
    const recording = await readRecordings([await file('a.txt', `${text}\r\n\r\n`)]);
    expect(recording.columns).toEqual(CMAPSS_SIGNALS);
    expect(recording.units.map(({ unit, rows }) => [unit, rows.map((row) => row.cycle)])).toEqual([
      ['1', [1, 2, 3]],
      ['2', [1, 2]],
    ]);
    expect(recording.units[0]?.rows[2]?.values[1]).toBe(1.03);
  });

  it('takes gzip and gives the same', async () => {
    const plain = await readRecordings([await file('a.txt', cmapss([3, 2]))]);
    const zipped = await readRecordings([await file('a.txt.gz', gzipSync(cmapss([3, 2])))]);
    expect(zipped.units).toEqual(plain.units);
  });

  it('takes CSV with its own columns, a byte order mark, quotes and empty cells', async () => {
    const csv = '\uFEFFunit,cycle,"temperatureC",flow\npump-a,1,20.5,\npump-a,2,-1e-3,4\n';
    const recording = await readRecordings([await file('a.csv', csv)]);
    expect(recording.columns).toEqual(['temperatureC', 'flow']);
    expect(recording.units[0]?.rows).toEqual([
      { cycle: 1, values: [20.5, Number.NaN] },
      { cycle: 2, values: [-0.001, 4] },
    ]);
  });

  it('joins several files', async () => {
    const a = await file('a.csv', 'unit,cycle,x\n1,1,5\n');
    const b = await file('b.csv', 'unit,cycle,x\n2,1,6\n');
    expect((await readRecordings([a, b])).units.map(({ unit }) => unit)).toEqual(['1', '2']);
    await expect(readRecordings([a, await file('d.csv', 'unit,cycle,x\n1,9,5\n')])).rejects.toThrow(
      /unit 1 was already in/,
    );
    await expect(readRecordings([a, await file('c.csv', 'unit,cycle,y\n3,1,6\n')])).rejects.toThrow(/columns differ/);
  });

  it.each([
    ['a.txt', `${cmapssLine(1, 1)}\n1 2 3`, /line 2, column 4: expected 26 columns, found 3/],
    [
      'a.txt',
      cmapssLine(1, 1).replace('3.0100', 'three'),
      /line 1, column fanInletTempR: expected a number, found "three"/,
    ],
    ['a.txt', `${cmapssLine(1, 2)}\n${cmapssLine(1, 2)}`, /line 2, column cycle: cycle 2 follows 2/],
    ['a.txt', cmapssLine(1, 1).replace('1 1 ', '1 1.5 '), /line 1, column cycle: expected a whole number/],
    ['a.txt', '', /line 1, column unit: the file has no rows/],
    ['a.csv', '', /the file is empty/],
    ['a.csv', 'unit,cycle,x\n', /the file has no rows/],
    ['a.csv', 'engine,cycle,x\n', /line 1, column 1: expected the column "unit", found "engine"/],
    ['a.csv', 'unit,time,x\n', /line 1, column 2: expected the column "cycle"/],
    ['a.csv', 'unit,cycle\n', /expected 1 to 63 columns/],
    ['a.csv', 'unit,cycle,x y\n', /line 1, column 3: "x y" cannot name a signal/],
    ['a.csv', 'unit,cycle,x,x\n', /line 1, column 4: the column "x" comes twice/],
    ['a.csv', 'unit,cycle,x\n1,1,2\n1,2,0x10\n', /line 3, column x: expected a number, found "0x10"/],
    ['a.csv', 'unit,cycle,x\n1,1,1e999\n', /line 2, column x/],
    ['a.csv', 'unit,cycle,x\n1,1,NaN\n', /line 2, column x/],
    ['a.csv', 'unit,cycle,x\n1 7,1,3\n', /line 2, column unit: "1 7" cannot name a device/],
    ['a.csv', 'unit,cycle,x\n1,1,"3\n', /Quote/],
    ['a.txt.gz', 'this is not gzip', /incorrect header check/],
    ['a.xlsx', 'PK', /expected \.txt or \.csv/],
  ])('refuses bad %s and says where (case %#)', async (name, content, words) => {
    const path = await file(name, content);
    await expect(readRecordings([path])).rejects.toMatchObject({
      code: 'RECORDING_INVALID',
      message: expect.stringMatching(words),
    });
    await expect(readRecordings([path])).rejects.toThrow(path);
  });

  it('refuses a truncated gzip and a file that is not there', async () => {
    const half = gzipSync(cmapss([200])).subarray(0, 900);
    await expect(readRecordings([await file('a.txt.gz', half)])).rejects.toMatchObject({ code: 'RECORDING_INVALID' });
    await expect(
      readRecordings([await file('a.csv.gz', gzipSync('unit,cycle,x\n1,1,1\n').subarray(0, 20))]),
    ).rejects.toMatchObject({
      code: 'RECORDING_INVALID',
    });
    await expect(readRecordings([join(folder, 'absent.txt')])).rejects.toMatchObject({ code: 'RECORDING_INVALID' });
  });
});

describe('selecting', () => {
  const read = async () => readRecordings([await file('a.txt', cmapss([10, 20, 30, 40]))]);

  it('names devices after their units', () => {
    expect(deviceNameOf('7', 'engine-')).toBe('engine-007');
    expect(deviceNameOf('pump-a', 'x-')).toBe('x-pump-a');
    expect(() => deviceNameOf('7', 'no dots.')).toThrow(/device id/);
  });

  it.each([
    [undefined, ['engine-001', 'engine-002', 'engine-003', 'engine-004']],
    ['2-3', ['engine-002', 'engine-003']],
    ['4,1', ['engine-001', 'engine-004']],
    ['3-99', ['engine-003', 'engine-004']],
  ])('takes units %s', async (units, devices) => {
    const selection = { ...all, ...(units ? { units } : {}) };
    expect(selectDevices(await read(), selection).map(({ device }) => device)).toEqual(devices);
  });

  it('refuses units that are not there', async () => {
    const recording = await read();
    for (const units of ['5', '50-60', 'x', '', '3-1']) {
      expect(() => selectDevices(recording, { ...all, units }), units).toThrow(/the recording has no unit/);
    }
  });

  it('keeps a share of each life', async () => {
    const devices = selectDevices(await read(), { ...all, untilFraction: 0.3 });
    expect(devices.map(({ rows }) => rows.length)).toEqual([3, 6, 9, 12]);
    for (const untilFraction of [0, -1, 1.1])
      expect(() => selectDevices({ columns: [], units: [], sha256: '' }, { ...all, untilFraction })).toThrow();
  });
});

describe('placing in time', () => {
  it('puts the last row at the end and keeps all intervals', async () => {
    const recording = await readRecordings([await file('a.txt', cmapss([10, 25]))]);
    const plan = planReplay(recording.columns, selectDevices(recording, all), timing);
    const [short, long] = plan.devices.map((device) => samplesOf(plan, device.rows));
    expect(long?.at(-1)?.at).toBe(END);
    expect(short?.[0]?.at).toBe(long?.[0]?.at);
    for (const samples of [short, long]) {
      samples?.forEach((sample, i) => {
        if (i > 0) expect(sample.at - (samples[i - 1]?.at ?? 0)).toBe(HOUR_MS);
      });
    }
    expect(plan.shiftMs).toBe(END - 25 * HOUR_MS);
    expect(plan.samples).toBe(35);
  });

  it('cuts the same messages whatever was sent before, without a row twice or missing, also over gaps', async () => {
    const csv = ['unit,cycle,x', ...[3, 4, 5, 17, 18, 40].map((cycle) => `a,${cycle},${cycle}`), 'b,1,0', 'b,2,0'].join(
      '\n',
    );
    const recording = await readRecordings([await file('a.csv', csv)]);
    const plan = planReplay(recording.columns, selectDevices(recording, all), timing);
    const [a] = plan.devices;
    if (!a) throw new Error('no device');
    const messages = plannedMessages(plan, a);
    expect(messages.map(({ seq, from, to }) => [seq, from, to])).toEqual([
      [1, 0, 3],
      [2, 3, 5],
      [3, 5, 6],
    ]);
    for (const message of messages) {
      const times = samplesOf(plan, a.rows.slice(message.from, message.to)).map(({ at }) => at);
      expect(Math.max(...times)).toBeLessThanOrEqual(message.frameEnd);
      expect(Math.min(...times)).toBeGreaterThan(message.frameEnd - plan.frameMs);
    }
  });

  it('never plans a message beyond the payload limit', async () => {
    const columns = Array.from({ length: 63 }, (_, i) => `${'long'.repeat(15)}${String(i).padStart(3, '0')}`);
    const csv = [`unit,cycle,${columns.join()}`, `1,1,${columns.map(() => '1').join()}`].join('\n');
    const recording = await readRecordings([await file('a.csv', csv)]);
    const plan = planReplay(recording.columns, selectDevices(recording, all), { ...timing, batch: 500 });
    expect(plan.frameMs / plan.cycleMs).toBeLessThan(30);
    expect(plan.frameMs / plan.cycleMs).toBeGreaterThan(10);
  });

  it('leaves an empty cell out', async () => {
    const recording = await readRecordings([await file('a.csv', 'unit,cycle,x,y\n1,1,,0\n')]);
    const plan = planReplay(recording.columns, selectDevices(recording, all), timing);
    expect(plan.devices.flatMap(({ rows }) => samplesOf(plan, rows))).toEqual([
      { at: END, signals: { cycle: 1, y: 0 } },
    ]);
  });
});

describe('state file', () => {
  const identity: ReplayIdentity = {
    recording: 'abc',
    model: 'turbofan',
    prefix: 'engine-',
    units: 'u',
    untilFraction: 1,
    cycleMs: 1,
    batch: 5,
  };
  const state = { version: 1 as const, identity, end: 7, devices: { 'engine-001': { boot: 'b', acked: 3 } } };

  it('comes back as it was written, readable only by its owner', async () => {
    const path = join(folder, 'state.json');
    expect(await loadReplayState(path, identity)).toBeUndefined();
    await saveReplayState(path, state);
    expect(await loadReplayState(path, identity)).toEqual(state);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('is refused when it belongs to another replay or is something else', async () => {
    const path = join(folder, 'other.json');
    await saveReplayState(path, state);
    await expect(loadReplayState(path, { ...identity, batch: 6, model: 'pump' })).rejects.toThrow(
      /another replay: model, batch differ/,
    );
    await expect(loadReplayState(await file('x.json', '{"version":2}'), identity)).rejects.toThrow(
      /not the state of a replay/,
    );
    await expect(loadReplayState(await file('x.json', 'half a fi'), identity)).rejects.toThrow(/is not JSON/);
  });
});

describe('the excerpt of a public recording', () => {
  it('is read whole, and its values are those of the file', async () => {
    const path = new URL('../fixtures/cmapss/train_FD001_units_1-24.txt.gz', import.meta.url).pathname;
    const recording = await readRecordings([path]);
    const lines = gunzipSync(readFileSync(path)).toString().trim().split('\n');
    expect(recording.units).toHaveLength(24);
    const rows = recording.units.flatMap(({ unit, rows: own }) =>
      own.map((row) => [Number(unit), row.cycle, ...row.values]),
    );
    expect(rows).toEqual(lines.map((line) => line.trim().split(/\s+/).map(Number)));
  });
});
