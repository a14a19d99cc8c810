import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { Command } from 'commander';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { initDevice } from '../../analytics/device-state.ts';
import { backtestScore } from '../../analytics/evaluate/backtest-score.ts';
import { parseTimestamp } from '../../analytics/evaluate/recording.ts';
import { policyOf } from '../../analytics/evaluate/row-scorer.ts';
import { createDeviceScorer } from '../../analytics/score-device.ts';
import { register } from '../../app/commands/backtest.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { gaussian, seededRandom } from '../../contract/kernel/random.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'presage-backtest-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function put(path: string, content: string): void {
  const full = join(root, 'in', path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, path.endsWith('.gz') ? gzipSync(content) : content);
}
const outcome = (path: string): string[][] =>
  readFileSync(join(root, 'out', path), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => line.split(','));
const score = (extra: { learnDir?: string; profile?: 'standard' | 'low-fp' | 'low-fn' } = {}) =>
  backtestScore({ inDir: join(root, 'in'), outDir: join(root, 'out'), profile: 'standard', ...extra });

const time = (i: number): string =>
  new Date(1_700_000_000_000 + i * 300_000).toISOString().slice(0, 19).replace('T', ' ');

/** Noise around 50 with a jump of `jump` in rows 1500 to 1600. */
function single(rows: number, jump: number, seed = 1): string {
  const random = seededRandom(seed);
  const lines = Array.from({ length: rows }, (_, i) => {
    const value = 50 + gaussian(random) + (i >= 1_500 && i < 1_600 ? jump : 0);
    return `${time(i)},${value.toFixed(3)}`;
  });
  return `timestamp,value\n${lines.join('\n')}\n`;
}

function several(rows: number, jumpAt: number, seed = 2): string {
  const random = seededRandom(seed);
  const lines = Array.from({ length: rows }, (_, i) => {
    const jump = i >= jumpAt ? 15 : 0;
    return `${time(i)},${(10 + gaussian(random)).toFixed(3)},${(20 + gaussian(random) + jump).toFixed(3)}`;
  });
  return `timestamp,a,b\n${lines.join('\n')}\n`;
}

describe('backtest score', () => {
  it('writes one scored row for each row of a single stream, timestamps and values verbatim', async () => {
    put('sub/one.csv', single(2_000, 20));
    await score();
    const rows = outcome('sub/one.csv');
    const input = single(2_000, 20)
      .trimEnd()
      .split('\n')
      .map((line) => line.split(','));
    expect(rows[0]).toEqual(['timestamp', 'value', 'anomaly_score']);
    expect(rows.slice(1).map((row) => row.slice(0, 2))).toEqual(input.slice(1));
    const scores = rows.slice(1).map((row) => Number(row[2]));
    expect(scores.every((one) => one >= 0 && one <= 1)).toBe(true);
    const top = scores.indexOf(Math.max(...scores));
    expect(top).toBeGreaterThanOrEqual(1_500);
    expect(top).toBeLessThan(1_600);
  });

  it('flags the rows of several signals while an episode is open', async () => {
    put('many.csv.gz', several(2_000, 1_500));
    const [summary] = await score();
    expect(summary).toMatchObject({ file: 'many.csv', rows: 2_000, signals: 2, alerts: 1 });
    const rows = outcome('many.csv');
    expect(rows[0]).toEqual(['timestamp', 'anomaly_score', 'alert']);
    const first = rows.findIndex((row) => row[2] === '1') - 1;
    expect(first).toBeGreaterThanOrEqual(1_500);
    expect(first).toBeLessThan(1_520);
  });

  it('gives what the streaming code gives, row by row', async () => {
    put('many.csv', several(1_800, 1_500));
    await score();
    const scorer = createDeviceScorer({
      findModel: () => undefined,
      prognosersFor: () => [],
      policy: policyOf('standard'),
    });
    const state = initDevice('recording');
    const alerts = several(1_800, 1_500)
      .trimEnd()
      .split('\n')
      .slice(1)
      .map((line, i) => {
        const [stamp, a, b] = line.split(',') as [string, string, string];
        scorer.score(state, {
          ref: { tenant: 'any', device: 'other' },
          identity: `x${i}`,
          observedAt: parseTimestamp(stamp) as number,
          position: i,
          signals: { a: Number(a), b: Number(b) },
        });
        return Object.values(state.episodes).some((episode) => episode.open) ? '1' : '0';
      });
    expect(
      outcome('many.csv')
        .slice(1)
        .map((row) => row[2]),
    ).toEqual(alerts);
  });

  it('does not look ahead: a shorter recording has the same scores', async () => {
    put('long.csv', single(2_000, 20));
    put('short.csv', `${single(2_000, 20).split('\n').slice(0, 1_551).join('\n')}\n`);
    await score();
    expect(outcome('long.csv').slice(0, 1_551)).toEqual(outcome('short.csv'));
  });

  it('does not look ahead: rows appended to a recording of several signals change no earlier score', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 999 }), fc.integer({ min: 20, max: 1_199 }), async (seed, kept) => {
        const lines = several(1_200, 700, seed).trimEnd().split('\n');
        put('long.csv', lines.join('\n'));
        put('short.csv', lines.slice(0, kept + 1).join('\n'));
        await score();
        expect(outcome('long.csv').slice(0, kept + 1)).toEqual(outcome('short.csv'));
      }),
      { numRuns: 5 },
    );
  });

  it('keeps equal timestamps, empty cells and epoch times', async () => {
    put('a.csv', 'timestamp,value\n1700000000000,1\n1700000000000,2\n1700000300000,\n1700000600000,4\n');
    put('b.csv', 'timestamp,x,y\n2024-01-01T00:00:00Z,1,\n2024-01-01T00:05:00+01:00,,2\n');
    await score();
    expect(outcome('a.csv').map((row) => row.slice(0, 2))).toEqual([
      ['timestamp', 'value'],
      ['1700000000000', '1'],
      ['1700000000000', '2'],
      ['1700000300000', ''],
      ['1700000600000', '4'],
    ]);
    expect(outcome('b.csv')).toHaveLength(3);
  });

  it('knows from the first row on what healthy recordings taught it', async () => {
    put('run.csv', several(60, 20, 5));
    mkdirSync(join(root, 'healthy'));
    writeFileSync(join(root, 'healthy', 'h1.csv'), several(1_000, 5_000, 6));
    writeFileSync(join(root, 'healthy', 'h2.csv'), several(1_000, 5_000, 7));
    const [unlearned] = await score();
    expect(unlearned?.alerts).toBe(0);
    const [learned] = await score({ learnDir: join(root, 'healthy') });
    expect(learned?.alerts).toBe(1);
    expect(outcome('run.csv').findIndex((row) => row[2] === '1')).toBeGreaterThan(20);
  });

  it.each([
    ['when,value\n1,2\n', 'line 1, column 1', 'timestamp'],
    ['timestamp\n1\n', 'line 1, column 2', 'no signal'],
    ['timestamp,a,a\n1,2,3\n', 'line 1, column 3', 'twice'],
    ['timestamp,value\n1700000000000,1\nyesterday,2\n', 'line 3, column 1', 'not a time'],
    ['timestamp,value\n1700000000000,12abc\n', 'line 2, column 2', '"12abc" in "value"'],
    ['timestamp,value\n1700000000000,1e999\n', 'line 2, column 2', 'not a number'],
    ['timestamp,value\n1700000000000,0x10\n', 'line 2, column 2', 'not a number'],
    ['timestamp,a,b\n1700000000000,1\n', 'line 2, column 3', 'expected 3 cells'],
    ['timestamp,value\n1700000000000,"1\n', 'line', 'Quote'],
    ['', 'line 1, column 1', 'empty'],
  ])('refuses %j and says where', async (content, where, what) => {
    put('dir/bad.csv', content);
    const error = await score().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(AppError);
    expect((error as AppError).code).toBe('RECORDING_INVALID');
    expect((error as AppError).message).toContain('dir/bad.csv');
    expect((error as AppError).message).toContain(where);
    expect((error as AppError).message).toContain(what);
  });

  it('refuses a folder that is not there or has no recordings, and a torn archive', async () => {
    await expect(score()).rejects.toMatchObject({ code: 'RECORDING_INVALID' });
    mkdirSync(join(root, 'in'));
    await expect(score()).rejects.toMatchObject({ code: 'RECORDING_INVALID' });
    writeFileSync(join(root, 'in', 'x.csv.gz'), gzipSync(single(2_000, 0)).subarray(0, 500));
    await expect(score()).rejects.toMatchObject({ code: 'RECORDING_INVALID' });
  });

  it('is a command', async () => {
    put('one.csv', single(300, 0));
    const program = new Command().exitOverride();
    register(program);
    await program.parseAsync(['backtest', 'score', '--in', join(root, 'in'), '--out', join(root, 'out')], {
      from: 'user',
    });
    expect(outcome('one.csv')).toHaveLength(301);
  });
});

describe('timestamps', () => {
  it.each([
    ['2014-02-14 14:30:00', Date.UTC(2014, 1, 14, 14, 30)],
    ['2014-02-14T14:30:00Z', Date.UTC(2014, 1, 14, 14, 30)],
    ['2014-02-14T14:30:00.250+02:00', Date.UTC(2014, 1, 14, 12, 30, 0, 250)],
    ['2014-02-14 14:30:00.123456', Date.UTC(2014, 1, 14, 14, 30, 0, 123)],
    ['2014-02-14 14:30', Date.UTC(2014, 1, 14, 14, 30)],
    ['2014-02-14', Date.UTC(2014, 1, 14)],
    ['1392388200000', 1_392_388_200_000],
  ])('%s is understood as UTC unless it says otherwise', (text, expected) => {
    expect(parseTimestamp(text)).toBe(expected);
  });

  it.each(['', 'now', '14/02/2014', '2014-13-01', '2014-02-14 25:00:00'])('%j is refused', (text) => {
    expect(parseTimestamp(text)).toBeUndefined();
  });
});
