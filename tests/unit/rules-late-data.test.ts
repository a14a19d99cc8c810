import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Signals } from '../../contract/wire/payloads.ts';
import { type DeskAlert, HOUR, MINUTE, MONDAY, RuledDevice, ruleOf } from '../support/rule-device.ts';

const T = MONDAY + 7 * HOUR;
const LATENESS = 15 * MINUTE;

interface Sent {
  readonly at: number;
  readonly delayMs: number;
  readonly signals: Signals;
  readonly reports?: Record<string, boolean>;
}

const RULES = [
  'when compressorCurrentA > 8 A then major',
  'when compressorCurrentA > 8 A until < 7 A for 5 min then major',
  'when (compressorCurrentA > 8 A or doorOpen) for 12 min and not mode = defrost then minor clear after 4 min',
  'when count(doorOpen) >= 3 within 30 min then minor',
  'when count(doorOpen) < 1 within 30 min then minor',
  'when rate(freezerTempC) > 4 degC per hour over 20 min then major',
  'when no data for 20 min then minor',
  'when no freezerTempC for 10 min and doorOpen then minor',
  'when fault E05 or count(fault E09) > 1 within 1 h then critical hold 40 min',
  'when doorOpen for 8 min and during mon 08:00-09:30 in Europe/Berlin or during mon 07:20-07:50 in UTC then minor',
  'when not (doorOpen or compressorCurrentA < 7.5 A) for 6 min then info hold 9 min',
].map((text, i) => ruleOf(text, `rule-${i}`));

const value: fc.Arbitrary<Signals> = fc.record(
  {
    compressorCurrentA: fc.double({ min: 6, max: 9, noNaN: true }),
    doorOpen: fc.boolean(),
    freezerTempC: fc.double({ min: -20, max: -15, noNaN: true }),
    mode: fc.constantFrom('cooling', 'defrost'),
  },
  { requiredKeys: [] },
);
const stream = (maxDelayMs: number): fc.Arbitrary<Sent[]> =>
  fc
    .array(
      fc.record({
        gapMs: fc.oneof(
          { weight: 9, arbitrary: fc.integer({ min: 1_000, max: 4 * MINUTE }) },
          { weight: 1, arbitrary: fc.integer({ min: 0, max: 50 * MINUTE }) },
        ),
        delayMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: maxDelayMs })),
        signals: value,
        report: fc.option(fc.tuple(fc.constantFrom('fault:E05', 'fault:E09'), fc.boolean()), {
          freq: 8,
          nil: undefined,
        }),
      }),
      { minLength: 1, maxLength: 70 },
    )
    .map((list) => {
      let at = T;
      return list.map(({ gapMs, delayMs, signals, report }) => {
        at += gapMs;
        return { at, delayMs, signals, ...(report ? { reports: { [report[0]]: report[1] } } : {}) };
      });
    });

interface Arriving extends Sent {
  readonly seq: number;
  readonly receivedAt: number;
}

/** In the order in which they are received, with a last one that comes at once and long after all others. */
function arrivals(sent: readonly Sent[], delayed: boolean): Arriving[] {
  const list = sent.map((one, seq) => ({ ...one, seq, receivedAt: one.at + (delayed ? one.delayMs : 0) }));
  const end = (sent.at(-1)?.at ?? T) + HOUR;
  list.push({ at: end, delayMs: 0, signals: {}, seq: sent.length, receivedAt: end });
  return list.sort((a, b) => a.receivedAt - b.receivedAt || a.seq - b.seq);
}

function play(
  list: readonly Arriving[],
  restarts: boolean,
  waits: (from: number, to: number) => readonly number[],
): RuledDevice {
  const device = new RuledDevice(RULES, { latenessMs: LATENESS, maxWindow: 1_000 });
  device.restarts = restarts;
  let heard = 0;
  for (const { at, receivedAt, seq, signals, reports } of list) {
    // A message may take five seconds from its receipt into the log.
    if (heard > 0) for (const now of waits(heard, receivedAt + 5_000)) device.wait(now);
    device.send(at, signals, { receivedAt, seq, ...(reports ? { reports } : {}) });
    heard = receivedAt;
  }
  return device;
}

const noWaits = (): readonly number[] => [];
const key = ({ rule, onset, clearedAt }: DeskAlert): string =>
  `${rule} since ${onset - T}${clearedAt === null ? ' open' : ''}`;

describe('samples that come late', () => {
  it('give in the end the alerts of those that come in order', () => {
    fc.assert(
      fc.property(
        stream(14 * MINUTE),
        fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
        (sent, random) => {
          const inOrder = play(arrivals(sent, false), false, noWaits).alerts();
          const device = play(arrivals(sent, true), true, (from, to) => {
            const [next] = random.take(1);
            return [from + (next ?? 0) * (to - from), to];
          });
          expect(device.state.late).toBe(0);
          const late = device.alerts();
          const found = new Set(late.map(key));
          expect(inOrder.map(key).filter((one) => !found.has(one))).toEqual([]);
          const open = (alerts: readonly DeskAlert[]): string[] =>
            alerts
              .filter((one) => one.clearedAt === null)
              .map(key)
              .sort();
          expect(open(late)).toEqual(open(inOrder));
        },
      ),
      { numRuns: 60 },
    );
  });

  it('are answered the same however often anybody looked and wherever it was restarted: streaming is replay', () => {
    fc.assert(
      fc.property(
        stream(40 * MINUTE),
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 4 }),
        (sent, shares) => {
          const list = arrivals(sent, true);
          const replayed = play(list, false, noWaits);
          const streamed = play(list, true, (from, to) =>
            [...shares].sort().map((share) => Math.floor(from + share * (to - from))),
          );
          expect(streamed.findings).toEqual(replayed.findings);
          const { late, replaced } = replayed.state;
          expect(streamed.state).toMatchObject({ late, replaced });
        },
      ),
      { numRuns: 60 },
    );
  });

  it('never make two alerts of one rule open at the same time', () => {
    fc.assert(
      fc.property(stream(30 * MINUTE), (sent) => {
        const open = new Map<string, string>();
        const known = new Set<string>();
        const over = new Set<string>();
        for (const { kind, episode, faultKey } of play(arrivals(sent, true), false, noWaits).findings) {
          if (kind === 'alertCleared') {
            // What is over may be told again with another onset.
            if (known.has(episode) && !over.has(episode)) expect(open.get(faultKey)).toBe(episode);
            over.add(episode);
            if (open.get(faultKey) === episode) open.delete(faultKey);
          } else {
            expect([undefined, episode]).toContain(open.get(faultKey));
            open.set(faultKey, episode);
          }
          known.add(episode);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('correct the onset of an open alert', () => {
    const device = new RuledDevice('when compressorCurrentA > 8 A for 5 min then major');
    device.send(T, { compressorCurrentA: 9 }, { seq: 0 });
    device.send(T + 2 * MINUTE, { compressorCurrentA: 7 }, { seq: 2 });
    for (const i of [4, 6, 8, 9]) device.send(T + i * MINUTE, { compressorCurrentA: 9 }, { seq: i });
    expect(device.findings).toMatchObject([{ kind: 'alertRaised', onset: T + 4 * MINUTE, at: T + 9 * MINUTE }]);
    // What came with +2 min was the value of one minute before: the device sends it again, corrected by a newer one.
    device.send(T + 3 * MINUTE, { compressorCurrentA: 9 }, { seq: 3, receivedAt: T + 10 * MINUTE });
    expect(device.findings.at(-1)).toMatchObject({
      kind: 'alertUpdated',
      onset: T + 3 * MINUTE,
      at: T + 9 * MINUTE,
      evidence: { rule: { correction: 'lateData' } },
    });
    expect(device.alerts()).toMatchObject([{ onset: T + 3 * MINUTE, clearedAt: null }]);
  });

  it('raise with the true onset what would have been raised', () => {
    const device = new RuledDevice('when compressorCurrentA > 8 A for 5 min then major');
    device.send(T, { compressorCurrentA: 9 }, { seq: 0 });
    device.send(T + 7 * MINUTE, { compressorCurrentA: 3 }, { seq: 2 });
    device.send(T + 6 * MINUTE, { compressorCurrentA: 9 }, { seq: 1, receivedAt: T + 8 * MINUTE });
    expect(device.alerts()).toMatchObject([{ onset: T, clearedAt: T + 7 * MINUTE }]);
  });

  it('take back what was none, also what silence had raised', () => {
    const device = new RuledDevice('when no data for 30 min then minor');
    device.send(T, {}, { seq: 0 });
    device.wait(T + HOUR);
    expect(device.kinds()).toEqual(['alertRaised']);
    for (let i = 1; i <= 12; i++) device.send(T + i * 5 * MINUTE, {}, { seq: i, receivedAt: T + HOUR + i });
    expect(device.findings.slice(1)).toMatchObject([
      { kind: 'alertCleared', evidence: { rule: { correction: 'lateData' } } },
    ]);
  });

  it('change nothing beyond the bound, and are counted', () => {
    const device = new RuledDevice('when compressorCurrentA > 8 A then major', { latenessMs: 10 * MINUTE });
    for (let i = 0; i < 30; i++) device.send(T + i * MINUTE, { compressorCurrentA: 3 }, { seq: i });
    device.send(T + 5 * MINUTE, { compressorCurrentA: 9 }, { seq: 99, receivedAt: T + 30 * MINUTE });
    expect(device.findings).toEqual([]);
    expect(device.state).toMatchObject({ late: 1, replaced: 0 });
    expect(device.state.window.length).toBeLessThanOrEqual(11);
  });

  it('need no more memory however fast the device sends', () => {
    const device = new RuledDevice(RULES);
    for (let i = 0; i < 5_000; i++)
      device.send(T + i * 100, {
        compressorCurrentA: 6 + (i % 4),
        freezerTempC: -18 + (i % 7),
        doorOpen: i % 50 === 0,
      });
    expect(device.state.window.length).toBe(64);
    expect(JSON.stringify(device.state).length).toBeLessThan(32_000);
  });

  it('sent twice count once', () => {
    const device = new RuledDevice('when count(fault E05) >= 2 within 1 h then major');
    device.send(T, {}, { seq: 0 });
    device.send(T + 10 * MINUTE, {}, { seq: 2 });
    for (let i = 0; i < 3; i++)
      device.send(T + 5 * MINUTE, {}, { seq: 1, receivedAt: T + 11 * MINUTE, reports: { 'fault:E05': true } });
    expect(device.findings).toEqual([]);
  });
});
