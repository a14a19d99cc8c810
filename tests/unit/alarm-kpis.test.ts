/** Figures of the alarm system against figures worked out by hand, and when many units become one group. */
import { describe, expect, it } from 'vitest';
import { type Annunciation, type KpiInput, kpisOf, type Raised } from '../../api/desk/alarm-kpis.ts';
import { alarmPolicy } from '../../api/desk/alarm-policy.ts';
import { decideGroup, waitsForGroup } from '../../api/desk/grouping.ts';
import { HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';

const FROM = 1_795_392_000_000;
/** Two hours: twelve slots of ten minutes. */
const TO = FROM + 2 * HOUR_MS;

const asked = (slot: number, device: string, more: Partial<Annunciation> = {}): Annunciation => ({
  at: FROM + slot * 10 * MINUTE_MS,
  device,
  faultKey: 'wear',
  targetMs: 30 * MINUTE_MS,
  acknowledgedAt: undefined,
  ...more,
});
const input = (facts: Partial<KpiInput> = {}): KpiInput => ({
  from: FROM,
  to: TO,
  operators: 1,
  now: TO,
  annunciations: [],
  raised: [],
  stale: 0,
  shelvedNow: 0,
  suppressedNow: 0,
  outOfServiceNow: 0,
  ...facts,
});
const times = <Item>(count: number, make: (index: number) => Item): Item[] =>
  Array.from({ length: count }, (_, n) => make(n));

describe('the KPIs', () => {
  /** Slot 0: 12, slot 1: 6, slot 2: 4, slot 5: 11, slot 11: 1; 34 in all. Device `bad` has 12 + 6 of them. */
  const busy = [
    ...times(12, () => asked(0, 'bad')),
    ...times(6, () => asked(1, 'bad')),
    ...times(4, (n) => asked(2, `d${n}`)),
    ...times(11, (n) => asked(5, `d${n}`)),
    asked(11, 'late'),
  ];

  it('are what a person works out with paper', () => {
    const kpis = kpisOf(input({ annunciations: busy, stale: 3, shelvedNow: 2, suppressedNow: 1 }));
    expect(kpis).toMatchObject({
      annunciated: 34,
      perOperatorHour: 17,
      peakPerTenMinutes: 12,
      // The first flood lasts over slots 0 and 1 (six are not fewer than five), the second is slot 5.
      floods: { count: 2, slots: 3, shareOfTime: 0.25 },
      stale: 3,
      shelvedNow: 2,
      suppressedNow: 1,
      outOfServiceNow: 0,
    });
    // d0 to d3 have two each, d4 to d10 and `late` one: the ten most frequent are bad, d0–d3, and five of the others.
    expect(kpis.top).toHaveLength(10);
    expect(kpis.top[0]).toEqual({ device: 'bad', faultKey: 'wear', annunciated: 18 });
    expect(kpis.topShare).toBe(Math.round(((18 + 4 * 2 + 5) / 34) * 10_000) / 10_000);
  });

  it('are shared by those who watch: what floods one does not flood two', () => {
    expect(kpisOf(input({ annunciations: busy, operators: 2 }))).toMatchObject({
      perOperatorHour: 8.5,
      peakPerTenMinutes: 6,
      floods: { count: 0, slots: 0, shareOfTime: 0 },
    });
  });

  it('leave out a share of nothing', () => {
    const kpis = kpisOf(input());
    expect(kpis).toMatchObject({ annunciated: 0, perOperatorHour: 0, acknowledged: { due: 0, withinTarget: 0 } });
    expect('topShare' in kpis || 'share' in kpis.acknowledged).toBe(false);
  });

  it('count an acknowledgement in time, one too late, none, and none yet', () => {
    const annunciations = [
      asked(0, 'in-time', { acknowledgedAt: FROM + 30 * MINUTE_MS }),
      asked(0, 'late', { acknowledgedAt: FROM + 30 * MINUTE_MS + 1 }),
      asked(0, 'never'),
      asked(11, 'still-has-time'),
      asked(11, 'quick', { acknowledgedAt: FROM + 111 * MINUTE_MS }),
    ];
    expect(kpisOf(input({ annunciations })).acknowledged).toEqual({ due: 4, withinTarget: 2, share: 0.5 });
  });

  it('name what chatters: three times within a minute, or flapping by its detector', () => {
    const raised = (device: string, second: number, flapping = false): Raised => ({
      at: FROM + second * 1_000,
      device,
      faultKey: 'wear',
      flapping,
    });
    const kpis = kpisOf(
      input({
        raised: [
          ...[0, 59, 30].map((second) => raised('chatters', second)),
          ...[0, 30, 60].map((second) => raised('slower', second)),
          ...[0, 10].map((second) => raised('twice', second)),
          raised('flaps', 0, true),
        ],
      }),
    );
    expect(kpis.chattering).toEqual([
      { device: 'chatters', faultKey: 'wear', raised: 3, flapping: false },
      { device: 'flaps', faultKey: 'wear', raised: 1, flapping: true },
    ]);
  });
});

describe('a group of alarms', () => {
  const { group } = alarmPolicy.parse({});

  it.each([
    ['enough of a small population', 5, 100, { kind: 'open' }],
    ['one too few', 4, 100, { kind: 'none', reason: 'tooFew' }],
    ['too small a share', 5, 251, { kind: 'none', reason: 'smallShare' }],
    ['just the share', 5, 250, { kind: 'open' }],
    ['more than are in service by now', 5, 0, { kind: 'open' }],
  ] as const)('%s', (_, units, exposed, expected) => {
    expect(decideGroup('wear', units, exposed, group)).toEqual(expected);
  });

  it('is not made of silent devices: that is an outage', () => {
    expect(decideGroup('noData', 300, 300, group)).toEqual({ kind: 'none', reason: 'excluded' });
  });

  it('keeps tickets back until somebody decides, time is over, or it is critical', () => {
    const open = { decision: null, decideBy: 100 };
    const held = { ...group, holdBelow: 'critical' as const };
    expect(waitsForGroup('major', open, 99, held)).toBe(true);
    expect(waitsForGroup('major', open, 100, held)).toBe(false);
    expect(waitsForGroup('critical', open, 0, held)).toBe(false);
    // Unless a policy says so, nothing waits for a decision.
    expect(waitsForGroup('minor', open, 0, group)).toBe(false);
    expect(waitsForGroup('major', { ...open, decision: 'tickets' }, 0, group)).toBe(false);
    expect(waitsForGroup('major', { ...open, decision: 'campaign' }, 1_000, group)).toBe(true);
  });
});
