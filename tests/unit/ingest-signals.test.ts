/** Births cannot make a model's tables grow without end. */
import { afterEach, describe, expect, it } from 'vitest';
import { signalsOf } from '../../contract/devices/catalogue.ts';
import { HOUR_MS } from '../../contract/kernel/time.ts';
import { quarantineRecordSchema } from '../../ingest/quarantine.ts';
import { SignalBudget } from '../../ingest/signal-budget.ts';
import { disposeIngest, type Harness, startIngest, telemetry } from '../support/ingest-harness.ts';
import { RECEIVED_AT, textOf } from '../support/log-entries.ts';

const names = (count: number, prefix = 'extra'): string[] => Array.from({ length: count }, (_, i) => `${prefix}${i}`);
const declaration = (of: string[], over: object = {}) => ({
  tenant: 'acme',
  model: 'toaster',
  catalogue: new Map(),
  before: new Map(),
  names: of,
  ...over,
});
const refused = (reason: string, name: string) => ({ kind: 'refused', reason, name });
const ADMITTED = { kind: 'admitted' };

describe('the signal budget', () => {
  it('lets all devices of a model declare the same names', () => {
    const budget = new SignalBudget();
    for (let device = 0; device < 1_000; device++)
      expect(budget.admit(declaration(names(200)), RECEIVED_AT)).toEqual(ADMITTED);
  });

  it('refuses the name beyond 200 of a model, and takes none of that declaration', () => {
    const budget = new SignalBudget();
    const catalogue = new Map(names(150, 'known').map((name) => [name, 1]));
    expect(budget.admit(declaration(names(49), { catalogue }), RECEIVED_AT)).toEqual(ADMITTED);
    expect(budget.admit(declaration(names(2, 'more'), { catalogue }), RECEIVED_AT)).toEqual(
      refused('SIGNAL_LIMIT', 'more1'),
    );
    expect(budget.admit(declaration(['other'], { catalogue }), RECEIVED_AT)).toEqual(ADMITTED);
    expect(budget.admit(declaration(['more0'], { catalogue }), RECEIVED_AT)).toEqual(refused('SIGNAL_LIMIT', 'more0'));
    expect(budget.admit(declaration(['more0'], { catalogue, tenant: 'other' }), RECEIVED_AT)).toEqual(ADMITTED);
  });

  it('refuses more new names than a tenant may add within an hour, until the next hour', () => {
    const budget = new SignalBudget({ maxNewPerHour: 10 });
    expect(budget.admit(declaration(names(8)), RECEIVED_AT)).toEqual(ADMITTED);
    const second = declaration(names(3), { model: 'kettle' });
    expect(budget.admit(second, RECEIVED_AT)).toEqual(refused('SIGNAL_BUDGET', 'extra2'));
    expect(budget.admit({ ...second, tenant: 'other' }, RECEIVED_AT)).toEqual(ADMITTED);
    expect(budget.admit(second, RECEIVED_AT + HOUR_MS)).toEqual(ADMITTED);
  });

  it('does not charge a device for what it declared before', () => {
    const budget = new SignalBudget({ maxNewPerHour: 1 });
    const before = new Map(names(50).map((name) => [name, 'number']));
    expect(budget.admit(declaration(names(51), { before }), RECEIVED_AT)).toEqual(ADMITTED);
  });
});

describe('a birth with too many signals', () => {
  let harness: Harness | undefined;
  afterEach(async () => {
    if (harness) await disposeIngest(harness);
    harness = undefined;
  });

  it('is quarantined, and what was declared before stays valid', async () => {
    const h = await startIngest();
    harness = h;
    const room = 200 - signalsOf('refrigerator').size;
    const birth = (of: string[]) => ({ v: 1, boot: 'b', t: RECEIVED_AT, signals: of.map((name) => ({ name })) });
    await h.send('birth', birth(names(room)));
    await h.send('birth', birth([...names(room), 'oneMore']));
    await h.send('telemetry', telemetry(1, { s: [[0, { extra0: 1 }]] }));
    await h.send('telemetry', telemetry(2, { s: [[0, { oneMore: 1 }]] }));
    const entries = await h.entries();
    expect(entries.map((entry) => entry.kind)).toEqual(['birth', 'quarantine', 'telemetry', 'quarantine']);
    const records = entries
      .filter((entry) => entry.kind === 'quarantine')
      .map((entry) => quarantineRecordSchema.parse(JSON.parse(textOf(entry))));
    expect(records).toMatchObject([
      { reason: 'SIGNAL_LIMIT', at: 'signals.oneMore', channel: 'birth', boot: 'b' },
      { reason: 'SIGNAL_UNKNOWN' },
    ]);
  });
});
