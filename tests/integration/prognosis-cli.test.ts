import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { Command } from 'commander';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { parseModel } from '../../analytics/prognosis/model-file.ts';
import { register } from '../../app/commands/prognosis.ts';
import { CMAPSS_SIGNALS } from '../../contract/devices/turbofan.ts';
import { CMAPSS_FIXTURE } from '../support/fleets.ts';

let directory: string;
let lines: string[];

beforeAll(async () => {
  lines = gunzipSync(await readFile(CMAPSS_FIXTURE))
    .toString('utf8')
    .trimEnd()
    .split('\n');
});

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'presage-prognosis-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
  process.exitCode = 0;
});

/** Runs the command in this process and returns what it printed. */
async function run(...args: string[]): Promise<{ stdout: string; stderr: string; failed: boolean }> {
  const written = { stdout: '', stderr: '' };
  const spies = (['stdout', 'stderr'] as const).map((stream) =>
    vi.spyOn(process[stream], 'write').mockImplementation((chunk) => {
      written[stream] += String(chunk);
      return true;
    }),
  );
  process.exitCode = 0;
  const program = new Command('presage');
  register(program);
  try {
    await program.parseAsync(['prognosis', ...args], { from: 'user' });
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  return { ...written, failed: process.exitCode === 1 };
}

const file = (name: string) => join(directory, name);
const unitOf = (line: string) => Number(line.split(' ')[0]);

/** The first `keep(unit)` rows of each chosen engine as C-MAPSS text. */
function cmapss(
  chosen: (unit: number) => boolean,
  keep: (unit: number) => number = () => Number.POSITIVE_INFINITY,
): string {
  return `${lines.filter((line) => chosen(unitOf(line)) && Number(line.split(' ')[1]) <= keep(unitOf(line))).join('\n')}\n`;
}

function asCsv(text: string): string {
  const rows = text
    .trimEnd()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).join(','));
  return `${[['unit', 'cycle', ...CMAPSS_SIGNALS].join(','), ...rows].join('\r\n')}\r\n`;
}

describe('presage prognosis', () => {
  it('fits and predicts; text, CSV and .gz of the same data give the same answer', async () => {
    await writeFile(file('train.txt.gz'), gzipSync(cmapss((unit) => unit <= 12)));
    await writeFile(file('train.csv'), asCsv(cmapss((unit) => unit <= 12)));
    const test = cmapss(
      (unit) => unit > 12,
      (unit) => 60 + unit,
    );
    await writeFile(file('test.txt'), test);
    await writeFile(file('test.csv.gz'), gzipSync(asCsv(test)));

    const fit = await run(
      'fit',
      '--train',
      file('train.txt.gz'),
      '--model',
      file('a.json'),
      '--device-model',
      'turbofan',
    );
    expect(fit.failed, fit.stderr).toBe(false);
    expect(fit.stdout).toMatch(/12 units, 2\d{3} rows, 1 regime/);
    await run('fit', '--train', file('train.csv'), '--model', file('b.json'), '--device-model', 'turbofan');
    const [a, b] = await Promise.all(
      ['a.json', 'b.json'].map(async (name) => parseModel(await readFile(file(name), 'utf8'), name)),
    );
    expect(a?.committee).toEqual(b?.committee);
    expect(a).toMatchObject({ horizon: 125, deviceModel: 'turbofan', trainedOn: { units: 12 } });

    await run('predict', '--model', file('a.json'), '--test', file('test.txt'), '--out', file('a.csv'));
    await run('predict', '--model', file('b.json'), '--test', file('test.csv.gz'), '--out', file('b.csv'));
    const out = await readFile(file('a.csv'), 'utf8');
    expect(await readFile(file('b.csv'), 'utf8')).toBe(out);
    const rows = out.trimEnd().split('\n');
    expect(rows[0]).toBe('unit,rul,lower,upper');
    expect(rows.slice(1).map(unitOfRow)).toEqual([13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24]);
    for (const row of rows.slice(1)) {
      const [, rul, lower, upper] = row.split(',').map(Number) as [number, number, number, number];
      expect(0 <= lower && lower <= rul && rul <= upper && upper <= 125, row).toBe(true);
    }
  });

  it('keeps the order of the input, odd unit names and another horizon', async () => {
    const csv = asCsv(cmapss((unit) => unit <= 5)).replaceAll(/^3,/gm, '"pump, left",');
    const [header, ...rest] = csv.trimEnd().split('\r\n');
    await writeFile(file('fleet.csv'), `${[header, ...rest.reverse()].join('\n')}\n`);
    const fit = await run('fit', '--train', file('fleet.csv'), '--model', file('m.json'), '--horizon', '90', '--json');
    expect(JSON.parse(fit.stdout)).toMatchObject({ trainedOn: { units: 5 }, metrics: { count: expect.any(Number) } });
    await run('predict', '--model', file('m.json'), '--test', file('fleet.csv'), '--out', file('out.csv'));
    const rows = (await readFile(file('out.csv'), 'utf8')).trimEnd().split('\n').slice(1);
    expect(rows.map((row) => row.replace(/,[^"]*$/, ''))).toHaveLength(5);
    expect(rows[2]).toMatch(/^"pump, left",/);
    expect(rows[0]).toMatch(/^5,/);
    expect(rows.every((row) => Number(row.split(',').at(-1)) <= 90)).toBe(true);
  });

  it.each([
    ['a missing file', 'nowhere.csv', '', /RECORDING_INVALID: .*ENOENT/],
    ['an empty file', 'train.csv', '', /RECORDING_INVALID: .*the file is empty/],
    [
      'a wrong cell',
      'train.csv',
      'unit,cycle,heat\n1,1,5\n1,2,hot\n',
      /RECORDING_INVALID: .*train\.csv: line 3, column heat: "hot"/,
    ],
    ['too few columns', 'train.txt', '1 1 2 3\n1 2 2 3\n', /RECORDING_INVALID: .*line 1: 4 columns, expected 26/],
    ['a broken archive', 'train.csv.gz', 'not gzip', /RECORDING_INVALID: .*incorrect header check/],
    [
      'two units only',
      'train.csv',
      'unit,cycle,heat\n1,1,5\n2,1,6\n',
      /TRAINING_DATA_INSUFFICIENT: .*2 unit\(s\), at least 3/,
    ],
  ])('fit refuses %s and writes no model', async (_what, name, content, message) => {
    if (name !== 'nowhere.csv') await writeFile(file(name), content);
    const result = await run('fit', '--train', file(name), '--model', file('m.json'));
    expect(result.failed).toBe(true);
    expect(result.stderr).toMatch(message);
    await expect(readFile(file('m.json'))).rejects.toThrow(/ENOENT/);
  });

  it('refuses flags that make no sense and models that cannot be used', async () => {
    await writeFile(file('train.csv'), asCsv(cmapss((unit) => unit <= 3)));
    const fitWith = (...more: string[]) => run('fit', '--train', file('train.csv'), '--model', file('m.json'), ...more);
    expect((await fitWith('--horizon', 'long')).stderr).toMatch(/CONFIG_INVALID: .*--horizon long/);
    expect((await fitWith('--device-model', 'toaster')).stderr).toMatch(
      /CONFIG_INVALID: .*toaster is not in the catalogue/,
    );
    expect((await fitWith('--device-model', 'turbofan', '--fault-key', 'x')).stderr).toMatch(
      /--fault-key x: turbofan has hpcDegradation/,
    );
    await writeFile(file('m.json'), '{"schema":"presage.prognosis/1"}');
    const predict = await run(
      'predict',
      '--model',
      file('m.json'),
      '--test',
      file('train.csv'),
      '--out',
      file('o.csv'),
    );
    expect(predict.stderr).toMatch(/MODEL_FILE_INVALID: .*m\.json: name/);
  });

  it('predict names the columns that a recording lacks', async () => {
    await writeFile(file('train.csv'), asCsv(cmapss((unit) => unit <= 4)));
    await run('fit', '--train', file('train.csv'), '--model', file('m.json'));
    await writeFile(file('test.csv'), 'unit,cycle,heat\n1,1,5\n');
    const result = await run('predict', '--model', file('m.json'), '--test', file('test.csv'), '--out', file('o.csv'));
    expect(result.stderr).toMatch(
      /RECORDING_INVALID: .*hpcOutletStaticPressurePsia.* is missing; the model was fitted with it/,
    );
  });
});

function unitOfRow(row: string): number {
  return Number(row.split(',')[0]);
}
