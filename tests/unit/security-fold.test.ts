/** A flood of events: what is equal becomes one, and the rest stays within bounds. */
import { describe, expect, it } from 'vitest';
import { createSecurityFold, type FoldLimits, foldAll, ofNoDevice } from '../../api/devices/security-fold.ts';
import type { SecurityEvent } from '../../contract/ports/broker.ts';

const T0 = 1_795_392_000_000;
const event = (facts: Partial<SecurityEvent> = {}): SecurityEvent => ({
  tenant: 'acme',
  device: 'fridge-1',
  kind: 'MQTT_TOPIC',
  at: T0,
  remoteAddress: '192.0.2.1',
  detail: 'publish to "x"',
  proved: true,
  ...facts,
});
const foldOf = (limits: Partial<FoldLimits> = {}) =>
  createSecurityFold({ maxEvents: 100, maxEventsPerTenant: 100, ...limits });

describe('equal events', () => {
  it('of a minute are one, with the number, the first and last time and the last words', () => {
    const fold = foldOf();
    for (let i = 0; i < 1_000; i++) fold.add(event({ at: T0 + i, detail: `number ${i}`, certificateSerial: `a${i}` }));
    expect(fold.pending()).toMatchObject([
      { times: 1_000, minute: T0, firstAt: T0, lastAt: T0 + 999, detail: 'number 999', certificateSerial: 'a999' },
    ]);
  });

  it.each<[string, Partial<SecurityEvent>]>([
    ['of another tenant', { tenant: 'globex' }],
    ['of another device', { device: 'fridge-2' }],
    ['of no device', { device: undefined as never }],
    ['of another kind', { kind: 'MQTT_CLIENT_ID' }],
    ['from another address', { remoteAddress: '192.0.2.2' }],
    ['of another minute', { at: T0 + 60_000 }],
  ])('are two when one is %s', (_what, facts) => {
    const fold = foldOf();
    fold.add(event());
    fold.add(event(facts));
    expect(fold.pending().map(({ times }) => times)).toEqual([1, 1]);
    expect(new Set(fold.pending().map(({ tenant, id }) => `${tenant} ${id}`)).size).toBe(2);
  });

  it('become one when their devices do not exist', () => {
    const fold = foldOf();
    fold.add(event({ device: 'ghost-1' }));
    fold.add(event({ device: 'ghost-2' }));
    expect(foldAll(fold.pending().map(ofNoDevice))).toMatchObject([{ device: undefined, times: 2 }]);
  });
});

describe('what was written', () => {
  it('is not written again, and what came meanwhile is', () => {
    const fold = foldOf();
    fold.add(event());
    const batch = fold.pending();
    fold.add(event());
    fold.add(event({ device: 'fridge-2' }));
    fold.written(batch, T0);
    expect(fold.pending().map(({ device, times }) => [device, times])).toEqual([
      ['fridge-1', 1],
      ['fridge-2', 1],
    ]);
  });

  it('counts against the bounds until its minute is over, so that writing often makes no more rows', () => {
    const fold = foldOf({ maxEventsPerTenant: 1 });
    fold.add(event());
    fold.written(fold.pending(), T0 + 1_000);
    expect(fold.pending()).toEqual([]);
    expect(fold.add(event({ device: 'fridge-2' }))).toBe(false);
    expect(fold.add(event())).toBe(true);
    fold.written(fold.pending(), T0 + 60_000);
    expect(fold.add(event({ device: 'fridge-2', at: T0 + 60_000 }))).toBe(true);
  });

  it('stays where it was not written, however long that takes', () => {
    const fold = foldOf();
    fold.add(event());
    fold.written([], T0 + 3_600_000);
    expect(fold.pending()).toHaveLength(1);
  });
});

describe('the bounds', () => {
  const flood = (fold: ReturnType<typeof foldOf>, count: number, facts: (i: number) => Partial<SecurityEvent>) =>
    Array.from({ length: count }, (_, i) => fold.add(event(facts(i)))).filter(Boolean).length;

  it('hold for a tenant, and leave room to the others', () => {
    const fold = foldOf({ maxEventsPerTenant: 10 });
    expect(flood(fold, 1_000, (i) => ({ device: `d${i}` }))).toBe(10);
    expect(fold.add(event({ tenant: 'globex' }))).toBe(true);
    expect(fold.add(event({ device: 'd3' }))).toBe(true);
  });

  it('hold for all, whatever tenants are made up', () => {
    const fold = foldOf({ maxEvents: 20 });
    expect(flood(fold, 1_000, (i) => ({ tenant: `t${i}` }))).toBe(20);
  });

  it('give names that are only claimed half of the room: what is proved still finds some', () => {
    const fold = foldOf({ maxEvents: 40, maxEventsPerTenant: 10 });
    expect(flood(fold, 1_000, (i) => ({ device: `d${i}`, proved: false }))).toBe(5);
    expect(flood(fold, 1_000, (i) => ({ tenant: `t${i}`, proved: false }))).toBe(15);
    expect(fold.add(event())).toBe(true);
    expect(fold.add(event({ tenant: 'globex' }))).toBe(true);
  });

  it('cut what the other end chose to what is short and printable', () => {
    const fold = foldOf();
    const detail = `a\u0000b\nc\u202ed\u009be\ud800${'x'.repeat(10_000)}`;
    fold.add(event({ detail, certificateSerial: 'f'.repeat(1_000) }));
    const [kept] = fold.pending();
    expect(kept?.detail).toMatch(/^a\\u\{0\}b\\u\{a\}c\\u\{202e\}d\\u\{9b\}e\\u\{d800\}xxx/);
    expect(kept?.detail.length).toBeLessThanOrEqual(200);
    expect(kept?.certificateSerial).toHaveLength(64);
  });
});
