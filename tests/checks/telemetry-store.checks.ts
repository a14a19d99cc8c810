/** What every telemetry store must do, whatever it is built on: the same samples in, the same answers out. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AppError } from '../../contract/kernel/errors.ts';
import { seededRandom } from '../../contract/kernel/random.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';
import {
  ROLL_UP_WIDTHS_MS,
  type RollUp,
  type SeriesQuery,
  type StoredSample,
  type TelemetryStore,
} from '../../contract/ports/telemetry-store.ts';
import type { SignalValue } from '../../contract/wire/payloads.ts';
import type { TelemetryMessage } from '../../contract/wire/sample.ts';
import { timestampNs } from '../../ingest/store/influx-lines.ts';
import { preferredSlot } from '../../ingest/store/influx-slots.ts';
import { BASE_TIME_MS, exported, message, sameSlotBoots, storedForm } from '../support/store-samples.ts';

const HOSTILE_TEXTS = [
  'a,b=c d',
  'say "hi"',
  'back\\',
  '\\',
  '\\\\',
  '\\"',
  'line\nbreak\r\ntab\t',
  "'; DROP TABLE samples_1; --",
  'x value=1 1',
  '\n,tenant=other value=1',
  '',
  ' ',
  'nul\u0000 and bell\u0007',
  'ünïcode 漢字 🚗 \u202e bidi',
  '=HYPERLINK("x")',
  '\u2028',
];

export interface StoreUnderTest {
  readonly store: TelemetryStore;
  stop(): Promise<void>;
}

/** @param open a started, empty store */
export function checkTelemetryStore(name: string, open: () => Promise<StoreUnderTest>): void {
  describe(`telemetry store: ${name}`, () => {
    let store: TelemetryStore;
    let stop: () => Promise<void> = async () => {};
    let position = 0;
    let devices = 0;
    /** What a store that keeps positions must not be given under a new one. */
    const sent = new Set<TelemetryMessage>();

    beforeAll(async () => {
      ({ store, stop } = await open());
    });
    afterAll(() => stop());

    const newDevice = (): string => `device:${++devices}_A-`;
    const write = (...messages: readonly TelemetryMessage[]) => store.write(messages, ++position);
    const seriesOf = async (query: Partial<SeriesQuery> & Pick<SeriesQuery, 'device' | 'signals'>) =>
      store.series({ tenant: 'acme', model: 'refrigerator', from: BASE_TIME_MS, to: BASE_TIME_MS + DAY_MS, ...query });

    it('answers a ping', async () => {
      await expect(store.ping()).resolves.toBeUndefined();
    });

    it('gives back what was written: identity, times and values unchanged', async () => {
      const device = newDevice();
      const messages = [
        message({
          device,
          seq: 7,
          receivedAt: BASE_TIME_MS + 1_234,
          samples: [
            [BASE_TIME_MS + 5, { compressorCurrentA: 3.2, evaporatorTempC: -18.4, doorOpen: true }],
            [BASE_TIME_MS + 1_005, { compressorCurrentA: 0.1 + 0.2, doorOpen: false }],
          ],
        }),
        message({ device, seq: 8, samples: [[BASE_TIME_MS + 2_000, { evaporatorTempC: 20 }]] }),
      ];
      expect(await write(...messages)).toEqual([]);
      expect(await exported(store, { device })).toEqual(storedForm(messages));
    });

    it('changes nothing when a batch is written again', async () => {
      const device = newDevice();
      const messages = [
        message({ device, seq: 1, samples: [[BASE_TIME_MS, { compressorCurrentA: 1 }]] }),
        message({ device, seq: 2, samples: [[BASE_TIME_MS, { compressorCurrentA: 2 }]] }),
      ];
      await write(...messages);
      await store.write(messages, position);
      expect(await exported(store, { device })).toEqual(storedForm(messages));
    });

    it('keeps samples of the same millisecond that have different identities', async () => {
      const device = newDevice();
      const messages = [0, 1, 2].flatMap((boot) =>
        Array.from({ length: 20 }, (_, i) =>
          message({
            device,
            boot: `boot${boot}`,
            seq: i * 37,
            samples: [
              [BASE_TIME_MS, { compressorCurrentA: i }],
              [BASE_TIME_MS, { compressorCurrentA: i + 0.5 }],
            ],
          }),
        ),
      );
      await write(...messages);
      expect(await exported(store, { device })).toEqual(storedForm(messages));
    });

    it('keeps boots apart that meet in one millisecond, however unlucky their names, again and again', async () => {
      const device = newDevice();
      const boots = sameSlotBoots(4);
      const at = (boot: string, seq: number, value: number) =>
        message({ device, boot, seq, samples: [[BASE_TIME_MS, { compressorCurrentA: value }]] });
      const messages = boots.flatMap((boot, i) => [at(boot, 1, i), at(boot, 2_001, i + 0.5), at(boot, 3, -i)]);
      for (const part of [messages.slice(0, 5), messages.slice(3, 9), messages.slice(7), messages]) {
        expect(await write(...(name.startsWith('Influx') ? part : part.filter((one) => !sent.has(one))))).toEqual([]);
        for (const one of part) sent.add(one);
      }
      expect(await exported(store, { device })).toEqual(storedForm(messages));
    });

    it('keeps more samples of one millisecond than a page holds', async () => {
      const device = newDevice();
      const samples = Array.from({ length: 500 }, (_, i) => [BASE_TIME_MS, { compressorCurrentA: i }] as const);
      const messages = Array.from({ length: 12 }, (_, seq) => message({ device, seq, samples }));
      await write(...messages);
      expect(await exported(store, { device })).toEqual(storedForm(messages));
    });

    it('keeps device times between milliseconds', async () => {
      const device = newDevice();
      const messages = [
        message({ device, seq: 1, samples: [[BASE_TIME_MS + 0.5, { compressorCurrentA: 1 }]] }),
        message({ device, seq: 2, samples: [[BASE_TIME_MS + 0.25, { compressorCurrentA: 2 }]] }),
      ];
      await write(...messages);
      expect(await exported(store, { device })).toEqual(storedForm(messages));
      const [series] = await seriesOf({ device, signals: ['compressorCurrentA'] });
      expect(series?.points).toEqual([
        [BASE_TIME_MS + 0.25, 2],
        [BASE_TIME_MS + 0.5, 1],
      ]);
    });

    it('takes late data and backfill and exports all of it in order', async () => {
      const device = newDevice();
      const early = message({
        device,
        seq: 9,
        backfill: true,
        samples: [[BASE_TIME_MS - 40 * DAY_MS, { evaporatorTempC: 1 }]],
      });
      const now = message({ device, seq: 5, samples: [[BASE_TIME_MS, { evaporatorTempC: 2 }]] });
      const late = message({ device, seq: 6, samples: [[BASE_TIME_MS - 90_000, { evaporatorTempC: 3 }]] });
      await write(now);
      await write(late, early);
      expect(await exported(store, { device })).toEqual(storedForm([early, late, now]));
    });

    it('stores a sample without signals', async () => {
      const device = newDevice();
      const messages = [message({ device, seq: 1, samples: [[BASE_TIME_MS, {}]] })];
      await write(...messages);
      expect(await exported(store, { device })).toEqual(storedForm(messages));
    });

    it('stores the numbers that computers get wrong', async () => {
      const device = newDevice();
      const numbers = [
        0,
        -0,
        5e-324,
        -1e-7,
        1e21,
        1.7976931348623157e308,
        2 ** 53,
        -(2 ** 53) - 2,
        123456789.125,
        1 / 3,
      ];
      const samples = numbers.map((value, i) => [BASE_TIME_MS + i, { compressorCurrentA: value }] as const);
      const messages = [message({ device, seq: Number.MAX_SAFE_INTEGER, samples })];
      await write(...messages);
      expect(await exported(store, { device })).toEqual(storedForm(messages));
    });

    it('takes models and signals that are in no catalogue', async () => {
      const device = newDevice();
      const model = 'declared, only="by birth"\\';
      const messages = [
        message({ device, model, seq: 1, samples: [[BASE_TIME_MS, { pressurePa: 1.5, valve: true, phase: 'idle' }]] }),
        message({ device, model, seq: 2, samples: [[BASE_TIME_MS + 1, { phase: 'spin', speed: 9 }]] }),
      ];
      expect(await write(...messages)).toEqual([]);
      expect(await exported(store, { device, model })).toEqual(storedForm(messages));
      expect(await exported(store, { device, model: 'another model' })).toEqual([]);
    });

    it('keeps signals apart from its own columns and from each other, whatever they are called', async () => {
      const device = newDevice();
      const model = 'names';
      const signals: Record<string, SignalValue> = {};
      const names =
        'time tenant device boot seq idx observed_at received_at backfill Boot model component select from where x X value _x rowid'
          .split(' ')
          .filter((signal) => /^[A-Za-z]/.test(signal));
      for (const signal of [...names, 'constructor', 'toString', 'hasOwnProperty']) signals[signal] = signal.length;
      const messages = [
        message({ device, model, seq: 1, samples: [[BASE_TIME_MS, signals]] }),
        message({ device, model, seq: 2, samples: [[BASE_TIME_MS + 1, { x: 1 }]] }),
      ];
      expect(await write(...messages)).toEqual([]);
      expect(await exported(store, { device, model })).toEqual(storedForm(messages));
      const series = await seriesOf({ device, model, signals: ['seq', 'X', 'constructor'] });
      expect(series.map(({ points }) => points)).toEqual([3, 1, 11].map((value) => [[BASE_TIME_MS, value]]));
    });

    it('stores hostile texts as they are and lets them touch nothing else', async () => {
      const [device, victim] = [newDevice(), newDevice()];
      const samples = HOSTILE_TEXTS.map(
        (text, i) => [BASE_TIME_MS + i, { phase: text, note: `${text}${text}` }] as const,
      );
      const hostile = message({ device, model: 'texts', seq: 1, samples });
      const good = message({ device: victim, model: 'texts', seq: 1, samples: [[BASE_TIME_MS, { phase: 'ok' }]] });
      expect(await write(hostile, good)).toEqual([]);
      expect(await exported(store, { device, model: 'texts' })).toEqual(storedForm([hostile]));
      expect(await exported(store, { device: victim, model: 'texts' })).toEqual(storedForm([good]));
      const series = await seriesOf({ device: victim, model: 'texts', signals: ['phase', 'value', 'note'] });
      expect(series.map(({ points }) => points)).toEqual([[[BASE_TIME_MS, 'ok']], [], []]);
    });

    it('stores any text and any number unchanged', async () => {
      const value = fc.record({
        text: fc.oneof(
          fc.string({ unit: 'grapheme', maxLength: 60 }),
          fc.string({ unit: fc.constantFrom('\\', '"', ',', ' ', '=', '\n', '\r', 'a', "'", '\0'), maxLength: 20 }),
        ),
        number: fc.double({ noNaN: true, noDefaultInfinity: true }),
        flag: fc.boolean(),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(value, { minLength: 100, maxLength: 500 }), async (values) => {
          const device = newDevice();
          const samples = values.map((signals, i) => [BASE_TIME_MS + i, signals] as const);
          const messages = [message({ device, model: 'any', seq: 1, samples })];
          expect(await write(...messages)).toEqual([]);
          expect(await exported(store, { device, model: 'any' })).toEqual(storedForm(messages));
        }),
        { numRuns: 20 },
      );
    });

    it('refuses what it cannot store one sample at a time, and stores the neighbours', async () => {
      const device = newDevice();
      const model = 'typed';
      const good = message({ device, model, seq: 1, samples: [[BASE_TIME_MS, { level: 1, phase: 'a' }]] });
      const mixed = message({
        device,
        model,
        seq: 2,
        samples: [
          [BASE_TIME_MS + 1, { level: 2 }],
          [BASE_TIME_MS + 2, { level: 'high' }],
          [BASE_TIME_MS + 3, { level: 4, phase: true }],
          [BASE_TIME_MS + 4, { phase: 'lone \ud800 surrogate' }],
          [BASE_TIME_MS + 5, { level: Number.NaN }],
          [1e15, { level: 6 }],
          [BASE_TIME_MS + 7, { level: 8 }],
        ],
      });
      const rejected = await write(good, mixed);
      expect(rejected.map(({ sample, reason }) => [sample.seq, sample.index, reason])).toEqual([
        [2, 1, 'signal level: a text does not fit, the store holds it as number'],
        [2, 2, 'signal phase: a boolean does not fit, the store holds it as text'],
        [2, 3, 'signal phase: not well-formed Unicode'],
        [2, 4, 'signal level: not a finite number'],
        [2, 5, 'device time 1000000000000000 cannot be stored'],
      ]);
      const kept = { ...mixed, samples: mixed.samples.filter(({ index }) => index === 0 || index === 6) };
      expect(await exported(store, { device, model })).toEqual(storedForm([good, kept]));
      expect((await store.write([good, mixed], position)).length).toBe(5);
    });

    it('refuses a catalogue signal of another type before it has ever seen a right one', async () => {
      const device = newDevice();
      const wrong = message({ device, model: 'turbofan', seq: 1, samples: [[BASE_TIME_MS, { cycle: 'first' }]] });
      const [refusal] = await write(wrong);
      expect(refusal?.reason).toBe('signal cycle: a text does not fit, the store holds it as number');
      expect(refusal?.sample).toEqual(storedForm([wrong])[0]);
    });

    it('never mixes tenants or devices', async () => {
      const device = newDevice();
      const other = `${device}2`;
      const mine = message({ device, seq: 1, samples: [[BASE_TIME_MS, { compressorCurrentA: 1 }]] });
      const theirs = message({ tenant: 'rival', device, seq: 1, samples: [[BASE_TIME_MS, { compressorCurrentA: 2 }]] });
      const near = message({ device: other, seq: 1, samples: [[BASE_TIME_MS, { compressorCurrentA: 3 }]] });
      await write(mine, theirs, near);
      expect(await exported(store, { device })).toEqual(storedForm([mine]));
      expect(await exported(store, { device, tenant: 'rival' })).toEqual(storedForm([theirs]));
      expect(await exported(store, { device: other })).toEqual(storedForm([near]));
      const latest = await store.latest({ tenant: 'rival', device, model: 'refrigerator' });
      expect(latest.get('compressorCurrentA')?.value).toBe(2);
    });

    it('answers for hostile or unknown references as for absent ones', async () => {
      const model = 'refrigerator';
      for (const device of ["' OR 1=1 --", 'x"; DROP', 'a,b', '', 'absent']) {
        const ref = { tenant: 'acme', device, model };
        expect(await exported(store, ref)).toEqual([]);
        expect((await store.latest(ref)).size).toBe(0);
        expect(await store.hasMessage({ ...ref, boot: "b' OR '1'='1", seq: 1 })).toBe(false);
        expect(await seriesOf({ device, signals: ['compressorCurrentA'] })).toEqual([
          { signal: 'compressorCurrentA', points: [] },
        ]);
      }
    });

    it('treats ranges as from inclusive, to exclusive', async () => {
      const device = newDevice();
      const samples = [0, 1, 2, 3].map((ms) => [BASE_TIME_MS + ms, { compressorCurrentA: ms }] as const);
      await write(message({ device, seq: 1, samples }));
      const range = { from: BASE_TIME_MS + 1, to: BASE_TIME_MS + 3 };
      expect((await exported(store, { device, ...range })).map(({ index }) => index)).toEqual([1, 2]);
      const [series] = await seriesOf({ device, signals: ['compressorCurrentA'], ...range });
      expect(series?.points.map(([, value]) => value)).toEqual([1, 2]);
      expect(await exported(store, { device, from: range.to, to: range.from })).toEqual([]);
    });

    it('gives raw series in order, each signal with its own points', async () => {
      const device = newDevice();
      await write(
        message({
          device,
          seq: 1,
          samples: [
            [BASE_TIME_MS + 10, { compressorCurrentA: 1, doorOpen: false }],
            [BASE_TIME_MS, { compressorCurrentA: 2 }],
            [BASE_TIME_MS + 5, { doorOpen: true }],
            [BASE_TIME_MS + 5, { doorOpen: true }],
          ],
        }),
      );
      expect(await seriesOf({ device, signals: ['doorOpen', 'nothing', 'compressorCurrentA'] })).toEqual([
        {
          signal: 'doorOpen',
          points: [
            [BASE_TIME_MS + 5, true],
            [BASE_TIME_MS + 5, true],
            [BASE_TIME_MS + 10, false],
          ],
        },
        { signal: 'nothing', points: [] },
        {
          signal: 'compressorCurrentA',
          points: [
            [BASE_TIME_MS, 2],
            [BASE_TIME_MS + 10, 1],
          ],
        },
      ]);
    });

    it('keeps every bucket’s minimum and maximum at their true times when it down-samples', async () => {
      const device = newDevice();
      const random = seededRandom(4);
      const values = Array.from({ length: 6_000 }, () => Math.round(random() * 40) / 2 - 10);
      values[1_234] = 1_000;
      values[4_321] = -1_000;
      await write(
        ...inMessages(
          device,
          values.map((value, i) => [BASE_TIME_MS + i * 1_000, { evaporatorTempC: value }]),
        ),
      );
      const to = BASE_TIME_MS + 6_000_000;
      const [series] = await seriesOf({ device, signals: ['evaporatorTempC'], points: 100, to });
      expect(series?.points).toEqual(extremesOf(values, 50, 120_000));
      expect(series?.points).toContainEqual([BASE_TIME_MS + 1_234_000, 1_000]);
      expect(series?.points).toContainEqual([BASE_TIME_MS + 4_321_000, -1_000]);
      const [whole] = await seriesOf({ device, signals: ['evaporatorTempC'], points: 6_000, to });
      expect(whole?.points.length).toBe(6_000);
    });

    it('down-samples ranges of years to no more points than asked for', async () => {
      const device = newDevice();
      const points = Array.from(
        { length: 900 },
        (_, i) => [BASE_TIME_MS - i * DAY_MS, { compressorCurrentA: i }] as const,
      );
      await write(...inMessages(device, points));
      const range = { from: BASE_TIME_MS - 900 * DAY_MS, to: BASE_TIME_MS + 1 };
      const [series] = await seriesOf({ device, signals: ['compressorCurrentA'], points: 7, ...range });
      expect(series?.points.length).toBeLessThanOrEqual(7);
      expect(series?.points.at(-1)).toEqual([BASE_TIME_MS, 0]);
      expect(series?.points[0]).toEqual([BASE_TIME_MS - 899 * DAY_MS, 899]);
      await expect(seriesOf({ device, signals: ['compressorCurrentA'], ...range })).rejects.toThrow(/31 days/);
    });

    it('down-samples texts and booleans to their changes', async () => {
      const device = newDevice();
      const samples = Array.from(
        { length: 400 },
        (_, i) => [BASE_TIME_MS + i * 1_000, { doorOpen: i % 100 >= 90, mode: i < 150 ? 'cooling' : 'off' }] as const,
      );
      await write(...inMessages(device, samples, 'doors'));
      const [door, mode] = await seriesOf({ device, model: 'doors', signals: ['doorOpen', 'mode'], points: 20 });
      const at = (second: number, value: SignalValue) => [BASE_TIME_MS + second * 1_000, value];
      expect(mode?.points).toEqual([at(0, 'cooling'), at(150, 'off')]);
      expect(door?.points).toEqual([
        at(0, false),
        at(90, true),
        at(100, false),
        at(190, true),
        at(200, false),
        at(290, true),
        at(300, false),
        at(390, true),
      ]);
      const [few] = await seriesOf({
        device,
        model: 'doors',
        signals: ['doorOpen'],
        points: 3,
        to: BASE_TIME_MS + 400_000,
      });
      expect(few?.points.length).toBeLessThanOrEqual(3);
    });

    it('refuses queries beyond its limits with a reason', async () => {
      const device = newDevice();
      const invalid = async (query: Partial<SeriesQuery>): Promise<unknown> =>
        seriesOf({ device, signals: ['compressorCurrentA'], ...query }).catch((error: unknown) =>
          error instanceof AppError ? error.code : error,
        );
      expect(await invalid({ to: BASE_TIME_MS + 31 * DAY_MS + 1 })).toBe('STORE_QUERY_INVALID');
      expect(await invalid({ to: BASE_TIME_MS + 31 * DAY_MS })).toEqual([{ signal: 'compressorCurrentA', points: [] }]);
      for (const points of [0, 1, 2.5, Number.NaN, 10_001])
        expect(await invalid({ points })).toBe('STORE_QUERY_INVALID');
      expect(await invalid({ from: Number.NaN })).toBe('STORE_QUERY_INVALID');
      expect(await invalid({ signals: Array.from({ length: 201 }, (_, i) => `s${i}`) })).toBe('STORE_QUERY_INVALID');
    });

    it('knows the latest value of each signal by device time, without backfill', async () => {
      const device = newDevice();
      const query = { tenant: 'acme', device, model: 'refrigerator' };
      await write(
        message({ device, seq: 2, samples: [[BASE_TIME_MS + 10, { compressorCurrentA: 1, doorOpen: true }]] }),
        message({ device, seq: 1, samples: [[BASE_TIME_MS, { compressorCurrentA: 2, evaporatorTempC: -18 }]] }),
        message({
          device,
          seq: 3,
          backfill: true,
          samples: [[BASE_TIME_MS + 99, { compressorCurrentA: 3, humidity: 4 }]],
        }),
      );
      const first = {
        compressorCurrentA: { observedAt: BASE_TIME_MS + 10, value: 1 },
        doorOpen: { observedAt: BASE_TIME_MS + 10, value: true },
        evaporatorTempC: { observedAt: BASE_TIME_MS, value: -18 },
      };
      expect(Object.fromEntries(await store.latest(query))).toEqual(first);
      await write(
        message({ device, seq: 4, samples: [[BASE_TIME_MS + 20, { compressorCurrentA: 5 }]] }),
        message({ device, seq: 5, samples: [[BASE_TIME_MS + 20, { compressorCurrentA: 6 }]] }),
        message({ device, seq: 6, samples: [[BASE_TIME_MS + 5, { compressorCurrentA: 7 }]] }),
      );
      expect(Object.fromEntries(await store.latest(query))).toEqual({
        ...first,
        compressorCurrentA: { observedAt: BASE_TIME_MS + 20, value: 6 },
      });
    });

    it('has no latest value for a device that only sent backfill', async () => {
      const device = newDevice();
      await write(message({ device, seq: 1, backfill: true, samples: [[BASE_TIME_MS, { compressorCurrentA: 3 }]] }));
      expect((await store.latest({ tenant: 'acme', device, model: 'refrigerator' })).size).toBe(0);
    });

    it('rolls up what any order of arrival brought, exactly as a calculation from the raw samples does', async () => {
      const value = fc.oneof(
        fc.double({ noNaN: true, min: -1e12, max: 1e12 }),
        fc.constantFrom(0, -0, 0.1, 0.2, 0.3, 1e-300, -7),
      );
      const part = fc.record({
        boot: fc.constantFrom('b', 'boot-2', 'Zz9_'),
        late: fc.boolean(),
        samples: fc.array(
          fc.tuple(
            fc.oneof(fc.integer({ min: 0, max: 200_000 }), fc.constantFrom(0, 59_999.5, 60_000, 7_200_000)),
            value,
          ),
          { minLength: 1, maxLength: 12 },
        ),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(part, { minLength: 1, maxLength: 30 }), async (parts) => {
          const device = newDevice();
          const messages = parts.map(({ boot, late, samples }, seq) =>
            message({
              device,
              boot,
              seq: seq * 3,
              backfill: late,
              samples: samples.map(([at, compressorCurrentA]) => [
                BASE_TIME_MS + at - (late ? 86_400_000 : 0),
                { compressorCurrentA, doorOpen: true },
              ]),
            }),
          );
          await write(...messages.filter((_message, i) => i % 3 !== 0));
          await write(...messages.filter((_message, i) => i % 3 === 0));
          // InfluxDB cannot hold two samples with one timestamp: what it says it holds is what must be rolled up.
          const kept = await exported(store, { device });
          const range = { from: BASE_TIME_MS - DAY_MS, to: BASE_TIME_MS + DAY_MS };
          for (const bucketMs of ROLL_UP_WIDTHS_MS) {
            const query = { tenant: 'acme', device, model: 'refrigerator', bucketMs, ...range };
            const signals = ['doorOpen', 'compressorCurrentA', 'unknown'];
            expect(await store.aggregate({ ...query, signals })).toEqual([
              { signal: 'doorOpen', buckets: [] },
              { signal: 'compressorCurrentA', buckets: rolledUp(kept, 'compressorCurrentA', bucketMs) },
              { signal: 'unknown', buckets: [] },
            ]);
          }
        }),
        { numRuns: 25 },
      );
    });

    it('rolls up whole buckets, whatever part of them was asked for', async () => {
      const device = newDevice();
      await write(
        message({
          device,
          seq: 1,
          samples: [
            [BASE_TIME_MS, { compressorCurrentA: 1 }],
            [BASE_TIME_MS + 59_000, { compressorCurrentA: 4 }],
            [BASE_TIME_MS + 60_000, { compressorCurrentA: 9 }],
          ],
        }),
      );
      const [rolled] = await store.aggregate({
        tenant: 'acme',
        device,
        model: 'refrigerator',
        signals: ['compressorCurrentA'],
        from: BASE_TIME_MS + 30_000,
        to: BASE_TIME_MS + 31_000,
        bucketMs: 60_000,
      });
      expect(rolled?.buckets).toEqual([{ from: BASE_TIME_MS, count: 2, min: 1, max: 4, mean: 2.5, last: 4 }]);
    });

    it('compares the devices of a model, each with one voice', async () => {
      const model = 'fleet';
      const means = Array.from({ length: 20 }, (_, i) => (i * 7919) % 101);
      for (const [i, mean] of means.entries()) {
        const samples = Array.from(
          { length: i + 1 },
          (_, n) => [BASE_TIME_MS + n * 1_000, { level: mean + (i % 2 === 0 ? 0 : n - i / 2) }] as const,
        );
        await write(message({ device: `fleet-${i}`, model, seq: 1, samples }));
      }
      await write(
        message({ tenant: 'rival', device: 'f', model, seq: 1, samples: [[BASE_TIME_MS, { level: 1e6 }]] }),
        message({ device: 'fleet-0', model, seq: 2, samples: [[BASE_TIME_MS + HOUR_MS, { level: 5, name: 'x' }]] }),
      );
      const query = { tenant: 'acme', model, from: BASE_TIME_MS, to: BASE_TIME_MS + 2 * HOUR_MS } as const;
      const sorted = [...means].sort((a, b) => a - b);
      expect(await store.aggregateModel({ ...query, signal: 'level', bucketMs: HOUR_MS })).toEqual([
        {
          from: BASE_TIME_MS,
          devices: 20,
          count: 210,
          p50: sorted[9],
          p95: sorted[18],
          mean: Math.fround(means.reduce((sum, mean) => sum + mean, 0) / 20),
        },
        { from: BASE_TIME_MS + HOUR_MS, devices: 1, count: 1, p50: 5, p95: 5, mean: 5 },
      ]);
      expect(await store.aggregateModel({ ...query, signal: 'name', bucketMs: 60_000 })).toEqual([]);
      expect(await store.aggregateModel({ ...query, tenant: "' OR 1=1", signal: 'level', bucketMs: 60_000 })).toEqual(
        [],
      );
    });

    it('gives the latest values of all devices page by page', async () => {
      const model = 'paged';
      const names = ['a', 'B', 'c:1', 'd_2', 'E'];
      for (const device of names) {
        await write(
          message({ device, model, seq: 2, samples: [[BASE_TIME_MS + 10, { level: 1, on: true }]] }),
          message({ device, model, seq: 1, samples: [[BASE_TIME_MS, { level: 2, phase: device }]] }),
          message({ device, model, seq: 3, backfill: true, samples: [[BASE_TIME_MS + 99, { level: 3 }]] }),
        );
      }
      await write(
        message({ device: 'only-backfill', model, seq: 1, backfill: true, samples: [[BASE_TIME_MS, { level: 1 }]] }),
        message({ tenant: 'rival', device: 'b', model, seq: 1, samples: [[BASE_TIME_MS, { level: 1 }]] }),
      );
      const seen = new Map<string, unknown>();
      let after: string | undefined;
      for (let pages = 0; pages < 4; pages++) {
        const page = await store.latestAll({ tenant: 'acme', model, limit: 2, ...(after !== undefined && { after }) });
        for (const { device, values } of page.devices) seen.set(device, values);
        after = page.next;
        if (after === undefined) break;
      }
      expect([...seen.keys()]).toEqual([...names].sort());
      for (const device of names) {
        expect(seen.get(device)).toEqual(await store.latest({ tenant: 'acme', device, model }));
      }
      expect(await store.latestAll({ tenant: 'acme', model: 'no such model', limit: 2 })).toEqual({ devices: [] });
    });

    it('keeps roll-ups of the samples that its retention deletes, also of late ones', async () => {
      const [device, other, model] = [newDevice(), newDevice(), 'retained'];
      const old = BASE_TIME_MS - 1_000 * DAY_MS;
      const at = (minute: number, level: number) => [old + minute * MINUTE_MS, { level, name: 'x' }] as const;
      const levels = Array.from({ length: 300 }, (_, i) => at(i, (i * 37) % 64));
      await write(
        ...inMessages(device, levels, model).map((one) => ({ ...one, receivedAt: old })),
        message({ device: other, model, seq: 1, receivedAt: old, samples: [at(3, -5), at(299, 77)] }),
        message({ device, model, seq: 9, samples: [[BASE_TIME_MS, { level: 1 }]] }),
      );
      const range = { from: old, to: BASE_TIME_MS + DAY_MS };
      const query = { tenant: 'acme', device, model, signals: ['level'] };
      const day = { from: old, to: old + DAY_MS };
      const ask = async () => ({
        minutes: await store.aggregate({ ...query, ...day, bucketMs: 60_000 }),
        hours: await store.aggregate({ ...query, ...day, bucketMs: HOUR_MS }),
        fleet: await store.aggregateModel({ tenant: 'acme', model, signal: 'level', ...day, bucketMs: HOUR_MS }),
        short: await store.series({ ...query, ...range, points: 20 }),
        shortDay: await store.series({ ...query, ...day, points: 60 }),
      });
      const before = await ask();
      const cut = { rawBefore: old + DAY_MS, minutesBefore: 0 };
      let deleted = 0;
      for (let step = 0; step < 10; step++) deleted += (await store.retain(cut)) ?? 0;
      expect(deleted).toBe(302);
      expect((await exported(store, { device, model })).length).toBe(1);
      expect(await exported(store, { device: other, model })).toEqual([]);
      expect(await ask()).toEqual(before);

      // Late: received two days later, of a bucket that is sealed.
      await write(
        message({ device, model, seq: 10, receivedAt: old + 2 * DAY_MS, samples: [at(0, 200), at(0.5, -100)] }),
      );
      expect(await store.retain(cut)).toBeUndefined();
      const late = await ask();
      const expected = { from: old, count: 3, min: -100, max: 200, mean: 100 / 3, last: 0 };
      expect(late.minutes[0]?.buckets[0]).toEqual(expected);
      expect(await store.retain({ ...cut, rawBefore: old + 3 * DAY_MS })).toBe(2);
      expect(await ask()).toEqual(late);
      expect(late.short[0]?.points).toContainEqual([old, 200]);

      await store.retain({ rawBefore: 0, minutesBefore: old + 120 * MINUTE_MS });
      const { minutes, hours } = await ask();
      expect(minutes[0]?.buckets.length).toBe(180);
      expect(hours).toEqual(late.hours);
    });

    it('forgets latest values with their samples, and knows older ones that came late', async () => {
      const model = 'forgotten';
      const [gone, late, alive] = [newDevice(), newDevice(), newDevice()];
      const old = BASE_TIME_MS - 2_000 * DAY_MS;
      const at = (device: string, seq: number, observedAt: number, signals: Record<string, number>, receivedAt = old) =>
        message({ device, model, seq, receivedAt, samples: [[observedAt, signals]] });
      await write(
        at(gone, 1, old + HOUR_MS, { level: 1 }),
        at(late, 1, old + HOUR_MS, { level: 2, flow: 3 }),
        at(late, 2, old + 1, { level: 4 }, BASE_TIME_MS),
        at(alive, 1, old + HOUR_MS, { level: 5, flow: 6 }),
        at(alive, 2, BASE_TIME_MS, { level: 7 }),
      );
      expect((await store.latestAll({ tenant: 'acme', model, limit: 9 })).devices.length).toBe(3);
      expect(await store.retain({ rawBefore: old + DAY_MS, minutesBefore: 0 })).toBe(3);
      const { devices: found } = await store.latestAll({ tenant: 'acme', model, limit: 9 });
      expect(found.map(({ device, values }) => [device, Object.fromEntries(values)])).toEqual([
        [late, { level: { observedAt: old + 1, value: 4 } }],
        [alive, { level: { observedAt: BASE_TIME_MS, value: 7 } }],
      ]);
      for (const { device, values } of found) {
        expect(await store.latest({ tenant: 'acme', device, model })).toEqual(values);
      }
      expect((await store.latest({ tenant: 'acme', device: gone, model })).size).toBe(0);
    });

    it('refuses questions about fleets and long ranges beyond its limits', async () => {
      const code = (question: Promise<unknown>) => question.catch((error: unknown) => (error as AppError).code);
      const query = { tenant: 'acme', device: 'd', model: 'refrigerator', from: 0, to: DAY_MS, signals: ['a'] };
      const invalid = 'STORE_QUERY_INVALID';
      expect(await code(store.aggregate({ ...query, bucketMs: 1_000 as 60_000 }))).toBe(invalid);
      expect(await code(store.aggregate({ ...query, to: 200_001 * MINUTE_MS, bucketMs: 60_000 }))).toBe(invalid);
      expect(await code(store.aggregate({ ...query, from: 0.5, bucketMs: 60_000 }))).toBe(invalid);
      const fleet = { tenant: 'acme', model: 'refrigerator', signal: 'a', from: 0 };
      expect(await code(store.aggregateModel({ ...fleet, to: 1_501 * MINUTE_MS, bucketMs: 60_000 }))).toBe(invalid);
      for (const limit of [0, 1_001, 1.5])
        expect(await code(store.latestAll({ tenant: 'acme', model: 'refrigerator', limit }))).toBe(invalid);
    });

    it('knows whether a message is stored', async () => {
      const device = newDevice();
      const identity = { tenant: 'acme', device, model: 'refrigerator', boot: 'boot1' };
      await write(message({ device, seq: 41, samples: [[BASE_TIME_MS, { compressorCurrentA: 1 }]] }));
      expect(await store.hasMessage({ ...identity, seq: 41 })).toBe(true);
      expect(await store.hasMessage({ ...identity, seq: 42 })).toBe(false);
      expect(await store.hasMessage({ ...identity, seq: 41, boot: 'boot2' })).toBe(false);
      expect(await store.hasMessage({ ...identity, seq: 41, tenant: 'rival' })).toBe(false);
      expect(await store.hasMessage({ ...identity, seq: 41, model: 'no such model' })).toBe(false);
    });

    it('tells when a message was received and how much of it is stored', async () => {
      const device = newDevice();
      const identity = { tenant: 'acme', device, model: 'refrigerator', boot: 'boot1' };
      const samples = [5, 6].map((ms) => [BASE_TIME_MS + ms, { compressorCurrentA: ms }] as const);
      await write(
        message({ device, seq: 40, samples: [[BASE_TIME_MS, { compressorCurrentA: 1 }]] }),
        message({ device, seq: 41, receivedAt: BASE_TIME_MS + 777, samples }),
        message({ device, seq: 43, samples: [[BASE_TIME_MS + 9, { compressorCurrentA: 1 }]] }),
      );
      const receipt = { receivedAt: BASE_TIME_MS + 777, observedAt: BASE_TIME_MS + 5, samples: 2 };
      expect(await store.receipt({ ...identity, seq: 41 })).toEqual(receipt);
      const others = [{ seq: 42 }, { seq: 44 }, { boot: 'boot2' }, { tenant: 'rival' }, { model: 'no such model' }];
      for (const other of others) expect(await store.receipt({ ...identity, seq: 41, ...other })).toBeUndefined();
    });

    it('knows the greatest sequence number of each boot and every message between, whatever the order of arrival', async () => {
      const ref = { tenant: 'acme', device: newDevice(), model: 'refrigerator' };
      const at = (boot: string, seq: number) =>
        message({ device: ref.device, boot, seq, samples: [[BASE_TIME_MS + seq, { compressorCurrentA: seq }]] });
      expect(await store.highestSequence({ ...ref, boot: 'b1' })).toBeUndefined();
      await write(at('b1', 7), at('b2', 90), at('b1', 3));
      await write(at('b1', 5), at('b1', 11), at('b2', 2));
      expect(await store.highestSequence({ ...ref, boot: 'b1' })).toBe(11);
      expect(await store.highestSequence({ ...ref, boot: 'b2' })).toBe(90);
      expect(await store.highestSequence({ ...ref, boot: 'b1', tenant: 'rival' })).toBeUndefined();
      expect(await store.highestSequence({ ...ref, boot: "b' OR 1=1" })).toBeUndefined();
      expect(await store.highestSequence({ ...ref, boot: 'b1', model: 'no such model' })).toBeUndefined();
      const has = await Promise.all(
        Array.from({ length: 13 }, (_, seq) => store.hasMessage({ ...ref, boot: 'b1', seq })),
      );
      expect(has.flatMap((found, seq) => (found ? [seq] : []))).toEqual([3, 5, 7, 11]);
    });

    it('survives many writes and reads at once', async () => {
      const device = newDevice();
      const messages = Array.from({ length: 40 }, (_, seq) =>
        message({ device, seq, samples: [[BASE_TIME_MS + seq, { compressorCurrentA: seq }]] }),
      );
      await Promise.all(messages.flatMap((one) => [write(one), exported(store, { device }), store.ping()]));
      expect(await exported(store, { device })).toEqual(storedForm(messages));
    });

    it('exports 200,000 samples in order and in constant memory, also when nobody hurries', async () => {
      const device = newDevice();
      const total = 200_000;
      const samplesEach = 100;
      for (let start = 0; start < total; start += 10_000) {
        await write(
          ...Array.from({ length: 100 }, (_, m) => {
            const samples = Array.from({ length: samplesEach }, (_, i) => {
              const n = start + m * samplesEach + i;
              return [
                BASE_TIME_MS + n * 250,
                { evaporatorTempC: n, compressorCurrentA: n / 7, fanSpeedRpm: n % 13 },
              ] as const;
            });
            return message({ device, seq: start / samplesEach + m, samples });
          }),
        );
      }
      const query = { tenant: 'acme', device, model: 'refrigerator', from: 0, to: BASE_TIME_MS * 2 };
      let count = 0;
      let heapHighBytes = 0;
      collectGarbage();
      const heapBeforeBytes = process.memoryUsage().heapUsed;
      for await (const sample of store.export(query)) {
        if (sample.signals.evaporatorTempC !== count || sample.observedAt !== BASE_TIME_MS + count * 250) break;
        if (++count % 20_000 === 0) {
          collectGarbage();
          heapHighBytes = Math.max(heapHighBytes, process.memoryUsage().heapUsed);
        }
      }
      expect(count).toBe(total);
      expect((heapHighBytes - heapBeforeBytes) / 2 ** 20).toBeLessThan(24);
      for await (const sample of store.export(query)) {
        expect(sample.seq).toBe(0);
        break; // A reader that leaves early must not break the next one.
      }
      await store.ping();
    });

    it('hands out series while it writes', async () => {
      const device = newDevice();
      await write(message({ device, seq: 1, samples: [[BASE_TIME_MS + MINUTE_MS, { compressorCurrentA: 1 }]] }));
      const reads = Array.from({ length: 30 }, () => seriesOf({ device, signals: ['compressorCurrentA'], points: 10 }));
      await write(message({ device, seq: 2, samples: [[BASE_TIME_MS + 3 * MINUTE_MS, { compressorCurrentA: 2 }]] }));
      for (const [series] of await Promise.all(reads)) expect(series?.points.length).toBeGreaterThanOrEqual(1);
    });
  });
}

function inMessages(
  device: string,
  samples: readonly (readonly [number, Record<string, SignalValue>])[],
  model = 'refrigerator',
): TelemetryMessage[] {
  const messages: TelemetryMessage[] = [];
  for (let from = 0; from < samples.length; from += 500) {
    messages.push(message({ device, model, seq: from / 500, samples: samples.slice(from, from + 500) }));
  }
  return messages;
}

/** Minimum and maximum of each bucket worked out the plain way; samples are one second apart. */
function extremesOf(values: readonly number[], buckets: number, widthMs: number): [number, number][] {
  return Array.from({ length: buckets }, (_, bucket) => {
    const inBucket = values
      .map((value, i): [number, number] => [BASE_TIME_MS + i * 1_000, value])
      .filter(([at]) => Math.floor((at - BASE_TIME_MS) / widthMs) === bucket);
    const lowest = inBucket.reduce((best, point) => (point[1] < best[1] ? point : best));
    const highest = inBucket.reduce((best, point) => (point[1] > best[1] ? point : best));
    return [lowest, highest].sort(([a], [b]) => a - b);
  }).flat();
}

/** Roll-ups worked out the plain way, in the order of the stored nanoseconds. */
function rolledUp(samples: readonly StoredSample[], signal: string, bucketMs: number): RollUp[] {
  const placed = samples
    .map((sample) => ({
      place: BigInt(timestampNs(preferredSlot(sample), sample)),
      value: sample.signals[signal] as number,
      sample,
    }))
    .sort((a, b) => (a.place < b.place ? -1 : 1));
  const buckets = new Map<number, number[]>();
  for (const { value, sample } of placed) {
    const from = Math.floor(sample.observedAt / bucketMs) * bucketMs;
    buckets.set(from, [...(buckets.get(from) ?? []), value]);
  }
  return [...buckets].map(([from, values]) => ({
    from,
    count: values.length,
    min: Math.min(...values) + 0,
    max: Math.max(...values) + 0,
    mean: values.reduce((sum, value) => sum + value, 0) / values.length,
    last: (values.at(-1) as number) + 0,
  }));
}

/** A full collection, so that what is left is what somebody holds. */
function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
}
